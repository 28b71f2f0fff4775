//! tokio-tungstenite without any HTTP library: the least memory of a connection on tungstenite.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::bare::Stock;

pub async fn serve(listener: TcpListener, stock: Stock) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        tokio::spawn(connection(stream, stock.clone()));
    }
}

async fn connection(stream: TcpStream, stock: Stock) {
    let config = WebSocketConfig::default()
        .read_buffer_size(4 << 10)
        .write_buffer_size(4 << 10);
    let Ok(mut socket) = accept_async_with_config(stream, Some(config)).await else {
        return;
    };
    let (missed, mut live) = loop {
        let Some(Ok(Message::Text(order))) = socket.next().await else {
            return;
        };
        if let Some(found) = stock.subscribe(order.as_str()) {
            break found;
        }
    };
    let text = |message| Message::Text(Utf8Bytes::try_from(message).unwrap_or_default());
    for message in missed.iter() {
        if socket.send(text(message.clone())).await.is_err() {
            return;
        }
    }
    drop(missed);
    loop {
        tokio::select! {
            heard = socket.next() => if !matches!(heard, Some(Ok(_))) { return },
            message = live.recv() => {
                let Ok(message) = message else { return };
                if socket.send(text(message)).await.is_err() {
                    return;
                }
            }
        }
    }
}
