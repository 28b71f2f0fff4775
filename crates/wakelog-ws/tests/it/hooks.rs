//! Hooks and handlers that take too long, or panic: the client hears of it, and others go on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tempfile::tempdir;
use wakelog_ws::{Answer, Authorize, Hello, HookFuture, Hub, Principal, Upgrade};

use crate::kit::{Server, log_at};

/// Needs a while for each question, and panics at some.
#[derive(Default)]
struct Weak {
    asked: AtomicUsize,
}

impl Weak {
    const WHILE: Duration = Duration::from_millis(150);

    async fn think(&self, about: &str) {
        assert_ne!(about, "trap.later");
        self.asked.fetch_add(1, Ordering::Relaxed);
        if about.starts_with("slow") {
            tokio::time::sleep(Self::WHILE).await;
        }
    }
}

impl Authorize for Weak {
    fn hello<'a>(&'a self, hello: &'a Hello, _: &'a Upgrade) -> HookFuture<'a, Principal> {
        assert_ne!(hello.token.as_deref(), Some("trap"));
        Box::pin(std::future::ready(Ok(Principal::default())))
    }

    fn subscribe<'a>(&'a self, _: &'a Principal, filter: &'a str) -> HookFuture<'a, ()> {
        assert_ne!(filter, "trap.now");
        Box::pin(async move {
            self.think(filter).await;
            Ok(())
        })
    }

    fn publish<'a>(&'a self, who: &'a Principal, topic: &'a str) -> HookFuture<'a, ()> {
        self.subscribe(who, topic)
    }
}

async fn server(limit: Duration) -> (tempfile::TempDir, Server) {
    let dir = tempdir().unwrap();
    let hub = Hub::builder(log_at(dir.path())).unwrap();
    let hub = hub.authorize(Weak::default()).hook_limit(limit);
    let hub = hub
        .on("call.now", |_| panic!("a handler, at once"))
        .unwrap();
    let late =
        |_| -> HookFuture<'static, Answer> { Box::pin(async { panic!("{} handler, later", "a") }) };
    let hub = hub.on("call.later", late).unwrap();
    (dir, Server::start(hub.build()).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_has_one_time_limit_however_much_there_is_to_ask() {
    let (_dir, server) = server(Weak::WHILE * 4).await;
    let (mut client, _) = server.welcome(None).await;
    let many: Vec<_> = (0..16).map(|n| format!("slow.{n}")).collect();
    client
        .say(json!({"type": "subscribe", "sub": "s", "filters": many, "start": 0}))
        .await;
    assert_eq!(client.hear("error").await["code"], "unavailable");
    client
        .say(json!({"type": "publish", "id": "1", "topics": many}))
        .await;
    assert_eq!(client.hear("error").await["code"], "unavailable");
    client.publish("2", "slow.1", "one is fine").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_the_application_is_an_answer_and_the_session_goes_on() {
    let (_dir, server) = server(Duration::from_secs(5)).await;
    let (mut client, _) = server.welcome(None).await;
    for topic in ["trap.now", "trap.later", "call.now", "call.later"] {
        client
            .say(json!({"type": "publish", "id": topic, "topics": [topic]}))
            .await;
        let error = client.hear("error").await;
        assert_eq!(error["id"], topic);
        assert_eq!(
            (&error["code"], &error["message"]),
            (&json!("internal"), &json!("internal error"))
        );
    }
    let trap = json!({"type": "subscribe", "sub": "s", "filters": ["trap.now"], "start": 0});
    client.say(trap).await;
    assert_eq!(client.hear("error").await["code"], "internal");
    client.publish("1", "a", "still here").await;

    let mut other = server.connect().await;
    other.say(json!({"type": "hello", "token": "trap"})).await;
    assert_eq!(other.hear("error").await["code"], "internal");
    assert_eq!(other.close_code().await, Some(1011));
}
