//! The hook that says who may do what.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::tempdir;
use wakelog_ws::{
    Authorize, Denied, Hello, HookFuture, Hub, HubBuilder, LogSource, Principal, Upgrade,
};

use crate::kit::{Client, Server, fill, log_at, offsets, within};

/// Tokens are names; everybody may use topics below `public` and below the own name.
struct Names;

impl Names {
    fn check(principal: &Principal, topic: &str) -> Result<(), Denied> {
        let own = principal.from.as_deref().unwrap_or_default();
        let first = topic.split('.').next();
        let allowed = first == Some("public") || first == Some(own);
        allowed.then_some(()).ok_or_else(|| Denied("no".to_owned()))
    }
}

impl Authorize for Names {
    fn hello<'a>(&'a self, hello: &'a Hello, _: &'a Upgrade) -> HookFuture<'a, Principal> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let name = hello
                .token
                .clone()
                .ok_or_else(|| Denied("who are you?".to_owned()))?;
            // The consumer belongs to the principal, whatever the client calls itself.
            let consumer = hello.consumer.as_ref().map(|own| format!("{name}.{own}"));
            let identities = vec![format!("group-{name}")];
            Ok(Principal {
                consumer,
                from: Some(name),
                identities,
                valid_for: None,
            })
        })
    }

    fn subscribe<'a>(&'a self, principal: &'a Principal, filter: &'a str) -> HookFuture<'a, ()> {
        Box::pin(std::future::ready(Self::check(principal, filter)))
    }

    fn publish<'a>(&'a self, principal: &'a Principal, topic: &'a str) -> HookFuture<'a, ()> {
        Box::pin(std::future::ready(Self::check(principal, topic)))
    }
}

/// Takes every token for a name, and the client's word for its consumer.
struct Careless {
    valid_for: Option<Duration>,
}

