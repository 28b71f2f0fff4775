//! Pages: events written as they will stand in a message, once, by whoever reads the log.

use std::time::UNIX_EPOCH;

use bytes::{BufMut as _, Bytes};
use serde::Serialize;

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
    body: Bytes,
    events: u32,
    pub(super) binary: bool,
}

impl EncodedPage {
    /// Writes events down: in binary (PROTOCOL.md, section 17), or as JSON.
    #[must_use]
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
        Self {
            body: Bytes::copy_from_slice(&list[edge..list.len() - edge]),
            events: u32::try_from(all.len()).unwrap_or(u32::MAX),
            binary,
        }
    }

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
    #[must_use]
    pub const fn is_binary(&self) -> bool {
        self.page.binary
    }

    /// Head, events and tail, of which the events are the long one.
    #[must_use]
    pub fn pieces(&self) -> [&[u8]; 3] {
        let tail: &[u8] = if self.page.binary { b"" } else { b"]}" };
        [&self.head, &self.page.body, tail]
    }

    /// The text in one piece; empty if it is binary.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8(self.pieces().concat()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl EncodedPage {
        /// What stands in a message, whatever it means.
        pub(crate) fn of(body: impl Into<Bytes>, binary: bool) -> Self {
            let (body, events) = (body.into(), 1);
            Self {
                body,
                events,
                binary,
            }
        }

        pub(crate) fn is_shared_with(&self, other: &Self) -> bool {
            self.body.as_ptr() == other.body.as_ptr()
        }
    }

    /// The text of a page.
    impl std::ops::Deref for EncodedPage {
        type Target = str;

        fn deref(&self) -> &str {
            std::str::from_utf8(&self.body).unwrap()
        }
    }
}
