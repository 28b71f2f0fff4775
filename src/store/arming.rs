//! The armer thread: makes the pages ahead of the appends present and writable, so that an append
//! seldom meets a page fault, which costs as much as ten appends.
//!
//! A page that is armed is dirty for the kernel. So no more is armed than a busy log needs soon: a
//! log that rests has at most two windows of zeros written for it once.

use super::Shared;
use crossbeam_utils::sync::Parker;
use std::ops::Range;

/// Bytes armed at a time. Pages are armed from one to two windows ahead.
const WINDOW: usize = 1 << 20;

/// How far the active segment is armed, in frame positions. Guarded by the append lock.
#[derive(Debug, Default)]
pub(super) struct Arming {
    /// Armed, or asked for.
    asked: usize,
    done: usize,
}

impl Arming {
    /// Appends have come to `at`. Whether the armer has to be woken.
    #[inline]
    pub(super) fn reached(&mut self, at: usize) -> bool {
        let due = at + WINDOW > self.asked;
        if due {
            // A large frame may have passed what was armed.
            self.done = self.done.max(at);
            self.asked = at + 2 * WINDOW;
        }
        due
    }

    /// What is to be armed now.
    fn take(&mut self) -> Option<Range<usize>> {
        let range = self.done..self.asked;
        self.done = self.asked;
        (!range.is_empty()).then_some(range)
    }
}

impl Shared {
    pub(super) fn armer_loop(&self, parker: &Parker) {
        while !self.marks.closed() {
            let mut state = self.append.lock();
            let wish = state.arming.take().filter(|_| state.writer.is_some());
            let active = wish.map(|range| (state.active.region().clone(), range));
            drop(state);
            match active {
                Some((region, range)) => region.arm(range.start.min(region.len())..range.end),
                None => parker.park(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_asked_for_once_and_ahead_of_the_appends() {
        let mut arming = Arming::default();
        assert!(arming.reached(4_096));
        assert_eq!(arming.take(), Some(4_096..4_096 + 2 * WINDOW));
        assert_eq!(arming.take(), None);
        assert!(!arming.reached(4_096 + WINDOW));
        assert!(arming.reached(4_097 + WINDOW));
        assert_eq!(arming.take(), Some(4_096 + 2 * WINDOW..4_097 + 3 * WINDOW));
        // Beyond what is armed, by a frame of several windows.
        assert!(arming.reached(10 * WINDOW));
        assert_eq!(arming.take(), Some(10 * WINDOW..12 * WINDOW));
    }
}
