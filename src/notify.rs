//! The end word: one word that publishes, and that says who sleeps.
//!
//! `offset << 2 | bits`. The bits belong to two sleepers, the dispatcher and the sync thread. A
//! publisher stores the new offset with one `swap`, which clears both bits and returns the old
//! ones: whose bit was set is woken.
//!
//! Why no wake-up is lost: a sleeper sets its bit with a compare-and-swap on *the very value it has
//! read* and acted on. If anything was published since, the swap fails and the sleeper looks again.
//! If it succeeds, the next publisher's `swap` comes after it in the word's modification order, so
//! it sees the bit and unparks. `Parker` keeps a token, so an unpark between the compare-and-swap
//! and the park is not lost either.

use crossbeam_utils::sync::Unparker;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};

/// A waker that unparks a thread: blocking calls wait in the same registries as tasks.
pub(crate) fn waker_of(unparker: Unparker) -> Waker {
    Waker::from(Arc::new(Unparks(unparker)))
}

struct Unparks(Unparker);

impl Wake for Unparks {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Which of the two sleepers of an end word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sleeper(u64);

impl Sleeper {
    pub(crate) const DISPATCHER: Self = Self(0b01);
    pub(crate) const SYNC: Self = Self(0b10);
}

const BITS: u32 = 2;

/// Whose bits a publication has found set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asleep(u64);

impl Asleep {
    pub(crate) fn has(self, sleeper: Sleeper) -> bool {
        self.0 & sleeper.0 != 0
    }

    pub(crate) fn any(self) -> bool {
        self.0 != 0
    }
}

/// An offset that only its publisher moves, and that two threads can sleep on.
#[derive(Debug, Default)]
pub(crate) struct EndWord(AtomicU64);

/// A value of the word, as read; what a sleeper must show to fall asleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen(u64);

impl Seen {
    pub(crate) fn offset(self) -> u64 {
        self.0 >> BITS
    }
}

impl EndWord {
    pub(crate) fn new(offset: u64) -> Self {
        Self(AtomicU64::new(offset << BITS))
    }

    /// The published offset. Acquire: pairs with the Release half of [`EndWord::publish`], so
    /// everything written before the publication is visible to who has seen its offset.
    pub(crate) fn offset(&self) -> u64 {
        self.0.load(Ordering::Acquire) >> BITS
    }

    pub(crate) fn seen(&self) -> Seen {
        Seen(self.0.load(Ordering::Acquire))
    }

    /// Publishes `offset` and clears both bits. Release pairs with the loads above; Acquire pairs
    /// with the compare-and-swap of a sleeper.
    pub(crate) fn publish(&self, offset: u64) -> Asleep {
        Asleep(self.0.swap(offset << BITS, Ordering::AcqRel) & ((1 << BITS) - 1))
    }

    /// Sets the bit of `sleeper` if the word still shows the offset that was `seen` (the other
    /// sleeper's bit may have changed since). After `true` the caller parks; after `false` there is
    /// something new to look at.
    pub(crate) fn fall_asleep(&self, sleeper: Sleeper, seen: Seen) -> bool {
        let mut now = seen.0;
        loop {
            let with_bit = now | sleeper.0;
            match self
                .0
                .compare_exchange(now, with_bit, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return true,
                Err(other) if other >> BITS == seen.0 >> BITS => now = other,
                Err(_) => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_utils::sync::Parker;

    #[test]
    fn a_sleeper_that_missed_a_publication_does_not_fall_asleep() {
        let word = EndWord::new(7);
        let seen = word.seen();
        assert!(!word.publish(8).any());
        assert!(!word.fall_asleep(Sleeper::SYNC, seen));
        assert!(word.fall_asleep(Sleeper::SYNC, word.seen()));
        let asleep = word.publish(9);
        assert!(asleep.has(Sleeper::SYNC) && !asleep.has(Sleeper::DISPATCHER));
        assert_eq!(word.offset(), 9);
    }

    #[test]
    fn the_sleepers_do_not_hinder_each_other() {
        let word = EndWord::new(1);
        let seen = word.seen();
        assert!(word.fall_asleep(Sleeper::DISPATCHER, seen));
        assert!(word.fall_asleep(Sleeper::SYNC, seen));
        let asleep = word.publish(2);
        assert!(asleep.has(Sleeper::SYNC) && asleep.has(Sleeper::DISPATCHER));
    }

    #[test]
    fn nothing_published_is_slept_through() {
        const LAST: u64 = 100_000;
        let word = Arc::new(EndWord::new(0));
        let parker = Parker::new();
        let unparker = parker.unparker().clone();
        let publisher = std::thread::spawn({
            let word = Arc::clone(&word);
            move || {
                for offset in 1..=LAST {
                    if word.publish(offset).has(Sleeper::DISPATCHER) {
                        unparker.unpark();
                    }
                }
            }
        });
        let mut last = 0;
        while last < LAST {
            let seen = word.seen();
            assert!(seen.offset() >= last);
            last = seen.offset();
            if last < LAST && word.fall_asleep(Sleeper::DISPATCHER, seen) {
                parker.park();
            }
        }
        publisher.join().unwrap();
    }
}
