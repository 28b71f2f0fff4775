//! The protocol without a WebSocket: one message a line, over TCP or any other stream of bytes.

use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;
use futures_util::SinkExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::codec::{Framed, LinesCodec, LinesCodecError};

use super::one_line;
use crate::protocol::{CloseCode, ErrorCode, Failure, SUBPROTOCOL, ServerMessage};
use crate::serve::frame::{Frame, FrameError};
use crate::serve::hub::Hub;
use crate::serve::upgrade::Upgrade;
use crate::source::EventSource;

impl<S: EventSource> Hub<S> {
    /// Serves a connection that was just accepted and that speaks lines, until it ends. There are
    /// no headers: who it is can be said by `hello` alone.
    pub async fn serve_lines(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        // As with frames: up to its double a message is read and refused in good order.
        let longest = self.limits().message_bytes.saturating_mul(2);
        let upgrade = Upgrade::default().header("sec-websocket-protocol", SUBPROTOCOL);
        let upgrade = match stream.peer_addr() {
            Ok(peer) => upgrade.peer(peer),
            Err(_) => upgrade,
        };
        let mut lines = Lines(Framed::new(
            stream,
            LinesCodec::new_with_max_length(longest),
        ));
        let refusal = match self.accept(upgrade).await {
            Ok(ticket) => return self.serve(lines, ticket).await,
            Err(refusal) => refusal,
        };
        let (code, close) = match refusal.status {
            401 => (ErrorCode::Unauthorized, CloseCode::Unauthorized),
            _ => (ErrorCode::Unavailable, CloseCode::Overloaded),
        };
        let mut failure = Failure::new(code, refusal.text);
        failure.after_ms = refusal
            .retry_after
            .map(|seconds| u64::from(seconds) * 1_000);
        let text = ServerMessage::Error(failure).encode();
        let (code, reason) = (close.number(), close.reason());
        for frame in [Frame::Text(text), Frame::Close { code, reason }] {
            // It is refused, whether it hears so or not.
            let _ = lines.send(frame).await;
        }
    }
}

/// A stream of bytes as a socket of frames.
struct Lines<I>(Framed<I, LinesCodec>);

impl<I: AsyncRead + AsyncWrite + Unpin> Stream for Lines<I> {
    type Item = Result<Frame, FrameError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let line = ready!(Pin::new(&mut self.0).poll_next(cx));
        Poll::Ready(line.map(|line| line.map(Frame::Text).map_err(frame_error)))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Sink<Frame> for Lines<I> {
    type Error = FrameError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), FrameError>> {
        let framed = Pin::new(&mut self.0);
        Sink::<&str>::poll_ready(framed, cx).map_err(frame_error)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), FrameError> {
        let line = match frame {
            Frame::Text(text) => one_line(text),
            Frame::Page(page) => one_line(page.text()),
            Frame::Close { code, reason } => {
                format!(r#"{{"type":"close","code":{code},"reason":"{reason}"}}"#)
            }
            // The driver sends nothing else.
            Frame::Binary | Frame::Alive | Frame::Closed => return Ok(()),
        };
        Pin::new(&mut self.0).start_send(line).map_err(frame_error)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), FrameError>> {
        let framed = Pin::new(&mut self.0);
        Sink::<&str>::poll_flush(framed, cx).map_err(frame_error)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), FrameError>> {
        let framed = Pin::new(&mut self.0);
        Sink::<&str>::poll_close(framed, cx).map_err(frame_error)
    }
}

fn frame_error(error: LinesCodecError) -> FrameError {
    match error {
        LinesCodecError::MaxLineLengthExceeded => FrameError::TooLong,
        LinesCodecError::Io(error) if error.kind() == ErrorKind::InvalidData => FrameError::NotText,
        LinesCodecError::Io(error) => FrameError::Cut(error.to_string()),
    }
}
