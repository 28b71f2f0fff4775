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

    /// Gives the numbers to the recorder of the crate `metrics`, under names that begin with
    /// `wakelog_ws_`. To be called every few seconds, or before the recorder is asked.
    #[cfg(feature = "metrics")]
    pub fn record(&self) {
        let float = |number| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        metrics::gauge!("wakelog_ws_connections").set(float(self.connections));
        metrics::gauge!("wakelog_ws_sessions").set(float(self.sessions));
        metrics::counter!("wakelog_ws_events_total").absolute(self.events);
        metrics::counter!("wakelog_ws_event_bytes_total").absolute(self.event_bytes);
        metrics::counter!("wakelog_ws_publishes_total").absolute(self.publishes);
        metrics::counter!("wakelog_ws_fenced_total").absolute(self.fenced);
        metrics::counter!("wakelog_ws_drained_total").absolute(self.drained);
        metrics::counter!("wakelog_ws_stalled_total").absolute(self.stalled);
        for (code, count) in &self.refusals {
            let counter = metrics::counter!("wakelog_ws_refusals_total", "code" => code.clone());
            counter.absolute(*count);
        }
    }
}
