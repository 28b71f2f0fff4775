//! A log over WebSocket in a server on warp: `cargo run --example warp --features warp`.

use wakelog::Log;
use wakelog_ws::{Hub, Outgoing, Payload};
use warp::Filter as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hub = Hub::new(Log::open("events")?)?;
    let event = Outgoing::to("room.42", Payload::text("the server is up"));
    hub.emit(event).await?;
    let routes = warp::path!("wakelog").and(hub.warp_filter());
    println!("ws://127.0.0.1:8080/wakelog");
    warp::serve(routes).run(([127, 0, 0, 1], 8080)).await;
    Ok(())
}
