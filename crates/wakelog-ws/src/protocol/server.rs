//! Messages of the server: from values to text.

use serde::{Serialize, Serializer};
use wakelog::{Epoch, Gap, GapReason, LogId, Position};

use super::client::Grant;
use super::code::ErrorCode;
use super::page::{EncodedPage, write_string};

/// A message of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServerMessage {
    /// The session is open.
    Welcome(Box<Welcome>),
    /// A subscription is open.
    Subscribed {
        /// The client's name for it.
        sub: String,
        /// Where reading begins.
        #[serde(serialize_with = "text")]
        position: Position,
        /// The durable end of the log: events below it were missed, others are new.
        end: u64,
    },
    /// A page of a subscription.
    #[serde(skip)]
    Events {
        /// The subscription.
        sub: String,
        /// The events.
        page: EncodedPage,
        /// The position after the page.
        position: Position,
        /// Nothing more was waiting.
        live: bool,
    },
    /// Something may have been missed.
    #[serde(serialize_with = "write_gap")]
    Gap {
        /// The subscription.
        sub: String,
        /// The range and why.
        gap: Gap,
        /// Where reading goes on.
        position: Position,
    },
    /// The position that was asked for is not of this log.
    Reset {
        /// The subscription, which is not open.
        sub: String,
        /// What does not fit.
        reason: ResetReason,
        /// The position of the first event there is.
        #[serde(serialize_with = "text")]
        earliest: Position,
        /// The position after the last durable event.
        #[serde(serialize_with = "text")]
        end: Position,
    },
    /// A subscription is closed.
    Unsubscribed {
        /// The subscription.
        sub: String,
        /// Where it stood.
        #[serde(serialize_with = "text")]
        position: Position,
    },
    /// The cursor stands at `position`, on disk.
    AckOk {
        /// Where the cursor stands.
        #[serde(serialize_with = "text")]
        position: Position,
    },
    /// An event is on disk.
    Published {
        /// The client's id for it.
        id: String,
        /// Its number.
        offset: u64,
        /// The position after it.
        #[serde(serialize_with = "text")]
        position: Position,
    },
    /// A sign of life, and where quiet subscriptions stand.
    Heartbeat {
        /// Subscriptions that have moved without having said so.
        #[serde(serialize_with = "write_positions")]
        positions: Vec<(String, Position)>,
    },
    /// A newer connection of the consumer has taken over.
    Fenced,
    /// The server is about to close; when to come back, in milliseconds.
    Bye {
        /// Earliest and latest moment.
        #[serde(rename = "in")]
        window: [u64; 2],
    },
    /// Something went wrong.
    #[serde(serialize_with = "write_error")]
    Error(WireError),
}

/// `welcome`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Welcome {
    /// The log's id.
    #[serde(serialize_with = "log_text")]
    pub log: LogId,
    /// The log's epoch.
    #[serde(serialize_with = "epoch_text")]
    pub epoch: Epoch,
    /// The position after the last durable event.
    #[serde(serialize_with = "text")]
    pub end: Position,
    /// The identity under which the session publishes.
    pub from: Option<String>,
    /// As the client gave it.
    pub consumer: Option<String>,
    /// The consumer's cursor.
    pub cursor: Option<WelcomeCursor>,
    /// How often the server sends a heartbeat, in milliseconds.
    pub heartbeat_ms: u64,
    /// When to come back after a cut.
    pub reconnect: Reconnect,
    /// What the client may do.
    pub limits: Limits,
}

/// The cursor as `welcome` tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WelcomeCursor {
    /// Whether it was there before.
    pub state: CursorState,
    /// Where it stands.
    #[serde(serialize_with = "text")]
    pub position: Position,
}

/// Whether a cursor was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CursorState {
    /// It was made just now.
    New,
    /// It goes on from where it stood.
    Resumed,
}

/// The window in which a client comes back, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Reconnect {
    /// The bound of the first random wait.
    pub min_ms: u64,
    /// The bound of all waits.
    pub max_ms: u64,
}

/// What a client may do; all of it is told in `welcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Limits {
    /// The longest message of a client, in bytes.
    pub message_bytes: usize,
    /// Subscriptions of a connection.
    pub subscriptions: usize,
    /// Filters of a subscription.
    pub filters: usize,
    /// Publishes of a connection that are not answered.
    pub publishes: usize,
    /// How many ids of events the log remembers.
    pub dedup_ids: u64,
    /// Cap and default of a subscription's credit.
    pub credit: Grant,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 64 << 10,
            subscriptions: 32,
            filters: 64,
            publishes: 256,
            dedup_ids: 0,
            credit: Grant { events: 4096, bytes: 1 << 20 },
        }
    }
}

/// What about a position does not fit this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ResetReason {
    /// It is of another log.
    Log,
    /// This log does not know its epoch.
    Epoch,
}

/// `error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireError {
    /// The code.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
    /// The `type` of the message that caused it.
    pub re: Option<&'static str>,
    /// The subscription.
    pub sub: Option<String>,
    /// The event's id.
    pub id: Option<String>,
    /// Not to be tried again before, in milliseconds.
    pub after_ms: Option<u64>,
}

impl ServerMessage {
    /// The message as text.
    #[must_use]
    pub fn encode(&self) -> String {
        if let Self::Events { sub, page, position, live } = self {
            return encode_page(sub, page, position, *live);
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

/// A position's text up to and with its last dot.
fn stem(position: &str) -> &str {
    position.rfind('.').map_or("", |dot| &position[..=dot])
}

fn text<S: Serializer>(position: &Position, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(position)
}

fn log_text<S: Serializer>(log: &LogId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(log)
}

fn epoch_text<S: Serializer>(epoch: &Epoch, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(epoch)
}

fn write_positions<S: Serializer>(
    positions: &[(String, Position)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(positions.iter().map(|(sub, position)| (sub, position.to_string())))
}

fn write_gap<S: Serializer>(
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
    Wire { sub, from: gap.from, to: gap.to, reason, position: position.to_string() }
        .serialize(serializer)
}

fn write_error<S: Serializer>(error: &WireError, serializer: S) -> Result<S::Ok, S::Error> {
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
