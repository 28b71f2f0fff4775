//! A sync round: carries a roll to the disk, then the new frames, then the cursors; then the mark
//! may move.

use super::append::Rolled;
use super::{Level, Shared, unpark};
use crate::format::{HEADER_BYTES, Mark};
use crate::mark_file::MarkFile;
use crate::recovery::DurablePlace;
use crate::segment::{self, Place, Segment};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The mark is a lower bound, so it need not reach the disk with each sync; while the log is busy
/// it does at most this often, and once when the log falls idle.
const MARK_SYNC_EVERY: Duration = Duration::from_millis(10);

/// Rounds that were asked for, and rounds that are done. A round serves all that was asked before
/// it began.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    asked: AtomicU64,
    done: AtomicU64,
}

impl Rounds {
    /// Asks for a round that begins after this call; returns its number.
    pub(super) fn ask(&self) -> u64 {
        // AcqRel: what the caller stored before is seen by the round that has read this number.
        self.asked.fetch_add(1, Ordering::AcqRel) + 1
    }

    pub(super) fn is_asked(&self) -> bool {
        self.asked() > self.done()
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Acquire)
    }

    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Acquire)
    }

    fn finish(&self, asked: u64) {
        self.done.fetch_max(asked, Ordering::AcqRel);
    }
}

/// How far the disk is. Held by a round, and by `reopen`.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) durable: DurablePlace,
    pub(super) mark_file: Option<MarkFile>,
    mark_unsynced: bool,
    mark_synced_at: Option<Instant>,
}

impl Progress {
    pub(super) fn new(durable: DurablePlace, mark_file: Option<MarkFile>) -> Self {
        Self {
            durable,
            mark_file,
            mark_unsynced: false,
            mark_synced_at: None,
        }
    }

    fn mark(&self, closed: bool) -> Mark {
        let durable = &self.durable;
        Mark {
            sequence: 0,
            offset: durable.offset,
            base: durable.segment.base(),
            position: u64::try_from(durable.at).unwrap_or(u64::MAX),
            epoch: durable.epoch,
            time: durable.time,
            closed,
        }
    }

    fn write_mark(&mut self) -> io::Result<()> {
        let mark = self.mark(false);
        if let Some(file) = &mut self.mark_file {
            file.write(mark)?;
            self.mark_unsynced = true;
        }
        Ok(())
    }

    /// Syncs the mark file if it has something new. `due` limits how often.
    pub(super) fn sync_mark(&mut self, due: Option<Duration>) -> io::Result<()> {
        let soon = due
            .zip(self.mark_synced_at)
            .is_some_and(|(due, at)| at.elapsed() < due);
        if !self.mark_unsynced || soon {
            return Ok(());
        }
        if let Some(file) = &mut self.mark_file {
            file.sync()?;
        }
        self.mark_unsynced = false;
        self.mark_synced_at = Some(Instant::now());
        Ok(())
    }

    /// The last mark of a log that is closed in order: in both slots.
    pub(super) fn close_mark(&mut self) -> io::Result<()> {
        let mark = self.mark(true);
        self.mark_file
            .as_mut()
            .map_or(Ok(()), |file| file.write_both(mark))
    }
}

struct Target {
    rolled: Option<Rolled>,
    active: Arc<Segment>,
    place: Place,
    time: u64,
}

impl Shared {
    /// One round. The first error is final: the caller poisons the log, nothing is tried again.
    pub(super) fn round(&self) -> io::Result<()> {
        let mut progress = self.progress.lock();
        let asked = self.rounds.asked();
        progress.sync_mark(Some(MARK_SYNC_EVERY))?;
        let began = Instant::now();
        let Some(target) = self.target() else {
            return Ok(());
        };
        if let Some(rolled) = &target.rolled {
            self.carry_roll(&mut progress, rolled)?;
        }
        self.carry_frames(&mut progress, &target)?;
        if let Some(cursors) = &self.cursors {
            cursors.sync()?;
        }
        drop(progress);
        self.synced.took(began.elapsed());
        self.rounds.finish(asked);
        self.durable_waits.wake_due(self);
        Ok(())
    }

    fn target(&self) -> Option<Target> {
        let state = self.append.lock();
        let place = *state.writer.as_ref()?.place();
        let (active, time) = (Arc::clone(&state.active), state.time);
        Some(Target {
            rolled: state.rolled.clone(),
            active,
            place,
            time,
        })
    }

    /// The rest of the sealed segment, the header of its successor, the successor's name: all on
    /// disk before the mark crosses.
    fn carry_roll(&self, progress: &mut Progress, rolled: &Rolled) -> io::Result<()> {
        rolled
            .sealed
            .region()
            .sync(progress.durable.at..rolled.end)?;
        rolled.successor.region().sync(0..HEADER_BYTES)?;
        let name = segment::name_of(rolled.successor.base());
        self.dir.rename(&rolled.spare_name, &name)?;
        self.dir.sync()?;
        progress.durable = DurablePlace {
            offset: rolled.successor.base(),
            segment: Arc::clone(&rolled.successor),
            at: HEADER_BYTES,
            epoch: rolled.successor.start().epoch,
            time: rolled.time,
        };
        self.synced.reach(&progress.durable);
        progress.write_mark()?;
        progress.sync_mark(None)?;
        self.table.lock().push(Arc::clone(&rolled.successor));
        self.append.lock().rolled = None;
        self.ask_for_index(rolled.sealed.base());
        self.room.notify_all();
        unpark(&self.signals.caretaker);
        unpark(&self.signals.ids);
        Ok(())
    }

    fn carry_frames(&self, progress: &mut Progress, target: &Target) -> io::Result<()> {
        let place = &target.place;
        if place.at == progress.durable.at && place.offset == self.marks.durable() {
            return Ok(());
        }
        let region = target.active.region();
        region.sync(progress.durable.at..place.at)?;
        // The sync has made its pages read-only for the kernel's bookkeeping, and of those only the
        // last one is stored to again.
        region.arm(place.at..place.at + 1);
        progress.durable = DurablePlace {
            offset: place.offset,
            segment: Arc::clone(&target.active),
            at: place.at,
            epoch: place.epoch,
            time: target.time,
        };
        self.synced.reach(&progress.durable);
        let asleep = self.marks.durable.publish(place.offset);
        self.wake_readers(Level::Durable, asleep);
        self.durable_waits.wake_due(self);
        progress.write_mark()
    }
}
