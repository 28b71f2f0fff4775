//! What a subscription tells, and how things end.

use wakelog::{Gap, Position};

use crate::protocol::{Failure, Payload, ResetReason};

/// What [`Subscription::next`](super::Subscription::next) tells, in the order of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Told {
    /// An event.
    Event(Event),
    /// Something may have been missed, in exact numbers. After `Diverged`, drop what you hold with
    /// offsets in the range.
    Gap(Gap),
    /// The log is another one than before: drop what you derived from it. The subscription goes on
    /// at its start, or else at the earliest event.
    Reset(ResetReason),
}

/// An event as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The number of the event in the log; of a volatile one, that of the next that is stored.
    pub offset: u64,
    /// The place after this event: store it with the effect of the event to process it just once.
    pub position: Position,
    /// It is not stored, and says nothing about the place of the subscription.
    pub volatile: bool,
    /// UTC microseconds, on the server's clock.
    pub time: u64,
    /// All its topics.
    pub topics: Vec<String>,
    /// Which identities do not get it.
    pub not_to: Vec<String>,
    /// What kind of event it is.
    pub name: Option<String>,
    /// The id its publisher gave it.
    pub id: Option<String>,
    /// Who published it, by the server's word.
    pub from: Option<String>,
    /// The payload.
    pub payload: Payload,
    /// It was appended while this client was away.
    pub missed: bool,
}

/// What became of an event that was emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Emitted {
    /// It is on the server's disk, before this position.
    Stored(Position),
    /// The application has taken it for itself, and answers.
    Reply(Payload),
}

/// Why an event was not emitted.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// It never can be.
    #[error("refused: {0}")]
    Refused(Failure),
    /// The client ended first. The event may or may not have been stored.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// Why nothing comes any more, without a new client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// [`Client::close`](super::Client::close).
    #[error("the client was closed")]
    Closed,
    /// A younger connection of this consumer has taken over.
    #[error("a younger connection of this consumer has taken over")]
    Fenced,
    /// The server will not have this client.
    #[error("the server refuses this client with close code {code}")]
    Refused {
        /// PROTOCOL.md, section 11.
        code: u16,
        /// What it said before, if it did.
        error: Option<Failure>,
    },
    /// The server will not have this subscription; the client goes on.
    #[error("the server refuses this subscription: {0}")]
    Subscription(Failure),
}
