//! Messages of the server, as values.

use serde::Serialize;
use wakelog::{Epoch, Gap, LogId, Position};

use super::client::Grant;
use super::code::ErrorCode;
use super::encode::{epoch_text, log_text, text, write_error, write_gap, write_positions};
use super::page::EncodedPage;
use super::payload::Payload;

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
    /// The application has taken an event, which is not stored, and answers.
    #[serde(skip)]
    Reply {
        /// The client's id for it.
        id: String,
        /// The answer.
        payload: Payload,
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
            credit: Grant {
                events: 4096,
                bytes: 1 << 20,
            },
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
