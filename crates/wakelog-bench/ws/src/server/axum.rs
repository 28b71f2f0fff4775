//! axum, as its documents say.

use ::axum::Router;
use ::axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use ::axum::routing::get;
use ::axum::serve::ListenerExt as _;
use bytes::Bytes;
use futures_util::SinkExt as _;
use tokio::net::TcpListener;

use super::bare::Stock;

pub async fn serve(listener: TcpListener, stock: Stock) {
    let routes = Router::new().route(
        "/wakelog",
        get(move |upgrade: WebSocketUpgrade| {
            let stock = stock.clone();
            async move { upgrade.on_upgrade(move |socket| connection(socket, stock)) }
        }),
    );
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let _ = ::axum::serve(listener, routes).await;
}

fn text(message: Bytes) -> Message {
    Message::Text(Utf8Bytes::try_from(message).unwrap_or_default())
}

async fn connection(mut socket: WebSocket, stock: Stock) {
    let (missed, mut live) = loop {
        let Some(Ok(Message::Text(order))) = socket.recv().await else {
            return;
        };
        if let Some(found) = stock.subscribe(order.as_str()) {
            break found;
        }
    };
    for message in missed.iter() {
        if socket.feed(text(message.clone())).await.is_err() {
            return;
        }
    }
    drop(missed);
    if socket.flush().await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            heard = socket.recv() => if !matches!(heard, Some(Ok(_))) { return },
            message = live.recv() => {
                let Ok(message) = message else { return };
                if socket.send(text(message)).await.is_err() {
                    return;
                }
            }
        }
    }
}
