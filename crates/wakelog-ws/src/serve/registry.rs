//! The connections of a hub: who is here, and how to reach them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

/// Stands for "has caught up" in [`Connection::reading_from`] and for "no cursor" in
/// [`Connection::acked`].
const NONE: u64 = u64::MAX;

/// A session as [`Hub::clients`](super::Hub::clients) shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Client {
    /// A number for the connection, never used twice by one hub.
    pub connection: u64,
    /// The consumer whose cursor it has.
    pub consumer: Option<String>,
    /// The identity under which it publishes.
    pub from: Option<String>,
    /// Name and version of the client library.
    pub library: Option<String>,
    /// The filters of its subscriptions.
    pub topics: Vec<String>,
    /// The offset from which it has still to be served: the log's end if it has caught up.
    pub position: u64,
    /// How many offsets lie between its position and the end; not all of them need match its
    /// topics.
    pub behind: u64,
    /// Where its cursor stands on disk.
    pub acked: Option<u64>,
}

/// What the hub and the driver of one connection share.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: u64,
    waker: AtomicWaker,
    fenced: AtomicBool,
    drain: Mutex<Option<[u64; 2]>>,
    who: Mutex<Option<Who>>,
    reading_from: AtomicU64,
    acked: AtomicU64,
}

#[derive(Clone, Debug)]
pub(super) struct Who {
    pub(super) consumer: Option<String>,
    pub(super) from: Option<String>,
    pub(super) library: Option<String>,
    pub(super) topics: Vec<String>,
}

impl Connection {
    pub(super) fn register(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }

    pub(super) fn is_fenced(&self) -> bool {
        // Pairs with the Release store in `fence`.
        self.fenced.load(Ordering::Acquire)
    }

    fn fence(&self) {
        self.fenced.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(super) fn take_drain(&self) -> Option<[u64; 2]> {
        lock(&self.drain).take()
    }

    fn ask_to_drain(&self, window: [u64; 2]) {
        *lock(&self.drain) = Some(window);
        self.waker.wake();
    }

    pub(super) fn show(&self, who: Who) {
        *lock(&self.who) = Some(who);
    }

    /// The session is over; what is left is to say goodbye.
    pub(super) fn hide(&self) {
        *lock(&self.who) = None;
    }

    pub(super) fn show_topics(&self, topics: Vec<String>) {
        if let Some(who) = lock(&self.who).as_mut() {
            who.topics = topics;
        }
    }

    /// These two are figures for people; nothing is ordered by them.
    pub(super) fn show_progress(&self, reading_from: Option<u64>, acked: Option<u64>) {
        self.reading_from
            .store(reading_from.unwrap_or(NONE), Ordering::Relaxed);
        self.acked.store(acked.unwrap_or(NONE), Ordering::Relaxed);
    }

    fn client(&self, end: u64) -> Option<Client> {
        let Who {
            consumer,
            from,
            library,
            topics,
        } = lock(&self.who).clone()?;
        let position = self.reading_from.load(Ordering::Relaxed).min(end);
        let acked = Some(self.acked.load(Ordering::Relaxed)).filter(|acked| *acked != NONE);
        let (connection, behind) = (self.id, end - position);
        Some(Client {
            connection,
            consumer,
            from,
            library,
            topics,
            position,
            behind,
            acked,
        })
    }
}

/// All connections of a hub.
#[derive(Debug)]
pub(super) struct Registry {
    /// How many places are free.
    free: AtomicUsize,
    connections: Mutex<HashMap<u64, Arc<Connection>>>,
    consumers: Mutex<HashMap<String, Claim>>,
    next: AtomicU64,
    draining: Mutex<Option<[u64; 2]>>,
    gone: Notify,
}

/// Which connection has a consumer.
#[derive(Debug)]
struct Claim {
    connection: Arc<Connection>,
    /// Cursors of one consumer are opened one after the other, so that the last to claim is the
    /// last to open.
    gate: Arc<tokio::sync::Mutex<()>>,
}

/// The place of one connection, from its upgrade to its end.
#[derive(Debug)]
pub(super) struct Place(Arc<Registry>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, Ordering::Relaxed);
    }
}

