//! What stands in the logs, and what clients are told: no secrets, no paths, no lines that a client
//! has made. A process of its own, because all that is logged in it is caught.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tempfile::tempdir;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tracing_subscriber::filter::LevelFilter;
use wakelog::Log;
use wakelog_ws::{Authorize, Denied, Hello, HookFuture, Hub, Principal, Upgrade};

const SECRET: &str = "s3cr3t-of-mine";

/// What would forge a line or colour a terminal.
const FORGED: &str = "x\r\n2026-01-01 ERROR forged\u{1b}[31m";

/// All that was logged.
#[derive(Clone, Default)]
struct Caught(Arc<Mutex<Vec<u8>>>);

impl Write for Caught {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Lets in those who know the secret, and says the forged text to others.
struct Door;

impl Authorize for Door {
    fn hello<'a>(&'a self, hello: &'a Hello, upgrade: &'a Upgrade) -> HookFuture<'a, Principal> {
        // An application that logs all it gets.
        tracing::info!(?hello, ?upgrade, "somebody comes");
        let known = hello.token.as_deref() == Some(SECRET);
        let principal = Principal {
            consumer: hello.consumer.clone(),
            ..Principal::default()
        };
        let answer = known.then_some(principal);
        Box::pin(std::future::ready(
            answer.ok_or_else(|| Denied("no".to_owned())),
        ))
    }

    fn subscribe<'a>(&'a self, _: &'a Principal, _: &'a str) -> HookFuture<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn publish<'a>(&'a self, _: &'a Principal, topic: &'a str) -> HookFuture<'a, ()> {
        assert_ne!(topic, "trap", "{FORGED}");
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Says these messages, and returns all that the server says, as one text.
async fn talk(address: &str, path: &str, origin: Option<&str>, messages: &[String]) -> String {
    let mut request = format!("ws://{address}{path}")
        .into_client_request()
        .unwrap();
    let headers = request.headers_mut();
    headers.append("sec-websocket-protocol", "wakelog.v1.json".parse().unwrap());
    headers.append("cookie", format!("session={SECRET}").parse().unwrap());
    headers.append("authorization", format!("Bearer {SECRET}").parse().unwrap());
    if let Some(origin) = origin {
        headers.append("origin", origin.parse().unwrap());
    }
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut socket, _) = match tokio_tungstenite::client_async(request, stream).await {
        Ok(connected) => connected,
        Err(refused) => return format!("{refused:?}"),
    };
    for message in messages {
        let _ = socket.send(Message::text(message)).await;
    }
    let mut said = String::new();
    while let Ok(Some(Ok(message))) =
        tokio::time::timeout(Duration::from_millis(300), socket.next()).await
    {
        said.push_str(&message.to_string());
    }
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_paths_and_forged_lines_stay_out() {
    let caught = Caught::default();
    let writer = caught.clone();
    // At TRACE, tungstenite prints what it reads.
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::DEBUG)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let dir = tempdir().unwrap();
    let log = Log::open(dir.path()).unwrap();
    let hub = Hub::builder(log.clone()).unwrap().authorize(Door).build();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let routes = hub.axum_router();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });

    let hello = |more: &str| format!(r#"{{"type":"hello","token":"{SECRET}"{more}}}"#);
    let forged = serde_json::to_string(FORGED).unwrap();
    let publish = |topic: &str| format!(r#"{{"type":"publish","id":"1","topics":[{topic}]}}"#);
    let mut said = Vec::new();
    for messages in [
        vec![hello(""), publish(r#""a""#)],
        vec![hello(""), publish(r#""trap""#), publish(&forged)],
        vec![hello(&format!(r#","client":{forged}"#))],
        vec![hello(&format!(r#","consumer":{forged}"#))],
        vec![hello("").replace(SECRET, "wrong-s3cr3t-of-mine")],
        vec![hello(""), hello("")],
        vec![hello("").replace('}', "")],
        vec![hello(&" ".repeat(70_000))],
    ] {
        said.push(talk(&address, "/wakelog", None, &messages).await);
    }
    let url = format!("/wakelog?token={SECRET}");
    said.push(talk(&address, &url, None, &[]).await);
    said.push(talk(&address, "/wakelog", Some("https://evil.example"), &[]).await);
    // No cursor can be made: an error that knows paths.
    std::fs::create_dir(dir.path().join("cursors-00.slots")).unwrap();
    let nameless = talk(&address, "/wakelog", None, &[hello(r#","consumer":"c""#)]).await;
    assert!(nameless.contains("unavailable"), "{nameless}");
    said.push(nameless);
    // A log that fails.
    log.close().unwrap();
    let subscribe = r#"{"type":"subscribe","sub":"s","filters":["a"],"start":0}"#.to_owned();
    let messages = [hello(r#","consumer":"c""#), publish(r#""a""#)];
    said.push(talk(&address, "/wakelog", None, &messages).await);
    let messages = [hello(""), publish(r#""a""#), subscribe];
    said.push(talk(&address, "/wakelog", None, &messages).await);

    let logged = String::from_utf8(caught.0.lock().unwrap().clone()).unwrap();
    let path = dir.path().to_str().unwrap();
    let expected = ["somebody comes", "evil.example", "panicked", "cannot be"];
    for expected in expected.into_iter().chain([path, "forged"]) {
        assert!(logged.contains(expected), "no {expected}: {logged}");
    }
    for line in logged.lines() {
        assert!(!line.contains(SECRET), "{line}");
        assert!(!line.contains('\u{1b}'), "{line:?}");
        assert!(!line.starts_with("2026-01-01 ERROR"), "{logged}");
    }
    let said = said.join("\n");
    assert!(
        said.contains("unavailable") && said.contains("internal"),
        "{said}"
    );
    for hidden in [path, SECRET, "os error", ".rs", "panicked"] {
        assert!(!said.contains(hidden), "clients are told {hidden}: {said}");
    }
}
