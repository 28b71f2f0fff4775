//! Messages of a client, as values that follow the rules.

use std::fmt;

use serde::{Deserialize, Serialize};
use wakelog::Position;

use super::payload::Payload;

/// A message of a client, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientMessage {
    /// Who the client is.
    Hello(Hello),
    /// Opens a subscription.
    Subscribe(Subscribe),
    /// Gives a subscription other filters.
    Change {
        /// The subscription.
        sub: String,
        /// The filters as text; each one parses.
        filters: Vec<String>,
    },
    /// Gives credit to a subscription.
    Credit {
        /// The subscription.
        sub: String,
        /// How much is added.
        grant: Grant,
    },
    /// Moves the consumer's cursor.
    Ack {
        /// All before it is processed.
        position: Position,
    },
    /// Appends an event.
    Publish(Publish),
    /// Closes a subscription.
    Unsubscribe {
        /// The subscription.
        sub: String,
    },
    /// A sign of life.
    Heartbeat,
}

/// `hello`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Hello {
    /// The name under which a cursor is kept.
    pub consumer: Option<String>,
    /// Credentials for the application.
    pub token: Option<String>,
    /// Name and version of the client library.
    pub client: Option<String>,
}

/// Without the token itself, which is nobody's to read in a log file.
impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            consumer,
            token,
            client,
        } = self;
        f.debug_struct("Hello")
            .field("consumer", consumer)
            .field("token", &token.as_ref().map(|_| format_args!("hidden")))
            .field("client", client)
            .finish()
    }
}

/// `subscribe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// The client's name for it.
    pub sub: String,
    /// The filters as text; each one parses.
    pub filters: Vec<String>,
    /// Where reading begins.
    pub start: StartAt,
    /// The first credit; none = as much as the limits allow.
    pub credit: Option<Grant>,
}

/// Where a subscription begins.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartAt {
    /// At the consumer's cursor.
    Cursor,
    /// At the first event there is.
    Earliest,
    /// Behind the last durable event.
    Latest,
    /// At an offset.
    Offset(u64),
    /// At a position that the client kept.
    Position(Position),
}

/// Credit: events and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Grant {
    /// How many events.
    pub events: u32,
    /// How many bytes, as pages count them.
    pub bytes: u32,
}

/// `publish`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// The client's id for the event; the same when it is sent again.
    pub id: String,
    /// Whom it is to.
    pub topics: Vec<String>,
    /// Which identities do not get it.
    pub not_to: Vec<String>,
    /// What kind of event it is, in the application's words.
    pub name: Option<String>,
    /// The payload.
    pub payload: Payload,
}
