//! Upgrades over hyper: the answer to a request, and plain TCP connections without a framework.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::header::{HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use super::socket::Socket;
use crate::protocol::SUBPROTOCOL;
use crate::serve::hub::Hub;
use crate::serve::upgrade::{Refusal, Ticket, Upgrade};
use crate::source::EventSource;

/// What the head of a request may cost: time, bytes and headers.
const HEAD: Duration = Duration::from_secs(5);
const HEAD_BYTES: usize = 16 << 10;
const HEADERS: usize = 64;

impl<S: EventSource> Hub<S> {
    /// Takes a connection that was just accepted, for programs without a web server: every path is
    /// the endpoint, and nothing else is served. The head of the request has 5 seconds, 16 KiB and
    /// 64 headers. Resolves when the connection is upgraded or over; the session goes on in a task
    /// of its own.
    pub async fn serve_tcp(&self, stream: TcpStream) {
        let peer = stream.peer_addr().ok();
        // Live events are small and wait for nothing.
        let _ = stream.set_nodelay(true);
        let service =
            service_fn(
                |request| async move { Ok::<_, Infallible>(self.answer(request, peer).await) },
            );
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADERS);
        let connection = http.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection that did not become one");
        }
    }

    /// Answers a request for an upgrade, and serves the connection in a task of its own.
    pub(super) async fn answer<B>(
        &self,
        request: Request<B>,
        peer: Option<SocketAddr>,
    ) -> Response<String> {
        let mut request = request.map(drop);
        let (response, ticket) = self.decide(&request, peer).await;
        let Some(ticket) = ticket else {
            return response;
        };
        let (hub, upgraded) = (self.clone(), hyper::upgrade::on(&mut request));
        tokio::spawn(async move {
            match upgraded.await {
                Ok(io) => hub.serve_upgraded(TokioIo::new(io), ticket).await,
                Err(error) => tracing::debug!(%error, "an upgrade has come to nothing"),
            }
        });
        response
    }

    /// The answer to a request; with a ticket if it is 101 and the connection is to be served.
    pub(super) async fn decide(
        &self,
        request: &Request<()>,
        peer: Option<SocketAddr>,
    ) -> (Response<String>, Option<Ticket>) {
        let upgrade = describe(request, peer);
        let selected = upgrade.subprotocol().unwrap_or(SUBPROTOCOL);
        let ticket = match self.accept(upgrade).await {
            Ok(ticket) => ticket,
            Err(refusal) => return (refuse(refusal), None),
        };
        let Ok(mut response) = create_response_with_body(request, String::new) else {
            let text = "this is the endpoint of a WebSocket";
            let response = text_response(StatusCode::BAD_REQUEST, text.to_owned());
            return (response, None);
        };
        let selected = HeaderValue::from_static(selected);
        response
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, selected);
        (response, Some(ticket))
    }

    /// Serves a connection that is a WebSocket from here on.
    pub(super) async fn serve_upgraded<I>(&self, io: I, ticket: Ticket)
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let longest = self.limits().message_bytes;
        self.serve(Socket::server(io, longest).await, ticket).await;
    }
}

pub(super) fn describe(request: &Request<()>, peer: Option<SocketAddr>) -> Upgrade {
    let mut upgrade = Upgrade::default();
    for (name, value) in request.headers() {
        upgrade = upgrade.header(name, String::from_utf8_lossy(value.as_bytes()));
    }
    if let Some(query) = request.uri().query() {
        upgrade = upgrade.query(query);
    }
    match peer {
        Some(peer) => upgrade.peer(peer),
        None => upgrade,
    }
}

pub(super) fn refuse(refusal: Refusal) -> Response<String> {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::FORBIDDEN);
    let mut response = text_response(status, refusal.text);
    if let Some(seconds) = refusal.retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

pub(super) fn text_response(status: StatusCode, text: String) -> Response<String> {
    let mut response = Response::new(text);
    *response.status_mut() = status;
    response
}
