//! One story for every way into a hub: whatever carries the frames, a client sees the same.
//!
//! What the server has to do in between is asked for over the connection itself, so that clients
//! in other languages can be told the same story (`tests/python/`).

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};
use tokio::net::{TcpListener, TcpStream};
use wakelog::{Log, Options, SyncPolicy};
use wakelog_ws::{Answer, Hub, Payload};
use warp::Filter as _;

use crate::kit::{Client, offsets, within};

/// A hub with two handlers: `control.trim` lets old events go and says which offset is the first
/// now, `control.drain` begins the end.
pub(crate) fn hub() -> (TempDir, Hub) {
    let dir = tempdir().unwrap();
    let options = Options::new()
        .segment_bytes(64 << 10)
        .sync(SyncPolicy::Every(Duration::from_millis(1)));
    let log = options.open(dir.path()).unwrap();
    let itself: Arc<OnceLock<Hub>> = Arc::default();
    let trimmed = log.clone();
    let trim = move |_| {
        let first = trim(&trimmed);
        Ok(Answer::Reply(
            Payload::json(&json!({"first": first})).unwrap(),
        ))
    };
    let of_drain = Arc::clone(&itself);
    let drain = move |_| {
        let hub = of_drain.get().unwrap().clone();
        tokio::spawn(async move { hub.drain(Duration::ZERO..=Duration::ZERO).await });
        Ok(Answer::Reply(Payload::text("soon")))
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
fn trim(log: &Log) -> u64 {
    for _ in 0..100 {
        log.append("noise", vec![b'x'; 4 << 10]).unwrap();
    }
    log.sync().unwrap();
    log.trim(log.next_offset()).unwrap()
}

async fn come(address: SocketAddr, consumer: &str) -> (Client, Value) {
    let stream = within(TcpStream::connect(address)).await.unwrap();
    let mut client = Client::upgrade(stream, Some("wakelog.v1.json"))
        .await
        .unwrap();
    client
        .say(json!({"type": "hello", "consumer": consumer}))
        .await;
    let welcome = client.hear("welcome").await;
    (client, welcome)
}

/// What the application answers to an event.
async fn ask(client: &mut Client, topic: &str) -> Value {
    client
        .say(json!({"type": "publish", "id": topic, "topics": [topic]}))
        .await;
    client.find("reply").await
}

/// The story.
pub(crate) async fn scenario(address: SocketAddr) {
    // Live.
    let (mut reader, welcome) = come(address, "reader").await;
    assert_eq!(welcome["cursor"]["state"], "new");
    let (mut writer, _) = come(address, "writer").await;
    reader
        .subscribe(&["room.*"], json!({"start": "latest"}))
        .await;
    assert_eq!(reader.take(0).await.len(), 0);
    let first = writer.publish("1", "room.1", "live").await;
    let heard = reader.take(1).await;
    assert_eq!(
        (&heard[0]["text"], &heard[0]["from"]),
        (&json!("live"), &json!("writer"))
    );
    let seen = first["position"].clone();

    // Published twice with one id: stored once, and both times the same answer.
    let again = writer.publish("1", "room.1", "live").await;
    assert_eq!(again, first);

    // Cut without a word, and resumed from the position.
    drop(reader);
    let missed = writer.publish("2", "room.2", "missed").await;
    let (mut reader, welcome) = come(address, "reader").await;
    assert_eq!(welcome["cursor"]["state"], "resumed");
    let answer = reader
        .subscribe(&["room.*"], json!({"position": seen}))
        .await;
    assert!(answer["end"].as_u64() > missed["offset"].as_u64());
    let heard = reader.take(1).await;
    assert_eq!(offsets(&heard), [missed["offset"].as_u64().unwrap()]);

    // Fenced.
    let (mut newer, _) = come(address, "reader").await;
    reader.find("fenced").await;
    assert_eq!(reader.close_code().await, Some(4409));

    gap_and_reset(&mut newer, &mut writer, &seen).await;
    the_end(address, newer, writer).await;
}

/// A gap has exact numbers, and the position of another log is a reset.
async fn gap_and_reset(reader: &mut Client, writer: &mut Client, seen: &Value) {
    let reply = ask(writer, "control.trim").await;
    let (from, first) = (
        seen.as_str().unwrap(),
        reply["data"]["first"].as_u64().unwrap(),
    );
    let from: u64 = from.rsplit('.').next().unwrap().parse().unwrap();
    reader
        .subscribe(&["room.*"], json!({"position": seen}))
        .await;
    let gap = reader.hear("gap").await;
    assert_eq!(
        (&gap["from"], &gap["to"], &gap["reason"]),
        (&json!(from), &json!(first), &json!("trimmed"))
    );
    reader.take(0).await;

    // A reset: the position is another log's.
    let foreign = format!("{}.1-00000001.3", "0".repeat(32));
    reader
        .say(json!({"type": "subscribe", "sub": "t", "filters": ["room.*"], "position": foreign}))
        .await;
    let reset = reader.hear("reset").await;
    assert_eq!(
        (&reset["sub"], &reset["reason"]),
        (&json!("t"), &json!("log"))
    );
}

/// What was published is answered, then everybody is told when to come back.
async fn the_end(address: SocketAddr, mut reader: Client, mut writer: Client) {
    ask(&mut writer, "control.drain").await;
    assert_eq!(reader.find("bye").await["in"], json!([0, 0]));
    assert_eq!(reader.close_code().await, Some(1012));
    let stream = within(TcpStream::connect(address)).await.unwrap();
    let refused = Client::upgrade(stream, Some("wakelog.v1.json")).await.err();
    assert_eq!(refused, Some(503));
}

/// Ways into a hub.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shim {
    Axum,
    Actix,
    Warp,
    Tower,
    Tcp,
}

pub(crate) const SHIMS: [Shim; 5] = [Shim::Axum, Shim::Actix, Shim::Warp, Shim::Tower, Shim::Tcp];

/// Serves a hub at `/wakelog` until the runtime ends; actix-web, until the process does.
pub(crate) async fn serve(hub: Hub, shim: Shim) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    match shim {
        Shim::Axum => {
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
        Shim::Tcp => drop(tokio::spawn(plain(hub, listener))),
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
async fn plain(hub: Hub, listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let hub = hub.clone();
        tokio::spawn(async move { hub.serve_tcp(stream).await });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shim_tells_the_story() {
    for shim in SHIMS {
        println!("{shim:?}");
        let (_dir, hub) = hub();
        scenario(serve(hub, shim).await).await;
    }
}
