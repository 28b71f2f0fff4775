//! What goes over a socket, free of any WebSocket library's types.

use crate::protocol::{CloseCode, PageMessage};

/// A WebSocket message, in either direction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Frame {
    /// A text message.
    Text(String),
    /// A message in pieces, from the hub alone: the long one is shared with other connections. It
    /// is text or [binary](PageMessage::is_binary).
    Page(PageMessage),
    /// A binary message of a client; its content does not matter, it is refused.
    Binary,
    /// A ping or pong that arrived. The library below answers pings.
    Alive,
    /// The connection is to be closed.
    Close {
        /// The code.
        code: u16,
        /// A word for people.
        reason: &'static str,
    },
    /// The other side closes the connection.
    Closed,
}

/// Why a socket cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A message or frame is longer than allowed.
    #[error("a message is too long")]
    TooLong,
    /// Frames that break RFC 6455.
    #[error("broken frames: {0}")]
    Broken(String),
    /// Text that is not UTF-8.
    #[error("text that is not UTF-8")]
    NotText,
    /// The connection is cut.
    #[error("the connection is cut: {0}")]
    Cut(String),
}

impl FrameError {
    /// With what the connection ends, where something can still be sent.
    pub(super) const fn close_code(&self) -> CloseCode {
        match self {
            Self::TooLong => CloseCode::TooBig,
            Self::NotText => CloseCode::NotText,
            Self::Broken(_) | Self::Cut(_) => CloseCode::Protocol,
        }
    }
}
