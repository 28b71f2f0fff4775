//! Messages of the server, as values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wakelog::{Epoch, Gap, LogId, Position};

use super::client::Grant;
use super::code::ErrorCode;
use super::page::EncodedPage;
use super::payload::Payload;
use crate::settings::settings;

/// What may succeed later is not to be tried again before, in milliseconds.
const RETRY_AFTER: u64 = 1_000;

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
        /// `volatile`: the events are not stored, and the position is where the log ended.
        volatile: bool,
    },
    /// Something may have been missed.
    Gap {
        /// The subscription.
        sub: String,
        /// The range and why.
        #[serde(flatten)]
        gap: Gap,
        /// Where reading goes on.
        position: Position,
    },
    /// The position that was asked for is not of this log.
    Reset {
        /// The subscription, which is not open.
        sub: String,
        /// Why, and where one can go on.
        #[serde(flatten)]
        reset: Reset,
    },
    /// A subscription is closed.
    Unsubscribed {
        /// The subscription.
        sub: String,
        /// Where it stood.
        position: Position,
    },
    /// The cursor stands at `position`, on disk.
    AckOk {
        /// Where the cursor stands.
        position: Position,
    },
    /// An event is on disk.
    Published {
        /// The client's id for it.
        id: String,
        /// Its number.
        offset: u64,
        /// The position after it.
        position: Position,
    },
    /// The application has taken an event, which is not stored, and answers.
    Reply {
        /// The client's id for it.
        id: String,
        /// The answer.
        #[serde(flatten)]
        payload: Payload,
    },
    /// A sign of life, and where quiet subscriptions stand.
    Heartbeat {
        /// Subscriptions that have moved without having said so.
        positions: BTreeMap<String, Position>,
    },
    /// A younger connection of the consumer has taken over.
    Fenced,
    /// The server is about to close; when to come back, in milliseconds.
    Bye {
        /// Earliest and latest moment.
        #[serde(rename = "in")]
        window: [u64; 2],
    },
    /// Something went wrong.
    Error(Failure),
}

/// `welcome`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Welcome {
    /// The log's id.
    pub log: LogId,
    /// The log's epoch.
    pub epoch: Epoch,
    /// The position after the last durable event.
    pub end: Position,
    /// The identity under which the session publishes.
    pub from: Option<String>,
    /// As the client gave it.
    pub consumer: Option<String>,
    /// The consumer's cursor.
    pub cursor: Option<LoadedCursor>,
    /// How often the server sends a heartbeat, in milliseconds.
    pub heartbeat_ms: u64,
    /// When to come back after a cut.
    pub reconnect: Reconnect,
    /// What the client may do.
    pub limits: Limits,
}

/// The cursor of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LoadedCursor {
    /// Whether it was there before.
    pub state: CursorState,
    /// Where it stands.
    pub position: Position,
    /// What has to be told before reading goes on there.
    #[serde(skip)]
    pub gap: Option<Gap>,
}

/// Whether a cursor was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CursorState {
    /// It was made just now.
    New,
    /// It goes on from where it stood.
    Resumed,
    /// It was there, but nobody had used it for so long that it begins anew.
    Expired,
    /// Its record is damaged, and nobody knows where it stood: it begins anew with the oldest event
    /// that there is.
    Lost,
}

/// The window in which a client comes back, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconnect {
    /// The bound of the first random wait.
    pub min_ms: u64,
    /// The bound of all waits.
    pub max_ms: u64,
}

/// What a client may do; all of it is told in `welcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
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

/// A position is not of this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Reset {
    /// What does not fit.
    pub reason: ResetReason,
    /// The position of the first event there is.
    pub earliest: Position,
    /// The position after the last durable event.
    pub end: Position,
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

/// `error`: what a client is told of a failure. Details belong into the server's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The code.
    #[serde(flatten)]
    pub code: ErrorCode,
    /// For people.
    pub message: String,
    /// The `type` of the message that caused it, if it is one that we know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub re: Option<&'static str>,
    /// The subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// The event's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Not to be tried again before, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
}

impl Failure {
    /// A failure with a text for people.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            re: None,
            sub: None,
            id: None,
            after_ms: code.retry().then_some(RETRY_AFTER),
        }
    }

    /// Something that the client need not know.
    pub(crate) fn internal() -> Self {
        Self::new(ErrorCode::Internal, "internal error")
    }

    settings! {
        /// About a message of this type.
        re(kind: &'static str) => re = Some(kind);

        /// About this subscription.
        of_sub(name: impl Into<String>) => sub = Some(name.into());

        /// About the event with this id.
        of_event(id: impl Into<String>) => id = Some(id.into());
    }
}
