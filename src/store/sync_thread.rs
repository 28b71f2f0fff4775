//! The sync thread: decides when a round is due. The only thread that syncs.

use super::Shared;
use super::append::Status;
use crate::cursor_file::CursorFile;
use crate::notify::Sleeper;
use crate::options::SyncPolicy;
use crossbeam_utils::sync::Parker;
use std::time::{Duration, Instant};

/// Whether a round is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Not,
    /// As soon as the policy's interval allows.
    InTime,
    /// At once: somebody asked for it, an appender may wait for the roll, or the log is being
    /// closed.
    Now,
}

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
            let seen = self.marks.visible.seen();
            let closing = self.marks.closed();
            let due = if closing {
                Due::Now
            } else {
                self.due(seen.offset())
            };
            if due != Due::Not {
                if let Some(pause) = self.pause(began).filter(|_| due == Due::InTime) {
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
            let cursors = self.cursors.as_ref();
            if manual
                || cursors.is_none_or(CursorFile::fall_asleep)
                    && self.marks.visible.fall_asleep(Sleeper::SYNC, seen)
            {
                parker.park();
            }
        }
    }

    fn due(&self, end: u64) -> Due {
        if self.rounds.is_asked() || self.append.lock().rolled.is_some() {
            return Due::Now;
        }
        let manual = self.options.sync_value() == SyncPolicy::Manual;
        let fresh = || {
            end > self.marks.durable()
                || self.cursors.as_ref().is_some_and(|cursors| cursors.dirty())
        };
        if !manual && fresh() {
            Due::InTime
        } else {
            Due::Not
        }
    }

    /// How long the next round still has to wait under the policy.
    fn pause(&self, began: Option<Instant>) -> Option<Duration> {
        let SyncPolicy::Every(interval) = self.options.sync_value() else {
            return None;
        };
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
