//! Poison, and what heals it.

use super::append::{Appending, Status};
use super::once::Remembered;
use super::rounds::Progress;
use super::stats::Counted;
use super::table::Table;
use super::{Acks, Shared, SpareSlot};
use crate::error::{IoFailure, OpenError};
use crate::recovery;
use crate::sync::atomic::Ordering;
use crate::sync::{Plant, planted};
use std::io;
use std::sync::Arc;

impl Shared {
    /// A sync has failed. The kernel may have marked the pages clean without writing them, so
    /// nothing is tried again: appends and syncs fail from here on, reads end at the durable mark.
    pub(super) fn poison(&self, error: io::Error) {
        self.set_poisoned(error);
        self.wake_everybody();
    }

    /// The part of [`Shared::poison`] that calls nobody.
    pub(super) fn set_poisoned(&self, error: io::Error) {
        let mut state = self.append.lock();
        if !matches!(state.status, Status::Open | Status::Closing) {
            return;
        }
        let failure = IoFailure::new(self.dir.path(), "sync", error);
        *self.failure.lock() = Some(failure.clone());
        state.status = Status::Poisoned(failure);
        self.marks.set_poisoned_end(self.marks.next());
        // Back to what is on disk. Only appends publish besides this, and they look at the status
        // first.
        if !sabotaged!("poison-shows-more") {
            let _ = self.marks.visible.publish(self.marks.durable());
        }
        *self.acks.write() = Acks::Poisoned;
    }

    /// Heals a poisoned log in place: runs recovery on what is really there, under the same lock
    /// file and with the same handles. Nothing happens to a log that is not poisoned.
    pub(crate) fn reopen(&self) -> Result<(), OpenError> {
        self.renew(|status| matches!(status, Status::Poisoned(_)), || Ok(()))
            .map(|_| ())
    }

    /// Runs recovery in place, after `prepare`, if `may` says so of the status. Whether it did.
    pub(super) fn renew(
        &self,
        may: impl FnOnce(&Status) -> bool,
        prepare: impl FnOnce() -> Result<(), OpenError>,
    ) -> Result<bool, OpenError> {
        let mut progress = self.progress.lock();
        let mut state = self.append.lock();
        // A log that is being closed stays as it is: its threads leave.
        if !may(&state.status) || self.marks.closed() {
            return Ok(false);
        }
        while matches!(state.spare, SpareSlot::Wanted(_) | SpareSlot::Making) {
            if matches!(state.spare, SpareSlot::Wanted(_)) {
                state.spare = SpareSlot::None;
                break;
            }
            self.room.wait(&mut state);
        }
        // One writer at a time: the old one is gone before recovery maps the file again.
        state.writer = None;
        state.spare = SpareSlot::None;
        let mut acks = self.acks.write();
        let found = prepare().and_then(|()| {
            recovery::reopen(&self.dir, &self.options, &self.meta, self.cursors.as_ref())
        });
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                // There is no writer any more, and the end is not known: as after a failed sync.
                drop(acks);
                drop(state);
                drop(progress);
                self.poison(io::Error::other(error.clone()));
                return Err(error);
            }
        };
        let durable = found.durable.clone();
        *progress = Progress::new(found.durable, found.mark_file);
        *self.history.lock() = Arc::new(found.history);
        *self.report.lock() = found.report;
        let open_segments = self.options.open_segments_value();
        *self.table.lock() = Table::new(found.bases, Arc::clone(&found.active), open_segments);
        self.indexes.clear();
        let counted = Counted::new(found.next, found.active.region().end());
        // Found anew: those above the recovered end are gone, and they have crowded out others.
        let ids = Remembered::new(self.options.dedup_ids_value(), found.next);
        *state = Appending::new(found.active, found.writer, found.time, counted, ids);
        self.synced.reach(&durable);
        *self.oldest.lock() = None;
        // The generation first: who sees the new marks must judge its position before it reads on.
        self.marks.next_generation();
        self.marks.set_poisoned_end(0);
        *acks = Acks::Taken;
        let _ = self.marks.durable.publish(durable.offset);
        let _ = self.marks.visible.publish(durable.offset);
        drop(acks);
        drop(state);
        drop(progress);
        self.wake_everybody();
        Ok(true)
    }

    /// No more appends. The sync thread makes the last round.
    pub(super) fn begin_close(&self) {
        if planted(Plant::EarlyClose) {
            self.marks.close();
        }
        // The status first: whoever sees the mark closed sees no append after it.
        let mut state = self.append.lock();
        if matches!(state.status, Status::Open) {
            state.status = Status::Closing;
            *self.acks.write() = Acks::Closed;
        }
        drop(state);
        self.marks.close();
        self.wake_everybody();
    }

    /// See [`Store::abandon`](super::Store::abandon).
    #[cfg(any(test, fuzzing))]
    pub(super) fn die<T>(&self, look: impl FnOnce() -> T) -> T {
        let mut progress = self.progress.lock();
        let seen = look();
        // A sync thread that is past its check of the status finds no mark to write.
        progress.mark_file = None;
        let mut state = self.append.lock();
        let killed = io::Error::from(io::ErrorKind::Interrupted);
        state.status = Status::Poisoned(IoFailure::new(self.dir.path(), "survive", killed));
        state.writer = None;
        drop(state);
        drop(progress);
        self.marks.close();
        self.wake_everybody();
        seen
    }

    /// Threads leave, or never came. With the last one the log has ended: what is still waiting
    /// will not come, and somebody else may open it.
    pub(super) fn leave(&self, threads: usize) {
        if threads == 0 || self.running.fetch_sub(threads, Ordering::AcqRel) != threads {
            return;
        }
        let mut state = self.append.lock();
        state.ended = Some(match &state.status {
            Status::Poisoned(failure) => Err(failure.clone()),
            _ => Ok(()),
        });
        if !matches!(state.status, Status::ReadOnly) {
            state.status = Status::Closed;
            *self.acks.write() = Acks::Closed;
        }
        state.writer = None;
        state.spare = SpareSlot::None;
        self.lock.lock().take();
        drop(state);
        if planted(Plant::LateClose) {
            self.wake_everybody();
            return self.marks.end();
        }
        self.marks.end();
        self.wake_everybody();
    }

    /// Blocks until the log has ended, and says how.
    pub(super) fn wait_ended(&self) -> Result<(), IoFailure> {
        let mut state = self.append.lock();
        loop {
            if let Some(result) = &state.ended {
                return result.clone();
            }
            self.room.wait(&mut state);
        }
    }
}
