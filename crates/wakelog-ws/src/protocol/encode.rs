//! From values to the text of a server's message.

use serde::{Serialize, Serializer};
use wakelog::{Epoch, Gap, GapReason, LogId, Position};

use super::page::{EncodedPage, write_payload, write_string};
use super::payload::Payload;
use super::server::{ServerMessage, WireError};

impl ServerMessage {
    /// The message as text.
    #[must_use]
    pub fn encode(&self) -> String {
        if let Self::Events {
            sub,
            page,
            position,
            live,
        } = self
        {
            return encode_page(sub, page, position, *live);
        }
        if let Self::Reply { id, payload } = self {
            return encode_reply(id, payload);
        }
        // The types above are plain: writing them into a string cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn encode_page(sub: &str, page: &EncodedPage, position: &Position, live: bool) -> String {
    let position = position.to_string();
    let mut out = Vec::with_capacity(page.body().len() + sub.len() + 2 * position.len() + 96);
    out.extend_from_slice(b"{\"type\":\"events\",\"sub\":");
    write_string(&mut out, sub);
    out.extend_from_slice(b",\"stem\":");
    write_string(&mut out, stem(&position));
    out.extend_from_slice(b",\"events\":[");
    out.extend_from_slice(page.body().as_bytes());
    out.extend_from_slice(b"],\"position\":");
    write_string(&mut out, &position);
    out.extend_from_slice(format!(",\"bytes\":{},\"live\":{live}}}", page.bytes()).as_bytes());
    String::from_utf8(out).unwrap_or_default()
}

fn encode_reply(id: &str, payload: &Payload) -> String {
    let mut out = b"{\"type\":\"reply\",\"id\":".to_vec();
    write_string(&mut out, id);
    write_payload(&mut out, Some(payload.encoding()), payload.as_bytes());
    out.push(b'}');
    String::from_utf8(out).unwrap_or_default()
}

/// A position's text up to and with its last dot.
fn stem(position: &str) -> &str {
    position.rfind('.').map_or("", |dot| &position[..=dot])
}

pub(super) fn text<S: Serializer>(position: &Position, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(position)
}

pub(super) fn log_text<S: Serializer>(log: &LogId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(log)
}

pub(super) fn epoch_text<S: Serializer>(epoch: &Epoch, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(epoch)
}

pub(super) fn write_positions<S: Serializer>(
    positions: &[(String, Position)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(
        positions
            .iter()
            .map(|(sub, position)| (sub, position.to_string())),
    )
}

pub(super) fn write_gap<S: Serializer>(
    sub: &str,
    gap: &Gap,
    position: &Position,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Wire<'a> {
        sub: &'a str,
        from: u64,
        to: u64,
        reason: &'a str,
        position: String,
    }
    let reason = match gap.reason {
        GapReason::Trimmed => "trimmed",
        GapReason::Diverged => "diverged",
        // A reason that this protocol has no word for is told as damage: what is in the range will
        // not come.
        _ => "corrupt",
    };
    Wire {
        sub,
        from: gap.from,
        to: gap.to,
        reason,
        position: position.to_string(),
    }
    .serialize(serializer)
}

pub(super) fn write_error<S: Serializer>(
    error: &WireError,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Wire<'a> {
        code: &'a str,
        retry: bool,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        re: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sub: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        after_ms: Option<u64>,
    }
    Wire {
        code: error.code.as_str(),
        retry: error.code.retry(),
        message: &error.message,
        re: error.re,
        sub: error.sub.as_deref(),
        id: error.id.as_deref(),
        after_ms: error.after_ms,
    }
    .serialize(serializer)
}
