//! The dispatcher: reads the log like any reader and wakes those who wait for the topics it sees.
//! Appends match nothing and know no waiter.

use crate::notify::Sleeper;
use crate::options::ReadLevel;
use crate::reader::{Scan, Scanner};
use crate::store::Shared;
use crate::sync::Parker;
use std::sync::Arc;
use std::task::Waker;

/// Events looked at before the other lane has its turn, and before the woken are woken.
const TURN: u64 = 1_024;

/// The dispatcher's thread; returns when the log is closed.
pub(crate) fn run(shared: &Arc<Shared>, parker: &Parker) {
    let mut lanes = [Lane::new(ReadLevel::Visible), Lane::new(ReadLevel::Durable)];
    while !shared.marks.closed() {
        let mut busy = false;
        for lane in &mut lanes {
            busy |= lane.look(shared);
        }
        if !busy {
            parker.park();
        }
    }
}

/// The waiters of one read level.
struct Lane {
    level: ReadLevel,
    scanner: Scanner,
    generation: u64,
}

impl Lane {
    fn new(level: ReadLevel) -> Self {
        Self {
            level,
            scanner: Scanner::new(0),
            generation: 0,
        }
    }

    /// Looks at what came. `false`: nothing to do before the next wake-up; the bit is set if
    /// anybody waits.
    fn look(&mut self, shared: &Shared) -> bool {
        let waiters = shared.waiters(self.level);
        let Some(from) = waiters.begin_scan() else {
            return false;
        };
        let word = shared.marks.word(self.level);
        let seen = word.seen();
        if seen.offset() <= from {
            if waiters.end_scan(from) < seen.offset() {
                return true;
            }
            return !word.fall_asleep(Sleeper::DISPATCHER, seen);
        }
        let generation = shared.marks.generation();
        if self.scanner.next() != from || self.generation != generation {
            // After a reopen, the place where it stands may be one of the old log.
            self.generation = generation;
            self.scanner.seek(from);
        }
        let mut to = seen.offset().min(from + TURN);
        let mut woken: Vec<Waker> = Vec::new();
        let wants = |record: &crate::format::RecordRef<'_>| {
            waiters.take(record.topics(), record.not_to(), &mut woken);
            false
        };
        match self.scanner.advance(shared, to, wants) {
            // A hole of a mirror may be long: it is passed at once.
            Ok(Scan::Done) => to = to.max(self.scanner.next().min(seen.offset())),
            // A gap concerns every filter; an error is for those who read to meet.
            Ok(Scan::Gap(gap)) => {
                // What was trimmed may be much: it is passed at once.
                to = to.max(gap.to.min(seen.offset()));
                self.scanner.seek(to);
                waiters.wake_all();
            }
            Ok(Scan::Event(..)) | Err(_) => {
                self.scanner.seek(to);
                waiters.wake_all();
            }
        }
        let _ = waiters.end_scan(to);
        woken.into_iter().for_each(Waker::wake);
        true
    }
}
