//! What a client knows and says, without socket and clock: the driver brings both.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use wakelog::{Gap, Position};

use super::event::{EmitError, Emitted, Ended, Event};
use super::random;
use super::wire::{Heard, Page, encode};
use crate::protocol::{
    ClientMessage, ErrorCode, Failure, Outgoing, Reconnect, ResetReason, ServerMessage, Subscribe,
    Welcome,
};

/// Until a new socket is welcome; then, until it counts as a good one.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long an orderly end may take.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

/// Codes that forbid to come back (PROTOCOL.md, section 11).
fn is_final(code: u16) -> bool {
    let plain = matches!(code, 1000 | 1002 | 1003 | 1007 | 1008 | 1009);
    plain || ((4400..4500).contains(&code) && code != 4408)
}

/// What a handle asks for.
pub(super) enum Command {
    Open {
        sub: String,
        news: UnboundedSender<(u64, News)>,
    },
    Subscribe(u64, Subscribe),
    Say(u64, ClientMessage),
    Moved(String, Position),
    Off(String),
    Emit(Outgoing, oneshot::Sender<Result<Emitted, EmitError>>),
    Close(oneshot::Sender<()>),
}

/// What a subscription is told, with the number of the connection.
pub(super) enum News {
    Welcome(Arc<Welcome>),
    Subscribed {
        position: Position,
        end: u64,
    },
    Page(Page),
    /// Events that are not stored, and what they hold of the room for them.
    Volatile(Vec<Event>, OwnedSemaphorePermit),
    Gap(Gap, Position),
    Moved(Position),
    Reset(ResetReason),
    Refused(Failure),
}

struct Sub {
    news: UnboundedSender<(u64, News)>,
    position: Option<Position>,
    /// For what is not stored and takes no credit.
    room: Arc<Semaphore>,
}

/// So many messages with events that are not stored wait for a listener; one more is dropped.
const VOLATILE_MAX: usize = 32;

/// An event that waits for its answer.
struct Waiting {
    id: String,
    text: String,
    sent: bool,
    answer: oneshot::Sender<Result<Emitted, EmitError>>,
}

/// What is to be tried again.
enum Again {
    Publish(String),
    Subscribe(String),
    Close,
}

pub(super) struct Desk {
    has_consumer: bool,
    renews: bool,
    /// The number of the connection: whatever was said on another one is late.
    session: Arc<AtomicU64>,
    welcome: Option<(Arc<Welcome>, Instant)>,
    subs: HashMap<String, Sub>,
    /// Oldest first.
    outbox: VecDeque<Waiting>,
    acking: bool,
    acked: Option<Position>,
    again: Vec<(Instant, Again)>,
    reconnect: Reconnect,
    attempt: u32,
    bye: Option<[u64; 2]>,
    error: Option<Failure>,
    pub(super) ended: Option<Ended>,
    pub(super) closing: Vec<oneshot::Sender<()>>,
    /// What is to be sent.
    pub(super) out: Vec<String>,
}

impl Desk {
    pub(super) fn new(has_consumer: bool, renews: bool, session: Arc<AtomicU64>) -> Self {
        Self {
            has_consumer,
            renews,
            session,
            welcome: None,
            subs: HashMap::new(),
            outbox: VecDeque::new(),
            acking: false,
            acked: None,
            again: Vec::new(),
            reconnect: Reconnect {
                min_ms: 500,
                max_ms: 30_000,
            },
            attempt: 0,
            bye: None,
            error: None,
            ended: None,
            closing: Vec::new(),
            out: Vec::new(),
        }
    }

    /// How long the server may be silent.
    pub(super) fn patience(&self) -> Duration {
        self.welcome.as_ref().map_or(PATIENCE, |(welcome, _)| {
            Duration::from_millis(welcome.heartbeat_ms.saturating_mul(5) / 2)
        })
    }

    pub(super) fn welcome(&self) -> Option<Arc<Welcome>> {
        self.welcome
            .as_ref()
            .map(|(welcome, _)| Arc::clone(welcome))
    }

