//! Who waits until a consumer has come so far.
//!
//! An ack that nobody waits for pays one relaxed load. That this load misses nobody is the work of
//! those who wait: they register, and then look at the cursor by changing its word, to its own
//! value ([`SlotHandle::acked_for_waiter`](crate::cursor_file::SlotHandle::acked_for_waiter)). An
//! ack changes the same word: either before, and is seen by this look, or after, and sees the
//! registration. No lock is taken for it that an ack, or a trim, may hold.

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::types::to_u64;
use std::collections::HashMap;
use std::task::Waker;

#[derive(Debug)]
struct Waiting {
    slot: u32,
    /// The cursor is to want this offset, or one above it.
    goal: u64,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Registry {
    next: u64,
    waiting: HashMap<u64, Waiting>,
}

/// Who waits for which cursor slot.
#[derive(Debug, Default)]
pub(crate) struct AckWaits {
    /// How many there are, to see without the lock.
    count: AtomicU64,
    registry: Mutex<Registry>,
}

impl AckWaits {
    /// Registers, or replaces the waker of `ticket`.
    pub(crate) fn set(&self, ticket: Option<u64>, slot: u32, goal: u64, waker: &Waker) -> u64 {
        let mut registry = self.registry.lock();
        let ticket = ticket.unwrap_or_else(|| {
            registry.next += 1;
            registry.next
        });
        let waker = waker.clone();
        let old = registry
            .waiting
            .insert(ticket, Waiting { slot, goal, waker });
        self.count
            .store(to_u64(registry.waiting.len()), Ordering::Relaxed);
        drop(registry);
        // Its waker may be the last of a task that waits here as well: nothing is held.
        drop(old);
        ticket
    }

    pub(crate) fn remove(&self, ticket: u64) {
        let mut registry = self.registry.lock();
        let gone = registry.waiting.remove(&ticket);
        self.count
            .store(to_u64(registry.waiting.len()), Ordering::Relaxed);
        drop(registry);
        drop(gone);
    }

    /// The cursor in `slot` wants `acked` next.
    #[inline]
    pub(crate) fn reached(&self, slot: u32, acked: impl FnOnce() -> u64) {
        if self.count.load(Ordering::Relaxed) > 0 {
            let acked = acked();
            self.wake(|waiting| waiting.slot == slot && waiting.goal <= acked);
        }
    }

    /// The cursor in `slot` is another one now, or none.
    pub(crate) fn changed(&self, slot: u32) {
        self.wake(|waiting| waiting.slot == slot);
    }

    pub(crate) fn wake_all(&self) {
        self.wake(|_| true);
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.registry.lock().waiting.len()
    }

    fn wake(&self, due: impl Fn(&Waiting) -> bool) {
        let mut registry = self.registry.lock();
        let mut woken = Vec::new();
        registry.waiting.retain(|_, waiting| {
            let due = due(waiting);
            if due {
                woken.push(waiting.waker.clone());
            }
            !due
        });
        self.count
            .store(to_u64(registry.waiting.len()), Ordering::Relaxed);
        drop(registry);
        woken.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
#[cfg(not(any(loom, shuttle)))]
mod tests {
    use super::*;
    use crate::testing::wakers::looking_around;
    use std::sync::Arc;

    #[test]
    fn wakers_are_dropped_where_nothing_is_held() {
        let waits = Arc::new(AckWaits::default());
        let mut ticket = None;
        for _ in 0..3 {
            let here = Arc::clone(&waits);
            let waker = looking_around(move || here.registry.try_lock().is_some());
            ticket = Some(waits.set(ticket, 1, 7, &waker));
        }
        waits.remove(ticket.unwrap());
    }
}
