//! Pages: events written as they will stand in a message, once, by whoever reads the log.

use std::sync::Arc;

use serde::Serialize;

use super::payload::{Encoding, Written};

/// What of an event is a single value; see [`PageWriter::push`].
#[derive(Clone, Copy, Debug, Default)]
pub struct EventHead<'a> {
    /// The number of the event.
    pub offset: u64,
    /// UTC microseconds.
    pub time: u64,
    /// What kind of event it is.
    pub name: Option<&'a str>,
    /// The id its publisher gave it.
    pub id: Option<&'a str>,
    /// Who published it.
    pub from: Option<&'a str>,
    /// How the payload is to be written, if its publisher said so.
    pub encoding: Option<Encoding>,
    /// The payload.
    pub payload: &'a [u8],
}

/// Writes events as JSON, one after the other.
#[derive(Debug, Default)]
pub struct PageWriter {
    body: Vec<u8>,
    events: u32,
}

impl PageWriter {
    /// A writer with no events in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one event with its topics and the identities that do not get it.
    pub fn push<'a>(
        &mut self,
        head: EventHead<'_>,
        topics: impl IntoIterator<Item = &'a str>,
        not_to: impl IntoIterator<Item = &'a str>,
    ) {
        if self.events > 0 {
            self.body.push(b',');
        }
        let event = Event {
            offset: head.offset,
            time: head.time,
            topics: topics.into_iter().collect(),
            not_to: not_to.into_iter().collect(),
            name: head.name,
            id: head.id,
            from: head.from,
            payload: Written::of(head.encoding, head.payload),
        };
        // Writing plain values into a vector cannot fail.
        let _ = serde_json::to_writer(&mut self.body, &event);
        self.events = self.events.saturating_add(1);
    }

    /// How long the page is so far, in bytes as credit counts them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    /// Ends the page.
    ///
    /// # Panics
    /// Never: everything that was written is UTF-8.
    #[must_use]
    pub fn finish(self) -> EncodedPage {
        // Strings, digits, checked JSON text and base64 are all that was written.
        let body = String::from_utf8(self.body).expect("JSON is UTF-8");
        EncodedPage {
            body: body.into(),
            events: self.events,
        }
    }
}

/// Events as they stand between the brackets of an `events` message. A clone shares them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodedPage {
    body: Arc<str>,
    events: u32,
}

impl EncodedPage {
    /// How many events it holds.
    #[must_use]
    pub const fn events(&self) -> u32 {
        self.events
    }

    /// What the page takes from the byte credit.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::try_from(self.body.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn body(&self) -> &Arc<str> {
        &self.body
    }
}

/// An event as it stands in a message.
#[derive(Serialize)]
struct Event<'a> {
    offset: u64,
    time: u64,
    topics: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_to: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(flatten)]
    payload: Written<'a>,
}
