//! Whether there is something to bring to the disk, and whether the one that does it sleeps.
//!
//! Each ack passes here, and nearly none has to wake anybody: the sync thread is woken by the first
//! one after it fell asleep, not by those that come while it works or lets time pass.
//!
//! Why no wake-up is lost: the sleeper sets its bit with a compare-and-swap on a word that is not
//! marked. Whoever finds or sets a mark after that comes behind it in the word's modification
//! order, so it finds the bit when it looks at the word again, unless another one has taken it, and
//! that one wakes. A mark that was found before that has been taken since, by one who looks.

use crate::sync::atomic::{AtomicU32, Ordering};

const MARKED: u32 = 0b01;
const ASLEEP: u32 = 0b10;

/// The two bits.
#[derive(Debug, Default)]
pub(super) struct Dirty(AtomicU32);

impl Dirty {
    /// There is something, which was told by a SeqCst operation or under a lock. If the mark shows
    /// as set, it is taken later in the order of all SeqCst operations, and whoever takes it looks
    /// for what was told after that.
    #[inline]
    pub(super) fn mark(&self) {
        if self.0.load(Ordering::SeqCst) & MARKED == 0 {
            self.0.fetch_or(MARKED, Ordering::SeqCst);
        }
    }

    pub(super) fn is_marked(&self) -> bool {
        self.0.load(Ordering::Acquire) & MARKED != 0
    }

    /// Takes the mark; says whether there was one. The sleeper's bit stays: not only the sleeper
    /// brings cursors to the disk.
    pub(super) fn take(&self) -> bool {
        self.0.fetch_and(!MARKED, Ordering::SeqCst) & MARKED != 0
    }

    /// Sets the sleeper's bit; `false` if there is a mark.
    pub(super) fn fall_asleep(&self) -> bool {
        let now = self
            .0
            .compare_exchange(0, ASLEEP, Ordering::AcqRel, Ordering::Acquire);
        matches!(now, Ok(_) | Err(ASLEEP))
    }

    /// Whether somebody sleeps whom the caller, which has marked, must wake.
    #[inline]
    pub(super) fn must_wake(&self) -> bool {
        self.0.load(Ordering::Relaxed) & ASLEEP != 0
            && self.0.fetch_and(!ASLEEP, Ordering::AcqRel) & ASLEEP != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Parker;
    use crate::sync::atomic::AtomicU64;

    #[test]
    fn the_first_one_behind_the_sleeper_wakes_it() {
        let dirty = Dirty::default();
        assert!(!dirty.must_wake() && !dirty.take());
        assert!(dirty.fall_asleep() && dirty.fall_asleep());
        dirty.mark();
        assert!(!dirty.fall_asleep());
        assert!(dirty.take() && !dirty.is_marked(), "somebody else has");
        dirty.mark();
        assert!(dirty.must_wake(), "it sleeps on");
        assert!(!dirty.must_wake());
        assert!(dirty.take() && dirty.fall_asleep());
        dirty.mark();
        assert!(
            dirty.take() && dirty.must_wake(),
            "whoever took it was not the sleeper"
        );
        dirty.mark();
        assert!(dirty.is_marked() && dirty.take() && !dirty.is_marked());
    }

    #[test]
    fn no_mark_is_slept_through() {
        const LAST: u64 = 100_000;
        let (dirty, counts) = (Dirty::default(), [AtomicU64::new(0), AtomicU64::new(0)]);
        let parker = Parker::new();
        std::thread::scope(|scope| {
            for count in &counts {
                let (dirty, unparker) = (&dirty, parker.unparker().clone());
                scope.spawn(move || {
                    for number in 1..=LAST {
                        count.store(number, Ordering::SeqCst);
                        dirty.mark();
                        if dirty.must_wake() {
                            unparker.unpark();
                        }
                    }
                });
            }
            loop {
                if !dirty.take() {
                    if dirty.fall_asleep() {
                        parker.park();
                    }
                    continue;
                }
                if counts
                    .iter()
                    .all(|count| count.load(Ordering::SeqCst) == LAST)
                {
                    break;
                }
            }
        });
    }
}