impl Authorize for Careless {
    fn hello<'a>(&'a self, hello: &'a Hello, _: &'a Upgrade) -> HookFuture<'a, Principal> {
        Box::pin(std::future::ready(Ok(Principal {
            consumer: hello.consumer.clone(),
            from: hello.token.clone(),
            valid_for: self.valid_for,
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

async fn hello(server: &Server, token: Option<&str>, consumer: &str) -> (Client, Value) {
    let mut client = server.connect().await;
    client
        .say(json!({"type": "hello", "token": token, "consumer": consumer}))
        .await;
    let welcome = client.hear("welcome").await;
    (client, welcome)
}

/// Whatever a client calls its consumer, the cursor is its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reaches_the_cursor_of_another_identity() {
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    let hub = Hub::builder(log.clone()).unwrap();
    let server = Server::start(hub.authorize(Careless { valid_for: None }).build()).await;
    let (ann, first) = hello(&server, Some("ann"), "tab").await;
    let start = &first["cursor"]["position"];
    fill(&log, "a", 0..3);
    let others = [
        (Some("bea"), "tab"),
        (Some("bea"), "ann.tab"),
        (None, "tab"),
        (None, "ann"),
    ];
    let mut open = vec![ann];
    for (token, consumer) in others {
        let (mut other, welcome) = hello(&server, token, consumer).await;
        assert_eq!(welcome["cursor"]["state"], "new", "{token:?} {consumer}");
        let position = welcome["end"].clone();
        other
            .say(json!({"type": "ack", "position": position}))
            .await;
        other.hear("ack_ok").await;
        open.push(other);
    }
    // Nobody was fenced, and ann's stands where it stood.
    assert_eq!(server.hub.clients().len(), 5);
    open[0].publish("1", "a", "still here").await;
    let (_ann, again) = hello(&server, Some("ann"), "tab").await;
    assert_eq!(
        again["cursor"],
        json!({"state": "resumed", "position": start})
    );
    open[0].find("fenced").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_with_its_credentials() {
    let dir = tempdir().unwrap();
    let valid_for = Some(Duration::from_millis(300));
    let hub = Hub::builder(log_at(dir.path())).unwrap();
    let server = Server::start(hub.authorize(Careless { valid_for }).build()).await;
    let (mut ann, _) = hello(&server, Some("ann"), "tab").await;
    assert_eq!(ann.find("error").await["code"], "expired");
    assert_eq!(ann.close_code().await, Some(4401));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_has_so_many_connections() {
    let dir = tempdir().unwrap();
    let hub = Hub::builder(log_at(dir.path())).unwrap();
    let hub = hub
        .authorize(Careless { valid_for: None })
        .connections_of_identity(2);
    let server = Server::start(hub.build()).await;
    let (_one, _) = hello(&server, Some("ann"), "1").await;
    let (two, _) = hello(&server, Some("ann"), "2").await;
    let mut third = server.connect().await;
    let message = json!({"type": "hello", "token": "ann", "consumer": "3"});
    third.say(message.clone()).await;
    let error = third.hear("error").await;
    assert_eq!(
        (&error["code"], &error["retry"]),
        (&json!("too_many_connections"), &json!(true))
    );
    assert_eq!(third.close_code().await, Some(1013));
    hello(&server, Some("bea"), "3").await;
    drop(two);
    let again = async {
        loop {
            let mut client = server.connect().await;
            client.say(message.clone()).await;
            if client.next().await.unwrap()["type"] == "welcome" {
                break;
            }
        }
    };
    within(again).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invented_consumers_do_not_fill_the_disk() {
    let dir = tempdir().unwrap();
    let source = LogSource::new(log_at(dir.path())).unwrap().cursors(2);
    let server = Server::start(HubBuilder::over(source).build()).await;
    for name in ["one", "two"] {
        assert_eq!(server.welcome(Some(name)).await.1["cursor"]["state"], "new");
    }
    for name in ["three", "four"] {
        let mut client = server.connect().await;
        client.say(json!({"type": "hello", "consumer": name})).await;
        assert_eq!(client.hear("error").await["code"], "too_many_cursors");
        assert_eq!(client.close_code().await, Some(1008));
    }
    // Those that have one come back, and those that need none come.
    assert_eq!(
        server.welcome(Some("one")).await.1["cursor"]["state"],
        "resumed"
    );
    server.welcome(None).await;
}

/// That it ends then is for the log's own tests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_that_nobody_uses_has_an_end() {
    const DAY: Duration = Duration::from_secs(24 * 3_600);
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    let source = LogSource::new(log.clone()).unwrap();
    let short = source.clone().cursor_life(DAY);
    for (name, source, life) in [("one", source, 90 * DAY), ("two", short, DAY)] {
        let server = Server::start(HubBuilder::over(source).build()).await;
        server.welcome(Some(name)).await;
        let all = log.cursor_list().unwrap();
        let own = all.iter().find(|cursor| cursor.name.ends_with(name));
        assert_eq!(own.unwrap().ttl, Some(life), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hook_decides_and_the_hub_sets_from() {
    let dir = tempdir().unwrap();
    let hub = Hub::builder(log_at(dir.path()))
        .unwrap()
        .authorize(Names)
        .build();
    let server = Server::start(hub).await;
    let mut stranger = server.connect().await;
    stranger
        .say(json!({"type": "hello", "consumer": "tab"}))
        .await;
    let error = stranger.hear("error").await;
    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!("unauthorized"), &json!("who are you?"))
    );
    assert_eq!(stranger.close_code().await, Some(4401));

    let mut clients = Vec::new();
    for name in ["ann", "bea"] {
        let mut client = server.connect().await;
        client
            .say(json!({"type": "hello", "token": name, "consumer": "tab"}))
            .await;
        let welcome = client.hear("welcome").await;
        assert_eq!(welcome["consumer"], format!("{name}.tab"));
        assert_eq!(welcome["from"], name);
        client
            .subscribe(&["public.>", name], json!({"start": "latest"}))
            .await;
        client.take(0).await;
        clients.push(client);
    }
    // The same consumer name of two principals is two consumers: nobody was fenced.
    assert_eq!(server.hub.clients().len(), 2);
    let [ann, bea] = &mut clients[..] else {
        panic!()
    };
    for filters in [json!(["bea"]), json!([">"]), json!(["public.x", "bea"])] {
        let start = "earliest";
        ann.say(json!({"type": "subscribe", "sub": "t", "filters": filters, "start": start}))
            .await;
        let error = ann.hear("error").await;
        assert_eq!(
            (&error["code"], &error["sub"]),
            (&json!("forbidden"), &json!("t"))
        );
    }
    ann.say(json!({"type": "publish", "id": "1", "topics": ["public.x", "bea"]}))
        .await;
    let error = ann.hear("error").await;
    assert_eq!(
        (&error["code"], &error["id"]),
        (&json!("forbidden"), &json!("1"))
    );

    ann.say(json!({
        "type": "publish", "id": "2", "topics": ["public.x"], "from": "bea", "text": "me",
        "not_to": ["group-ann"]
    }))
    .await;
    ann.hear("published").await;
    let heard = bea.take(1).await;
    assert_eq!(
        (offsets(&heard), &heard[0]["from"]),
        (vec![0], &json!("ann"))
    );
    ann.hear_nothing().await;
}
