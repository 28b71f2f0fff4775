//! fastwebsockets under hyper, as its examples do.

use std::convert::Infallible;

use bytes::Bytes;
use fastwebsockets::{Frame, OpCode, Payload, WebSocket, upgrade};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::bare::Stock;

pub async fn serve(listener: TcpListener, stock: Stock) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let stock = stock.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, stock.clone()));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let _ = connection.with_upgrades().await;
        });
    }
}

async fn answer(
    mut request: Request<Incoming>,
    stock: Stock,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let Ok((response, upgraded)) = upgrade::upgrade(&mut request) else {
        return Ok(Response::new(Empty::new()));
    };
    tokio::spawn(async move {
        if let Ok(socket) = upgraded.await {
            let _ = connection(socket, stock).await;
        }
    });
    Ok(response)
}

async fn connection(
    mut socket: WebSocket<TokioIo<Upgraded>>,
    stock: Stock,
) -> Result<(), fastwebsockets::WebSocketError> {
    socket.set_auto_close(true);
    let (missed, mut live) = loop {
        let frame = socket.read_frame().await?;
        let order = std::str::from_utf8(&frame.payload).unwrap_or_default();
        if let Some(found) = stock.subscribe(order) {
            break found;
        }
    };
    for message in missed.iter() {
        let frame = Frame::text(Payload::Borrowed(message));
        socket.write_frame(frame).await?;
    }
    drop(missed);
    loop {
        tokio::select! {
            // Frames of clients are small here: they come whole, or giving up a read would lose
            // the first half of one.
            frame = socket.read_frame() => if frame?.opcode == OpCode::Close { return Ok(()) },
            message = live.recv() => {
                let Ok(message) = message else { return Ok(()) };
                socket.write_frame(Frame::text(Payload::Borrowed(&message))).await?;
            }
        }
    }
}
