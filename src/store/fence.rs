//! Fencing: the newest handle of a named cursor is the only one that may use it.

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, MutexGuard};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::task::Waker;

/// One handle's right to a cursor.
#[derive(Debug, Default)]
pub(crate) struct Fence {
    fenced: AtomicBool,
    /// Whoever waits through this handle, to be told at once.
    waiting: Mutex<Option<Waker>>,
}

impl Fence {
    /// Whether a newer handle has taken over. Acquire pairs with the Release in
    /// [`Fences::take_over`].
    pub(crate) fn is_fenced(&self) -> bool {
        self.fenced.load(Ordering::Acquire)
    }

    /// Remembers whom to wake when the fence falls.
    pub(crate) fn watch(&self, waker: &Waker) {
        let old = self.waiting.lock().replace(waker.clone());
        // It may be the last of a task that has the other handle: nothing is held.
        drop(old);
    }
}

fn fall(older: Option<Weak<Fence>>) {
    if let Some(older) = older.and_then(|older| older.upgrade()) {
        older.fenced.store(true, Ordering::Release);
        let waiting = older.waiting.lock().take();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

/// Who holds which cursor slot.
#[derive(Debug, Default)]
pub(crate) struct Fences {
    holders: Mutex<HashMap<u32, Weak<Fence>>>,
    naming: Mutex<()>,
}

impl Fences {
    /// Held while a name is looked up and, if new, created.
    pub(crate) fn naming(&self) -> MutexGuard<'_, ()> {
        self.naming.lock()
    }

    /// Fences the handle that holds `slot`, if any, and makes a right for the new one. Says whether
    /// there was one: it may be in the middle of an ack still.
    pub(crate) fn take_over(&self, slot: u32) -> (Arc<Fence>, bool) {
        let fence = Arc::new(Fence::default());
        let older = self.holders.lock().insert(slot, Arc::downgrade(&fence));
        let was_held = older.is_some();
        fall(older);
        (fence, was_held)
    }

    /// Fences the handle that holds `slot`, if any. It may be in the middle of an ack still.
    pub(crate) fn expel(&self, slot: u32) {
        let older = self.holders.lock().remove(&slot);
        fall(older);
    }

    /// Whether a handle of this slot is open.
    pub(crate) fn is_held(&self, slot: u32) -> bool {
        let holders = self.holders.lock();
        holders
            .get(&slot)
            .is_some_and(|held| held.strong_count() > 0)
    }

    /// The slots of all handles that are open.
    pub(crate) fn held(&self) -> HashSet<u32> {
        self.holders.lock().keys().copied().collect()
    }

    /// Forgets `slot` if `fence` still holds it: called when the handle is dropped.
    pub(crate) fn release(&self, slot: u32, fence: &Arc<Fence>) {
        let mut holders = self.holders.lock();
        let held = holders
            .get(&slot)
            .is_some_and(|held| held.as_ptr() == Arc::as_ptr(fence));
        if held {
            holders.remove(&slot);
        }
    }
}
