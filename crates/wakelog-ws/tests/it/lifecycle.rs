//! Connections come and go: fencing, heartbeats, drain, slow readers.

use std::time::Duration;

use futures_util::SinkExt as _;
use serde_json::json;
use tempfile::tempdir;
use tokio_tungstenite::tungstenite::Message;
use wakelog_ws::{Hub, Outgoing, Payload};

use crate::kit::{PATIENCE, Server, copy, fill, log_at, offsets, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newer_connection_of_a_consumer_fences_the_older() {
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    let server = Server::start(Hub::new(log.clone()).unwrap()).await;
    let (mut first, _) = server.welcome(Some("alice")).await;
    let (mut second, _) = server.welcome(Some("alice")).await;
    first.hear("fenced").await;
    assert_eq!(first.close_code().await, Some(4409));
    let (mut third, welcome) = server.welcome(Some("alice")).await;
    second.hear("fenced").await;
    fill(&log, "a", 0..3);
    third.subscribe(&["a"], json!({})).await;
    assert_eq!(third.take(3).await.len(), 3);
    let position = welcome["end"].as_str().unwrap().replace(".0", ".3");
    third
        .say(json!({"type": "ack", "position": position}))
        .await;
    third.hear("ack_ok").await;
    let names: Vec<_> = server
        .hub
        .clients()
        .into_iter()
        .map(|client| client.consumer)
        .collect();
    assert_eq!(names, [Some("alice".to_owned())]);
}

/// A client gives up a connection and opens another one, and what it has said on the first comes
/// late, through a proxy that has kept it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_hello_of_an_older_connection_takes_nothing() {
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    let server = Server::start(Hub::new(log.clone()).unwrap()).await;
    let mut older = server.connect().await;
    older.is_served().await;
    let (mut younger, _) = server.welcome(Some("alice")).await;
    older
        .say(json!({"type": "hello", "consumer": "alice"}))
        .await;
    older.hear("fenced").await;
    assert_eq!(older.close_code().await, Some(4409));
    fill(&log, "a", 0..3);
    younger.subscribe(&["a"], json!({})).await;
    assert_eq!(younger.take(3).await.len(), 3);
    // What is over is in nobody's way, as old as the next one may be.
    let mut next = server.connect().await;
    next.is_served().await;
    let (last, _) = server.welcome(Some("alice")).await;
    younger.hear("fenced").await;
    drop(last);
    while !server.hub.clients().is_empty() {
        tokio::task::yield_now().await;
    }
    next.say(json!({"type": "hello", "consumer": "alice"}))
        .await;
    next.hear("welcome").await;
}

