//! The sync thread: decides when a round is due. The only thread that syncs.

use super::Shared;
use super::append::Status;
use crate::notify::Sleeper;
use crate::options::SyncPolicy;
use crossbeam_utils::sync::Parker;
use std::time::{Duration, Instant};

impl Shared {
    pub(super) fn sync_loop(&self, parker: &Parker) {
        let mut began: Option<Instant> = None;
        loop {
            if self.poisoned() {
                if self.marks.closed() {
                    return;
                }
                // Nothing is tried again before somebody reopens or closes; both unpark.
                parker.park();
                continue;
            }
            let seen = self.marks.end.seen();
            let closing = self.marks.closed();
            if self.round_is_due(seen.offset()) || closing {
                if let Some(pause) = self.pause(began).filter(|_| !closing) {
                    parker.park_timeout(pause);
                    continue;
                }
                began = Some(Instant::now());
                if let Err(error) = self.round().and_then(|()| self.finish_if(closing)) {
                    self.poison(error);
                } else if closing {
                    return;
                }
                continue;
            }
            if let Err(error) = self.progress.lock().sync_mark(None) {
                self.poison(error);
                continue;
            }
            let manual = self.options.sync_value() == SyncPolicy::Manual;
            if manual || self.marks.end.fall_asleep(Sleeper::SYNC, seen) {
                parker.park();
            }
        }
    }

    fn round_is_due(&self, end: u64) -> bool {
        let asked = self.rounds.asked() > self.rounds.done();
        let fresh = || {
            end > self.marks.durable()
                || self.cursors.as_ref().is_some_and(|cursors| cursors.dirty())
        };
        let policy = self.options.sync_value() != SyncPolicy::Manual;
        asked || (policy && fresh()) || self.append.lock().rolled.is_some()
    }

    /// How long the next round still has to wait under the policy.
    fn pause(&self, began: Option<Instant>) -> Option<Duration> {
        let SyncPolicy::Every(interval) = self.options.sync_value() else {
            return None;
        };
        if self.rounds.asked() > self.rounds.done() {
            return None;
        }
        let since = began?.elapsed();
        interval.checked_sub(since).filter(|pause| !pause.is_zero())
    }

    fn finish_if(&self, closing: bool) -> std::io::Result<()> {
        if closing {
            self.progress.lock().close_mark()
        } else {
            Ok(())
        }
    }

    pub(super) fn poisoned(&self) -> bool {
        matches!(self.append.lock().status, Status::Poisoned(_))
    }
}
