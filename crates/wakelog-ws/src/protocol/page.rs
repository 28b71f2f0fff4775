//! Pages: events written as they will stand in a message, once, by whoever reads the log.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;

use super::payload::Encoding;

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
        let body = &mut self.body;
        if self.events > 0 {
            body.push(b',');
        }
        body.extend_from_slice(b"{\"offset\":");
        write_number(body, head.offset);
        body.extend_from_slice(b",\"time\":");
        write_number(body, head.time);
        write_list(body, b",\"topics\":", topics, true);
        write_list(body, b",\"not_to\":", not_to, false);
        for (key, value) in [("name", head.name), ("id", head.id), ("from", head.from)] {
            if let Some(value) = value {
                write_key(body, key);
                write_string(body, value);
            }
        }
        write_payload(body, head.encoding, head.payload);
        body.push(b'}');
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
            body,
            events: self.events,
        }
    }
}

/// Events as they stand between the brackets of an `events` message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodedPage {
    body: String,
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

    pub(super) fn body(&self) -> &str {
        &self.body
    }
}

fn write_number(body: &mut Vec<u8>, number: u64) {
    // Writing into a vector cannot fail.
    let _ = serde_json::to_writer(body, &number);
}

pub(super) fn write_string(body: &mut Vec<u8>, text: &str) {
    let _ = serde_json::to_writer(body, text);
}

fn write_key(body: &mut Vec<u8>, key: &str) {
    body.extend_from_slice(b",\"");
    body.extend_from_slice(key.as_bytes());
    body.extend_from_slice(b"\":");
}

fn write_list<'a>(
    body: &mut Vec<u8>,
    key: &[u8],
    items: impl IntoIterator<Item = &'a str>,
    even_empty: bool,
) {
    let mut first = true;
    for item in items {
        if first {
            body.extend_from_slice(key);
        }
        body.push(if first { b'[' } else { b',' });
        write_string(body, item);
        first = false;
    }
    if !first {
        body.push(b']');
    } else if even_empty {
        body.extend_from_slice(key);
        body.extend_from_slice(b"[]");
    }
}

/// Writes a payload as its publisher meant it, or as what it turns out to be.
///
/// The mark is data from disk and is not believed: text that is no JSON would break the whole
/// message.
pub(super) fn write_payload(body: &mut Vec<u8>, encoding: Option<Encoding>, payload: &[u8]) {
    let text = std::str::from_utf8(payload).ok();
    match (encoding, text) {
        (Some(Encoding::Json), Some(text)) if is_json(text) => {
            write_key(body, "data");
            body.extend_from_slice(payload);
        }
        (Some(Encoding::Bytes), _) | (_, None) if !payload.is_empty() => {
            write_key(body, "base64");
            body.push(b'"');
            body.extend_from_slice(STANDARD.encode(payload).as_bytes());
            body.push(b'"');
        }
        (_, text) => {
            write_key(body, "text");
            write_string(body, text.unwrap_or_default());
        }
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}
