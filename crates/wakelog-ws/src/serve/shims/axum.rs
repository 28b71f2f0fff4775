//! The shim for axum: the upgrade, and the route that serves the browser client.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, SEC_WEBSOCKET_PROTOCOL,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;
use tokio::sync::mpsc;

use super::http::{describe, refuse, text_response};
use super::sse::{Events, Wanted};
use crate::protocol::SUBPROTOCOL;
use crate::serve::hub::Hub;
use crate::source::EventSource;

/// The browser client, one plain ES module.
pub const CLIENT: &str = include_str!("../../../client/wakelog.js");

impl<S: EventSource> Hub<S> {
    /// Routes for a server: the WebSocket at `/wakelog`, server-sent events at `/wakelog/events`,
    /// the browser client at `/wakelog.js`.
    pub fn axum_router<T: Clone + Send + Sync + 'static>(&self) -> Router<T> {
        let hub = self.clone();
        let upgrade = move |request: Request| async move { hub.upgrade(request).await };
        let hub = self.clone();
        let events = move |request: Request| async move { hub.events(request).await };
        let client = |headers: HeaderMap| std::future::ready(browser_client(&headers));
        Router::new()
            .route("/wakelog", get(upgrade))
            .route("/wakelog/events", get(events))
            .route("/wakelog.js", get(client))
    }

    /// Answers a request for an upgrade and serves the connection, for routes of one's own.
    ///
    /// What is refused is answered as [`accept`](Hub::accept) says, and 400 if it is no request for
    /// a WebSocket. The hook sees the address of the client if the server was made with
    /// [`into_make_service_with_connect_info`](Router::into_make_service_with_connect_info).
    pub async fn upgrade(&self, request: Request) -> Response {
        let peer = peer_of(&request);
        self.answer(request, peer).await.map(Body::from)
    }

    /// Answers `GET ...?topics=room.42,room.43` with a stream of events for a browser's
    /// `EventSource`, from the position in `Last-Event-ID` or `?position=` on, or from now on.
    ///
    /// The [`Authorize`](crate::Authorize) hook is asked as for every client: who it is, from the
    /// headers, and whether it may read each topic.
    pub async fn events(&self, request: Request) -> Response {
        let peer = peer_of(&request);
        let mut request = request.map(drop);
        // The stream is text, whatever else the request offers.
        let subprotocol = HeaderValue::from_static(SUBPROTOCOL);
        request
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
        let query = request.uri().query().unwrap_or_default().as_bytes();
        let mut wanted = Wanted::default();
        for (key, value) in form_urlencoded::parse(query) {
            match &*key {
                "topics" => wanted.topics.extend(value.split(',').map(str::to_owned)),
                "position" => wanted.position = Some(value.into_owned()),
                _ => {}
            }
        }
        if let Some(last) = request.headers().get("last-event-id") {
            wanted.position = Some(String::from_utf8_lossy(last.as_bytes()).into_owned());
        }
        if wanted.topics.is_empty() {
            let text = "name the topics: ?topics=room.42,room.43".to_owned();
            return text_response(StatusCode::BAD_REQUEST, text).map(Body::from);
        }
        let ticket = match self.accept(describe(&request, peer)).await {
            Ok(ticket) => ticket,
            Err(refusal) => return refuse(refusal).map(Body::from),
        };
        // What has been read of the log waits for the browser here: one page.
        let (sender, mut receiver) = mpsc::channel::<String>(1);
        let (hub, events) = (self.clone(), Events::new(wanted, sender));
        tokio::spawn(async move { hub.serve(events, ticket).await });
        let pieces = poll_fn(move |cx| receiver.poll_recv(cx)).map(Ok::<_, Infallible>);
        let mut response = Response::new(Body::from_stream(pieces));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}

fn peer_of(request: &Request) -> Option<SocketAddr> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.map(|ConnectInfo(peer)| *peer)
}

/// Answers a request for the browser client: the file with its `ETag`, or 304 if the browser has
/// it.
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
