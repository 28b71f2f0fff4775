//! The shim for axum: the upgrade, and the route that serves the browser client.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use super::hub::Hub;
use super::socket::Socket;
use super::upgrade::{Refusal, Upgrade};
use crate::protocol::SUBPROTOCOL;
use crate::source::EventSource;

/// The browser client, one plain ES module.
pub const CLIENT: &str = include_str!("../../client/wakelog.js");

/// When a client that finds the server full may ask again, in seconds.
const COME_BACK: &str = "5";

impl<S: EventSource> Hub<S> {
    /// Routes for a server: the WebSocket at `/wakelog`, the browser client at `/wakelog.js`.
    pub fn axum_router<T: Clone + Send + Sync + 'static>(&self) -> Router<T> {
        let hub = self.clone();
        let upgrade = move |request: Request| async move { hub.upgrade(request).await };
        let client = |headers: HeaderMap| std::future::ready(browser_client(&headers));
        Router::new()
            .route("/wakelog", get(upgrade))
            .route("/wakelog.js", get(client))
    }

    /// Answers a request for an upgrade and serves the connection, for routes of one's own.
    ///
    /// What is refused is answered as [`accept`](Hub::accept) says, and 400 if it is no request for
    /// a WebSocket. The hook sees the address of the client if the server was made with
    /// [`into_make_service_with_connect_info`](Router::into_make_service_with_connect_info).
    pub async fn upgrade(&self, mut request: Request) -> Response {
        let ticket = match self.accept(describe(&request)).await {
            Ok(ticket) => ticket,
            Err(refusal) => return refuse(&refusal),
        };
        let Ok(mut response) = create_response_with_body(&request, Body::empty) else {
            let text = "this is the endpoint of a WebSocket";
            return (StatusCode::BAD_REQUEST, text).into_response();
        };
        let selected = HeaderValue::from_static(SUBPROTOCOL);
        response
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, selected);
        let (hub, upgraded) = (self.clone(), hyper::upgrade::on(&mut request));
        tokio::spawn(async move {
            match upgraded.await {
                Ok(io) => {
                    let longest = hub.limits().message_bytes;
                    let socket = Socket::server(TokioIo::new(io), longest).await;
                    hub.serve(socket, ticket).await;
                }
                Err(error) => tracing::debug!(%error, "an upgrade has come to nothing"),
            }
        });
        response
    }
}

fn describe(request: &Request) -> Upgrade {
    let mut upgrade = Upgrade::new();
    for (name, value) in request.headers() {
        upgrade = upgrade.header(name, String::from_utf8_lossy(value.as_bytes()));
    }
    if let Some(query) = request.uri().query() {
        upgrade = upgrade.query(query);
    }
    if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
        upgrade = upgrade.peer(*peer);
    }
    upgrade
}

fn refuse(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::FORBIDDEN);
    let mut response = (status, refusal.text.clone()).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let seconds = HeaderValue::from_static(COME_BACK);
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    response
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
