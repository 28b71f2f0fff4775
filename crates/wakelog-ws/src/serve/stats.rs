//! What a hub has done, in numbers.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::protocol::ServerMessage;

/// A hub in numbers: what there is now, and what has been since it was made. Made by
/// [`Hub::stats`](super::Hub::stats).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HubStats {
    /// Connections that there are, from the upgrade on.
    pub connections: u64,
    /// Those that were welcomed.
    pub sessions: u64,
    /// Events that were sent, each time one was.
    pub events: u64,
    /// Bytes of these events, as they stand in messages.
    pub event_bytes: u64,
    /// Publishes that were stored, or answered by the application.
    pub publishes: u64,
    /// Connections that a younger one of their consumer has ended.
    pub fenced: u64,
    /// Connections that were asked to come back later.
    pub drained: u64,
    /// Connections that were cut because their client did not read.
    pub stalled: u64,
    /// What was refused, by the code of the error; upgrades by their status, such as `http_403`.
    pub refusals: BTreeMap<String, u64>,
}

impl HubStats {
    /// Counts a message that goes out.
    pub(super) fn count(&mut self, message: &ServerMessage) {
        match message {
            ServerMessage::Events { page, .. } => {
                self.events += u64::from(page.events());
                self.event_bytes += page.bytes();
            }
            ServerMessage::Published { .. } | ServerMessage::Reply { .. } => self.publishes += 1,
            ServerMessage::Fenced => self.fenced += 1,
            ServerMessage::Bye { .. } => self.drained += 1,
            ServerMessage::Error(failure) => self.refuse(failure.code.as_str()),
            _ => {}
        }
    }

    /// The codes are ours, so there are few.
    pub(super) fn refuse(&mut self, code: &str) {
        *self.refusals.entry(code.to_owned()).or_default() += 1;
    }
}