impl Registry {
    /// A registry with so many places.
    pub(super) fn new(connections: usize) -> Self {
        Self {
            free: AtomicUsize::new(connections),
            connections: Mutex::default(),
            consumers: Mutex::default(),
            next: AtomicU64::new(0),
            draining: Mutex::new(None),
            gone: Notify::new(),
        }
    }

    /// A place, if one is free. A count alone: nothing else is ordered by it.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        let less = |free: usize| free.checked_sub(1);
        let entered = self
            .free
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        entered.ok().map(|_| Place(Arc::clone(self)))
    }

    pub(super) fn add(&self) -> Arc<Connection> {
        let connection = Arc::new(Connection {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            waker: AtomicWaker::new(),
            fenced: AtomicBool::new(false),
            drain: Mutex::new(None),
            who: Mutex::new(None),
            reading_from: AtomicU64::new(NONE),
            acked: AtomicU64::new(NONE),
        });
        lock(&self.connections).insert(connection.id, Arc::clone(&connection));
        // Looked at after the insertion: a drain that begins now finds either the flag read here or
        // the connection.
        if let Some(window) = *lock(&self.draining) {
            connection.ask_to_drain(window);
        }
        connection
    }

    /// Forgets a connection and gives up its claim on a consumer, if it has one still.
    pub(super) fn remove(&self, connection: &Connection, consumer: Option<&str>) {
        if let Some(consumer) = consumer {
            let mut consumers = lock(&self.consumers);
            if consumers
                .get(consumer)
                .is_some_and(|c| c.connection.id == connection.id)
            {
                consumers.remove(consumer);
            }
        }
        lock(&self.connections).remove(&connection.id);
        self.gone.notify_waiters();
    }

    /// Gives a consumer to a connection and fences the one that had it. The cursor is opened under
    /// the gate that is returned, if the connection still has the consumer by then.
    pub(super) fn claim(
        &self,
        consumer: &str,
        connection: &Arc<Connection>,
    ) -> Arc<tokio::sync::Mutex<()>> {
        let mut consumers = lock(&self.consumers);
        let older = consumers.remove(consumer);
        let gate = older
            .as_ref()
            .map_or_else(Default::default, |claim| Arc::clone(&claim.gate));
        let claim = Claim {
            connection: Arc::clone(connection),
            gate: Arc::clone(&gate),
        };
        consumers.insert(consumer.to_owned(), claim);
        drop(consumers);
        if let Some(older) = older {
            older.connection.fence();
        }
        gate
    }

    pub(super) fn clients(&self, end: u64) -> Vec<Client> {
        let connections = lock(&self.connections);
        let mut clients: Vec<_> = connections.values().filter_map(|c| c.client(end)).collect();
        drop(connections);
        clients.sort_unstable_by_key(|client| client.connection);
        clients
    }

    pub(super) fn is_draining(&self) -> bool {
        lock(&self.draining).is_some()
    }

    /// Asks all connections to end, now and later, and waits until none is left.
    pub(super) async fn drain(&self, window: [u64; 2]) {
        *lock(&self.draining) = Some(window);
        let connections: Vec<_> = lock(&self.connections).values().cloned().collect();
        for connection in connections {
            connection.ask_to_drain(window);
        }
        loop {
            let gone = self.gone.notified();
            tokio::pin!(gone);
            // Signed up before the count is read, or the last one to leave might not be heard.
            gone.as_mut().enable();
            if lock(&self.connections).is_empty() {
                return;
            }
            gone.await;
        }
    }
}

/// The values behind these locks are whole at every moment, so a panic elsewhere does not make them
/// unusable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
