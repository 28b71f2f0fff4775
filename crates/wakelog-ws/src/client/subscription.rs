//! One subscription: what it is told, and what it has done with it.

use std::sync::Arc;
use std::vec::IntoIter;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use wakelog::{Position, Start};

use super::Client;
use super::desk::{Command, News};
use super::event::{Ended, Event, Told};
use super::wire::Page;
use crate::protocol::{ClientMessage, CursorState, Grant, Subscribe, Welcome};

/// A place in the log, and what comes after it.
///
/// It asks the server for its place when [`next`](Self::next) is called for the first time. When it
/// is dropped, it ends.
#[derive(Debug)]
#[must_use = "a subscription is over when it is dropped"]
pub struct Subscription {
    client: Client,
    sub: String,
    filters: Vec<String>,
    start: Option<Start>,
    position: Option<Position>,
    news: UnboundedReceiver<(u64, News)>,
    /// The connection on which it is open.
    open: Option<(u64, Arc<Welcome>)>,
    events: IntoIter<Event>,
    /// The end of the page that `events` are of.
    page: Option<Page>,
    /// Where what was handed out ends.
    handed_out: Option<Position>,
    /// The log has become another one.
    anew: bool,
    /// What lies at or after the first and before the second was missed.
    missed: (u64, u64),
    owed: Grant,
    live: bool,
    refused: Option<Ended>,
}

impl Subscription {
    pub(super) fn new(client: Client, sub: String, filters: Vec<String>) -> Self {
        let (sender, news) = unbounded_channel();
        client.command(Command::Open {
            sub: sub.clone(),
            news: sender,
        });
        Self {
            client,
            sub,
            filters,
            start: None,
            position: None,
            news,
            open: None,
            events: Vec::new().into_iter(),
            page: None,
            handed_out: None,
            anew: false,
            missed: (u64::MAX, 0),
            owed: Grant::default(),
            live: false,
            refused: None,
        }
    }

    /// Where to begin when there is no position yet, neither one given to [`at`](Self::at) nor the
    /// consumer's cursor. The default is the end of the log: with a consumer when it first came,
    /// without one when [`next`](Self::next) is called for the first time.
    pub fn start(mut self, start: Start) -> Self {
        self.start = Some(start);
        self
    }

    /// Goes on from a position that was kept, whatever the consumer's cursor says.
    pub fn at(mut self, position: Position) -> Self {
        self.position = Some(position);
        self
    }

    /// Everything before it is processed; none while nothing is known.
    pub const fn position(&self) -> Option<Position> {
        self.position
    }

    /// True while nothing is waiting on the server.
    pub fn is_live(&self) -> bool {
        self.live && self.is_current()
    }

    /// The next event, gap or reset. Asking for it says that the one before is processed; with a
    /// consumer that is acknowledged.
    ///
    /// If the call is given up before it returns, nothing is lost.
    ///
    /// # Errors
    /// [`Ended`]: nothing will come any more.
    pub async fn next(&mut self) -> Result<Told, Ended> {
        self.done();
        loop {
            if let Some(event) = self.next_of_page() {
                return Ok(Told::Event(event));
            }
            if let Some(ended) = &self.refused {
                return Err(ended.clone());
            }
            let Some((session, news)) = self.news.recv().await else {
                return Err(self.client.ended());
            };
            if session != self.client.session() {
                continue; // said on a connection that is gone
            }
            if let Some(told) = self.take(session, news) {
                return Ok(told);
            }
        }
    }

    /// Says that what [`next`](Self::next) has returned is processed, without asking for more.
    pub fn done(&mut self) {
        if let Some(position) = self.handed_out.take() {
            self.moved(position);
        }
        if self.anew {
            self.anew = false;
            if let Some((session, welcome)) = self.open.clone() {
                self.ask(session, &welcome, true);
            }
        }
        if self.events.len() == 0 {
            self.end_page();
        }
    }

