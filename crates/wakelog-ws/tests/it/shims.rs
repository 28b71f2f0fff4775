//! A hub for the one story ([`scenario`](crate::scenario)), and every way into it.
//!
//! What the server has to do in between is asked for over the connection itself, so that clients
//! in other languages can be told the same story.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::json;
use tempfile::{TempDir, tempdir};
use tokio::net::TcpListener;
use wakelog::{Log, Options, Position, SyncPolicy};
use wakelog_ws::{Answer, Hub, Payload};
use warp::Filter as _;

/// A hub with two handlers: `control.trim` lets old events go and says which offset is the first
/// now, and its position; `control.drain` begins the end.
pub(crate) fn hub() -> (TempDir, Hub) {
    let dir = tempdir().unwrap();
    let options = Options::new()
        .segment_bytes(64 << 10)
        .sync(SyncPolicy::Every(Duration::from_millis(1)));
    let log = options.open(dir.path()).unwrap();
    let itself: Arc<OnceLock<Hub>> = Arc::default();
    let trimmed = log.clone();
    let trim = move |_| {
        let kept = trim(&trimmed);
        let reply = json!({"first": kept.offset, "position": kept.to_string()});
        Ok(Answer::Reply(Payload::json(&reply).unwrap()))
    };
    let of_drain = Arc::clone(&itself);
    let drain = move |_| {
        let hub = of_drain.get().unwrap().clone();
        tokio::spawn(async move { hub.drain(Duration::ZERO..=Duration::ZERO).await });
        let reply = json!({"soon": true});
        Ok(Answer::Reply(Payload::json(&reply).unwrap()))
    };
    let hub = Hub::builder(log).unwrap();
    let hub = hub.on("control.trim", move |call| {
        Box::pin(std::future::ready(trim(call)))
    });
    let hub = hub.unwrap();
    let hub = hub.on("control.drain", move |call| {
        Box::pin(std::future::ready(drain(call)))
    });
    let hub = hub.unwrap().build();
    assert!(itself.set(hub.clone()).is_ok());
    (dir, hub)
}

/// Fills more than a segment and lets go what can go.
fn trim(log: &Log) -> Position {
    for _ in 0..100 {
        log.append("noise", vec![b'x'; 4 << 10]).unwrap();
    }
    log.sync().unwrap();
    let offset = log.trim(log.next_offset()).unwrap();
    let position = log.position();
    Position { offset, ..position }
}

/// Ways into a hub.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shim {
    Axum,
    Actix,
    Warp,
    Tower,
    Tcp,
    Lines,
    /// Server-sent events.
    Events,
}

/// Those that carry a WebSocket.
pub(crate) const SHIMS: [Shim; 5] = [Shim::Axum, Shim::Actix, Shim::Warp, Shim::Tower, Shim::Tcp];

/// Serves a hub at `/wakelog` until the runtime ends; actix-web, until the process does.
pub(crate) async fn serve(hub: Hub, shim: Shim) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    match shim {
        Shim::Axum | Shim::Events => {
            let routes: axum::Router = hub.axum_router();
            tokio::spawn(async move { axum::serve(listener, routes).await });
        }
        Shim::Actix => actix(hub, listener.into_std().unwrap()),
        Shim::Warp => {
            let routes = warp::path!("wakelog").and(hub.warp_filter());
            tokio::spawn(warp::serve(routes).incoming(listener).run());
        }
        Shim::Tower => {
            let routes = axum::Router::<()>::new().layer(hub.layer("/wakelog"));
            tokio::spawn(async move { axum::serve(listener, routes).await });
        }
        Shim::Tcp | Shim::Lines => drop(tokio::spawn(plain(hub, listener, shim))),
    }
    address
}

/// actix-web has runtimes of its own.
fn actix(hub: Hub, listener: std::net::TcpListener) {
    use actix_web::{App, HttpRequest, HttpServer, web};
    let upgrade = async |hub: web::Data<Hub>, request: HttpRequest, payload: web::Payload| {
        hub.actix_upgrade(request, payload).await
    };
    let app = move || {
        let app = App::new().app_data(web::Data::new(hub.clone()));
        app.route("/wakelog", web::get().to(upgrade))
    };
    std::thread::spawn(move || {
        let server = HttpServer::new(app).workers(1).disable_signals();
        actix_web::rt::System::new().block_on(server.listen(listener).unwrap().run())
    });
}

/// Without any framework.
async fn plain(hub: Hub, listener: TcpListener, shim: Shim) {
    while let Ok((stream, _)) = listener.accept().await {
        let hub = hub.clone();
        tokio::spawn(async move {
            match shim {
                Shim::Lines => hub.serve_lines(stream).await,
                _ => hub.serve_tcp(stream).await,
            }
        });
    }
}
