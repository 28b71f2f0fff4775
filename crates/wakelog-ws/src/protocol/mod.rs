//! Messages to bytes and back: `wakelog.v1` as PROTOCOL.md fixes it.
//!
//! Nothing here does I/O or keeps state, but that a page remembers what a message said of it last,
//! so that it is written once for many connections. What comes from a client is checked completely
//! while it is decoded, so that the rooms above hold only names, topics, filters and positions that
//! follow the rules.

mod client;
mod code;
mod decode;
mod encode;
mod names;
mod outgoing;
mod page;
mod payload;
mod server;

pub use client::{ClientMessage, Grant, Hello, Subscribe};
pub use code::{CloseCode, ErrorCode};
pub use decode::decode;
#[cfg(feature = "client")]
pub(crate) use decode::present;
pub use names::{NameError, check_consumer};
pub use outgoing::Outgoing;
pub use page::{EncodedPage, PageEvent, PageMessage};
pub use payload::{Bare, ENCODING_ATTRIBUTE, Encoding, Payload};
pub use server::{
    CursorState, Failure, Limits, LoadedCursor, Reconnect, Reset, ResetReason, ServerMessage,
    Welcome,
};

/// The WebSocket subprotocol that every client can speak.
pub const SUBPROTOCOL: &str = "wakelog.v1.json";

/// The one in which pages are binary messages.
pub const SUBPROTOCOL_BIN: &str = "wakelog.v1.bin";

/// The topic that every subscription hears without naming it.
pub const EVERYONE: &str = "$all";

/// The first token of the topics of single identities, which their subscriptions hear without
/// naming them.
pub const PERSONAL: &str = "$to";

/// The topic of one identity; none if its name cannot stand in a topic.
pub(crate) fn personal(identity: &str) -> Option<String> {
    let topic = format!("{PERSONAL}.{identity}");
    wakelog::Topic::check(&topic).is_ok().then_some(topic)
}

#[cfg(test)]
mod tests;
