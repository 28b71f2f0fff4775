//! What one identity can take from the others: cursors, connections, the moment after a cut.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wakelog_ws::{
    Authorize, Denied, Hello, HookFuture, Hub, HubBuilder, LogSource, Principal, Upgrade,
};

use crate::kit::{Client, Server, log_at, within};

/// A token is a name, but for `outsider`'s.
struct Tokens;

impl Authorize for Tokens {
    fn hello<'a>(&'a self, hello: &'a Hello, _: &'a Upgrade) -> HookFuture<'a, Principal> {
        Box::pin(async {
            if hello.token.as_deref() == Some("outsider") {
                return Err(Denied("not you".to_owned()));
            }
            Ok(Principal {
                consumer: hello.consumer.clone(),
                from: hello.token.clone(),
                ..Principal::default()
            })
        })
    }

    fn subscribe<'a>(&'a self, _: &'a Principal, _: &'a str) -> HookFuture<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn publish<'a>(&'a self, _: &'a Principal, _: &'a str) -> HookFuture<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The first answer to a `hello`, with the state of the cursor or the code of the error.
async fn hello(server: &Server, token: &str, consumer: &str) -> (Client, Value) {
    let mut client = server.connect().await;
    client
        .say(json!({"type": "hello", "token": token, "consumer": consumer}))
        .await;
    let mut answer = client.next().await.unwrap();
    let what = match answer["type"].as_str() {
        Some("welcome") => answer["cursor"]["state"].take(),
        _ => answer["code"].take(),
    };
    (client, what)
}

fn bytes_in(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).unwrap();
    // One that is renamed meanwhile counts nothing.
    let lengths = files.filter_map(|file| Some(file.unwrap().metadata().ok()?.len()));
    lengths.sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_has_so_many_cursors_and_others_are_not_touched() {
    let dir = tempdir().unwrap();
    let hub = |log| {
        let source = LogSource::new(log).unwrap().cursors_of_identity(3);
        HubBuilder::over(source).authorize(Tokens).build()
    };
    let log = log_at(dir.path());
    let server = Server::start(hub(log.clone())).await;
    for consumer in ["1", "2", "ann"] {
        assert_eq!(hello(&server, "ann", consumer).await.1, "new");
    }
    let before = bytes_in(dir.path());
    for n in 0..20 {
        let (mut client, code) = hello(&server, "ann", &format!("more{n}")).await;
        assert_eq!(code, "too_many_cursors");
        assert_eq!(client.close_code().await, Some(1008));
    }
    assert_eq!(bytes_in(dir.path()), before);
    assert_eq!(hello(&server, "ann", "2").await.1, "resumed");
    assert_eq!(hello(&server, "bea", "1").await.1, "new");
    // The count is the log's, not the process's.
    server.stop().await;
    log.close().unwrap();
    let server = Server::start(hub(log_at(dir.path()))).await;
    assert_eq!(hello(&server, "ann", "more").await.1, "too_many_cursors");
    for (token, consumer, state) in [("ann", "ann", "resumed"), ("bea", "2", "new")] {
        assert_eq!(hello(&server, token, consumer).await.1, state);
    }
}

/// The application keeps room for cursors of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_do_not_take_all_cursors_of_the_log() {
    let dir = tempdir().unwrap();
    let log = wakelog::Options::new().max_cursors(10).open(dir.path());
    let log = log.unwrap();
    let server = Server::start(Hub::new(log.clone()).unwrap()).await;
    for n in 0..9 {
        let (_, welcome) = server.welcome(Some(&n.to_string())).await;
        assert_eq!(welcome["cursor"]["state"], "new");
    }
    assert_eq!(hello(&server, "x", "9").await.1, "too_many_cursors");
    log.cursor("own").topics(["a"]).open().unwrap();
}

/// A client that lost its network comes back while the server still believes in its old socket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_connection_does_not_shut_its_own_client_out() {
    let dir = tempdir().unwrap();
    let hub = Hub::builder(log_at(dir.path())).unwrap().authorize(Tokens);
    let server = Server::start(hub.connections_of_identity(2).build()).await;
    let (_phone, state) = hello(&server, "ann", "phone").await;
    assert_eq!(state, "new");
    let mut last = Vec::new();
    for n in 0..20 {
        let (client, state) = hello(&server, "ann", "tab").await;
        assert_eq!(state, if n == 0 { "new" } else { "resumed" });
        // Nobody reads from it or closes it.
        last.push(client);
    }
    assert_eq!(
        hello(&server, "ann", "third").await.1,
        "too_many_connections"
    );
    last.pop().unwrap().publish("1", "a", "served").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoked_identities_are_closed_at_once_and_nobody_else() {
    let dir = tempdir().unwrap();
    let hub = Hub::builder(log_at(dir.path())).unwrap().authorize(Tokens);
    let server = Server::start(hub.build()).await;
    let (mut tab, _) = hello(&server, "ann", "tab").await;
    let (mut phone, _) = hello(&server, "ann", "phone").await;
    let (mut bea, _) = hello(&server, "bea", "tab").await;
    assert_eq!(server.hub.revoke("ann"), 2);
    for client in [&mut tab, &mut phone] {
        assert_eq!(client.hear("error").await["code"], "expired");
        assert_eq!(client.close_code().await, Some(4401));
    }
    bea.publish("1", "a", "still here").await;
    assert_eq!(server.hub.revoke("nobody"), 0);
    // It is for the hook to say no.
    assert_eq!(hello(&server, "ann", "tab").await.1, "resumed");
    assert_eq!(hello(&server, "outsider", "tab").await.1, "unauthorized");
}

/// All come back at once: some at once, some a moment later, and those beyond are told when.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_in_a_storm_waits_or_is_told_to_come_later() {
    let dir = tempdir().unwrap();
    let hub = Hub::builder(log_at(dir.path())).unwrap();
    let server = Server::start(hub.arrivals_per_second(2).build()).await;
    let begun = std::time::Instant::now();
    let come = || async {
        let stream = TcpStream::connect(server.address).await.unwrap();
        Client::upgrade(stream, Some("wakelog.v1.json")).await.err()
    };
    // Eight may come at once, ten wait for up to five seconds, the others are too many.
    let all = futures_util::future::join_all((0..60).map(|_| come())).await;
    let refused = all.iter().filter(|status| **status == Some(503)).count();
    let let_in = all.iter().filter(|status| status.is_none()).count();
    assert_eq!(refused + let_in, 60);
    assert!((18..40).contains(&let_in), "{let_in}");
    assert!(begun.elapsed() > Duration::from_secs(4));
    let asked = futures_util::future::join_all((0..60).map(|_| retry_after(&server))).await;
    let mut waits: Vec<_> = asked.into_iter().flatten().collect();
    assert!(
        waits.iter().all(|wait| (1..=10).contains(wait)),
        "{waits:?}"
    );
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 2, "all at the same time: {waits:?}");
}

/// What a request is told, if it is refused.
async fn retry_after(server: &Server) -> Option<u64> {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = "GET /wakelog HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n\
                   upgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   sec-websocket-protocol: wakelog.v1.json\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = vec![0; 1024];
    let read = within(stream.read(&mut head)).await.unwrap();
    let head = String::from_utf8_lossy(&head[..read]).to_lowercase();
    let (_, rest) = head.split_once("retry-after: ")?;
    rest.lines().next()?.trim().parse().ok()
}
