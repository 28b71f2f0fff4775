//! The readers of one connection, and which of them are watched for more to read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use wakelog::{FilterSet, Position};

use super::registry::Connection;
use crate::session::SubKey;
use crate::source::SourceReader;

/// The readers of one connection.
#[derive(Debug)]
pub(super) struct Readers<R> {
    slots: Vec<Slot<R>>,
    connection: Arc<Connection>,
}

#[derive(Debug)]
struct Slot<R> {
    key: SubKey,
    /// None while a page is being read.
    reader: Option<R>,
    watched: bool,
    bell: Arc<Bell>,
}

/// Remembers which reader has woken the connection, so that the others are not asked in vain.
#[derive(Debug)]
struct Bell {
    rung: AtomicBool,
    connection: Arc<Connection>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        // Pairs with the Acquire in `poll`: whoever sees the bell rung sees what it was rung for.
        self.rung.store(true, Ordering::Release);
        self.connection.waker.wake();
    }
}

impl<R: SourceReader> Readers<R> {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        // Room for one, which most have: a slot is large.
        let slots = Vec::with_capacity(1);
        Self { slots, connection }
    }

    /// Makes a place for a reader that is being opened, and says what it is to hear.
    pub(super) fn reserve(&mut self, key: SubKey, heard: Option<FilterSet>) {
        let heard = heard.map(|filters| (key, filters));
        self.connection.ears.lock().open.extend(heard);
        let (rung, connection) = (AtomicBool::new(false), Arc::clone(&self.connection));
        self.slots.push(Slot {
            key,
            reader: None,
            watched: false,
            bell: Arc::new(Bell { rung, connection }),
        });
    }

    pub(super) fn remove(&mut self, key: SubKey) {
        self.slots.retain(|slot| slot.key != key);
        let mut ears = self.connection.ears.lock();
        ears.open.retain(|(open, _)| *open != key);
    }

    /// Puts a reader into its place; one whose place is gone is dropped.
    pub(super) fn put(&mut self, key: SubKey, reader: R) {
        if let Some(slot) = self.slot(key) {
            slot.reader = Some(reader);
        }
    }

    /// A reader that is to read, and is not watched meanwhile.
    pub(super) fn reader(&mut self, key: SubKey) -> Option<&mut R> {
        let slot = self.slot(key)?;
        slot.watched = false;
        slot.reader.as_mut()
    }

    /// Takes a reader out for a read.
    pub(super) fn take(&mut self, key: SubKey) -> Option<R> {
        self.slot(key)?.reader.take()
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
            let waker = Waker::from(Arc::clone(&slot.bell));
            let mut cx = Context::from_waker(&waker);
            if reader.poll_ready(&mut cx).is_ready() {
                slot.watched = false;
                return Some(slot.key);
            }
        }
        None
    }

    /// Has the watched readers look again, each when it is polled next: one that sleeps does not
    /// move.
    pub(super) fn look_again(&self) {
        for slot in &self.slots {
            slot.bell.rung.store(true, Ordering::Release);
        }
    }

    /// Where the watched readers stand.
    pub(super) fn positions(&mut self) -> Vec<(SubKey, Position)> {
        let watched = self.slots.iter_mut().filter(|slot| slot.watched);
        let at = watched.filter_map(|slot| Some((slot.key, slot.reader.as_mut()?.position())));
        at.collect()
    }

    fn slot(&mut self, key: SubKey) -> Option<&mut Slot<R>> {
        self.slots.iter_mut().find(|slot| slot.key == key)
    }
}
