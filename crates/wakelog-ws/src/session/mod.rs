//! One connection as a state machine.
//!
//! A [`Session`] has no socket, clock, runtime or log. It is told what has happened through its
//! `handle_` functions, with the time where time matters, and says what it wants through three
//! others: [`poll_request`](Session::poll_request) for what only the outside can do,
//! [`poll_transmit`](Session::poll_transmit) for what is to be sent, and
//! [`poll_timeout`](Session::poll_timeout) for when it wants to be called again. After any
//! `handle_` call, the driver asks all three until they are empty.
//!
//! Memory is bounded without counting bytes: at most one page is being read or waits to be sent,
//! a session that has much to say stops listening ([`wants_input`](Session::wants_input)), and what
//! is not stored is dropped then.

mod answers;
mod messages;
mod pace;
mod request;
mod subscription;
#[cfg(test)]
mod tests;
mod timing;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use wakelog::{Gap, Position};

use crate::protocol::{CloseCode, Failure, Grant, Limits, Reconnect, ServerMessage};

pub(crate) use pace::Pace;
pub use request::{
    Admission, AppendKey, OpenFailure, Opened, ReadAnswer, ReadPage, Request, SubKey, Transmit,
};
use subscription::{Doing, Subscription};

/// A session that has so many messages to send takes no more from its client.
const MAX_QUEUED: usize = 64;

/// What all sessions of a server have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionConfig {
    /// What a client may do.
    pub limits: Limits,
    /// When clients come back after a cut.
    pub reconnect: Reconnect,
    /// How often a heartbeat is sent; a client that is silent for two and a half is given up.
    pub heartbeat: Duration,
    /// How long a new connection may take for its `hello`.
    pub hello_deadline: Duration,
    /// How many messages and control frames a client may send, in a second; four seconds' worth may
    /// come at once. Beyond that the session stops listening for a while.
    pub messages_per_second: u32,
    /// How large a page may be: events, and bytes of payload and names in the log.
    pub page: Grant,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            reconnect: Reconnect {
                min_ms: 500,
                max_ms: 30_000,
            },
            heartbeat: Duration::from_secs(20),
            hello_deadline: Duration::from_secs(5),
            messages_per_second: 1_000,
            page: Grant {
                events: 512,
                bytes: 48 << 10,
            },
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    state: State,
    subscriptions: Vec<Subscription>,
    /// Which subscription is asked first for the next page.
    turn: usize,
    slot: Slot,
    cursor: Option<Cursor>,
    appends: BTreeMap<AppendKey, String>,
    requests: VecDeque<Request>,
    transmits: VecDeque<Transmit>,
    next_key: u64,
    heard: Instant,
    next_beat: Instant,
    pace: Pace,
    /// The client sends too much: nothing is taken from it until then.
    paused: Option<Instant>,
    /// When its credentials end.
    expires: Option<Instant>,
}

#[derive(Debug)]
enum State {
    /// Nothing has been said; `hello` must come before the instant.
    AwaitHello(Instant),
    /// The application is asked who this is, and the cursor is being taken over.
    Admitting,
    Open,
    /// `bye` is sent; what was accepted is still answered, until the instant at most.
    Draining(Instant),
    Closed,
}

/// The place of the one page that a connection may have under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Free,
    Reading(SubKey, Grant),
    /// The page waits in `transmits`.
    Queued,
}

/// The consumer's cursor as far as it is known to be on disk.
#[derive(Debug)]
struct Cursor {
    position: Position,
    gap: Option<Gap>,
    wanted: Option<Position>,
    storing: bool,
}

impl Session {
    /// A connection that has just been made.
    pub fn new(config: SessionConfig, now: Instant) -> Self {
        Self {
            config,
            state: State::AwaitHello(now + config.hello_deadline),
            // Most clients have one subscription, and say one thing at a time.
            subscriptions: Vec::with_capacity(1),
            turn: 0,
            slot: Slot::Free,
            cursor: None,
            appends: BTreeMap::new(),
            requests: VecDeque::with_capacity(1),
            transmits: VecDeque::with_capacity(1),
            next_key: 0,
            heard: now,
            next_beat: now + config.heartbeat,
            pace: Pace::new(config.messages_per_second, now),
            paused: None,
            expires: None,
        }
    }

