//! One connection's dealings with its source: takes the session's requests, starts the work, and
//! brings back the answers.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::stream::{FuturesOrdered, FuturesUnordered, StreamExt as _};
use wakelog::{FilterSet, Start};

use super::authorize::Principal;
use super::driver::now;
use super::hub::Shared;
use super::readers::Readers;
use super::registry::{Claimed, Connection, End, Place};
use super::upgrade::{Ticket, Upgrade};
use crate::protocol::{EVERYONE, Failure, Grant, Outgoing, SUBPROTOCOL_BIN, personal};
use crate::session::{AppendKey, OpenFailure, Opened, ReadAnswer, Request, Session, SubKey};
use crate::source::{EventSource, ReaderSpec, SourceCursor as _, SourceReader as _};

/// Something under way, and what is to be done when it has ended.
type Work<S> = Pin<Box<dyn Future<Output = Ended<S>> + Send>>;
type Ended<S> = Box<dyn FnOnce(&mut Desk<S>) + Send>;

pub(super) struct Desk<S: EventSource> {
    pub(super) session: Session,
    pub(super) connection: Arc<Connection>,
    pub(super) shared: Arc<Shared<S>>,
    work: FuturesUnordered<Work<S>>,
    /// What was appended and waits for the disk.
    pub(super) syncs: FuturesOrdered<Work<S>>,
    readers: Readers<S::Reader>,
    binary: bool,
    pub(super) library: Option<String>,
    pub(super) principal: Arc<Principal>,
    /// Until `hello` has been answered.
    pub(super) upgrade: Option<Upgrade>,
    /// The cursor for which it stands in the registry.
    pub(super) claimed: Option<Claimed>,
    _place: Place,
    /// None while a store is under way, or without a consumer.
    pub(super) cursor: Option<Box<S::Cursor>>,
    /// Appends go one after the other, so that they keep the client's order.
    appends: VecDeque<(AppendKey, Outgoing)>,
    pub(super) appending: bool,
    /// Events that are not stored wait to be sent.
    hears: bool,
}

impl<S: EventSource> Desk<S> {
    pub(super) fn new(shared: Arc<Shared<S>>, ticket: Ticket, now: Instant) -> Self {
        let Ticket { upgrade, place } = ticket;
        let connection = shared.registry.add();
        Self {
            session: Session::new(shared.config, now),
            work: FuturesUnordered::new(),
            syncs: FuturesOrdered::new(),
            readers: Readers::new(Arc::clone(&connection)),
            connection,
            binary: upgrade.subprotocol() == Some(SUBPROTOCOL_BIN),
            library: None,
            principal: Arc::default(),
            upgrade: Some(upgrade),
            claimed: None,
            _place: place,
            cursor: None,
            appends: VecDeque::new(),
            appending: false,
            hears: false,
            shared,
        }
    }

    pub(super) fn show_progress(&self) {
        if self.session.is_closed() {
            // What is left is to say goodbye.
            *self.connection.shown.lock() = None;
            return;
        }
        self.connection.stands(self.session.stands());
    }

