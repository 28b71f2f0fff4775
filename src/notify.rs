//! The end word: one word that publishes, and that says who sleeps.
//!
//! `offset << 3 | bits`. The bits belong to three sleepers: the dispatcher, the sync thread and the
//! one reader in the word's [`Seat`]. A publisher stores the new offset with one `swap`, which
//! clears the bits and returns the old ones: whose bit was set is woken.
//!
//! Why no wake-up is lost: a sleeper sets its bit with a compare-and-swap on *the very value it has
//! read* and acted on. If anything was published since, the swap fails and the sleeper looks again.
//! If it succeeds, the next publisher's `swap` comes after it in the word's modification order, so
//! it sees the bit and unparks. `Parker` keeps a token, so an unpark between the compare-and-swap
//! and the park is not lost either.
//!
//! The reader's bit does not say which reader it is; the seat does. Whoever sits down says so
//! under the seat's lock *before* it sets the bit, so a publisher that has seen the bit finds it
//! there. If another one sits there by then, the first was awake already, and the other wakes once
//! for nothing. What changes without being published (poison, reopen, close) is stored before the
//! seat is woken, and looked at after sitting down: one of the two comes first under the lock.

use crate::sync::Unparker;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{self, Mutex, Plant};
use std::fmt;
use std::sync::Arc;
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

/// Which of the sleepers of an end word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sleeper(u64);

impl Sleeper {
    pub(crate) const DISPATCHER: Self = Self(0b001);
    pub(crate) const SYNC: Self = Self(0b010);
    /// Who sits in the word's [`Seat`].
    pub(crate) const READER: Self = Self(0b100);
}

const BITS: u32 = 3;

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

/// An offset that only its publisher moves, and that three threads can sleep on.
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

    /// Publishes `offset` and clears the bits. Release pairs with the loads above; Acquire pairs
    /// with the compare-and-swap of a sleeper.
    pub(crate) fn publish(&self, offset: u64) -> Asleep {
        let order = sync::order(Plant::RelaxedPublish, Ordering::AcqRel);
        Asleep(self.0.swap(offset << BITS, order) & ((1 << BITS) - 1))
    }

    /// Sets the bit of `sleeper` if the word still shows the offset that was `seen` (the bits of
    /// others may have changed since). After `true` the caller parks; after `false` there is
    /// something new to look at.
    pub(crate) fn fall_asleep(&self, sleeper: Sleeper, seen: Seen) -> bool {
        let mut now = seen.0;
        if sync::planted(Plant::DroppedWakeUp) {
            now = self.0.load(Ordering::Acquire);
        }
        loop {
            let with_bit = now | sleeper.0;
            match self
                .0
                .compare_exchange(now, with_bit, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return true,
                Err(other) if other >> BITS == now >> BITS => now = other,
                Err(_) => return false,
            }
        }
    }
}

/// The place of the one reader that sleeps on an end word itself and is woken by the publisher,
/// without the dispatcher between them.
#[derive(Default)]
pub(crate) struct Seat(Mutex<Option<Unparker>>);

impl Seat {
    /// Sits down until the guard is dropped; `None` if somebody sits there.
    pub(crate) fn take(&self, unparker: &Unparker) -> Option<Seated<'_>> {
        let mut sitter = self.0.lock();
        if sitter.is_some() {
            return None;
        }
        *sitter = Some(unparker.clone());
        Some(Seated(self))
    }

    /// Wakes whoever sits there.
    pub(crate) fn wake(&self) {
        // Not under the lock: the woken takes it to get up.
        let sitter = self.0.lock().clone();
        if let Some(unparker) = sitter {
            unparker.unpark();
        }
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.0.lock().is_some()
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Seat").field(&self.is_taken()).finish()
    }
}

/// Sits in a [`Seat`].
#[derive(Debug)]
#[must_use = "it gets up when this is dropped"]
pub(crate) struct Seated<'a>(&'a Seat);

impl Drop for Seated<'_> {
    fn drop(&mut self) {
        *self.0.0.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Parker;

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
        assert!(word.fall_asleep(Sleeper::READER, seen));
        let asleep = word.publish(2);
        assert!(asleep.has(Sleeper::SYNC) && asleep.has(Sleeper::DISPATCHER));
        assert!(asleep.has(Sleeper::READER));
        assert!(!word.publish(3).any());
    }

    #[test]
    fn one_sits_and_is_woken() {
        let (seat, parker, other) = (Seat::default(), Parker::new(), Parker::new());
        seat.wake();
        let seated = seat.take(parker.unparker()).unwrap();
        assert!(seat.take(other.unparker()).is_none());
        seat.wake();
        parker.park();
        drop(seated);
        assert!(!seat.is_taken());
        let _seated = seat.take(other.unparker()).unwrap();
        seat.wake();
        other.park();
    }

    /// Two readers that change places all the time, one publisher: whoever sits is woken.
    #[test]
    fn nothing_is_slept_through_in_a_seat() {
        const LAST: u64 = 100_000;
        let (word, seat) = (EndWord::new(0), Seat::default());
        let read = || {
            let mut last = 0;
            while last < LAST {
                // A new one each time, so that a wake-up of an earlier sitter helps nobody.
                let parker = Parker::new();
                let Some(_seated) = seat.take(parker.unparker()) else {
                    std::thread::yield_now();
                    last = word.offset();
                    continue;
                };
                let seen = word.seen();
                assert!(seen.offset() >= last);
                last = seen.offset();
                if last < LAST && word.fall_asleep(Sleeper::READER, seen) {
                    parker.park();
                }
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(read);
            scope.spawn(read);
            for offset in 1..=LAST {
                if word.publish(offset).has(Sleeper::READER) {
                    seat.wake();
                }
            }
        });
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
