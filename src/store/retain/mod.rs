//! Retention: whole sealed segments leave, oldest first.
//!
//! Each step may be the last before the power goes, so their order is the promise:
//!
//! 1. everything that is acked is on disk, so that no cursor comes back below what it has freed,
//!    and so are the ids of the events that leave;
//! 2. the segment's name goes, and readers are told;
//! 3. the directory is synced, and only then does the next segment go: whatever survives, the
//!    segments that are left follow one another.

mod rules;

use super::{DurableFuture, Shared};
use crate::cursor_file::Age;
use crate::error::TrimError;
use crate::format::{HEADER_BYTES, SegmentHeader};
use crate::segment::{self, Segment};
use crate::sync::{Mutex, MutexGuard, Plant, planted};
use crate::types::to_u64;
use rules::Kept;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Weak};

/// What has left the log since it was opened.
#[derive(Debug, Default)]
pub(super) struct Trimmed(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    segments: u64,
    bytes: u64,
    /// Segments that were still mapped when they left.
    held: Vec<(Weak<Segment>, u64)>,
}

impl Trimmed {
    pub(super) fn add(&self, bytes: u64, mapped: Option<Weak<Segment>>) {
        let mut counts = self.0.lock();
        counts.segments += 1;
        counts.bytes += bytes;
        counts.held.retain(|(weak, _)| weak.strong_count() > 0);
        counts.held.extend(mapped.map(|weak| (weak, bytes)));
    }

    /// A segment that has left was mapped all the same.
    pub(super) fn hold(&self, segment: &Arc<Segment>) {
        let bytes = to_u64(segment.region().len());
        let held = (Arc::downgrade(segment), bytes);
        self.0.lock().held.push(held);
    }

    /// Bytes of segments that have left and are still mapped, because somebody holds an event of
    /// theirs or stands in them.
    pub(super) fn held_bytes(&self) -> u64 {
        let mut counts = self.0.lock();
        counts.held.retain(|(weak, _)| weak.strong_count() > 0);
        counts.held.iter().map(|(_, bytes)| bytes).sum()
    }

    /// How many segments have left, and the bytes of their files.
    pub(super) fn totals(&self) -> (u64, u64) {
        let counts = self.0.lock();
        (counts.segments, counts.bytes)
    }
}

/// Who lets segments go, one at a time.
#[derive(Debug, Default)]
pub(super) struct Trimming {
    one_at_a_time: Mutex<()>,
    /// Held while a name goes and until readers can know of it.
    step: Mutex<()>,
    /// No event before these bases is newer than these times.
    times: Mutex<BTreeMap<u64, u64>>,
}

impl Shared {
    /// Lets go what the options let go; returns the first offset that is kept.
    pub(crate) fn retain(self: &Arc<Self>) -> Result<u64, TrimError> {
        let _one = self.trimming.one_at_a_time.lock();
        drop(self.hold_open()?);
        let first = self.may_go().map_err(|error| self.trim_failed(error))?;
        self.let_go(first)
    }

    /// Lets go all segments that hold nothing at or above `before`; returns the first offset that
    /// is kept.
    pub(crate) fn trim(self: &Arc<Self>, before: u64) -> Result<u64, TrimError> {
        let _one = self.trimming.one_at_a_time.lock();
        drop(self.hold_open()?);
        self.let_go(before)
    }

