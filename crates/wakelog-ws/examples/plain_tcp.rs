//! A log over WebSocket without a web framework: `cargo run --example plain_tcp`.
//!
//! Each connection is taken as it comes from the system; the hub answers the upgrade itself.

use tokio::net::TcpListener;
use wakelog::Log;
use wakelog_ws::{Hub, Outgoing, Payload};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hub = Hub::new(Log::open("events")?)?;
    let event = Outgoing::to("room.42", Payload::text("the server is up"));
    hub.emit(event).await?;
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    println!("listening on ws://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let hub = hub.clone();
        tokio::spawn(async move { hub.serve_tcp(stream).await });
    }
}
