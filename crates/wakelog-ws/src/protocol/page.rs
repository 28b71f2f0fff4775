//! Pages: events written as they will stand in a message, once, by whoever reads the log.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::BufMut as _;
use parking_lot::Mutex;
use serde::Serialize;
use wakelog::Position;

use super::outgoing::Outgoing;
use super::payload::{Bare, Encoding};

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

/// Events as they stand in an `events` message. A clone shares them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodedPage {
    written: Arc<Written>,
    events: u32,
    pub(super) binary: bool,
}

#[derive(Debug, Default, derive_more::PartialEq, derive_more::Eq)]
struct Written {
    body: Box<[u8]>,
    /// What a head said last behind the name of the subscription: those who get an event as it
    /// comes want the same.
    #[partial_eq(skip)]
    #[eq(skip)]
    said: Mutex<Option<Said>>,
}

/// For a position after the page, live or not.
type Said = ((Position, bool), Arc<str>);

impl EncodedPage {
    /// Writes events down: in binary (PROTOCOL.md, section 17), or as JSON.
    pub fn new(all: &[PageEvent<'_>], binary: bool) -> Self {
        let mut list = Vec::new();
        if binary {
            all.iter().for_each(|event| event.write(&mut list));
        } else {
            // Writing plain values into a vector cannot fail.
            let _ = serde_json::to_writer(&mut list, all);
        }
        // The brackets belong to the message.
        let edge = usize::from(!binary);
        let body = list[edge..list.len() - edge].into();
        let said = Mutex::default();
        Self {
            written: Arc::new(Written { body, said }),
            events: u32::try_from(all.len()).unwrap_or(u32::MAX),
            binary,
        }
    }

    /// What a head says behind the name of the subscription; `write` writes it, unless the last one
    /// said the same.
    pub(super) fn said(&self, of: (Position, bool), write: impl FnOnce() -> String) -> Arc<str> {
        let mut last = self.written.said.lock();
        match &*last {
            Some((was_of, said)) if *was_of == of => said.clone(),
            _ => last.insert((of, write().into())).1.clone(),
        }
    }

    /// How many events it holds.
    pub const fn events(&self) -> u32 {
        self.events
    }

    /// What the page takes from the byte credit.
    pub fn bytes(&self) -> u64 {
        u64::try_from(self.written.body.len()).unwrap_or(u64::MAX)
    }
}

impl PageEvent<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let put_length = |out: &mut Vec<u8>, length: usize| {
            out.put_u32_le(u32::try_from(length).unwrap_or(u32::MAX));
        };
        let named = [(3, self.name), (4, self.id), (5, self.from)].into_iter();
        let named = named.filter_map(|(tag, name)| Some((tag, name?)));
        let topics = self.topics.iter().map(|topic| (1, *topic));
        let not_to = self.not_to.iter().map(|name| (2, *name));
        let names = topics.chain(not_to).chain(named);
        out.put_u64_le(self.offset);
        out.put_u64_le(self.time);
        out.push(self.payload.encoding.map_or(0, Encoding::mark));
        put_length(out, names.clone().map(|(_, name)| 5 + name.len()).sum());
        put_length(out, self.payload.bytes.len());
        for (tag, name) in names {
            out.push(tag);
            put_length(out, name.len());
            out.put_slice(name.as_bytes());
        }
        out.put_slice(self.payload.bytes);
    }
}

/// An `events` message, whose events are shared with other connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageMessage {
    pub(crate) head: Vec<u8>,
    pub(crate) page: EncodedPage,
}

impl PageMessage {
    /// Whether it is a binary message, or text.
    pub const fn is_binary(&self) -> bool {
        self.page.binary
    }

    /// Head, events and tail, of which the events are the long one.
    pub fn pieces(&self) -> [&[u8]; 3] {
        let tail: &[u8] = if self.page.binary { b"" } else { b"]}" };
        [&self.head, &self.page.written.body, tail]
    }

    /// The text in one piece; empty if it is binary.
    pub fn text(&self) -> String {
        String::from_utf8(self.pieces().concat()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl EncodedPage {
        /// What stands in a message, whatever it means.
        pub(crate) fn one(body: impl Into<Vec<u8>>, binary: bool) -> Self {
            let (body, said) = (body.into().into(), Mutex::default());
            Self {
                written: Arc::new(Written { body, said }),
                events: 1,
                binary,
            }
        }

        pub(crate) fn is_shared_with(&self, other: &Self) -> bool {
            Arc::ptr_eq(&self.written, &other.written)
        }
    }

    /// The text of a page.
    impl std::ops::Deref for EncodedPage {
        type Target = str;

        fn deref(&self) -> &str {
            std::str::from_utf8(&self.written.body).unwrap()
        }
    }
}
