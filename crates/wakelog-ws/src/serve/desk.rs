//! One connection's dealings with its source: takes the session's requests, starts the work, and
//! brings back the answers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use wakelog::Position;

use super::authorize::{Principal, cursor_name};
use super::driver::now;
use super::hub::Shared;
use super::members::Member;
use super::readers::Readers;
use super::registry::{Connection, Place, Who};
use super::upgrade::{Ticket, Upgrade};
use super::work::{self, Done, Outcome, Work};
use crate::protocol::{ErrorCode, Publish};
use crate::session::{
    Admission, AppendKey, Failure, OpenFailure, Opened, ReadAnswer, Request, Session, SubKey,
};
use crate::source::{EventSource, SourceCursor as _, SourceReader as _};

pub(super) struct Desk<S: EventSource> {
    pub(super) session: Session,
    pub(super) connection: Arc<Connection>,
    shared: Arc<Shared<S>>,
    work: FuturesUnordered<Work<S>>,
    readers: Readers<S::Reader>,
    library: Option<String>,
    principal: Arc<Principal>,
    /// Until `hello` has been answered.
    upgrade: Option<Upgrade>,
    /// None before it was admitted.
    member: Option<Arc<Member>>,
    /// The cursor for which it stands in the registry.
    claimed: Option<String>,
    _place: Place,
    /// None while a store is under way, or without a consumer.
    cursor: Option<S::Cursor>,
    /// Appends go one after the other, so that they keep the client's order.
    appends: VecDeque<(AppendKey, Publish)>,
    appending: bool,
    /// What was appended and waits for the disk, oldest first.
    undurable: VecDeque<(AppendKey, Position)>,
    syncing: bool,
}

impl<S: EventSource> Desk<S> {
    pub(super) fn new(shared: Arc<Shared<S>>, ticket: Ticket, now: Instant) -> Self {
        let Ticket { upgrade, place } = ticket;
        Self {
            session: Session::new(shared.config, now),
            connection: shared.registry.add(),
            work: FuturesUnordered::new(),
            readers: Readers::new(),
            library: None,
            principal: Arc::default(),
            upgrade: Some(upgrade),
            member: None,
            claimed: None,
            _place: place,
            cursor: None,
            appends: VecDeque::new(),
            appending: false,
            undurable: VecDeque::new(),
            syncing: false,
            shared,
        }
    }

    pub(super) fn register(&self, waker: &Waker) {
        self.connection.register(waker);
        self.readers.register(waker);
    }

    pub(super) fn stall(&self) -> Duration {
        self.shared.stall
    }

    pub(super) fn show_progress(&self) {
        if self.session.is_closed() {
            self.connection.hide();
        }
        self.connection
            .show_progress(self.session.reading_from(), self.session.acked());
    }

