//! From values to the text of a server's message.

use std::io::Write as _;

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use super::code::ErrorCode;
use super::page::PageMessage;
use super::server::ServerMessage;

impl ServerMessage {
    /// The message as text. A page that was written in binary has none.
    #[must_use]
    pub fn encode(&self) -> String {
        match self.encode_page() {
            Some(page) => page.text(),
            // The other types are plain: writing them into a string cannot fail.
            None => serde_json::to_string(self).unwrap_or_default(),
        }
    }

    /// `events` and `volatile`, whose events are not copied; none for other messages.
    #[must_use]
    pub fn encode_page(&self) -> Option<PageMessage> {
        let Self::Events {
            sub,
            page,
            position,
            live,
            volatile,
        } = self
        else {
            return None;
        };
        let (at, page) = (position.to_string(), page.clone());
        if page.binary {
            let lengths = [sub, &at].map(|name| u8::try_from(name.len()).unwrap_or(u8::MAX));
            let head = [1, u8::from(*live), lengths[0], lengths[1]];
            let head = [&head, sub.as_bytes(), at.as_bytes()].concat();
            return Some(PageMessage { head, page });
        }
        // Writing a string cannot fail either.
        let sub = serde_json::to_string(sub).unwrap_or_default();
        // Up to and with its last dot. A position has nothing to escape.
        let stem = at.trim_end_matches(|digit: char| digit.is_ascii_digit());
        let (kind, bytes) = (["events", "volatile"][usize::from(*volatile)], page.bytes());
        // Each client has its own, so it is allocated once.
        let mut head = Vec::with_capacity(256);
        let _ = write!(head, r#"{{"type":"{kind}","sub":{sub},"stem":"{stem}","#);
        let _ = write!(
            head,
            r#""position":"{at}","bytes":{bytes},"live":{live},"events":["#
        );
        Some(PageMessage { head, page })
    }
}

/// A code says by itself whether to try again.
impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("ErrorCode", 2)?;
        fields.serialize_field("code", self.as_str())?;
        fields.serialize_field("retry", &self.retry())?;
        fields.end()
    }
}