/// However the connections interleave, exactly one of them is left, and it can move the cursor.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_of_one_consumer_leaves_one() {
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    fill(&log, "a", 0..1);
    let server = Server::start(Hub::new(log).unwrap()).await;
    for _ in 0..10 {
        let crowd: Vec<_> = (0..16)
            .map(|_| {
                let address = server.address;
                tokio::spawn(async move {
                    let mut client = crate::kit::Client::connect(address).await;
                    client
                        .say(json!({"type": "hello", "consumer": "alice"}))
                        .await;
                    client
                })
            })
            .collect();
        let mut left = Vec::new();
        for client in crowd {
            let mut client = client.await.unwrap();
            let mut message = client.next().await.unwrap();
            let end = message["end"].clone();
            if message["type"] == "welcome" {
                let ack = json!({"type": "ack", "position": end});
                // It may have been fenced meanwhile, and closed.
                let _ = client.try_say(&ack).await;
                message = client.next().await.unwrap();
            }
            match message["type"].as_str().unwrap() {
                "fenced" => {}
                "ack_ok" => left.push((client, end)),
                other => panic!("{other}: {message}"),
            }
        }
        // Those that were fenced after their ack was answered find out now: all have said hello, so
        // who is not told at the next ack has the consumer.
        let mut alive = 0;
        for (client, end) in &mut left {
            // Who is fenced may be closed already.
            let _ = client
                .try_say(&json!({"type": "ack", "position": end}))
                .await;
            let answer = client.next().await.map(|message| message["type"].clone());
            alive += i32::from(answer == Some(json!("ack_ok")));
        }
        assert_eq!(alive, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_move_quiet_clients_and_silent_ones_are_closed() {
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    let every = Duration::from_millis(100);
    let hub = Hub::builder(log.clone()).unwrap().heartbeat(every).build();
    let server = Server::start(hub).await;
    let (mut client, welcome) = server.welcome(None).await;
    assert_eq!(welcome["heartbeat_ms"], 100);
    client
        .subscribe(&["quiet"], json!({"start": "latest"}))
        .await;
    assert!(client.take(0).await.is_empty());
    fill(&log, "loud", 0..500);
    let stem = welcome["end"].as_str().unwrap().rsplit_once('.').unwrap().0;
    let wanted = json!(format!("{stem}.500"));
    let mut beats = 0;
    loop {
        let beat = client.hear("heartbeat").await;
        client.say(json!({"type": "heartbeat"})).await;
        if beat["positions"].get("s") == Some(&wanted) {
            break;
        }
        beats += 1;
        assert!(beats < 50, "no heartbeat has moved the position");
    }
    // Still awake after it was moved.
    fill(&log, "quiet", 500..501);
    assert_eq!(offsets(&client.take(1).await), [500]);

    let started = std::time::Instant::now();
    assert_eq!(client.close_code().await, Some(4408));
    assert!(started.elapsed() < PATIENCE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_without_hello_is_closed() {
    let dir = tempdir().unwrap();
    let server = Server::start(Hub::new(log_at(dir.path())).unwrap()).await;
    let mut client = server.connect().await;
    assert_eq!(client.close_code().await, Some(4408));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drain_answers_says_bye_and_lets_nobody_in() {
    let dir = tempdir().unwrap();
    let server = Server::start(Hub::new(log_at(dir.path())).unwrap()).await;
    let (mut client, _) = server.welcome(Some("alice")).await;
    let mut early = server.connect().await;
    client.publish("1", "a", "x").await;
    let hub = server.hub.clone();
    let drain = tokio::spawn(async move {
        hub.drain(Duration::ZERO..=Duration::from_millis(5000))
            .await;
    });
    assert_eq!(client.hear("bye").await["in"], json!([0, 5000]));
    assert_eq!(client.close_code().await, Some(1012));
    assert_eq!(early.close_code().await, Some(1012));
    within(drain).await.unwrap();
    assert!(server.hub.clients().is_empty());
    let stream = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    let refused = crate::kit::Client::upgrade(stream, Some("wakelog.v1.json")).await;
    assert_eq!(refused.map(|_| ()), Err(503));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stalls_holds_up_nobody_and_is_cut() {
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    let large = "x".repeat(60 << 10);
    for _ in 0..300 {
        log.append("a", &large).unwrap();
    }
    log.sync().unwrap();
    let stall = Duration::from_millis(300);
    let hub = Hub::builder(log.clone()).unwrap().stall(stall).build();
    let server = Server::start(hub).await;
    let (mut stalled, _) = server.welcome(None).await;
    let credit = json!({"events": 4096, "bytes": 1 << 20});
    stalled
        .subscribe(&["a"], json!({"start": "earliest", "credit": credit}))
        .await;
    // Asks for more and more, and reads nothing of it.
    let asking = tokio::spawn(async move {
        let more = json!({"type": "credit", "sub": "s", "events": 4096, "bytes": 1 << 20});
        let more = Message::text(more.to_string());
        while stalled.socket.send(more.clone()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let (mut good, _) = server.welcome(None).await;
    good.subscribe(&["b"], json!({"start": "latest"})).await;
    good.take(0).await;
    server
        .hub
        .emit(Outgoing::to("b", Payload::text("hi")))
        .await
        .unwrap();
    assert_eq!(good.take(1).await[0]["text"], "hi");
    let gone = async {
        while server.hub.clients().len() > 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(gone).await;
    within(asking).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_shows_who_is_here_and_how_far_behind() {
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    fill(&log, "a", 0..100);
    let server = Server::start(Hub::new(log).unwrap()).await;
    let (mut client, _) = server.welcome(Some("alice")).await;
    let credit = json!({"events": 30, "bytes": 1 << 20});
    client
        .subscribe(&["a"], json!({"start": "earliest", "credit": credit}))
        .await;
    client.hear("events").await;
    let clients = server.hub.clients();
    let alice = &clients[0];
    assert_eq!(
        (alice.position, alice.behind, alice.acked),
        (30, 70, Some(100))
    );
    assert_eq!(
        (alice.consumer.as_deref(), alice.from.as_deref()),
        (Some("alice"), Some("alice"))
    );
    within(client.socket.close(None)).await.unwrap();
    let gone = async {
        while !server.hub.clients().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(gone).await;
}

/// A client whose answer was lost sends again: to another connection, to a server that was closed,
/// and to one that was killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_again_is_stored_once() {
    let dir = tempdir().unwrap();
    let (path, killed) = (dir.path().join("log"), dir.path().join("killed"));
    let log = log_at(&path);
    let server = Server::start(Hub::new(log.clone()).unwrap()).await;
    let (mut alice, welcome) = server.welcome(Some("alice")).await;
    assert_eq!(welcome["limits"]["dedup_ids"], 65_536);
    let first = alice.publish("1", "a", "x").await;
    assert_eq!(alice.publish("2", "a", "y").await["offset"], 1);
    assert_eq!(alice.publish("1", "a", "x").await, first);
    // Another sender's id is another id.
    let (mut bob, _) = server.welcome(Some("bob")).await;
    assert_eq!(bob.publish("1", "a", "z").await["offset"], 2);
    let emit = || {
        let event = Outgoing::to("a", Payload::text("w")).id("1").from("carol");
        server.hub.emit(event)
    };
    assert_eq!(emit().await.unwrap().offset, 3);
    assert_eq!(emit().await.unwrap().offset, 3);
    copy(&path, &killed);
    server.stop().await;
    log.close().unwrap();
    drop(log);

    for path in [path, killed] {
        let server = Server::start(Hub::new(log_at(&path)).unwrap()).await;
        let (mut alice, _) = server.welcome(Some("alice")).await;
        let again = alice.publish("1", "a", "x").await;
        assert_eq!(again["offset"], first["offset"]);
        alice.subscribe(&["a"], json!({"start": "earliest"})).await;
        assert_eq!(offsets(&alice.take(4).await), [0, 1, 2, 3]);
        server.stop().await;
    }
}
