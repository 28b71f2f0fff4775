//! From values to the text of a server's message.

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use super::code::ErrorCode;
use super::page::PageMessage;
use super::server::ServerMessage;

impl ServerMessage {
    /// The message as text. A page that was written in binary has none.
    pub fn encode(&self) -> String {
        match self.encode_page() {
            Some(page) => page.text(),
            // The other types are plain: writing them into a string cannot fail.
            None => serde_json::to_string(self).unwrap_or_default(),
        }
    }

    /// `events` and `volatile`, whose events are not copied; none for other messages.
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
        let said = page.said((*position, *live), || {
            let at = position.to_string();
            if page.binary {
                return at;
            }
            // Up to and with its last dot. A position has nothing to escape.
            let stem = at.trim_end_matches(|digit: char| digit.is_ascii_digit());
            let (stem, bytes) = (format!(r#","stem":"{stem}""#), page.bytes());
            format!(r#"{stem},"position":"{at}","bytes":{bytes},"live":{live},"events":["#)
        });
        let head = if page.binary {
            let short = |text: &str| u8::try_from(text.len()).unwrap_or(u8::MAX);
            let front = [1, u8::from(*live), short(sub), short(&said)];
            [&front, sub.as_bytes(), said.as_bytes()].concat()
        } else {
            let kind = ["events", "volatile"][usize::from(*volatile)];
            // Writing a string cannot fail either.
            let sub = serde_json::to_string(sub).unwrap_or_default();
            let head = [r#"{"type":""#, kind, r#"","sub":"#, &sub, &said];
            head.concat().into()
        };
        let page = page.clone();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{EncodedPage, PageEvent};
    use std::collections::BTreeSet;
    use wakelog::Position;

    fn message(page: &EncodedPage, sub: &str, offset: u64, live: bool, volatile: bool) -> Vec<u8> {
        let at = "0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.0";
        let at: Position = at.parse().unwrap();
        let message = ServerMessage::Events {
            sub: sub.to_owned(),
            page: page.clone(),
            position: Position { offset, ..at },
            live,
            volatile,
        };
        message.encode_page().unwrap().pieces().concat()
    }

    /// Connections share a page, and each gets its own message.
    #[test]
    fn a_shared_page_has_the_head_of_whoever_asks() {
        for binary in [false, true] {
            let page = || EncodedPage::new(&[PageEvent::default()], binary);
            let shared = page();
            let mut seen = BTreeSet::new();
            for (sub, offset, live, volatile) in [
                ("a", 7, false, false),
                ("a", 7, false, false),
                ("b", 7, false, false),
                ("b", 8, false, false),
                ("b", 8, true, false),
                ("b", 8, true, true),
                ("a", 7, false, false),
            ] {
                let fresh = message(&page(), sub, offset, live, volatile);
                assert_eq!(message(&shared, sub, offset, live, volatile), fresh);
                seen.insert(fresh);
            }
            // In binary nothing is volatile.
            assert_eq!(seen.len(), 5 - usize::from(binary));
        }
    }
}
