//! Events on their way into the log, of clients and of the application.

use super::payload::Payload;
use super::{EVERYONE, PERSONAL};
use crate::settings::settings;

/// An event on its way into the log.
///
/// ```
/// use wakelog_ws::{Outgoing, Payload};
///
/// let event = Outgoing::to("room.42", Payload::text("hello")).also_to("room.43").not_to("alice");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "an event does nothing before it is emitted"]
pub struct Outgoing {
    /// Whom it is to: at least one topic.
    pub topics: Vec<String>,
    /// Which identities do not get it.
    pub not_to: Vec<String>,
    /// What kind of event it is.
    pub name: Option<String>,
    /// The same when it is sent again; every client gives one.
    pub id: Option<String>,
    /// Who sends it: no client says that of itself.
    pub from: Option<String>,
    /// It is not stored: see [`volatile`](Self::volatile).
    pub volatile: bool,
    /// The payload.
    pub payload: Payload,
}

impl Outgoing {
    /// An event to all who hear the topic.
    pub fn to(topic: impl Into<String>, payload: Payload) -> Self {
        Self {
            topics: vec![topic.into()],
            payload,
            ..Self::default()
        }
    }

    /// An event to every session of every hub on the log.
    pub fn to_everyone(payload: Payload) -> Self {
        Self::to(EVERYONE, payload)
    }

    /// An event to the sessions of one identity, whatever they have subscribed to.
    ///
    /// An identity that breaks the rules of topics (white space, an empty token between dots) hears
    /// nothing in this way, and emitting to it fails.
    pub fn to_identity(identity: &str, payload: Payload) -> Self {
        Self::to(format!("{}.{identity}", PERSONAL), payload)
    }

    /// Also to those who hear this topic; each gets the event once.
    pub fn also_to(mut self, topic: impl Into<String>) -> Self {
        self.topics.push(topic.into());
        self
    }

    /// Not to the sessions that have this identity.
    pub fn not_to(mut self, identity: impl Into<String>) -> Self {
        self.not_to.push(identity.into());
        self
    }

    /// Only for those who are here and have caught up: it is not stored, nobody gets it later, and
    /// who is behind does not get it at all. For what is worth nothing a moment later, such as that
    /// somebody is typing.
    pub fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    settings! {
        /// What kind of event it is.
        name(name: impl Into<String>) => name = Some(name.into());

        /// An id that stays the same when the event is sent again.
        id(id: impl Into<String>) => id = Some(id.into());

        /// Who sends it.
        from(from: impl Into<String>) => from = Some(from.into());
    }
}
