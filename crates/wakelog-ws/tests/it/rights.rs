//! The hook that says who may do what.

use serde_json::json;
use tempfile::tempdir;
use wakelog_ws::{Authorize, Denied, Hello, HookFuture, Hub, Principal, Upgrade};

use crate::kit::{Server, log_at, offsets};

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
