//! The sync thread: decides when a round is due, and makes it. Under `Always` appenders make rounds
//! themselves, one at a time, and leave to it what they could not.

use super::Shared;
use super::append::Status;
use crate::cursor_file::CursorFile;
use crate::notify::{Seen, Sleeper};
use crate::options::SyncPolicy;
use crate::sync::{Instant, Parker};
use std::io;
use std::time::Duration;

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

/// How long the sync thread may sleep.
#[derive(Clone, Copy, Debug)]
enum Rest {
    /// There is something to look at.
    Not,
    For(Duration),
    UntilWoken,
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
                if self.round(closing) && closing {
                    return;
                }
                continue;
            }
            let rest = match self.rest(seen) {
                Ok(rest) => rest,
                Err(error) => {
                    self.poison(error);
                    continue;
                }
            };
            match rest {
                Rest::Not => {}
                Rest::For(time) => parker.park_timeout(time),
                Rest::UntilWoken => parker.park(),
            }
        }
    }

    /// Whether and how long there is nothing to do but to wait for the next wake-up. What it says
    /// goes for as long as the end of the log is the one that was `seen`.
    fn rest(&self, seen: Seen) -> io::Result<Rest> {
        let rest = match self.progress.lock().sync_mark_in_time()? {
            Some(time) => Rest::For(time),
            None => Rest::UntilWoken,
        };
        let policy = self.options.sync_value();
        let sleeps = || match policy {
            // Under `Always` appenders make the rounds, or unpark this thread.
            SyncPolicy::Manual | SyncPolicy::Always => true,
            SyncPolicy::Every(_) => self.marks.visible.fall_asleep(Sleeper::SYNC, seen),
        };
        let cursors = self.cursors.as_ref();
        let manual = policy == SyncPolicy::Manual;
        let asleep = (manual || cursors.is_none_or(CursorFile::fall_asleep)) && sleeps();
        Ok(if asleep { rest } else { Rest::Not })
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

    pub(super) fn poisoned(&self) -> bool {
        matches!(self.append.lock().status, Status::Poisoned(_))
    }
}
