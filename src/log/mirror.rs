//! Mirrors: logs whose offsets and epochs come from another log.

use super::Log;
use crate::dir::Directory;
use crate::error::{AppendError, OpenError, ReadError};
use crate::format::{FrameBuffer, Limits, Skip};
use crate::options::Options;
use crate::reader::{Scan, Scanner};
use crate::recovery::Begin;
use crate::store::NotAt;
use crate::types::{Epoch, LogId, MAX_OFFSET, NewEvent, SkipReason, to_u64};
use std::path::Path;
use std::sync::Arc;

/// The log that a mirror follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MirrorSource {
    /// Who it is. A mirror takes this id, so positions of one are positions of the other.
    pub log: LogId,
    /// The epoch in which a mirror that holds nothing yet begins: the oldest one whose positions
    /// are to be understood. Later ones are entered with [`Mirror::begin_epoch`].
    pub epoch: Epoch,
    /// The offset at which a mirror that holds nothing yet begins.
    pub first: u64,
}

/// A log whose events come from another one, under that one's offsets: a cache of it on this
/// machine. Made by [`Options::open_mirror`]; read through [`Mirror::log`].
///
/// Opening it begins no epoch, and what a power loss has taken from its end comes again from the
/// source, so positions stay valid: one above its end waits until the mirror is there.
#[derive(Debug)]
pub struct Mirror {
    log: Log,
    limits: Limits,
}

/// Why a mirror did not take something. It is as it was before, but for [`MirrorError::Open`].
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// The mirror does not know what stands between its end and this offset. Feed that, or
    /// [`Mirror::skip`] it.
    #[error("the mirror goes on at {next}, and not at {asked}")]
    Ahead {
        /// The offset that was given.
        asked: u64,
        /// The next offset of the mirror.
        next: u64,
    },
    /// The mirror has something else under this offset. Find the last event that agrees and enter
    /// an epoch behind it with [`Mirror::begin_epoch`].
    #[error("the mirror has another event at {offset}")]
    Diverged {
        /// The offset.
        offset: u64,
    },
    /// The epoch is not newer than the one in force. Epochs are entered in order.
    #[error("the epoch {asked:?} is not newer than {current:?}")]
    Epoch {
        /// The epoch that was given.
        asked: Epoch,
        /// The epoch in force.
        current: Epoch,
    },
    /// The event was not appended.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// What the mirror has under the offset cannot be read to compare it.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The epoch could not be entered: the mirror is poisoned, reads end at the durable mark.
    /// [`Mirror::begin_epoch`] tries again; so does [`Log::reopen`], if the record of the epoch is
    /// on disk.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl Options {
    /// Opens the mirror in this directory for writing, making it if there is none.
    ///
    /// # Errors
    /// As [`Options::open`]; [`OpenError::Options`] if the log has events of its own, and
    /// [`OpenError::Foreign`] if it mirrors another log.
    pub fn open_mirror(
        &self,
        path: impl AsRef<Path>,
        source: MirrorSource,
    ) -> Result<Mirror, OpenError> {
        let dir = self.made(path.as_ref())?;
        self.open_mirror_in(Arc::new(dir), source)
    }

    pub(crate) fn open_mirror_in(
        &self,
        dir: Arc<dyn Directory>,
        source: MirrorSource,
    ) -> Result<Mirror, OpenError> {
        if source.first > MAX_OFFSET {
            return Err(OpenError::Options {
                option: "first",
                why: "an offset is at most 2^53 - 1",
            });
        }
        let MirrorSource { log, epoch, first } = source;
        // What has an offset of the source stands under it, also when its id is known.
        let options = self.clone().dedup_ids(0);
        let log = options.open_kind(dir, Some(Begin { log, epoch, first }))?;
        let limits = Limits::new(self);
        Ok(Mirror { log, limits })
    }
}

impl Mirror {
    /// The log, to read it. Appends there say [`AppendError::Mirror`].
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Takes the event that has this offset at the source. `false`: it is there already. Durable
    /// when the policy says so; [`Log::wait_durable`] waits, under every policy.
    ///
    /// A repeat is compared by audience, attributes and payload. Where the mirror has no event to
    /// compare (trimmed here, damaged, or skipped as trimmed) it is passed. Ids are attributes like
    /// any other here: the source has told duplicates.
    ///
    /// # Errors
    /// [`MirrorError::Ahead`], [`MirrorError::Diverged`]; [`MirrorError::Append`] as
    /// [`Log::append`].
    pub fn append_at(
        &self,
        offset: u64,
        time: u64,
        event: &NewEvent<'_>,
    ) -> Result<bool, MirrorError> {
        let mut frame = FrameBuffer::new();
        frame.event(event, &self.limits)?;
        match self.put(&mut frame, offset, time) {
            Err(MirrorError::Ahead { next, .. }) if offset < next => {
                self.compare(&frame, offset, next)?;
                Ok(false)
            }
            other => other.map(|()| true),
        }
    }