    /// Tells the session what the hub wants, what work is done and which readers have something.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        if self.connection.is_fenced() && !self.session.is_closed() {
            self.session.handle_fenced();
            moved = true;
        }
        if let Some(window) = self.connection.take_drain() {
            self.session.handle_drain(now(), window);
            moved = true;
        }
        while let Poll::Ready(Some(done)) = self.work.poll_next_unpin(cx) {
            self.finish(done);
            moved = true;
        }
        while let Some(key) = self.readers.poll() {
            self.session.handle_ready(key);
            moved = true;
        }
        moved
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for (key, position) in self.readers.positions() {
            self.session.handle_position(key, position);
        }
        self.session.handle_timeout(now);
    }

    /// Starts what the session asks for.
    pub(super) fn start(&mut self) -> bool {
        let mut moved = false;
        while let Some(request) = self.session.poll_request() {
            self.start_one(request);
            moved = true;
        }
        if self.session.is_closed() {
            // Its rights have ended, or another connection goes on in its place: what was not begun
            // is not stored. The client hears no answer, and sends it again.
            self.appends.clear();
        }
        if !self.appending {
            if let Some((key, event)) = self.appends.pop_front() {
                self.appending = true;
                let (shared, principal) = (Arc::clone(&self.shared), Arc::clone(&self.principal));
                let member = self.member.clone();
                self.work
                    .push(work::append(shared, principal, member, key, event));
                moved = true;
            }
        }
        if !self.syncing {
            if let Some((_, position)) = self.undurable.front() {
                self.syncing = true;
                self.work
                    .push(work::durable(Arc::clone(&self.shared), *position));
                moved = true;
            }
        }
        moved
    }

    fn start_one(&mut self, request: Request) {
        let shared = Arc::clone(&self.shared);
        match request {
            Request::Admit(hello) => {
                self.library.clone_from(&hello.client);
                let upgrade = self.upgrade.take().unwrap_or_default();
                self.work.push(work::admit(shared, hello, upgrade));
            }
            Request::LoadCursor { consumer } => {
                let (connection, name) = (
                    Arc::clone(&self.connection),
                    cursor_name(self.principal.from.as_deref(), &consumer),
                );
                self.claimed = Some(name.clone());
                self.work.push(work::load_cursor(shared, connection, name));
            }
            Request::OpenReader {
                key,
                filters,
                place,
            } => {
                self.readers.reserve(key, filters.clone());
                let principal = Arc::clone(&self.principal);
                self.work
                    .push(work::open_reader(shared, principal, key, filters, place));
            }
            Request::ReadPage {
                key,
                max_events,
                max_bytes,
            } => match self.readers.take(key) {
                Some(reader) => self
                    .work
                    .push(work::read(key, reader, max_events, max_bytes)),
                None => self.session.handle_read(key, ReadAnswer::Failed(lost())),
            },
            Request::Wait { key } => self.readers.watch(key),
            Request::CloseReader { key } => {
                self.readers.remove(key);
                self.connection.show_topics(self.readers.filters());
            }
            Request::Append { key, event } => self.appends.push_back((key, event)),
            Request::StoreCursor { position } => match self.cursor.take() {
                Some(cursor) => self.work.push(work::store(cursor, position)),
                None => self.session.handle_stored(Err(lost())),
            },
        }
    }

    fn finish(&mut self, done: Done<S>) {
        match done {
            Done::Admitted(answer) => {
                let admission = answer.map(|(principal, member)| {
                    self.member = Some(Arc::new(member));
                    self.admit(principal)
                });
                self.session.handle_admitted(now(), admission);
                self.show_who();
            }
            Done::Cursor(None) => self.session.handle_fenced(),
            Done::Cursor(Some(answer)) => {
                let loaded = answer.map(|cursor| {
                    let loaded = cursor.loaded();
                    self.cursor = Some(cursor);
                    loaded
                });
                self.session.handle_cursor(now(), loaded);
                self.show_who();
            }
            Done::Opened(key, answer) => self.opened(key, answer),
            Done::Read(key, reader, answer) => {
                self.readers.put(key, reader);
                self.session.handle_read(key, answer);
            }
            Done::Appended(key, answer) => {
                self.appending = false;
                match answer {
                    Ok(Outcome::Stored(position)) => self.undurable.push_back((key, position)),
                    Ok(Outcome::Replied(payload)) => self.session.handle_replied(key, payload),
                    Err(failure) => self.session.handle_appended(key, Err(failure)),
                }
            }
            Done::Durable(position, answer) => self.durable(position, &answer),
            Done::Stored(cursor, answer) => {
                self.cursor = Some(cursor);
                self.session.handle_stored(answer);
            }
        }
    }

    fn admit(&mut self, principal: Principal) -> Admission {
        let (from, consumer) = (principal.from.clone(), principal.consumer.clone());
        // What ends beyond the clock's range does not end.
        let expires = principal.valid_for.and_then(|time| now().checked_add(time));
        self.principal = Arc::new(principal);
        Admission {
            from,
            consumer,
            end: self.shared.source.end(),
            expires,
        }
    }

    fn show_who(&self) {
        if !self.session.is_open() {
            return;
        }
        self.connection.show(Who {
            consumer: self.principal.consumer.clone(),
            from: self.principal.from.clone(),
            library: self.library.clone(),
            topics: Vec::new(),
        });
    }

    fn opened(&mut self, key: SubKey, answer: Result<S::Reader, OpenFailure>) {
        let opened = match answer {
            Ok(mut reader) => {
                let position = reader.position();
                self.readers.put(key, reader);
                Ok(Opened {
                    position,
                    end: self.shared.source.end().offset,
                })
            }
            Err(failure) => {
                self.readers.remove(key);
                Err(failure)
            }
        };
        self.session.handle_opened(key, opened);
        self.connection.show_topics(self.readers.filters());
    }

    /// Answers all appends that one sync has made durable, or has failed for. Of another epoch it
    /// says nothing: an offset may be another event's there.
    fn durable(&mut self, position: Position, answer: &Result<(), Failure>) {
        self.syncing = false;
        let end = self.shared.source.end();
        while let Some((key, at)) = self.undurable.front().copied() {
            let below = |mark: Position| at.epoch == mark.epoch && at.offset <= mark.offset;
            match answer {
                Ok(()) if below(position) || below(end) => {
                    let offset = at.offset.saturating_sub(1);
                    self.session.handle_appended(key, Ok((offset, at)));
                }
                Err(failure) if at.epoch == position.epoch => {
                    self.session.handle_appended(key, Err(failure.clone()));
                }
                Ok(()) | Err(_) => break,
            }
            self.undurable.pop_front();
        }
    }
}

impl<S: EventSource> Drop for Desk<S> {
    fn drop(&mut self) {
        self.shared
            .registry
            .remove(&self.connection, self.claimed.as_deref());
    }
}

/// The session has asked for something of which it was told that it is not there.
fn lost() -> Failure {
    Failure::new(ErrorCode::Internal, "internal error")
}
