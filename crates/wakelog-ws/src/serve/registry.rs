//! The connections of a hub: who is here, and how to reach them.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wakelog::{Filter, FilterSet, Position};

use super::authorize::Principal;
use super::members::Member;
use crate::protocol::{EncodedPage, Outgoing};
use crate::session::SubKey;

/// Why a connection was ended by the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// A younger one has its consumer.
    Fenced,
    /// Its identity has lost its rights.
    Revoked,
}

/// A session as [`Hub::clients`](super::Hub::clients) shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

/// So many events that are not stored wait for a connection at most.
const HEARD_MAX: usize = 32;

/// What a connection hears of events that are not stored.
#[derive(Debug, Default)]
pub(super) struct Ears {
    /// What each reader is open for.
    pub(super) open: Vec<(SubKey, FilterSet)>,
    /// Each with the place at which it was emitted.
    pub(super) heard: Vec<(SubKey, EncodedPage, Position)>,
}

impl Ears {
    /// Whether it is for this connection. One that takes no more does without it.
    fn hear(&mut self, event: &Outgoing, page: &EncodedPage, position: Position) -> bool {
        let [to, not_to] = [&event.topics, &event.not_to].map(|names| names.iter().map(|s| &**s));
        let wanted = |(_, filters): &&(_, FilterSet)| filters.matches(to.clone(), not_to.clone());
        let room = HEARD_MAX.saturating_sub(self.heard.len());
        let keys = self.open.iter().filter(wanted).take(room);
        let before = self.heard.len();
        let heard = keys.map(|(key, _)| (*key, page.clone(), position));
        self.heard.extend(heard);
        self.heard.len() > before
    }
}

/// From where a session reads, and where its cursor stands.
type Stands = [Option<u64>; 2];

/// What the hub and the driver of one connection share.
#[derive(Debug, Default)]
pub(super) struct Connection {
    pub(super) id: u64,
    pub(super) waker: AtomicWaker,
    ended: OnceLock<End>,
    /// As whom it was admitted.
    pub(super) identity: Mutex<Option<String>>,
    member: Mutex<Option<Member>>,
    pub(super) ears: Mutex<Ears>,
    /// The highest number for nothing.
    stands: [AtomicU64; 2],
    /// The session while it is open; where it stands is filled in when somebody looks.
    pub(super) shown: Mutex<Option<Client>>,
}

impl Connection {
    /// Whether the hub has ended it.
    pub(super) fn is_ended(&self) -> Option<End> {
        self.ended.get().copied()
    }

    /// Ends it, if it has not been ended. It does not count from now on, however long its socket
    /// takes to die.
    fn end(&self, why: End) {
        let _ = self.ended.set(why);
        self.member.lock().take();
        self.waker.wake();
    }

    /// Its part in its identity, which ends with it.
    pub(super) fn join(&self, member: Member) {
        *self.member.lock() = Some(member);
        if self.is_ended().is_some() {
            self.member.lock().take();
        }
    }

    /// Counts a publish of its identity: until when it has to wait, if it comes too early.
    pub(super) fn count_publish(&self, now: Instant) -> Option<Instant> {
        self.member.lock().as_ref()?.count_publish(now)
    }

    /// A session is open.
    pub(super) fn show(&self, principal: &Principal, library: Option<String>, at: Stands) {
        self.stands(at);
        *self.shown.lock() = Some(Client {
            connection: self.id,
            consumer: principal.consumer.clone(),
            from: principal.from.clone(),
            library,
            ..Client::default()
        });
    }