    fn is_current(&self) -> bool {
        let session = self.client.session();
        self.open.as_ref().is_some_and(|(open, _)| *open == session)
    }

    fn next_of_page(&mut self) -> Option<Event> {
        if !self.is_current() {
            // The rest comes again, on the new connection.
            self.events = Vec::new().into_iter();
            self.page = None;
            return None;
        }
        let mut event = self.events.next()?;
        event.missed = (self.missed.0..self.missed.1).contains(&event.offset);
        if !event.volatile {
            self.handed_out = Some(event.position);
        }
        Some(event)
    }

    /// Moves to the end of a page whose events are all done, and pays for it.
    fn end_page(&mut self) {
        let Some(page) = self.page.take() else {
            return;
        };
        if !self.is_current() {
            return;
        }
        self.moved(page.position);
        self.live = page.live;
        let Some((session, welcome)) = &self.open else {
            return;
        };
        let cap = welcome.limits.credit;
        let owed = self.owed;
        if owed.events >= cap.events / 4 || owed.bytes >= cap.bytes / 4 {
            let sub = self.sub.clone();
            let credit = ClientMessage::Credit { sub, grant: owed };
            self.client.command(Command::Say(*session, credit));
            self.owed = Grant::default();
        }
    }

    fn moved(&mut self, position: Position) {
        self.position = Some(position);
        let sub = self.sub.clone();
        self.client.command(Command::Moved(sub, position));
    }

    fn take(&mut self, session: u64, news: News) -> Option<Told> {
        match news {
            News::Welcome(welcome) => {
                self.ask(session, &welcome, false);
                self.open = Some((session, welcome));
            }
            News::Subscribed { position, end } => {
                self.missed.1 = end;
                // A position that was given (or the cursor's) stands until a page or a gap has
                // moved it: a gap that is lost on the way must be told again.
                if self.missed.0 == u64::MAX && self.position.is_none() {
                    self.moved(position);
                }
            }
            News::Page(mut page) => {
                let events = std::mem::take(&mut page.events);
                let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
                self.owed.events = self.owed.events.saturating_add(count);
                self.owed.bytes = self.owed.bytes.saturating_add(page.bytes);
                self.events = events.into_iter();
                self.page = Some(page);
                if count == 0 {
                    self.end_page();
                }
            }
            News::Volatile(events, _room) => self.events = events.into_iter(),
            News::Gap(gap, position) => {
                self.missed.0 = self.missed.0.min(position.offset);
                self.handed_out = Some(position);
                return Some(Told::Gap(gap));
            }
            News::Moved(position) => self.moved(position),
            News::Reset(reason) => {
                self.position = None;
                self.anew = true;
                return Some(Told::Reset(reason));
            }
            News::Refused(error) => self.refused = Some(Ended::Subscription(error)),
        }
        None
    }

    /// Asks for this subscription's place on a new connection.
    fn ask(&mut self, session: u64, welcome: &Welcome, anew: bool) {
        let cursor = welcome.cursor.as_ref();
        let stands = |state| matches!(state, CursorState::Resumed | CursorState::Lost);
        let stored = cursor.filter(|cursor| stands(cursor.state) && !anew);
        let known = self.position.or(stored.map(|cursor| cursor.position));
        self.missed = (known.map_or(u64::MAX, |position| position.offset), 0);
        self.owed = Grant::default();
        self.live = false;
        let start = match (self.position, stored) {
            (Some(position), _) => Some(Start::Position(position)),
            (None, Some(_)) => None,
            (None, None) if anew => Some(self.start.unwrap_or(Start::Earliest)),
            // A new cursor was made at the end of the log when this client came.
            (None, None) if cursor.is_some() => self.start,
            (None, None) => Some(self.start.unwrap_or(Start::Latest)),
        };
        let subscribe = Subscribe {
            sub: self.sub.clone(),
            filters: self.filters.clone(),
            start,
            credit: None,
        };
        self.client.command(Command::Subscribe(session, subscribe));
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.client.command(Command::Off(self.sub.clone()));
    }
}
