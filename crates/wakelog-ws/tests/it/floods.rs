//! Clients that send too much, in ways that no library has.

use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::tempdir;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use wakelog_ws::{Authorize, Hello, HookFuture, Hub, Principal, Upgrade};

use crate::kit::{PATIENCE, SHORTLY, Server, log_at, within};

/// A million empty frames are an empty message still, and each of them costs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_endless_frames_is_cut() {
    let dir = tempdir().unwrap();
    let server = Server::start(Hub::new(log_at(dir.path())).unwrap()).await;
    let (mut good, _) = server.welcome(None).await;
    let empty = [0x00, 0x80, 0, 0, 0, 0];
    let one_byte = [0x00, 0x81, 0, 0, 0, 0, b'x'];
    let with_pings = [0x00, 0x80, 0, 0, 0, 0, 0x89, 0x80, 0, 0, 0, 0];
    for (n, fragment) in [&empty[..], &one_byte, &with_pings].into_iter().enumerate() {
        let (mut client, _) = server.welcome(None).await;
        let socket = client.socket.get_mut();
        within(socket.write_all(&[0x01, 0x80, 0, 0, 0, 0]))
            .await
            .unwrap();
        let many = fragment.repeat(1_000);
        let mut sent = 0;
        // The server closes in good order while the flood still comes, so writing fails at some
        // moment. Ten million frames are far more than the sockets hold.
        while sent < 10_000 && within(socket.write_all(&many)).await.is_ok() {
            sent += 1;
        }
        assert!(sent < 10_000, "ten million frames were read");
        good.publish(&n.to_string(), "a", "others are served").await;
    }
    // Some fragments are fine, over and over.
    let (mut client, _) = server.welcome(None).await;
    let text = br#"{"type":"publish","id":"1","topics":["a"]}"#;
    let (first, rest) = text.split_at(1);
    let mut frames = vec![0x01, 0x81, 0, 0, 0, 0, first[0]];
    for byte in rest {
        frames.extend([0x00, 0x81, 0, 0, 0, 0, *byte]);
    }
    frames.extend([0x80, 0x80, 0, 0, 0, 0]);
    for _ in 0..600 {
        within(client.socket.get_mut().write_all(&frames))
            .await
            .unwrap();
        client.hear("published").await;
    }
}

/// What comes too fast waits in the socket. The times are the least that it can take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_and_pings_are_taken_at_a_pace() {
    let dir = tempdir().unwrap();
    let hub = Hub::builder(log_at(dir.path())).unwrap();
    let server = Server::start(hub.messages_per_second(100).build()).await;
    let ping = Message::Ping(Vec::new().into());
    for message in [ping, Message::text(r#"{"type":"heartbeat"}"#)] {
        let (mut client, _) = server.welcome(None).await;
        let begun = Instant::now();
        // 400 may come at once.
        for _ in 0..600 {
            client.say_raw(message.clone()).await;
        }
        client.publish("1", "a", "at last").await;
        assert!(begun.elapsed() > Duration::from_millis(1_900));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_publishes_at_a_pace_over_all_connections() {
    let dir = tempdir().unwrap();
    let hub = Hub::builder(log_at(dir.path())).unwrap();
    let server = Server::start(hub.authorize(Ann).publishes_per_second(20).build()).await;
    let (mut one, _) = server.welcome(None).await;
    let (mut two, _) = server.welcome(None).await;
    let begun = Instant::now();
    // 80 may come at once.
    for n in 0..60 {
        for client in [&mut one, &mut two] {
            let id = format!("{n}");
            client
                .say(json!({"type": "publish", "id": id, "topics": ["a"]}))
                .await;
        }
    }
    for client in [&mut one, &mut two] {
        for n in 0..60 {
            assert_eq!(client.hear("published").await["id"], n.to_string());
        }
    }
    assert!(begun.elapsed() > Duration::from_millis(1_900));
}

/// Each ping has an answer, which nobody takes: they must not gather in the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_to_pings_that_nobody_reads_do_not_gather() {
    let dir = tempdir().unwrap();
    let hub = Hub::builder(log_at(dir.path())).unwrap();
    // Not the stall: the server is to stop listening long before.
    let hub = hub.messages_per_second(10_000_000).stall(PATIENCE * 2);
    let server = Server::start(hub.build()).await;
    let (mut client, _) = server.welcome(None).await;
    let mut ping = vec![0x89, 0xfd, 0, 0, 0, 0];
    ping.extend([b'x'; 125]);
    let mut many = ping.repeat(500);
    // A whole message now and then, or the pings would be taken for one that does not end.
    let beat = br#"{"type":"heartbeat"}"#;
    many.extend([0x81, 0x80 | u8::try_from(beat.len()).unwrap(), 0, 0, 0, 0]);
    many.extend(beat);
    // Far more than the sockets hold.
    for _ in 0..2_000 {
        let sent = client.socket.get_mut().write_all(&many);
        if timeout(SHORTLY * 10, sent).await.is_err() {
            return;
        }
    }
    panic!("all were taken");
}

/// Everybody is the same person.
struct Ann;

impl Authorize for Ann {
    fn hello<'a>(&'a self, _: &'a Hello, _: &'a Upgrade) -> HookFuture<'a, Principal> {
        let from = Some("ann".to_owned());
        Box::pin(std::future::ready(Ok(Principal {
            from,
            ..Principal::default()
        })))
    }

    fn subscribe<'a>(&'a self, _: &'a Principal, _: &'a str) -> HookFuture<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn publish<'a>(&'a self, _: &'a Principal, _: &'a str) -> HookFuture<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}
