//! What the application does with a hub: to whom it emits, and what it hears from clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tempfile::tempdir;
use wakelog_ws::{Answer, Denied, Hub, Outgoing, Payload};

use crate::kit::{SHORTLY, Server, log_at, offsets, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_to_one_identity_reaches_it_and_nobody_else() {
    let dir = tempdir().unwrap();
    let server = Server::start(Hub::new(log_at(dir.path())).unwrap()).await;
    let emit = |event| within(server.hub.emit(event));
    let (mut alice, _) = server.welcome(Some("alice")).await;
    let (mut bob, _) = server.welcome(Some("bob")).await;
    for client in [&mut alice, &mut bob] {
        client.subscribe(&[">"], json!({})).await;
        client.take(0).await;
    }
    emit(Outgoing::to_identity("alice", Payload::text("psst")))
        .await
        .unwrap();
    emit(Outgoing::to_everyone(Payload::text("all but bob")).not_to("bob"))
        .await
        .unwrap();
    emit(Outgoing::to("a", Payload::text("both")).also_to("b"))
        .await
        .unwrap();
    assert_eq!(offsets(&alice.take(3).await), [0, 1, 2]);
    assert_eq!(offsets(&bob.take(1).await), [2]);
    // No client reaches another in this way, or listens.
    for message in [
        json!({"type": "publish", "id": "1", "topics": ["$to.alice"]}),
        json!({"type": "subscribe", "sub": "t", "filters": ["$to.alice"], "start": 0}),
        json!({"type": "subscribe", "sub": "t", "filters": ["$to.>"], "start": 0}),
    ] {
        bob.say(message).await;
        assert_eq!(bob.hear("error").await["retry"], false);
    }
    let nowhere = emit(Outgoing::to_identity("no such.name!\n", Payload::text(""))).await;
    assert!(!nowhere.unwrap_err().code.retry());
    drop((alice, bob));

    // While it was away, too: the cursor waits for such events.
    emit(Outgoing::to_identity("alice", Payload::text("later")))
        .await
        .unwrap();
    let (mut alice, _) = server.welcome(Some("alice")).await;
    alice.subscribe(&["none"], json!({})).await;
    let texts: Vec<_> = alice
        .take(3)
        .await
        .iter()
        .map(|event| event["text"].clone())
        .collect();
    assert_eq!(texts, ["psst", "all but bob", "later"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_application_can_wait_until_an_event_is_acked() {
    let dir = tempdir().unwrap();
    let server = Server::start(Hub::new(log_at(dir.path())).unwrap()).await;
    let hub = &server.hub;
    let (mut alice, _) = server.welcome(Some("alice")).await;
    alice.subscribe(&["a"], json!({})).await;
    let event = within(hub.emit(Outgoing::to("a", Payload::text("x"))))
        .await
        .unwrap();
    let acked = hub.acked(Some("alice"), "alice", event);
    tokio::pin!(acked);
    alice.find("events").await;
    assert!(tokio::time::timeout(SHORTLY, &mut acked).await.is_err());
    // The connection that acks may be another one.
    drop(alice);
    let (mut alice, _) = server.welcome(Some("alice")).await;
    alice
        .say(json!({"type": "ack", "position": event.position.to_string()}))
        .await;
    alice.hear("ack_ok").await;
    within(acked).await.unwrap();
    let nobody = within(hub.acked(Some("bob"), "alice", event)).await;
    assert!(!nobody.unwrap_err().code.retry());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_hear_what_clients_publish_and_decide() {
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    let ask = move |call: wakelog_ws::Call| -> wakelog_ws::HookFuture<'static, Answer> {
        let counted = Arc::clone(&counted);
        Box::pin(async move {
            counted.fetch_add(1, Ordering::Relaxed);
            let from = call.client.from.clone();
            assert_eq!(call.event.from.as_deref(), from.as_deref());
            let text = String::from_utf8(call.event.payload.as_bytes().to_vec()).unwrap();
            match text.as_str() {
                "store" => Ok(Answer::Store),
                "never" => std::future::pending().await,
                "no" => Err(Denied("not today".to_owned())),
                _ => {
                    let said = json!({"you": from, "said": text});
                    Ok(Answer::Reply(Payload::json(&said).unwrap()))
                }
            }
        })
    };
    let hub = Hub::builder(log.clone()).unwrap();
    let hub = hub
        .hook_limit(Duration::from_millis(200))
        .on("ask.>", ask)
        .unwrap();
    let server = Server::start(hub.build()).await;
    let (mut alice, _) = server.welcome(Some("alice")).await;
    let say = |id: &str, topics: &[&str], text: &str| {
        let from = "mallory";
        json!({"type": "publish", "id": id, "topics": topics, "text": text, "from": from})
    };
    alice.say(say("1", &["ask.time"], "hi")).await;
    let reply = alice.hear("reply").await;
    assert_eq!(
        reply,
        json!({"type": "reply", "id": "1", "data": {"you": "alice", "said": "hi"}})
    );
    alice.say(say("2", &["b", "ask.time"], "store")).await;
    assert_eq!(alice.hear("published").await["offset"], 0);
    alice.say(say("3", &["ask.time"], "no")).await;
    let error = alice.hear("error").await;
    assert_eq!(
        (&error["code"], &error["message"], &error["id"]),
        (&json!("forbidden"), &json!("not today"), &json!("3"))
    );
    alice.say(say("4", &["ask.time"], "never")).await;
    assert_eq!(alice.hear("error").await["code"], "unavailable");
    alice.say(say("5", &["other"], "hi")).await;
    assert_eq!(alice.hear("published").await["offset"], 1);
    assert_eq!(calls.load(Ordering::Relaxed), 4);
    // What was answered is nowhere in the log.
    alice.subscribe(&[">"], json!({"start": "earliest"})).await;
    let events = alice.take(2).await;
    assert!(events.iter().all(|event| event["from"] == "alice"));
}

/// Who is there, what was sent, and what was refused, by its code.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_counts_what_it_does() {
    let dir = tempdir().unwrap();
    let server = Server::start(Hub::new(log_at(dir.path())).unwrap()).await;
    let hub = &server.hub;
    assert_eq!(hub.stats(), wakelog_ws::HubStats::default());
    let (mut alice, _) = server.welcome(Some("alice")).await;
    let waits = server.connect().await;
    alice.subscribe(&["a"], json!({})).await;
    alice.take(0).await;
    let mut bytes = 0;
    for id in ["1", "2", "2"] {
        alice.publish(id, "a", "text").await;
    }
    for _ in 0..2 {
        let stats = hub.stats();
        if stats.events == 2 {
            break;
        }
        bytes += alice.find("events").await["bytes"].as_u64().unwrap();
    }
    alice
        .say(json!({"type": "publish", "id": "3", "topics": ["$x"]}))
        .await;
    alice.find("error").await;
    let stats = hub.stats();
    assert_eq!((stats.connections, stats.sessions), (2, 1));
    assert_eq!((stats.events, stats.publishes), (2, 3));
    assert!(
        stats.event_bytes >= bytes && stats.event_bytes > 100,
        "{stats:?}"
    );
    assert_eq!(stats.refusals, [("bad_topic".to_owned(), 1)].into());

    let (_newer, _) = server.welcome(Some("alice")).await;
    alice.find("fenced").await;
    assert_eq!(alice.close_code().await, Some(4409));
    drop((alice, waits));
    let stream = tokio::net::TcpStream::connect(server.address).await;
    let refused = crate::kit::Client::upgrade(stream.unwrap(), None).await;
    assert_eq!(refused.err(), Some(400));
    assert_eq!(hub.stats().fenced, 1);
    assert_eq!(hub.stats().refusals["http_400"], 1);
    let drained = hub.clone();
    server.stop().await;
    let stats = drained.stats();
    assert_eq!((stats.connections, stats.sessions), (0, 0));
    assert!(stats.drained >= 1, "{stats:?}");
}
