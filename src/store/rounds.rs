//! A sync round: carries a roll to the disk, then the new frames, then the cursors; then the mark
//! may move.

use super::append::Rolled;
use super::{Level, Shared, unpark};
use crate::cursor_file::CursorFile;
use crate::format::{HEADER_BYTES, Mark};
use crate::mark_file::MarkFile;
use crate::options::SyncPolicy;
use crate::recovery::DurablePlace;
use crate::segment::{self, Place, Segment};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Instant, MutexGuard, Plant, planted, thread};
use crate::types::to_u64;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The mark is a lower bound, so it need not reach the disk with each sync; while the log is busy
/// it does at most this often, and once when the log has been idle for as long.
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
    /// Since when the mark has something that is not on the disk.
    mark_unsynced: Option<Instant>,
    /// How many waited for the events of the last round.
    woken: usize,
}

impl Progress {
    pub(super) fn new(durable: DurablePlace, mark_file: Option<MarkFile>) -> Self {
        Self {
            durable,
            mark_file,
            mark_unsynced: None,
            woken: 0,
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
            self.mark_unsynced.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    /// Syncs the mark file if it has had something new for long enough. Otherwise: how long it has
    /// still time.
    pub(super) fn sync_mark_in_time(&mut self) -> io::Result<Option<Duration>> {
        let Some(since) = self.mark_unsynced else {
            return Ok(None);
        };
        let time = MARK_SYNC_EVERY.saturating_sub(since.elapsed());
        if !time.is_zero() {
            return Ok(Some(time));
        }
        self.sync_mark()?;
        Ok(None)
    }

    fn sync_mark(&mut self) -> io::Result<()> {
        if let Some(file) = &mut self.mark_file {
            file.sync()?;
        }
        self.mark_unsynced = None;
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
    /// One round, when no other one is under way; with it the last mark, if the log is `closing`.
    /// `false`: the log is poisoned.
    pub(super) fn round(&self, closing: bool) -> bool {
        self.round_with(self.progress.lock(), closing)
    }

    /// A round on this thread, if none is under way: under `Always` an appender carries its own
    /// event to the disk, and those of all who have come before it, without a thread in between.
    pub(crate) fn round_if_free(&self) {
        let Some(progress) = self.progress.try_lock() else {
            // Whoever has the lock may have looked at the end of the log before.
            unpark(&self.signals.sync);
            return;
        };
        let marked = progress.mark_unsynced.is_some();
        self.round_with(progress, false);
        if !marked {
            // A new mark is to be synced in time.
            unpark(&self.signals.sync);
        }
    }

    /// What was published is left to the sync thread, if nothing else tells that one.
    pub(crate) fn round_later(&self) {
        if self.options.sync_value() == SyncPolicy::Always {
            unpark(&self.signals.sync);
        }
    }

    fn round_with(&self, mut progress: MutexGuard<'_, Progress>, closing: bool) -> bool {
        // Whoever had the lock before may have failed, and then nothing is tried again.
        if self.poisoned() {
            return false;
        }
        self.let_others_come(progress.woken);
        let (asked, began) = (self.rounds.asked(), Instant::now());
        let mut made = self.carry(&mut progress);
        if closing && made.is_ok() {
            made = progress.close_mark();
        }
        if let Err(error) = made {
            // Before the lock is free; what it wakes may want the lock.
            self.set_poisoned(error);
            drop(progress);
            if !planted(Plant::UntoldPoison) {
                self.wake_everybody();
            }
            return false;
        }
        drop(progress);
        self.synced.took(began.elapsed());
        self.rounds.finish(asked);
        let _ = self.durable_waits.wake_due(self);
        true
    }

    /// Under `Always` those whom the last round has let go are about to append again. They go
    /// first, so that one sync carries all of them and not the first one alone.
    fn let_others_come(&self, woken: usize) {
        let all = self.marks.next() + to_u64(woken);
        for _ in 0..woken {
            if self.options.sync_value() != SyncPolicy::Always || self.marks.next() >= all {
                break;
            }
            thread::yield_now();
        }
    }

    /// Brings everything so far to the disk. The first error is final.
    fn carry(&self, progress: &mut Progress) -> io::Result<()> {
        progress.sync_mark_in_time()?;
        let Some(target) = self.target() else {
            return Ok(());
        };
        if let Some(rolled) = &target.rolled {
            self.carry_roll(progress, rolled)?;
        }
        self.carry_frames(progress, &target)?;
        self.cursors.as_ref().map_or(Ok(()), CursorFile::sync)
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
        if !sabotaged!("roll-without-sync") {
            let sealed = rolled.sealed.region();
            sealed.sync(progress.durable.at..rolled.end)?;
        }
        rolled.successor.region().sync(0..HEADER_BYTES)?;
        let name = segment::name_of(rolled.successor.base());
        self.dir.rename(&rolled.spare_name, &name)?;
        if !sabotaged!("no-directory-sync") {
            self.dir.sync()?;
        }
        progress.durable = DurablePlace {
            offset: rolled.successor.base(),
            segment: Arc::clone(&rolled.successor),
            at: HEADER_BYTES,
            epoch: rolled.successor.start().epoch,
            time: rolled.time,
        };
        self.synced.reach(&progress.durable);
        progress.write_mark()?;
        progress.sync_mark()?;
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
        if planted(Plant::EarlyMark) {
            let _ = self.marks.durable.publish(place.offset);
        }
        let region = target.active.region();
        let from = progress.durable.at;
        if sabotaged!("sync-retried") {
            region
                .sync(from..place.at)
                .or_else(|_| region.sync(from..place.at))?;
        } else if !sabotaged!("mark-before-sync") {
            region.sync(from..place.at)?;
        }
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
        progress.woken = self.durable_waits.wake_due(self);
        progress.write_mark()?;
        if sabotaged!("mark-before-sync") {
            progress.sync_mark()?;
            region.sync(from..place.at)?;
        }
        Ok(())
    }
}
