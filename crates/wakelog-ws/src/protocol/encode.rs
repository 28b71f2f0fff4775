//! From values to the text of a server's message.

use std::sync::Arc;

use serde::ser::{Serialize, SerializeStruct as _, Serializer};
use serde_json::json;
use wakelog::Position;

use super::code::ErrorCode;
use super::server::ServerMessage;

impl ServerMessage {
    /// The message as text.
    #[must_use]
    pub fn encode(&self) -> String {
        if let Some(page) = self.encode_page() {
            return page.concat();
        }
        // The other types are plain: writing them into a string cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The text of `events` in three pieces, of which the events are one and are not copied; none
    /// for other messages.
    #[must_use]
    pub fn encode_page(&self) -> Option<[Arc<str>; 3]> {
        let Self::Events {
            sub,
            page,
            position,
            live,
        } = self
        else {
            return None;
        };
        let position = position.to_string();
        let (sub, stem, bytes) = (json!(sub), stem(&position), page.bytes());
        // A position has nothing to escape.
        let head = format!(r#"{{"type":"events","sub":{sub},"stem":"{stem}","events":["#);
        let tail = format!(r#"],"position":"{position}","bytes":{bytes},"live":{live}}}"#);
        Some([head.into(), Arc::clone(page.body()), tail.into()])
    }
}

/// A position's text up to and with its last dot.
fn stem(position: &str) -> &str {
    position.rfind('.').map_or("", |dot| &position[..=dot])
}

pub(super) fn as_map<S: Serializer>(
    positions: &[(String, Position)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(positions.iter().map(|(sub, position)| (sub, position)))
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
