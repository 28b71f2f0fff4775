#![cfg_attr(feature = "axum", doc = include_str!("../README.md"))]
#![cfg_attr(not(feature = "axum"), doc = "A wakelog event log over WebSocket.")]
#![deny(unsafe_code)]

#[cfg(feature = "client")]
pub mod client;
// Called by the fuzzers, and by tests.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod protocol;
mod serve;
pub mod session;
mod settings;
mod source;

pub use protocol::{Encoding, Failure, Hello, Limits, Outgoing, Payload, Reconnect};
#[cfg(feature = "axum")]
pub use serve::shims::{CLIENT, browser_client};
#[cfg(feature = "tower")]
pub use serve::shims::{HubLayer, HubService};
pub use serve::{
    Answer, Authorize, Call, Client, Denied, Frame, FrameError, HookFuture, Hub, HubBuilder,
    HubStats, Origin, OriginError, Principal, Published, Refusal, Ticket, Upgrade,
};
pub use source::{
    EventSource, LogCursor, LogReader, LogSource, ReaderSpec, SourceCursor, SourceError,
    SourceReader,
};
