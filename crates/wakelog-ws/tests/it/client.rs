//! The client for services, against a real server.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::Request;
use axum::http::header::SEC_WEBSOCKET_PROTOCOL;
use tempfile::tempdir;
use wakelog::{Gap, GapReason, Position};
use wakelog_ws::client::{Client, EmitError, Emitted, Ended, Event, Start, Subscription, Told};
use wakelog_ws::protocol::{CursorState, ErrorCode, ResetReason};
use wakelog_ws::{Hub, Outgoing, Payload, Reconnect};

use crate::faults::cutting_proxy;
use crate::kit::{Server, fill, log_at, within};
use crate::shims::{Shim, hub, serve};

async fn event(subscription: &mut Subscription) -> Event {
    match within(subscription.next()).await.unwrap() {
        Told::Event(event) => event,
        other => panic!("{other:?}"),
    }
}

async fn emit(client: &Client, event: Outgoing) -> Position {
    match within(client.emit(event)).await.unwrap() {
        Emitted::Stored(position) => position,
        other => panic!("{other:?}"),
    }
}

fn named(address: std::net::SocketAddr, consumer: &str) -> Client {
    let url = format!("ws://{address}/wakelog");
    Client::connect(url).consumer(consumer).start()
}

/// What is not stored comes to a client that has caught up, and moves no place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volatile_events_move_no_place() {
    let (_dir, hub) = hub();
    let address = serve(hub.clone(), Shim::Tcp).await;
    let (reader, writer) = (named(address, "reader"), named(address, "writer"));
    let mut room = reader.subscribe(["room"]);
    within(reader.connected()).await.unwrap();
    let first = emit(&writer, Outgoing::to("room", Payload::text("stored"))).await;
    assert_eq!(event(&mut room).await.position, first);
    room.done();
    let typing = Outgoing::to("room", Payload::text("...")).volatile();
    let answer = within(writer.emit(typing)).await.unwrap();
    assert_eq!(answer, Emitted::Reply(Payload::text("")));
    let heard = event(&mut room).await;
    assert!(heard.volatile && !heard.missed);
    assert_eq!(
        (heard.position, heard.from.as_deref()),
        (first, Some("writer"))
    );
    room.done();
    assert_eq!(room.position(), Some(first));
    // Nobody takes them: they do not gather.
    for n in 0..1_000 {
        let typing = Outgoing::to("room", Payload::text(n.to_string())).volatile();
        hub.emit(typing).await.unwrap();
    }
    // The answer comes to the reader itself, behind all that was sent to it before.
    let second = emit(&reader, Outgoing::to("room", Payload::text("stored"))).await;
    let mut volatile = 0;
    loop {
        let heard = event(&mut room).await;
        if !heard.volatile {
            assert_eq!(
                (heard.position, heard.payload),
                (second, Payload::text("stored"))
            );
            break;
        }
        volatile += 1;
    }
    assert!((1..=64).contains(&volatile), "{volatile}");
}

/// The story of `scenario`, in the words of this client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_for_services_is_told_the_story() {
    let (_dir, hub) = hub();
    let address = serve(hub, Shim::Tcp).await;
    let (reader, writer) = (named(address, "reader"), named(address, "writer"));
    let welcome = within(reader.connected()).await.unwrap();
    assert_eq!(welcome.cursor.as_ref().unwrap().state, CursorState::New);
    let mut room = reader.subscribe(["room.*"]);
    let once = || {
        Outgoing::to("room.1", Payload::text("live"))
            .id("1")
            .name("message")
    };
    let first = emit(&writer, once()).await;
    let heard = event(&mut room).await;
    assert_eq!((heard.position, heard.missed), (first, false));
    assert_eq!(heard.payload, Payload::text("live"));
    let said = (
        heard.from.as_deref(),
        heard.name.as_deref(),
        heard.id.as_deref(),
    );
    assert_eq!(said, (Some("writer"), Some("message"), Some("1")));
    assert_eq!(emit(&writer, once()).await, first);

    // What was processed is acknowledged before the client is gone; the next one goes on there.
    room.done();
    within(reader.close()).await;
    assert_eq!(within(room.next()).await, Err(Ended::Closed));
    let missed = emit(&writer, Outgoing::to("room.2", Payload::bytes([0, 255]))).await;
    let reader = named(address, "reader");
    let mut room = reader.subscribe(["room.*"]);
    let heard = event(&mut room).await;
    assert_eq!((heard.position, heard.missed), (missed, true));
    assert_eq!(heard.payload, Payload::bytes([0, 255]));

    let newer = named(address, "reader");
    within(newer.connected()).await.unwrap();
    assert_eq!(within(room.next()).await, Err(Ended::Fenced));
    assert_eq!(within(reader.connected()).await.unwrap_err(), Ended::Fenced);

    let trim = Outgoing::to("control.trim", Payload::text(""));
    let Ok(Emitted::Reply(reply)) = within(writer.emit(trim)).await else {
        panic!("no reply");
    };
    let reply: serde_json::Value = serde_json::from_slice(reply.as_bytes()).unwrap();
    let mut room = newer.subscribe(["room.*"]).at(first);
    let gap = Gap {
        from: first.offset,
        to: reply["first"].as_u64().unwrap(),
        reason: GapReason::Trimmed,
    };
    assert_eq!(within(room.next()).await, Ok(Told::Gap(gap)));
    let foreign: Position = format!("{}.1-00000001.3", "0".repeat(32)).parse().unwrap();
    let mut other = newer.subscribe(["room.*"]).at(foreign);
    let reset = Ok(Told::Reset(ResetReason::Log));
    assert_eq!(within(other.next()).await, reset);
    let last = emit(&writer, Outgoing::to("room.3", Payload::text("after"))).await;
    assert_eq!(event(&mut other).await.position, last);
    assert_eq!(event(&mut room).await.position, last);

    // The server says when to come back: the client waits for it, and is not at an end.
    let drain = Outgoing::to("control.drain", Payload::text(""));
    within(writer.emit(drain)).await.unwrap();
    while newer.welcome().is_some() {
        tokio::task::yield_now().await;
    }
    within(newer.close()).await;
    assert_eq!(within(room.next()).await, Err(Ended::Closed));
}

