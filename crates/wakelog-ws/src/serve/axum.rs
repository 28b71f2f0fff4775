//! The shim for axum: frames in axum's clothes, the upgrade, and the route that serves the browser
//! client.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_core::Stream;
use futures_sink::Sink;

use super::frame::{Frame, FrameError};
use super::hub::Hub;
use crate::protocol::SUBPROTOCOL;
use crate::source::EventSource;

/// The browser client, one plain ES module.
pub const CLIENT: &str = include_str!("../../client/wakelog.js");

const BUFFER: usize = 4 << 10;

impl<S: EventSource> Hub<S> {
    /// Routes for a server: the WebSocket at `/wakelog`, the browser client at `/wakelog.js`.
    pub fn axum_router<T: Clone + Send + Sync + 'static>(&self) -> Router<T> {
        let hub = self.clone();
        let upgrade = move |upgrade: WebSocketUpgrade| std::future::ready(hub.upgrade(upgrade));
        let client = |headers: HeaderMap| std::future::ready(browser_client(&headers));
        Router::new()
            .route("/wakelog", get(upgrade))
            .route("/wakelog.js", get(client))
    }

    /// Answers a request for an upgrade and serves the connection, for routes of one's own.
    ///
    /// Without the subprotocol `wakelog.v1.json` among those that the client offers, the answer is
    /// 400; while the hub is being drained, 503.
    #[must_use]
    pub fn upgrade(&self, upgrade: WebSocketUpgrade) -> Response {
        if self.is_draining() {
            return (StatusCode::SERVICE_UNAVAILABLE, "the server is stopping").into_response();
        }
        let upgrade = upgrade.protocols([SUBPROTOCOL]);
        if upgrade.selected_protocol().is_none() {
            let text = "offer the WebSocket subprotocol wakelog.v1.json";
            return (StatusCode::BAD_REQUEST, text).into_response();
        }
        let longest = self.limits().message_bytes;
        let hub = self.clone();
        // Between the limit and its double, the message is read and refused in good order; beyond
        // that, unread.
        upgrade
            .max_message_size(longest.saturating_mul(2))
            .max_frame_size(longest.saturating_mul(2))
            .read_buffer_size(BUFFER)
            .write_buffer_size(BUFFER)
            // The driver gives one message at a time and waits until it is out, so the bound is the
            // longest message; a smaller one would make a large event impossible to deliver.
            .max_write_buffer_size(usize::MAX)
            .on_upgrade(move |socket| async move { hub.serve(AxumSocket(socket)).await })
    }
}

/// Answers a request for the browser client: the file with its `ETag`, or 304 if the browser has
/// it.
#[must_use]
pub fn browser_client(headers: &HeaderMap) -> Response {
    let tag = entity_tag();
    let known = |value: &HeaderValue| {
        let Ok(value) = value.to_str() else {
            return false;
        };
        value
            .split(',')
            .map(str::trim)
            .any(|one| one == "*" || one.trim_start_matches("W/") == tag)
    };
    let mut response = if headers.get_all(IF_NONE_MATCH).iter().any(known) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut file = Response::new(Body::from(CLIENT));
        let kind = HeaderValue::from_static("text/javascript; charset=utf-8");
        file.headers_mut().insert(CONTENT_TYPE, kind);
        file
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    response
}

/// A name for this very text: FNV-1a, computed by the compiler.
fn entity_tag() -> String {
    const HASH: u64 = {
        let (bytes, mut hash, mut at) = (CLIENT.as_bytes(), 0xcbf2_9ce4_8422_2325_u64, 0);
        while at < bytes.len() {
            #[expect(
                clippy::as_conversions,
                reason = "a byte always fits, and `from` is not const"
            )]
            let byte = bytes[at] as u64;
            hash = (hash ^ byte).wrapping_mul(0x0100_0000_01b3);
            at += 1;
        }
        hash
    };
    format!("\"{HASH:016x}\"")
}

/// axum's socket as a socket of frames.
struct AxumSocket(WebSocket);

impl Stream for AxumSocket {
    type Item = Result<Frame, FrameError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(cx).map(|message| {
            message.map(|message| match message {
                Ok(Message::Text(text)) => Ok(Frame::Text(text.as_str().to_owned())),
                Ok(Message::Binary(_)) => Ok(Frame::Binary),
                Ok(Message::Ping(_) | Message::Pong(_)) => Ok(Frame::Alive),
                Ok(Message::Close(_)) => Ok(Frame::Closed),
                Err(error) => Err(frame_error(error)),
            })
        })
    }
}

impl Sink<Frame> for AxumSocket {
    type Error = FrameError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), FrameError>> {
        Pin::new(&mut self.0).poll_ready(cx).map_err(frame_error)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), FrameError> {
        let message = match frame {
            Frame::Text(text) => Message::Text(text.into()),
            Frame::Close { code, reason } => Message::Close(Some(CloseFrame {
                code,
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

/// axum hides the library below it, so what went wrong is told by where the chain of causes ends
/// and by its words.
fn frame_error(error: axum::Error) -> FrameError {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        if error.is::<std::io::Error>() {
            return FrameError::Cut(error.to_string());
        }
        text = format!("{text}: {error}");
        cause = error.source();
    }
    if text.contains("too long") {
        FrameError::TooLong
    } else if text.contains("Connection closed") || text.contains("without closing handshake") {
        FrameError::Cut(text)
    } else {
        FrameError::Broken(text)
    }
}