    /// No trim begins as long as this is held.
    pub(super) fn hold_trims(&self) -> MutexGuard<'_, ()> {
        self.trimming.one_at_a_time.lock()
    }

    fn trim_failed(&self, error: io::Error) -> TrimError {
        TrimError::from_io(self.dir.path(), "remove a segment in", error)
    }

    /// The first offset that the rules keep.
    fn may_go(&self) -> io::Result<u64> {
        let retention = *self.options.retention_value();
        if retention.keeps_all() {
            return Ok(0);
        }
        let segments = self.kept_segments();
        let acked = match &self.cursors {
            Some(cursors) if retention.acked() && segments.len() > 1 => {
                cursors.lowest_acked(&Age {
                    now: self.clock.now(),
                    is_held: &|slot| self.fences.is_held(slot),
                })
            }
            _ => None,
        };
        let old = match (retention.age(), self.clock.now()) {
            (Some(age), Some(now)) => {
                let age = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
                self.older_than(&segments, now.saturating_sub(age))?
            }
            _ => 0,
        };
        let durable = self.marks.durable();
        let gone = rules::going(&retention, &segments, durable, acked).max(old);
        let last = segments.len().saturating_sub(1);
        Ok(segments.get(gone.min(last)).map_or(0, |kept| kept.base))
    }

    /// How many of the oldest segments have no event at or after `time`.
    fn older_than(&self, segments: &[Kept], time: u64) -> io::Result<usize> {
        let mut times = self.trimming.times.lock();
        if let Some(oldest) = segments.first() {
            *times = times.split_off(&oldest.base);
        }
        let mut old = 0;
        for (index, next) in segments.iter().enumerate().skip(1) {
            let newest = match times.get(&next.base) {
                Some(newest) => *newest,
                None => match self.time_before(next.base)? {
                    Some(newest) => {
                        times.insert(next.base, newest);
                        newest
                    }
                    // The header of this one is damaged; the next one's says it for both.
                    None => continue,
                },
            };
            if newest >= time {
                break;
            }
            old = index;
        }
        Ok(old)
    }

    /// The time of the last event before this base, from the header of the segment that begins
    /// there; `None` if it cannot be read.
    fn time_before(&self, base: u64) -> io::Result<Option<u64>> {
        let file = match self.dir.open_file(&segment::name_of(base), false) {
            Ok(file) => file,
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::InvalidData => return Ok(None),
                _ => return Err(error),
            },
        };
        let mut page = [0; HEADER_BYTES];
        let got = file.read_at(&mut page, 0)?;
        let header = SegmentHeader::parse(page.get(..got).unwrap_or_default());
        let activation = header.ok().and_then(|header| header.activation);
        let fits = activation.filter(|activation| activation.base == base);
        Ok(fits.map(|activation| activation.time))
    }

    /// The steps, for all segments that hold nothing at or above `first`.
    fn let_go(self: &Arc<Self>, first: u64) -> Result<u64, TrimError> {
        let segments = self.kept_segments();
        let mut going = Vec::new();
        for (this, next) in segments.iter().zip(segments.iter().skip(1)) {
            if next.base <= first {
                going.push((this.base, next.base));
            }
        }
        if let Some((_, next)) = going.last() {
            // An ack that was counted is marked as unsaved too before the round begins.
            self.await_acks();
            if !sabotaged!("unlink-before-cursors") {
                DurableFuture::everything(Arc::clone(self)).wait_while_open()?;
            }
            self.save_ids_of_leaving(*next);
            // Their file has its name on disk before another name goes.
            let open = self.hold_open()?;
            let synced = self.dir.sync();
            drop(open);
            synced.map_err(|error| self.directory_failed(error))?;
        }
        if sabotaged!("newest-goes-first") {
            going.reverse();
        }
        for (base, next) in going {
            self.let_one_go(base, next)?;
        }
        Ok(self.marks.first())
    }

    pub(super) fn let_one_go(&self, base: u64, next: u64) -> Result<(), TrimError> {
        // No reopen, and no end of the log after which somebody else has the directory.
        let open = self.hold_open()?;
        remove(self, &segment::index_name_of(base)).map_err(|error| self.trim_failed(error))?;
        let step = self.trimming.step.lock();
        remove(self, &segment::name_of(base)).map_err(|error| self.trim_failed(error))?;
        let step = if planted(Plant::LateTrim) {
            drop(step);
            None
        } else {
            Some(step)
        };
        let unmapped = self.forget_below(next);
        drop(step);
        // The indexer may have put one there meanwhile. One that stays goes at the next open.
        let _ = self.dir.unlink(&segment::index_name_of(base));
        drop(unmapped);
        let synced = self.dir.sync();
        drop(open);
        synced.map_err(|error| self.directory_failed(error))
    }

    /// What the directory says on disk is not known any more.
    fn directory_failed(&self, error: io::Error) -> TrimError {
        self.poison(error);
        TrimError::Poisoned
    }

    /// Waits until whoever is letting a segment go has told readers of it.
    pub(super) fn await_trim_step(&self) {
        drop(self.trimming.step.lock());
    }

    fn kept_segments(&self) -> Vec<Kept> {
        self.know_bytes();
        let table = self.table.lock();
        let kept = |base: &u64| Kept {
            base: *base,
            bytes: table.bytes_of(*base),
        };
        table.bases().iter().map(kept).collect()
    }

    /// Readers are told of what has left. The maps that nobody needs any more are the caller's to
    /// drop.
    pub(crate) fn forget_below(&self, first: u64) -> Vec<Arc<Segment>> {
        let gone = self.table.lock().drop_below(first);
        self.marks.set_first(first);
        self.indexes.forget_below(first);
        let mut unmapped = Vec::new();
        for left in gone {
            // One that only the table has kept is not held by anybody.
            let mapped = left
                .mapped
                .filter(|weak| weak.strong_count() > usize::from(left.kept.is_some()));
            self.trimmed.add(left.bytes, mapped);
            unmapped.extend(left.kept);
        }
        unmapped
    }
}

fn remove(shared: &Shared, name: &str) -> io::Result<()> {
    match shared.dir.unlink(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
