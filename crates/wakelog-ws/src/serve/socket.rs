//! A WebSocket over any stream of bytes, on tungstenite: frames in our clothes, and a bound on what
//! one message may cost.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, error::ProtocolError};

use super::frame::{Frame, FrameError};

const BUFFER: usize = 4 << 10;

/// An upgraded connection as a socket of frames.
#[derive(Debug)]
pub(super) struct Socket<I>(WebSocketStream<Metered<I>>);

impl<I: AsyncRead + AsyncWrite + Unpin> Socket<I> {
    /// Between `message_bytes` and its double, a message is read and refused in good order; beyond
    /// that, unread. The double is also what a message may cost on the wire, with the heads of all
    /// its frames.
    pub(super) async fn server(io: I, message_bytes: usize) -> Self {
        let longest = message_bytes.saturating_mul(2);
        let config = WebSocketConfig::default()
            .max_message_size(Some(longest))
            .max_frame_size(Some(longest))
            .read_buffer_size(BUFFER)
            .write_buffer_size(BUFFER)
            // The driver gives one message at a time and waits until it is out, so the bound is
            // the longest message; a smaller one would make a large event impossible to deliver.
            .max_write_buffer_size(usize::MAX);
        let io = Metered {
            io,
            // What was read ahead belongs to the messages that follow.
            allowance: longest.saturating_add(BUFFER),
            read: 0,
        };
        Self(WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await)
    }
}

/// Counts the bytes that come in until a message is whole.
///
/// tungstenite bounds the length of a message, but not of how many frames it is made: a million
/// empty ones are still an empty message, and are read in one go for as long as they come.
#[derive(Debug)]
struct Metered<I> {
    io: I,
    allowance: usize,
    read: usize,
}

/// Carried by the `io::Error` of a message that costs too much.
#[derive(Debug, thiserror::Error)]
#[error("a message is too long on the wire")]
struct TooLong;

impl<I: AsyncRead + Unpin> AsyncRead for Metered<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read > self.allowance {
            return Poll::Ready(Err(io::Error::other(TooLong)));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.read = self.read.saturating_add(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Metered<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Stream for Socket<I> {
    type Item = Result<Frame, FrameError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(message) = ready!(Pin::new(&mut self.0).poll_next(cx)) else {
            return Poll::Ready(None);
        };
        // Not by a ping: it may stand between the frames of a message that never ends.
        if matches!(message, Ok(Message::Text(_) | Message::Binary(_))) {
            self.0.get_mut().read = 0;
        }
        Poll::Ready(Some(match message {
            Ok(Message::Text(text)) => Ok(Frame::Text(text.as_str().to_owned())),
            Ok(Message::Binary(_)) => Ok(Frame::Binary),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Ok(Frame::Alive),
            Ok(Message::Close(_)) => Ok(Frame::Closed),
            Err(error) => Err(frame_error(error)),
        }))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Sink<Frame> for Socket<I> {
    type Error = FrameError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), FrameError>> {
        Pin::new(&mut self.0).poll_ready(cx).map_err(frame_error)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), FrameError> {
        let message = match frame {
            Frame::Text(text) => Message::text(text),
            Frame::Close { code, reason } => Message::Close(Some(CloseFrame {
                code: CloseCode::from(code),
                reason: reason.into(),
            })),
            // The driver sends nothing else.
            Frame::Binary | Frame::Alive | Frame::Closed => return Ok(()),
        };
        Pin::new(&mut self.0)
            .start_send(message)
            .map_err(frame_error)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), FrameError>> {
        Pin::new(&mut self.0).poll_flush(cx).map_err(frame_error)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), FrameError>> {
        Pin::new(&mut self.0).poll_close(cx).map_err(frame_error)
    }
}

fn frame_error(error: tungstenite::Error) -> FrameError {
    use tungstenite::Error;
    match error {
        Error::Capacity(_) => FrameError::TooLong,
        Error::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<TooLong>()) => {
            FrameError::TooLong
        }
        Error::Io(_)
        | Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            FrameError::Cut(error.to_string())
        }
        _ => FrameError::Broken(error.to_string()),
    }
}
