//! The armer thread: makes the pages ahead of the appends present and writable, so that an append
//! seldom meets a page fault, which costs as much as ten appends.
//!
//! A page that is armed is dirty for the kernel. So no more is armed than a busy log needs soon: a
//! log that rests has at most two windows of zeros written for it once.

use super::Shared;
use crate::sync::{self, Parker};
use std::ops::Range;
use std::time::Duration;

/// Bytes armed at a time. Pages are armed from one to two windows ahead.
const WINDOW: usize = 1 << 20;
/// Done in one go: a kernel that does not preempt itself keeps others from the processor for as
/// long as this takes.
const PIECE: usize = 128 << 10;
/// What has to be armed ahead of the appends before the armer rests after each piece.
const ENOUGH: usize = 512 << 10;
const REST: Duration = Duration::from_micros(50);

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

    /// What is to be armed next.
    fn take(&mut self) -> Option<Range<usize>> {
        let range = self.done..self.asked.min(self.done + PIECE);
        self.done = range.end;
        (!range.is_empty()).then_some(range)
    }
}

impl Shared {
    pub(super) fn armer_loop(&self, parker: &Parker) {
        while !self.marks.closed() {
            let mut state = self.append.lock();
            let used = state.writer.as_ref().map(|writer| writer.filled().0);
            let wish = state.arming.take().zip(used);
            let active = wish.map(|wish| (state.active.region().clone(), wish));
            drop(state);
            match active {
                Some((region, (range, used))) => {
                    let enough = range.start > used + ENOUGH;
                    region.arm(range.start.min(region.len())..range.end);
                    if enough {
                        sync::rest(REST);
                    }
                }
                None => parker.park(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes all there is, which must be without a hole.
    fn all(arming: &mut Arming) -> Range<usize> {
        let mut whole = arming.take().unwrap();
        while let Some(piece) = arming.take() {
            assert_eq!(piece.start, whole.end);
            whole.end = piece.end;
        }
        whole
    }

    #[test]
    fn each_byte_is_asked_for_once_and_ahead_of_the_appends() {
        let mut arming = Arming::default();
        assert!(arming.reached(4_096));
        assert_eq!(all(&mut arming), 4_096..4_096 + 2 * WINDOW);
        assert_eq!(arming.take(), None);
        assert!(!arming.reached(4_096 + WINDOW));
        assert!(arming.reached(4_097 + WINDOW));
        assert_eq!(all(&mut arming), 4_096 + 2 * WINDOW..4_097 + 3 * WINDOW);
        // Beyond what is armed, by a frame of several windows.
        assert!(arming.reached(10 * WINDOW));
        assert_eq!(all(&mut arming), 10 * WINDOW..12 * WINDOW);
    }
}
