//! The readers of one connection, and which of them are watched for more to read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use futures_util::task::{ArcWake, AtomicWaker, waker};
use wakelog::Position;

use crate::session::SubKey;
use crate::source::SourceReader;

/// The readers of one connection.
#[derive(Debug)]
pub(super) struct Readers<R> {
    slots: Vec<Slot<R>>,
    /// Wakes the connection.
    driver: Arc<AtomicWaker>,
}

#[derive(Debug)]
struct Slot<R> {
    key: SubKey,
    /// What the client has subscribed to, for people.
    filters: Vec<String>,
    /// None while a page is being read.
    reader: Option<R>,
    watched: bool,
    bell: Arc<Bell>,
}

/// Remembers which reader has woken the connection, so that the others are not asked in vain.
#[derive(Debug)]
struct Bell {
    rung: AtomicBool,
    driver: Arc<AtomicWaker>,
}

impl ArcWake for Bell {
    fn wake_by_ref(bell: &Arc<Self>) {
        // Pairs with the Acquire in `poll`: whoever sees the bell rung sees what it was rung for.
        bell.rung.store(true, Ordering::Release);
        bell.driver.wake();
    }
}

impl<R: SourceReader> Readers<R> {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            driver: Arc::default(),
        }
    }

    /// Whom to wake when a watched reader has something.
    pub(super) fn register(&self, waker: &Waker) {
        self.driver.register(waker);
    }

    /// Makes a place for a reader that is being opened.
    pub(super) fn reserve(&mut self, key: SubKey, filters: Vec<String>) {
        self.slots.push(Slot {
            key,
            filters,
            reader: None,
            watched: false,
            bell: Arc::new(Bell {
                rung: AtomicBool::new(false),
                driver: Arc::clone(&self.driver),
            }),
        });
    }

    pub(super) fn remove(&mut self, key: SubKey) {
        self.slots.retain(|slot| slot.key != key);
    }

    /// Puts a reader into its place; one whose place is gone is dropped.
    pub(super) fn put(&mut self, key: SubKey, reader: R) {
        if let Some(slot) = self.slot(key) {
            slot.reader = Some(reader);
        }
    }

    /// Takes a reader out for a read.
    pub(super) fn take(&mut self, key: SubKey) -> Option<R> {
        let slot = self.slot(key)?;
        slot.watched = false;
        slot.reader.take()
    }

    pub(super) fn watch(&mut self, key: SubKey) {
        if let Some(slot) = self.slot(key) {
            slot.watched = true;
            slot.bell.rung.store(true, Ordering::Release);
        }
    }

    /// The next watched reader that has something; it is not watched any more.
    pub(super) fn poll(&mut self) -> Option<SubKey> {
        for slot in &mut self.slots {
            let Some(reader) = slot.reader.as_mut().filter(|_| slot.watched) else {
                continue;
            };
            if !slot.bell.rung.swap(false, Ordering::Acquire) {
                continue;
            }
            let waker = waker(Arc::clone(&slot.bell));
            if let Poll::Ready(()) = reader.poll_ready(&mut Context::from_waker(&waker)) {
                slot.watched = false;
                return Some(slot.key);
            }
        }
        None
    }

    /// Where the watched readers stand. They are asked to look again, because a reader that sleeps
    /// does not move.
    pub(super) fn positions(&mut self) -> Vec<(SubKey, Position)> {
        let mut positions = Vec::new();
        for slot in self.slots.iter_mut().filter(|slot| slot.watched) {
            let Some(reader) = slot.reader.as_mut() else {
                continue;
            };
            let waker = waker(Arc::clone(&slot.bell));
            match reader.poll_ready(&mut Context::from_waker(&waker)) {
                Poll::Ready(()) => ArcWake::wake_by_ref(&slot.bell),
                Poll::Pending => positions.push((slot.key, reader.position())),
            }
        }
        positions
    }

    /// All filters of the open readers.
    pub(super) fn filters(&self) -> Vec<String> {
        let mut filters: Vec<_> = self
            .slots
            .iter()
            .flat_map(|slot| slot.filters.clone())
            .collect();
        filters.sort_unstable();
        filters.dedup();
        filters
    }

    fn slot(&mut self, key: SubKey) -> Option<&mut Slot<R>> {
        self.slots.iter_mut().find(|slot| slot.key == key)
    }
}
