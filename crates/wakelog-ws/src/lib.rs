#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

pub mod protocol;
mod serve;
pub mod session;
mod source;

#[cfg(feature = "axum")]
pub use serve::{CLIENT, browser_client};
pub use protocol::{Encoding, Hello, Limits, Payload, Reconnect};
pub use serve::{
    Authorize, Client, Denied, EmitError, Frame, FrameError, HookFuture, Hub, HubBuilder, Principal,
    Published,
};
pub use source::{
    EventSource, LogCursor, LogReader, LogSource, Outgoing, ReaderSpec, SourceCursor, SourceError,
    SourceReader,
};
