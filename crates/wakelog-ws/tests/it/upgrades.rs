//! Who becomes a connection at all.

use std::time::Duration;

use serde_json::json;
use tempfile::{TempDir, tempdir};
use tokio::net::TcpStream;
use wakelog_ws::{
    Authorize, Denied, Hello, HookFuture, Hub, HubBuilder, LogSource, Principal, Upgrade,
};

use crate::kit::{Client, Server, log_at, within};

const PROTOCOL: (&str, &str) = ("sec-websocket-protocol", "wakelog.v1.json");

async fn server(
    settings: impl FnOnce(HubBuilder<LogSource>) -> HubBuilder<LogSource>,
) -> (TempDir, Server) {
    let dir = tempdir().unwrap();
    let builder = Hub::builder(log_at(dir.path())).unwrap();
    let server = Server::start(settings(builder).build()).await;
    (dir, server)
}

/// The status of the refusal; 101 if there is none.
async fn status(server: &Server, path: &str, headers: &[(&'static str, &str)]) -> u16 {
    let stream = within(TcpStream::connect(server.address)).await.unwrap();
    let answer = Client::request(stream, path, headers).await;
    answer.err().unwrap_or(101)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_foreign_origins_are_refused_before_the_upgrade() {
    let listed = "https://app.example".parse().unwrap();
    let (_dir, server) = server(|hub| hub.allow_origins([listed])).await;
    // The host is 127.0.0.1, without a port.
    for own in [
        "https://app.example",
        "http://127.0.0.1",
        "https://127.0.0.1",
    ] {
        let headers = [PROTOCOL, ("origin", own)];
        assert_eq!(status(&server, "/wakelog", &headers).await, 101, "{own}");
    }
    assert_eq!(status(&server, "/wakelog", &[PROTOCOL]).await, 101);
    for foreign in [
        "null",
        "https://evil.example",
        "http://app.example",
        "http://127.0.0.1:80",
    ] {
        let headers = [PROTOCOL, ("origin", foreign)];
        assert_eq!(
            status(&server, "/wakelog", &headers).await,
            403,
            "{foreign}"
        );
        // It learns nothing else, not even which subprotocols there are.
        let headers = [("origin", foreign)];
        assert_eq!(
            status(&server, "/wakelog", &headers).await,
            403,
            "{foreign}"
        );
    }
    let two = [
        PROTOCOL,
        ("origin", "https://app.example"),
        ("origin", "https://evil.example"),
    ];
    assert_eq!(status(&server, "/wakelog", &two).await, 403);
    assert!(server.hub.clients().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_origins_are_let_in_only_where_that_was_asked_for() {
    let (_dir, server) = server(HubBuilder::allow_any_origin).await;
    let headers = [PROTOCOL, ("origin", "https://evil.example")];
    assert_eq!(status(&server, "/wakelog", &headers).await, 101);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_in_the_url_is_refused() {
    let (_dir, server) = server(|hub| hub).await;
    for query in ["token=x", "a=b&access_token=x", "TOKEN=x", "token"] {
        let path = format!("/wakelog?{query}");
        assert_eq!(status(&server, &path, &[PROTOCOL]).await, 400, "{query}");
    }
    assert_eq!(
        status(&server, "/wakelog?room=token", &[PROTOCOL]).await,
        101
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_extension_is_negotiated() {
    let (_dir, server) = server(|hub| hub).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let headers = [PROTOCOL, ("sec-websocket-extensions", "permessage-deflate")];
    let (_, answer) = Client::request(stream, "/wakelog", &headers).await.unwrap();
    assert!(!answer.contains_key("sec-websocket-extensions"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_counted_from_the_upgrade_to_the_end() {
    let (_dir, server) = server(|hub| hub.connections(2)).await;
    let (mut first, _) = server.welcome(None).await;
    // Half-open: it has not said hello.
    let second = server.connect().await;
    for _ in 0..3 {
        assert_eq!(status(&server, "/wakelog", &[PROTOCOL]).await, 503);
    }
    first.publish("1", "a", "still served").await;
    drop(second);
    let again = async {
        while status(&server, "/wakelog", &[PROTOCOL]).await != 101 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(again).await;
}

/// Knows its clients by a cookie, and has no answer for some.
struct Cookies;

impl Authorize for Cookies {
    fn upgrade<'a>(&'a self, upgrade: &'a Upgrade) -> HookFuture<'a, ()> {
        Box::pin(async move {
            match upgrade.headers("cookie").next() {
                Some("never") => std::future::pending().await,
                Some(_) => Ok(()),
                None => Err(Denied("no cookie".to_owned())),
            }
        })
    }

    fn hello<'a>(&'a self, hello: &'a Hello, upgrade: &'a Upgrade) -> HookFuture<'a, Principal> {
        Box::pin(async move {
            if hello.token.as_deref() == Some("never") {
                std::future::pending::<()>().await;
            }
            Ok(Principal {
                from: upgrade.headers("cookie").next().map(str::to_owned),
                ..Principal::default()
            })
        })
    }

    fn subscribe<'a>(&'a self, _: &'a Principal, filter: &'a str) -> HookFuture<'a, ()> {
        Box::pin(async move {
            if filter == "never" {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    }

    fn publish<'a>(&'a self, who: &'a Principal, topic: &'a str) -> HookFuture<'a, ()> {
        self.subscribe(who, topic)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hook_sees_the_upgrade_and_has_only_so_much_time() {
    let limit = Duration::from_millis(100);
    let (_dir, server) = server(|hub| hub.authorize(Cookies).hook_limit(limit)).await;
    assert_eq!(status(&server, "/wakelog", &[PROTOCOL]).await, 401);
    assert_eq!(
        status(&server, "/wakelog", &[PROTOCOL, ("cookie", "never")]).await,
        503
    );

    let headers = [PROTOCOL, ("cookie", "ann")];
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut slow, _) = Client::request(stream, "/wakelog", &headers).await.unwrap();
    slow.say(json!({"type": "hello", "token": "never"})).await;
    assert_eq!(slow.hear("error").await["code"], "unavailable");
    assert_eq!(slow.close_code().await, Some(1011));

    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut ann, _) = Client::request(stream, "/wakelog", &headers).await.unwrap();
    ann.say(json!({"type": "hello"})).await;
    assert_eq!(ann.hear("welcome").await["from"], "ann");
    let subscribe = json!({"type": "subscribe", "sub": "s", "filters": ["never"], "start": 0});
    for message in [
        subscribe,
        json!({"type": "publish", "id": "1", "topics": ["never"]}),
    ] {
        ann.say(message).await;
        let error = ann.hear("error").await;
        assert_eq!(
            (&error["code"], &error["retry"]),
            (&json!("unavailable"), &json!(true))
        );
    }
    ann.publish("2", "a", "the session goes on").await;
}

/// The client's list decides, as far as the server knows what is in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_subprotocol_that_is_known_is_selected() {
    let (_dir, server) = server(|hub| hub).await;
    for (offered, selected) in [
        ("wakelog.v1.bin", "wakelog.v1.bin"),
        ("wakelog.v1.bin, wakelog.v1.json", "wakelog.v1.bin"),
        ("wakelog.v1.json,wakelog.v1.bin", "wakelog.v1.json"),
        ("wakelog.v2.bin, wakelog.v1.json", "wakelog.v1.json"),
    ] {
        let stream = within(TcpStream::connect(server.address)).await.unwrap();
        let headers = [("sec-websocket-protocol", offered)];
        let (_client, answer) = Client::request(stream, "/wakelog", &headers).await.unwrap();
        assert_eq!(answer["sec-websocket-protocol"], selected, "{offered}");
    }
    for unknown in ["wakelog.v1", "wakelog.v1.BIN", "wakelog.v2.bin, wakelog"] {
        let headers = [("sec-websocket-protocol", unknown)];
        assert_eq!(
            status(&server, "/wakelog", &headers).await,
            400,
            "{unknown}"
        );
    }
}
