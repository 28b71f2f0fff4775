//! The shim for actix-web. Its connections carry bodies of requests and answers; of these two a
//! stream of bytes is made, on which the WebSocket is the same as everywhere.

use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, http::StatusCode, rt, web};
use futures_util::StreamExt as _;
use hyper::Request;
use tokio::io::{AsyncWrite, AsyncWriteExt as _, duplex, split};
use tokio_util::io::ReaderStream;

use crate::serve::hub::Hub;
use crate::source::EventSource;

/// So much may lie between the hub and actix-web, in either direction.
const BUFFER: usize = 4 << 10;

impl<S: EventSource> Hub<S> {
    /// Answers a request for an upgrade and serves the connection, in a handler of actix-web.
    ///
    /// What is refused is answered as [`accept`](Hub::accept) says, and 400 if it is no request for
    /// a WebSocket.
    pub async fn actix_upgrade(&self, request: HttpRequest, payload: web::Payload) -> HttpResponse {
        let mut head = Request::builder()
            .method(request.method().as_str())
            .uri(request.uri().to_string());
        for (name, value) in request.headers() {
            head = head.header(name.as_str(), value.as_bytes());
        }
        let Ok(head) = head.body(()) else {
            return HttpResponse::BadRequest().finish();
        };
        let (answer, ticket) = self.decide(&head, request.peer_addr()).await;
        let status = StatusCode::from_u16(answer.status().as_u16());
        let mut response = HttpResponseBuilder::new(status.unwrap_or(StatusCode::FORBIDDEN));
        for (name, value) in answer.headers() {
            response.insert_header((name.as_str(), value.as_bytes()));
        }
        let Some(ticket) = ticket else {
            return response.body(answer.into_body());
        };
        let (near, far) = duplex(BUFFER);
        let (output, input) = split(far);
        rt::spawn(feed(payload, input));
        let hub = self.clone();
        rt::spawn(async move { hub.serve_upgraded(near, ticket).await });
        response
            .upgrade("websocket")
            .streaming(ReaderStream::with_capacity(output, BUFFER))
    }
}

async fn feed(mut payload: web::Payload, mut input: impl AsyncWrite + Unpin) {
    while let Some(Ok(bytes)) = payload.next().await {
        if input.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = input.shutdown().await;
}