/// The binary form is asked for first. A server from before it takes the other, and the client
/// speaks that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_knows_json_alone_is_spoken_to_in_json() {
    for (known, selected) in [
        (vec!["wakelog.v1.json"], "wakelog.v1.json"),
        (vec!["wakelog.v1.json", "wakelog.v1.bin"], "wakelog.v1.bin"),
    ] {
        let (_dir, hub) = hub();
        let said = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&said);
        let upgrade = move |mut request: Request| async move {
            let offer = request.headers()[SEC_WEBSOCKET_PROTOCOL].clone();
            let offer = offer.to_str().unwrap();
            // What this server does not know it does not see.
            let offered = offer.split(", ").filter(|name| known.contains(name));
            let offered = offered.collect::<Vec<_>>().join(", ");
            let headers = request.headers_mut();
            headers.insert(SEC_WEBSOCKET_PROTOCOL, offered.parse().unwrap());
            let response = hub.upgrade(request).await;
            let answer = response.headers()[SEC_WEBSOCKET_PROTOCOL].to_str().unwrap();
            seen.lock()
                .unwrap()
                .push([offer.to_owned(), answer.to_owned()]);
            response
        };
        let routes = axum::Router::new().route("/wakelog", axum::routing::get(upgrade));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, routes).await });

        let (reader, writer) = (named(address, "reader"), named(address, "writer"));
        let mut room = reader.subscribe(["room"]);
        within(reader.connected()).await.unwrap();
        for payload in [
            Payload::json(&[1.5, 2.0]).unwrap(),
            Payload::text("gr\u{fc}n"),
            Payload::bytes([0, 255]),
        ] {
            let place = emit(&writer, Outgoing::to("room", payload.clone())).await;
            let heard = event(&mut room).await;
            assert_eq!((heard.position, heard.payload), (place, payload));
        }
        server.abort();
        let said = said.lock().unwrap();
        let offer = "wakelog.v1.bin, wakelog.v1.json";
        assert_eq!(*said, [[offer, selected], [offer, selected]]);
    }
}

/// Cut at any byte of either direction, everything comes once, and everything is stored once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cuts_at_any_byte_cost_the_client_nothing() {
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    fill(&log, "a", 0..5_000);
    let soon = Reconnect {
        min_ms: 1,
        max_ms: 20,
    };
    let hub = Hub::builder(log).unwrap().reconnect(soon);
    let server = Server::start(hub.build()).await;
    let cut_after = Arc::new(AtomicU64::new(100_000));
    let proxy = cutting_proxy(server.address, Arc::clone(&cut_after)).await;
    let client = Client::connect(format!("ws://{proxy}/wakelog")).start();
    let mut all = client.subscribe(["a", "b"]).start(Start::Earliest);
    let writer = named(proxy, "writer");
    let writing = tokio::spawn(async move {
        for n in 0..200 {
            emit(&writer, Outgoing::to("b", Payload::text(n.to_string()))).await;
        }
    });
    let drawing = tokio::spawn(async move {
        let mut random = 7_u64;
        loop {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            cut_after.store((random >> 33) % 150_000, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    for offset in 0..5_200 {
        assert_eq!(event(&mut all).await.offset, offset);
    }
    within(writing).await.unwrap();
    drawing.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_told_to_whom_they_concern() {
    let dir = tempdir().unwrap();
    let server = Server::start(Hub::new(log_at(dir.path())).unwrap()).await;
    let client = named(server.address, "reader");
    let mut hidden = client.subscribe(["$hidden"]);
    match within(hidden.next()).await.unwrap_err() {
        Ended::Subscription(error) => assert_eq!(error.code, ErrorCode::BadFilter),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        within(hidden.next()).await,
        Err(Ended::Subscription(_))
    ));
    for (event, code) in [
        (
            Outgoing::to_everyone(Payload::text("")),
            ErrorCode::BadTopic,
        ),
        (
            Outgoing::to("a", Payload::text("x".repeat(70_000))),
            ErrorCode::TooLarge,
        ),
    ] {
        match within(client.emit(event)).await.unwrap_err() {
            EmitError::Refused(error) => assert_eq!(error.code, code),
            other => panic!("{other:?}"),
        }
    }
    // The client goes on.
    emit(&client, Outgoing::to("a", Payload::json(&[1, 2]).unwrap())).await;
    let broken = named(server.address, "not a name");
    match within(broken.connected()).await.unwrap_err() {
        Ended::Refused { code, error } => {
            assert_eq!((code, error.unwrap().code), (4400, ErrorCode::BadConsumer));
        }
        other => panic!("{other:?}"),
    }
}
