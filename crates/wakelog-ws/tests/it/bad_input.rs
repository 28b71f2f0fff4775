//! Whatever a client sends, it gets an answer, and nobody else notices.

use futures_util::SinkExt as _;
use serde_json::json;
use tempfile::{TempDir, tempdir};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use wakelog::{Options, SyncPolicy};
use wakelog_ws::{Hub, SourceError};

use crate::kit::{Client, Server, log_at, within};

async fn server() -> (TempDir, Server) {
    let dir = tempdir().unwrap();
    let server = Server::start(Hub::new(log_at(dir.path())).unwrap()).await;
    (dir, server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_messages_are_named_and_the_session_goes_on() {
    let (_dir, server) = server().await;
    let (mut client, welcome) = server.welcome(Some("alice")).await;
    let beyond = welcome["end"].as_str().unwrap().replace(".0", ".99");
    let other_log = format!("{}.1-00000001.0", "0".repeat(32));
    let cases = [
        (
            json!({"type": "publish", "id": "i", "topics": ["a..b"]}),
            "bad_topic",
        ),
        (
            json!({"type": "publish", "id": "i", "topics": ["$all"]}),
            "bad_topic",
        ),
        (
            json!({"type": "publish", "id": "i", "topics": []}),
            "bad_message",
        ),
        (json!({"type": "publish", "id": "i"}), "bad_message"),
        (
            json!({"type": "subscribe", "sub": "s", "filters": ["a.>.b"]}),
            "bad_filter",
        ),
        (
            json!({"type": "subscribe", "sub": "s", "filters": ["$all"]}),
            "bad_filter",
        ),
        (
            json!({"type": "subscribe", "sub": "s", "filters": ["a"], "start": 7}),
            "bad_position",
        ),
        (
            json!({"type": "subscribe", "sub": "s", "filters": ["a"], "position": "x"}),
            "bad_position",
        ),
        (json!({"type": "unsubscribe", "sub": "s"}), "no_such_sub"),
        (json!({"type": "ack", "position": "0"}), "bad_position"),
        (json!({"type": "ack", "position": beyond}), "ack_refused"),
        (json!({"type": "ack", "position": other_log}), "ack_refused"),
        (json!({"type": "dance"}), "unknown_type"),
    ];
    for (message, code) in cases {
        client.say(message.clone()).await;
        let error = client.hear("error").await;
        assert_eq!(
            (&error["code"], &error["retry"]),
            (&json!(code), &json!(false)),
            "{message}"
        );
        assert_eq!(error.get("id"), message.get("id"), "{message}");
        assert_eq!(error.get("sub"), message.get("sub"), "{message}");
    }
    client.publish("still", "a", "here").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_clients_are_closed_with_a_code_and_others_stay() {
    let (_dir, server) = server().await;
    let (mut good, _) = server.welcome(Some("good")).await;
    let hello = || Message::text(json!({"type": "hello"}).to_string());
    let cases = [
        (vec![Message::text("no json")], 4400),
        (vec![Message::text(r#"{"type":"heartbeat"}"#)], 4400),
        (vec![hello(), hello()], 4400),
        (
            vec![Message::text(r#"{"type":"hello","consumer":"../x"}"#)],
            4400,
        ),
        (vec![hello(), Message::binary(vec![1, 2, 3])], 1003),
        (
            vec![hello(), Message::text("x".repeat((64 << 10) + 1))],
            1009,
        ),
        (vec![hello(), Message::text("x".repeat(128 << 10))], 1009),
        (vec![hello(), Message::text("x".repeat(1 << 20))], 1009),
    ];
    for (messages, code) in cases {
        let mut client = server.connect().await;
        for message in messages {
            // The last ones are so long that the server may close while they are being sent.
            let _ = within(client.socket.send(message)).await;
        }
        assert_eq!(client.close_code().await, Some(code));
    }
    // At the limit, not above it.
    let (mut client, _) = server.welcome(None).await;
    let frame = json!({"type": "publish", "id": "1", "topics": ["a"], "text": ""}).to_string();
    let text = "x".repeat((64 << 10) - frame.len());
    client.publish("1", "a", &text).await;
    good.publish("2", "a", "still here").await;
}

/// Frames that no library would send.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_frames_close_with_1002_and_broken_text_with_1007() {
    let (_dir, server) = server().await;
    let unmasked = [0x81, 2, b'h', b'i'];
    let reserved_opcode = [0x83, 0x80, 0, 0, 0, 0];
    let not_utf8 = [0x81, 0x81, 0, 0, 0, 0, 0xff];
    let mut control_too_long = [0; 208];
    control_too_long[..4].copy_from_slice(&[0x89, 0xfe, 0, 200]);
    let continuation_of_nothing = [0x80, 0x80, 0, 0, 0, 0];
    // Marked as compressed, which was not negotiated.
    let compressed = [0xc1, 0x80, 0, 0, 0, 0];
    for frame in [
        &unmasked[..],
        &reserved_opcode,
        &not_utf8,
        &control_too_long,
        &continuation_of_nothing,
        &compressed,
    ] {
        let mut client = server.connect().await;
        within(client.socket.get_mut().write_all(frame))
            .await
            .unwrap();
        let code = if frame == not_utf8 { 1007 } else { 1002 };
        assert_eq!(client.close_code().await, Some(code), "{frame:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_without_the_subprotocol_is_refused() {
    let (_dir, server) = server().await;
    for subprotocol in [None, Some("wakelog.v2.json"), Some("wakelog.v1.jso")] {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let refused = Client::upgrade(stream, subprotocol).await.map(|_| ());
        assert_eq!(refused, Err(400), "{subprotocol:?}");
    }
    let mut plain = TcpStream::connect(server.address).await.unwrap();
    plain
        .write_all(b"GET /wakelog HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    within(plain.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[test]
fn a_log_that_nobody_syncs_is_refused() {
    let dir = tempdir().unwrap();
    let log = Options::new()
        .sync(SyncPolicy::Manual)
        .open(dir.path())
        .unwrap();
    assert!(matches!(Hub::new(log), Err(SourceError::ManualSync)));
}