    /// Tells the session what the hub wants, what work is done and which readers have something.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let was_closed = self.session.is_closed();
        match self.connection.is_ended() {
            Some(End::Fenced) => self.session.handle_fenced(),
            Some(End::Revoked) => self.session.handle_revoked(),
            None => {}
        }
        let mut moved = was_closed != self.session.is_closed();
        if let Some(window) = self.shared.registry.draining() {
            moved |= self.session.handle_drain(now(), window);
        }
        // What is empty is not asked: that would register the waker for nothing.
        while let Some(Poll::Ready(Some(done))) =
            (!self.work.is_empty()).then(|| self.work.poll_next_unpin(cx))
        {
            done(self);
            moved = true;
        }
        while let Some(Poll::Ready(Some(done))) =
            (!self.syncs.is_empty()).then(|| self.syncs.poll_next_unpin(cx))
        {
            done(self);
            moved = true;
        }
        self.hears = !self.connection.ears.lock().heard.is_empty();
        if self.hears {
            // What is older than they comes first.
            self.look_again();
        }
        moved | self.poll_readers()
    }

    fn poll_readers(&mut self) -> bool {
        let mut moved = false;
        while let Some(key) = self.readers.poll() {
            self.session.handle_ready(key);
            moved = true;
        }
        moved
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.look_again();
        self.session.handle_timeout(now);
    }

    /// Tells the session what there is to read now, and where the readers stand that find nothing.
    fn look_again(&mut self) {
        self.readers.look_again();
        self.poll_readers();
        for (key, position) in self.readers.positions() {
            self.session.handle_position(key, position);
        }
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
                self.append(key, event);
                moved = true;
            }
        }
        if self.hears {
            let heard = &mut self.connection.ears.lock().heard;
            heard.retain(|(key, page, at)| self.session.handle_volatile(*key, page, *at));
        }
        moved
    }

    /// Starts a piece of work, which resolves to what is to be done then.
    pub(super) fn begin<F>(&mut self, work: impl Future<Output = F> + Send + 'static)
    where
        F: FnOnce(&mut Self) + Send + 'static,
    {
        self.work.push(Self::work(work));
    }

    pub(super) fn work<F>(work: impl Future<Output = F> + Send + 'static) -> Work<S>
    where
        F: FnOnce(&mut Self) + Send + 'static,
    {
        Box::pin(async move {
            let ended: Ended<S> = Box::new(work.await);
            ended
        })
    }

    fn start_one(&mut self, request: Request) {
        match request {
            Request::Admit(hello) => self.hello(hello),
            Request::OpenReader {
                key,
                filters,
                start,
            } => self.open_reader(key, filters, start),
            Request::ReadPage { key, most } => self.read(key, most),
            Request::Wait { key } => self.readers.watch(key),
            Request::CloseReader { key } => self.readers.remove(key),
            Request::Append { key, event } => self.appends.push_back((key, event)),
            Request::StoreCursor { position } => match self.cursor.take() {
                Some(mut cursor) => self.begin(async move {
                    let answer = cursor.store(position).await;
                    move |desk: &mut Self| {
                        desk.cursor = Some(cursor);
                        desk.session.handle_stored(answer);
                    }
                }),
                None => self.session.handle_stored(Err(Failure::internal())),
            },
        }
    }

    /// Where the reader is, if it can be had at once; else it is taken along.
    fn read(&mut self, key: SubKey, most: Grant) {
        let now = self.readers.reader(key).map(|reader| reader.read_now(most));
        let lost = || Some(ReadAnswer::Failed(Failure::internal()));
        if let Some(answer) = now.unwrap_or_else(lost) {
            self.session.handle_read(key, answer);
        } else if let Some(mut reader) = self.readers.take(key) {
            self.begin(async move {
                let answer = reader.read(most).await;
                move |desk: &mut Self| {
                    desk.readers.put(key, reader);
                    desk.session.handle_read(key, answer);
                }
            });
        }
    }

    fn open_reader(&mut self, key: SubKey, mut filters: Vec<String>, start: Start) {
        let (shared, principal) = (Arc::clone(&self.shared), Arc::clone(&self.principal));
        let asked = filters.clone();
        filters.push(EVERYONE.to_owned());
        filters.extend(principal.from.as_deref().and_then(personal));
        let identities = principal.from.iter().chain(&principal.identities);
        let spec = ReaderSpec {
            filters,
            identities: identities.cloned().collect(),
            start,
            binary: self.binary,
        };
        // What is no filter is refused by the source.
        let heard = FilterSet::new(&spec.filters, Some(&spec.identities));
        self.readers.reserve(key, heard.ok());
        self.begin(async move {
            let answer = match shared.may_read(&principal, &asked).await {
                Ok(()) => shared.source.open_reader(spec).await,
                Err(failure) => Err(OpenFailure::Failed(failure)),
            };
            move |desk: &mut Self| desk.opened(key, answer)
        });
    }

    fn opened(&mut self, key: SubKey, answer: Result<S::Reader, OpenFailure>) {
        let opened = answer.map(|mut reader| {
            let position = reader.position();
            self.readers.put(key, reader);
            let end = self.shared.source.end().offset;
            Opened { position, end }
        });
        if opened.is_err() {
            self.readers.remove(key);
        }
        self.session.handle_opened(key, opened);
    }
}

impl<S: EventSource> Drop for Desk<S> {
    fn drop(&mut self) {
        let cursor = self.claimed.as_ref().map(|claimed| &*claimed.cursor);
        self.shared.registry.remove(&self.connection, cursor);
    }
}
