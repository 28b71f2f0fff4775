//! Messages of a client, as values that follow the rules.

use derive_more::Debug;
use serde::{Deserialize, Serialize};
use wakelog::{Position, Start};

use super::outgoing::Outgoing;

/// A message of a client, checked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClientMessage {
    /// Who the client is.
    Hello(Hello),
    /// Opens a subscription.
    #[serde(skip)]
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
        #[serde(flatten)]
        grant: Grant,
    },
    /// Moves the consumer's cursor.
    #[serde(skip)]
    Ack {
        /// All before it is processed.
        position: Position,
    },
    /// Appends an event.
    #[serde(skip)]
    Publish(Outgoing),
    /// Closes a subscription.
    Unsubscribe {
        /// The subscription.
        sub: String,
    },
    /// A sign of life.
    Heartbeat,
}

/// `hello`. `Debug` hides the token, which is nobody's to read in a log file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Hello {
    /// The name under which a cursor is kept.
    pub consumer: Option<String>,
    /// Credentials for the application.
    #[debug("{:?}", token.as_ref().map(|_| "hidden"))]
    pub token: Option<String>,
    /// Name and version of the client library.
    pub client: Option<String>,
}

/// `subscribe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// The client's name for it.
    pub sub: String,
    /// The filters as text; each one parses.
    pub filters: Vec<String>,
    /// Where reading begins: earliest, latest, an offset, a position, or the consumer's cursor.
    pub start: Option<Start>,
    /// The first credit; none = as much as the limits allow.
    pub credit: Option<Grant>,
}

/// Credit: events and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
pub struct Grant {
    /// How many events.
    pub events: u32,
    /// How many bytes, as pages count them.
    pub bytes: u32,
}