    /// Where the session stands: read by whoever looks, so it is stored without a lock.
    pub(super) fn stands(&self, offsets: Stands) {
        for (place, offset) in self.stands.iter().zip(offsets) {
            place.store(offset.unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    fn client(&self, end: u64) -> Option<Client> {
        let mut client = self.shown.lock().clone()?;
        let [position, acked] = self.stands.each_ref().map(|at| at.load(Ordering::Relaxed));
        client.position = position.min(end);
        client.acked = Some(acked).filter(|acked| *acked != u64::MAX);
        client.behind = end - client.position;
        let ears = self.ears.lock();
        let topics = ears
            .open
            .iter()
            .flat_map(|(_, set)| set.filters().map(Filter::as_str));
        // Those that nobody has asked for are the server's.
        let topics: BTreeSet<_> = topics.filter(|topic| !topic.starts_with('$')).collect();
        client.topics = topics.into_iter().map(str::to_owned).collect();
        Some(client)
    }
}

/// All connections of a hub.
#[derive(Debug)]
pub(super) struct Registry {
    /// How many places there are, and those that are free.
    all: u32,
    places: Arc<Semaphore>,
    connections: Mutex<HashMap<u64, Arc<Connection>>>,
    /// Which connection has a consumer.
    consumers: Mutex<HashMap<String, (Arc<Connection>, Gate)>>,
    next: AtomicU64,
    revocations: AtomicU64,
    /// When those come back that are asked to leave.
    drain: OnceLock<[u64; 2]>,
}

/// Cursors of one consumer are opened one after the other, so that the last to claim is the last to
/// open.
type Gate = Arc<tokio::sync::Mutex<()>>;

/// A cursor that a connection may open, under the gate, if it still has the consumer by then.
#[derive(Clone, Debug)]
pub(super) struct Claimed {
    pub(super) cursor: String,
    pub(super) gate: Gate,
}

/// The place of one connection, from its upgrade to its end.
pub(super) type Place = OwnedSemaphorePermit;

impl Registry {
    /// A registry with so many places.
    pub(super) fn new(connections: usize) -> Self {
        let connections = connections.min(Semaphore::MAX_PERMITS);
        let all = u32::try_from(connections).unwrap_or(u32::MAX);
        Self {
            all,
            places: Arc::new(Semaphore::new(connections)),
            connections: Mutex::default(),
            consumers: Mutex::default(),
            next: AtomicU64::new(0),
            revocations: AtomicU64::new(0),
            drain: OnceLock::new(),
        }
    }

    /// A place, if one is free.
    pub(super) fn enter(&self) -> Option<Place> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    pub(super) fn add(&self) -> Arc<Connection> {
        let connection = Arc::new(Connection {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            ..Connection::default()
        });
        let mut connections = self.connections.lock();
        connections.insert(connection.id, Arc::clone(&connection));
        drop(connections);
        connection
    }

    /// Forgets a connection and gives up its claim on a consumer, if it has one still.
    pub(super) fn remove(&self, connection: &Connection, consumer: Option<&str>) {
        if let Some(consumer) = consumer {
            let mut consumers = self.consumers.lock();
            let own = consumers.get(consumer);
            if own.is_some_and(|(owner, _)| owner.id == connection.id) {
                consumers.remove(consumer);
            }
        }
        self.connections.lock().remove(&connection.id);
    }

    /// How often [`revoke`](Self::revoke) was called.
    pub(super) fn revocations(&self) -> u64 {
        // In one order with the names of connections, here and in `revoke`: see `Desk::admit`.
        self.revocations.load(Ordering::SeqCst)
    }

    /// Ends the connections of an identity, and says how many.
    pub(super) fn revoke(&self, from: &str) -> usize {
        self.revocations.fetch_add(1, Ordering::SeqCst);
        let mut connections: Vec<_> = self.connections.lock().values().cloned().collect();
        connections.retain(|connection| connection.identity.lock().as_deref() == Some(from));
        for connection in &connections {
            connection.end(End::Revoked);
        }
        connections.len()
    }

    /// Gives a consumer to a connection and fences the one that had it. But if that one is younger,
    /// this is what is left of a connection that its client has given up, and its `hello` comes
    /// late: then this one is fenced.
    pub(super) fn claim(&self, cursor: String, connection: &Arc<Connection>) -> Claimed {
        let mut consumers = self.consumers.lock();
        let (holder, gate) = consumers.remove(&cursor).unzip();
        let gate = gate.unwrap_or_default();
        let (mut owner, mut fenced) = (Arc::clone(connection), holder);
        let younger =
            |one: &&mut Arc<Connection>| one.id > connection.id && one.is_ended().is_none();
        if let Some(holder) = fenced.as_mut().filter(younger) {
            std::mem::swap(holder, &mut owner);
        }
        consumers.insert(cursor.clone(), (owner, Arc::clone(&gate)));
        drop(consumers);
        if let Some(fenced) = fenced {
            fenced.end(End::Fenced);
        }
        Claimed { cursor, gate }
    }

    pub(super) fn clients(&self, end: u64) -> Vec<Client> {
        let connections = self.connections.lock();
        let mut clients: Vec<_> = connections.values().filter_map(|c| c.client(end)).collect();
        drop(connections);
        clients.sort_unstable_by_key(|client| client.connection);
        clients
    }

    /// Tells an event that is not stored to those who are here.
    pub(super) fn tell(&self, event: &Outgoing, page: &EncodedPage, position: Position) {
        let connections = self.connections.lock();
        let hears = |one: &&Arc<Connection>| one.ears.lock().hear(event, page, position);
        let hear: Vec<_> = connections.values().filter(hears).cloned().collect();
        drop(connections);
        hear.iter().for_each(|connection| connection.waker.wake());
    }

    /// How many connections there are.
    pub(super) fn count(&self) -> u64 {
        let free = u32::try_from(self.places.available_permits()).unwrap_or(u32::MAX);
        self.all.saturating_sub(free).into()
    }

    /// The window of the drain, once there is one.
    pub(super) fn draining(&self) -> Option<[u64; 2]> {
        self.drain.get().copied()
    }

    /// Asks all connections to end, now and later, and waits until none is left.
    pub(super) async fn drain(&self, window: [u64; 2]) {
        let _ = self.drain.set(window);
        // Whoever is not among these yet looks after it was added.
        let all: Vec<_> = self.connections.lock().values().cloned().collect();
        all.iter().for_each(|connection| connection.waker.wake());
        // Whoever has the places of all is alone. The semaphore is never closed.
        let _all = self.places.acquire_many(self.all).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Payload;

    /// Whoever is busy hears so many and does without the others, whatever it has subscribed to.
    #[test]
    fn what_is_not_stored_does_not_gather_before_a_session() {
        for subscriptions in [1, 20] {
            let mut ears = Ears::default();
            let filters = FilterSet::new(["a"], None).unwrap();
            let open = (0..subscriptions).map(|_| (SubKey::default(), filters.clone()));
            ears.open.extend(open);
            let event = Outgoing::to("a", Payload::text("typing")).volatile();
            let at = "0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.7";
            let at = at.parse().unwrap();
            let heard = (0..100).filter(|_| ears.hear(&event, &EncodedPage::default(), at));
            assert_eq!(heard.count(), 32_usize.div_ceil(subscriptions));
            assert_eq!(ears.heard.len(), 32);
        }
    }
}
