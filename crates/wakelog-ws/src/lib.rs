#![cfg_attr(feature = "axum", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "axum"),
    doc = "A wakelog event log over WebSocket; see README.md."
)]
#![deny(unsafe_code)]

// Called by the fuzzers, and by tests.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod protocol;
mod serve;
pub mod session;
mod source;

pub use protocol::{Encoding, Hello, Limits, Payload, Reconnect};
pub use serve::{
    Answer, Authorize, Call, Client, Denied, EmitError, Frame, FrameError, HookFuture, Hub,
    HubBuilder, Origin, OriginError, Principal, Published, Refusal, Ticket, Upgrade,
};
#[cfg(feature = "axum")]
pub use serve::{CLIENT, browser_client};
pub use source::{
    EventSource, LogCursor, LogReader, LogSource, Outgoing, ReaderSpec, SourceCursor, SourceError,
    SourceReader,
};
