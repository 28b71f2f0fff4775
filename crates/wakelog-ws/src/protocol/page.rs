//! Pages: events written as they will stand in a message, once, by whoever reads the log.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use serde::{Serialize, Serializer as _};

use super::outgoing::Outgoing;
use super::payload::Bare;

/// An event as it stands in a message.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PageEvent<'a> {
    /// The number of the event; of one that is not stored, the number of the next that is.
    pub offset: u64,
    /// UTC microseconds.
    pub time: u64,
    /// Whom it is to.
    pub topics: Vec<&'a str>,
    /// Which identities do not get it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_to: Vec<&'a str>,
    /// What kind of event it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// The id its publisher gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    /// Who published it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<&'a str>,
    /// The payload.
    #[serde(flatten)]
    pub payload: Bare<'a>,
}

impl<'a> PageEvent<'a> {
    /// An event that is not stored, emitted now, when the log ends at `offset`.
    pub(crate) fn volatile(event: &'a Outgoing, offset: u64) -> Self {
        let time = UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
        Self {
            offset,
            time: u64::try_from(time).unwrap_or(u64::MAX),
            topics: event.topics.iter().map(String::as_str).collect(),
            not_to: event.not_to.iter().map(String::as_str).collect(),
            name: event.name.as_deref(),
            id: event.id.as_deref(),
            from: event.from.as_deref(),
            payload: event.payload.bare(),
        }
    }
}

/// Events as they stand between the brackets of an `events` message. A clone shares them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodedPage {
    body: Arc<str>,
    events: u32,
}

impl<'a> FromIterator<PageEvent<'a>> for EncodedPage {
    /// # Panics
    /// Never: everything that is written is UTF-8.
    fn from_iter<I: IntoIterator<Item = PageEvent<'a>>>(all: I) -> Self {
        let (mut list, mut events) = (Vec::new(), 0_u32);
        let counted = all
            .into_iter()
            .inspect(|_| events = events.saturating_add(1));
        // Writing plain values into a vector cannot fail.
        let _ = serde_json::Serializer::new(&mut list).collect_seq(counted);
        // Strings, digits, checked JSON text and base64 are all that was written.
        let list = String::from_utf8(list).expect("JSON is UTF-8");
        let body = list.trim_start_matches('[').trim_end_matches(']').into();
        Self { body, events }
    }
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

    #[cfg(test)]
    pub(crate) fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.body, &other.body)
    }

    pub(crate) fn body(&self) -> &Arc<str> {
        &self.body
    }
}

/// The text of an `events` message, whose events are shared with other connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageText {
    pub(crate) head: String,
    pub(crate) events: Arc<str>,
}

impl PageText {
    /// Head, events and tail, of which the events are the long one.
    #[must_use]
    pub fn pieces(&self) -> [&str; 3] {
        [&self.head, &self.events, "]}"]
    }

    /// The message in one piece.
    #[must_use]
    pub fn concat(&self) -> String {
        self.pieces().concat()
    }
}
