//! What goes over the wires: the client's words, and for the bare servers the hub's very bytes.

use bytes::Bytes;
use wakelog::Position;
use wakelog_ws::Encoding;
use wakelog_ws::protocol::{Bare, EncodedPage, PageEvent, ServerMessage};

use crate::Outcome;

/// Bytes of payload of an event.
const PAYLOAD: usize = 100;

/// Stands before the time at which an event was published.
pub const STAMP: &[u8] = b"\"t=";
pub const STAMP_BIN: &[u8] = b"t=";
pub const STAMP_DIGITS: usize = 20;

/// Stands before each event.
pub const EVENT: &[u8] = b"{\"offset\":";

/// Stands in each event of a binary page: what its payload begins with.
pub const EVENT_BIN: &[u8] = b"t=00";

/// Ends the first page after which nothing more waits.
pub const LIVE: &[u8] = b"\"live\":true";

/// Events of a page, about as many as the hub puts into one.
const PAGE: u64 = 448;

pub const HELLO: &str = r#"{"type":"hello"}"#;

pub fn subscribe(topic: &str, start: &str) -> String {
    format!(r#"{{"type":"subscribe","sub":"s","filters":["{topic}"],"start":"{start}"}}"#)
}

/// Pays back what so many events took.
pub fn credit(events: u64, bytes: u64) -> String {
    format!(r#"{{"type":"credit","sub":"s","events":{events},"bytes":{bytes}}}"#)
}

/// The topic of a subscription as the bare servers read it.
pub fn topic_of(subscribe: &str) -> Option<&str> {
    let (_, rest) = subscribe.split_once(r#""filters":[""#)?;
    rest.split('"').next()
}

pub fn room(number: usize) -> String {
    format!("room.{number}")
}

/// The monotonic clock, which all processes share, in nanoseconds.
pub fn clock() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

pub fn payload(stamp: u64) -> String {
    format!("{:.<PAYLOAD$}", format!("t={stamp:020}"))
}

/// Writes pages as the hub would.
pub struct Pages {
    stem: String,
    next: u64,
}

impl Pages {
    pub fn new() -> Pages {
        Pages {
            stem: format!("{}.1-9c1e22b7.", "0f8fad5bd9cb469fa16570867728950e"),
            next: 0,
        }
    }

    /// A page of so many events of a topic.
    pub fn page(&mut self, topic: &str, events: u64, stamp: u64, live: bool) -> Outcome<Bytes> {
        let payload = payload(stamp);
        let first = self.next;
        self.next += events;
        let events = (first..self.next).map(|offset| PageEvent {
            offset,
            time: 1_767_225_600_000_000 + offset,
            topics: vec![topic],
            payload: Bare {
                encoding: Some(Encoding::Text),
                bytes: payload.as_bytes(),
            },
            ..PageEvent::default()
        });
        let page = EncodedPage::new(&events.collect::<Vec<_>>(), false);
        let position: Position = format!("{}{}", self.stem, self.next).parse()?;
        let message = ServerMessage::Events {
            sub: "s".to_owned(),
            page,
            position,
            live,
            volatile: false,
        };
        Ok(Bytes::from(message.encode()))
    }

    /// A backlog in pages of the hub's size, or in messages of one event.
    pub fn backlog(&mut self, topic: &str, events: u64, each: bool) -> Outcome<Vec<Bytes>> {
        let most = if each { 1 } else { PAGE };
        let mut left = events;
        let mut pages = Vec::new();
        while left > 0 {
            let count = left.min(most);
            left -= count;
            pages.push(self.page(topic, count, 0, left == 0)?);
        }
        Ok(pages)
    }
}