    /// When [`Desk::wake`] is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.again.iter().map(|(due, _)| *due).min()
    }

    pub(super) fn wake(&mut self, now: Instant) {
        let again = std::mem::take(&mut self.again).into_iter();
        let (due, later) = again.partition::<Vec<_>, _>(|(due, _)| *due <= now);
        self.again = later;
        for (_, again) in due {
            match again {
                Again::Publish(id) => {
                    let waiting = self.outbox.iter_mut().find(|waiting| waiting.id == id);
                    waiting.into_iter().for_each(|waiting| waiting.sent = false);
                    self.flush();
                }
                Again::Subscribe(sub) => self.invite(&sub),
                Again::Close => self.ended = Some(Ended::Closed),
            }
        }
    }

    pub(super) fn take(&mut self, command: Command, now: Instant) {
        let current = self.session.load(Ordering::Acquire);
        match command {
            Command::Open { sub, news } => {
                let opened = Sub {
                    news,
                    position: None,
                    room: Arc::new(Semaphore::new(VOLATILE_MAX)),
                };
                self.subs.insert(sub.clone(), opened);
                self.invite(&sub);
            }
            Command::Subscribe(session, subscribe) if session == current => {
                self.say(&ClientMessage::Subscribe(subscribe));
            }
            Command::Say(session, message) if session == current => self.say(&message),
            Command::Subscribe(..) | Command::Say(..) => {}
            Command::Moved(sub, position) => {
                let sub = self.subs.get_mut(&sub);
                sub.into_iter()
                    .for_each(|sub| sub.position = Some(position));
                self.ack();
            }
            Command::Off(sub) => {
                self.subs.remove(&sub);
                self.say(&ClientMessage::Unsubscribe { sub });
            }
            Command::Emit(event, answer) => {
                self.outbox.push_back(Waiting {
                    id: event.id.clone().unwrap_or_default(),
                    text: encode(&ClientMessage::Publish(event)),
                    sent: false,
                    answer,
                });
                self.flush();
            }
            Command::Close(done) => {
                self.closing.push(done);
                self.again.push((now + FAREWELL, Again::Close));
                self.close_if_acked();
            }
        }
    }

    pub(super) fn hear(&mut self, heard: Heard, now: Instant) {
        match heard {
            Heard::Unknown => {}
            Heard::Page(page) if page.volatile => {
                let room = self.subs.get(&page.sub).map(|sub| Arc::clone(&sub.room));
                if let Some(Ok(room)) = room.map(Semaphore::try_acquire_owned) {
                    self.tell(&page.sub, News::Volatile(page.events, room));
                }
            }
            Heard::Page(page) => self.tell(&page.sub.clone(), News::Page(page)),
            Heard::Said(message) => self.hear_message(message, now),
        }
    }

    fn hear_message(&mut self, message: ServerMessage, now: Instant) {
        match message {
            ServerMessage::Welcome(welcome) => {
                self.reconnect = welcome.reconnect;
                self.welcome = Some((Arc::from(welcome), now));
                let subs: Vec<_> = self.subs.keys().cloned().collect();
                subs.iter().for_each(|sub| self.invite(sub));
                self.flush();
            }
            ServerMessage::Subscribed { sub, position, end } => {
                self.tell(&sub, News::Subscribed { position, end });
            }
            ServerMessage::Gap { sub, gap, position } => self.tell(&sub, News::Gap(gap, position)),
            ServerMessage::Reset { sub, reset } => self.tell(&sub, News::Reset(reset.reason)),
            ServerMessage::Heartbeat { positions } => {
                self.say(&ClientMessage::Heartbeat);
                for (sub, position) in positions {
                    self.tell(&sub, News::Moved(position));
                }
            }
            ServerMessage::AckOk { .. } => {
                self.acking = false;
                self.ack();
                self.close_if_acked();
            }
            ServerMessage::Published { id, position, .. } => {
                self.settle(&id, Ok(Emitted::Stored(position)));
            }
            ServerMessage::Reply { id, payload } => self.settle(&id, Ok(Emitted::Reply(payload))),
            ServerMessage::Bye { window } => self.bye = Some(window),
            ServerMessage::Fenced => self.ended = Some(Ended::Fenced),
            ServerMessage::Error(error) => self.refused(error, now),
            // Nothing is lost with them: the first is our own wish, the second was told above.
            ServerMessage::Unsubscribed { .. } | ServerMessage::Events { .. } => {}
        }
    }

    fn refused(&mut self, error: Failure, now: Instant) {
        if error.code != ErrorCode::NoSuchSub {
            tracing::warn!(
                code = error.code.as_str(),
                re = error.re,
                "{}",
                error.message
            );
        }
        self.error = Some(error.clone());
        let pause = Duration::from_millis(error.after_ms.unwrap_or(1000));
        let retry = error.code.retry();
        match (error.re, error.id.clone(), error.sub.clone()) {
            (Some("ack"), ..) => {
                self.acking = false;
                self.close_if_acked();
            }
            (Some("publish"), Some(id), _) if retry => {
                self.again.push((now + pause, Again::Publish(id)));
            }
            (Some("publish"), Some(id), _) => self.settle(&id, Err(EmitError::Refused(error))),
            (Some("subscribe"), _, Some(sub)) if retry => {
                self.again.push((now + pause, Again::Subscribe(sub)));
            }
            (Some("subscribe"), _, Some(sub)) => {
                self.tell(&sub, News::Refused(error));
                self.subs.remove(&sub);
            }
            _ => {}
        }
    }

    /// The connection is gone, with this code: when to come back, if at all.
    pub(super) fn lost(&mut self, code: u16, now: Instant) -> Option<Duration> {
        self.session.fetch_add(1, Ordering::AcqRel);
        let welcome = self.welcome.take();
        let error = self.error.take();
        if welcome
            .as_ref()
            .is_some_and(|(_, since)| now.duration_since(*since) >= PATIENCE)
        {
            self.attempt = 0;
        }
        self.again.clear();
        self.out.clear();
        (self.acking, self.acked) = (false, None);
        self.close_if_acked();
        self.outbox
            .iter_mut()
            .for_each(|waiting| waiting.sent = false);
        // Credentials that have ended are made anew, once for each welcome.
        let renews = code == 4401 && welcome.is_some() && self.renews;
        if self.ended.is_none() && is_final(code) && !renews {
            self.ended = Some(Ended::Refused { code, error });
        }
        if self.ended.is_some() {
            return None;
        }
        let [from, to] = self.bye.take().unwrap_or_else(|| {
            let longest = self
                .reconnect
                .min_ms
                .saturating_mul(1 << self.attempt.min(32));
            self.attempt += 1;
            [0, longest.min(self.reconnect.max_ms)]
        });
        let span = to.saturating_sub(from).saturating_add(1);
        Some(Duration::from_millis(from.saturating_add(random() % span)))
    }

    /// Nothing comes any more.
    pub(super) fn end(&mut self) {
        let ended = self.ended.clone().unwrap_or(Ended::Closed);
        self.subs.clear();
        for waiting in self.outbox.drain(..) {
            let _ = waiting.answer.send(Err(ended.clone().into()));
        }
        for done in self.closing.drain(..) {
            let _ = done.send(());
        }
    }

    fn say(&mut self, message: &ClientMessage) {
        if self.welcome.is_some() {
            self.out.push(encode(message));
        }
    }

    fn tell(&self, sub: &str, news: News) {
        let session = self.session.load(Ordering::Acquire);
        if let Some(sub) = self.subs.get(sub) {
            // One whose handle is gone is about to be closed.
            let _ = sub.news.send((session, news));
        }
    }

    /// The subscription may ask for its place, once its user is done with what it holds.
    fn invite(&self, sub: &str) {
        if let Some(welcome) = self.welcome() {
            self.tell(sub, News::Welcome(welcome));
        }
    }

    /// The cursor follows the slowest subscription. One ack is on its way at a time, so that they
    /// come as fast as the server makes them durable and no faster.
    fn ack(&mut self) {
        if !self.has_consumer || self.welcome.is_none() || self.acking {
            return;
        }
        let positions = self.subs.values().map(|sub| sub.position);
        let Some(positions) = positions.collect::<Option<Vec<_>>>() else {
            return;
        };
        let Some(lowest) = positions
            .iter()
            .min_by_key(|position| position.offset)
            .copied()
        else {
            return;
        };
        let alike = |other: &Position| (other.log, other.epoch) == (lowest.log, lowest.epoch);
        if positions.iter().all(alike) && self.acked != Some(lowest) {
            self.acking = true;
            self.acked = Some(lowest);
            self.say(&ClientMessage::Ack { position: lowest });
        }
    }

    /// A client that closes waits for its last ack, though not for long.
    fn close_if_acked(&mut self) {
        if !self.closing.is_empty() && !self.acking {
            self.ended = Some(Ended::Closed);
        }
    }

    fn flush(&mut self) {
        let Some((welcome, _)) = &self.welcome else {
            return;
        };
        let limits = welcome.limits;
        let too_large = |waiting: &Waiting| waiting.text.len() > limits.message_bytes;
        while let Some(at) = self
            .outbox
            .iter()
            .take(limits.publishes)
            .position(too_large)
        {
            let Some(waiting) = self.outbox.remove(at) else {
                break;
            };
            let _ = waiting.answer.send(Err(EmitError::Refused(Failure {
                code: ErrorCode::TooLarge,
                message: format!("a message has at most {} bytes", limits.message_bytes),
                re: Some("publish"),
                sub: None,
                id: Some(waiting.id),
                after_ms: None,
            })));
        }
        for waiting in self.outbox.iter_mut().take(limits.publishes) {
            if !waiting.sent {
                waiting.sent = true;
                self.out.push(waiting.text.clone());
            }
        }
    }

    fn settle(&mut self, id: &str, answer: Result<Emitted, EmitError>) {
        let at = self.outbox.iter().position(|waiting| waiting.id == id);
        if let Some(waiting) = at.and_then(|at| self.outbox.remove(at)) {
            // Whoever emitted it may have stopped waiting.
            let _ = waiting.answer.send(answer);
        }
        self.flush();
    }
}