    /// The next thing to ask the outside for.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.requests.pop_front().or_else(|| self.next_page())
    }

    /// The next thing to send. After [`Transmit::Close`] nothing follows.
    ///
    /// Ask only when it can be sent: taking a page makes room for the next one.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        let transmit = self.transmits.pop_front()?;
        use ServerMessage::{Events, Gap};
        let paged = |t: &Transmit| matches!(t, Transmit::Message(Events { .. } | Gap { .. }));
        if self.slot == Slot::Queued && paged(&transmit) && !self.transmits.iter().any(paged) {
            self.slot = Slot::Free;
        }
        Some(transmit)
    }

    /// Whether there is something to send.
    pub fn has_output(&self) -> bool {
        !self.transmits.is_empty()
    }

    /// Whether the driver should take the next message from the client.
    pub fn wants_input(&self) -> bool {
        if self.paused.is_some() {
            return false;
        }
        let opens = |sub: &Subscription| sub.doing == Doing::Opening || sub.change.is_some();
        match self.state {
            State::AwaitHello(_) => true,
            State::Open => {
                self.appends.len() < self.config.limits.publishes
                    && self.transmits.len() < MAX_QUEUED
                    && !self.subscriptions.iter().any(opens)
            }
            _ => false,
        }
    }

    /// Whether the client has been welcomed and the session is not over.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open | State::Draining(_))
    }

    /// Whether the session is over; what is still to be sent ends with [`Transmit::Close`].
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// The lowest place from which a subscription has still to be read, none if all have caught up;
    /// and where the consumer's cursor stands, on disk.
    pub fn stands(&self) -> [Option<u64>; 2] {
        let all = self.subscriptions.iter();
        let behind = all.filter(|sub| sub.doing != Doing::Waiting);
        let acked = self.cursor.as_ref().map(|cursor| cursor.position.offset);
        [behind.filter_map(|sub| Some(sub.at?.offset)).min(), acked]
    }

    /// Ends the session; pages that wait are dropped, since they can be read again.
    pub fn close(&mut self, code: CloseCode) {
        if self.is_closed() {
            return;
        }
        self.state = State::Closed;
        self.requests.clear();
        self.subscriptions.clear();
        self.appends.clear();
        self.slot = Slot::Free;
        let is_page = |t: &Transmit| matches!(t, Transmit::Message(ServerMessage::Events { .. }));
        self.transmits.retain(|transmit| !is_page(transmit));
        self.transmits.push_back(Transmit::Close(code));
    }

    /// A younger connection of the consumer has taken over.
    pub fn handle_fenced(&mut self) {
        self.send(ServerMessage::Fenced);
        self.close(CloseCode::Fenced);
    }

    /// The identity has lost its rights, or may have other ones.
    pub fn handle_revoked(&mut self) {
        self.expire("the credentials were revoked");
    }

    /// Takes subscriptions in turn, so that one with a long backlog does not hold up the others.
    fn next_page(&mut self) -> Option<Request> {
        if self.slot != Slot::Free || !matches!(self.state, State::Open) {
            return None;
        }
        let count = self.subscriptions.len();
        for step in 0..count {
            let index = (self.turn + step) % count;
            let sub = &mut self.subscriptions[index];
            if sub.doing != Doing::Ready {
                continue;
            }
            let Some(most) = sub.allowance(self.config.page) else {
                continue;
            };
            sub.doing = Doing::Reading;
            let key = sub.key;
            self.slot = Slot::Reading(key, most);
            self.turn = index + 1;
            return Some(Request::ReadPage { key, most });
        }
        None
    }

    /// After the close nothing follows.
    fn send(&mut self, message: ServerMessage) {
        if !self.is_closed() {
            self.transmits.push_back(Transmit::Message(message));
        }
    }

    fn refuse(&mut self, error: Failure) {
        let closes = error.code.closes();
        self.send(ServerMessage::Error(error));
        if let Some(code) = closes {
            self.close(code);
        }
    }

    fn index_of(&self, key: SubKey) -> Option<usize> {
        self.subscriptions.iter().position(|sub| sub.key == key)
    }

    fn waiting(&mut self, key: SubKey) -> Option<&mut Subscription> {
        let waiting = |sub: &&mut Subscription| sub.key == key && sub.doing == Doing::Waiting;
        self.subscriptions.iter_mut().find(waiting)
    }

    fn fresh_key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key
    }
}