    /// Takes the events from offset `first` on, visible together. Those that are there already are
    /// compared and passed; returns how many were appended.
    ///
    /// # Errors
    /// As [`Mirror::append_at`].
    pub fn append_batch_at(
        &self,
        first: u64,
        time: u64,
        events: &[NewEvent<'_>],
    ) -> Result<u64, MirrorError> {
        let mut frame = FrameBuffer::new();
        let next = self.log.next_offset();
        let mut offset = first;
        let mut rest = events;
        while let Some((event, behind)) = rest.split_first().filter(|_| offset < next) {
            frame.event(event, &self.limits)?;
            self.compare(&frame, offset, next)?;
            offset += 1;
            rest = behind;
        }
        if !rest.is_empty() {
            frame.batch(rest.iter().cloned(), &self.limits)?;
            self.put(&mut frame, offset, time)?;
        }
        Ok(to_u64(rest.len()))
    }

    /// Goes on at `to`: the source has no events between the end and that offset. Returns the next
    /// offset; nothing happens if that is beyond `to` already.
    ///
    /// # Errors
    /// [`MirrorError::Append`], with [`AppendError::Full`] for an offset that there is not.
    pub fn skip(&self, to: u64, reason: SkipReason) -> Result<u64, MirrorError> {
        if to > MAX_OFFSET {
            return Err(AppendError::Full.into());
        }
        let next = self.log.next_offset();
        if to <= next {
            return Ok(next);
        }
        let mut frame = FrameBuffer::new();
        frame.skip(Skip { to, reason });
        // The time of the last event holds.
        self.put(&mut frame, next, 0)?;
        Ok(to)
    }

    /// Enters an epoch of the source that begins at `first`. What the mirror has at or above
    /// `first` is of an older epoch: it is dropped, with the rest of its segment, and readers and
    /// cursors that were there are told `Diverged`. Returns the offset from which the source has to
    /// be fed again. Nothing happens if the epoch is in force. A mirror that a failed sync has
    /// poisoned is healed by it, as by [`Log::reopen`].
    ///
    /// When the power goes meanwhile, the next open finishes it or it has not begun: never are
    /// events of the old epoch read under the new one. It may then drop a segment more.
    ///
    /// # Errors
    /// [`MirrorError::Epoch`]; [`MirrorError::Append`] with [`AppendError::Closed`];
    /// [`MirrorError::Open`] as [`Log::reopen`].
    pub fn begin_epoch(&self, epoch: Epoch, first: u64) -> Result<u64, MirrorError> {
        let shared = self.log.store.shared();
        let current = shared.epoch();
        if epoch == current {
            return Ok(self.log.next_offset());
        }
        if epoch.counter <= current.counter {
            return Err(MirrorError::Epoch {
                asked: epoch,
                current,
            });
        }
        if shared.begin_epoch(epoch, first.min(MAX_OFFSET))? {
            Ok(self.log.next_offset())
        } else {
            Err(AppendError::Closed.into())
        }
    }

    fn put(&self, frame: &mut FrameBuffer, asked: u64, time: u64) -> Result<(), MirrorError> {
        let shared = self.log.store.shared();
        match shared.append_at(frame, asked, time) {
            Ok(_) => {
                shared.round_later();
                Ok(())
            }
            Err(NotAt::Next(next)) => Err(MirrorError::Ahead { asked, next }),
            Err(NotAt::Failed(error)) => Err(error.into()),
        }
    }

    /// Whether the event in `frame` is the one at `offset`.
    fn compare(&self, frame: &FrameBuffer, offset: u64, next: u64) -> Result<(), MirrorError> {
        let shared = self.log.store.shared();
        let mut scanner = Scanner::new(offset);
        let found = scanner.advance(shared, next, |_| true);
        let same = match found {
            Ok(Scan::Event(segment, spot)) => {
                let record = segment.region().bytes(spot.at..spot.at + spot.bytes);
                spot.offset == offset && record == Some(frame.records())
            }
            Ok(Scan::Gap(gap)) => gap.from == offset,
            Ok(Scan::Done) => false,
            Err(error) => {
                return Err(ReadError::from_io(shared.dir.path(), "read", error).into());
            }
        };
        if same {
            Ok(())
        } else {
            Err(MirrorError::Diverged { offset })
        }
    }
}
