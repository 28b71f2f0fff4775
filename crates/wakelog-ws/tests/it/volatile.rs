//! Events that are not stored: who hears them, and when.

use serde_json::{Value, json};
use tempfile::tempdir;
use wakelog_ws::protocol::ErrorCode;
use wakelog_ws::{Hub, Outgoing, Payload};

use crate::kit::{Client, Server, log_at};

fn typing(topic: &str) -> Outgoing {
    Outgoing::to(topic, Payload::text("...")).volatile()
}

/// A client that has caught up.
async fn live(server: &Server, consumer: Option<&str>, filters: &[&str]) -> Client {
    let (mut client, _) = server.welcome(consumer).await;
    let start = json!({"start": "latest"});
    client.subscribe(filters, start).await;
    assert!(client.take(0).await.is_empty());
    client
}

async fn hear(client: &mut Client) -> Value {
    let mut message = client.hear("volatile").await;
    assert_eq!(message["events"].as_array().unwrap().len(), 1, "{message}");
    message["events"][0].take()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_go_to_those_who_hear_the_topic_and_are_not_stored() {
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    let server = Server::start(Hub::new(log.clone()).unwrap()).await;
    let mut ann = live(&server, Some("ann"), &["room.*"]).await;
    let mut bob = live(&server, Some("bob"), &["room.*"]).await;
    let mut other = live(&server, None, &["other", "room"]).await;

    let all = server.hub.emit(typing("room.1").name("typing").id("7"));
    let place = all.await.unwrap();
    assert_eq!(place.offset, log.next_offset());
    for client in [&mut ann, &mut bob] {
        let event = hear(client).await;
        assert_eq!(event["offset"], place.offset);
        let told = (&event["name"], &event["id"], &event["topics"]);
        assert_eq!(told, (&json!("typing"), &json!("7"), &json!(["room.1"])));
    }
    let but_ann = server.hub.emit(typing("room.1").not_to("ann").id("8"));
    but_ann.await.unwrap();
    let to_ann = Outgoing::to_identity("ann", Payload::text("you")).volatile();
    server.hub.emit(to_ann).await.unwrap();
    let everyone = Outgoing::to_everyone(Payload::text("all")).volatile();
    server.hub.emit(everyone).await.unwrap();
    assert_eq!(hear(&mut ann).await["text"], "you");
    assert_eq!(hear(&mut bob).await["id"], "8");
    for client in [&mut ann, &mut bob, &mut other] {
        assert_eq!(hear(client).await["text"], "all");
        client.hear_nothing().await;
    }
    // Nothing of all this stands in the log, and no place has moved.
    assert_eq!(log.next_offset(), 0);
    assert!(server.hub.clients().iter().all(|client| client.behind == 0));
    let mut later = server.welcome(None).await.0;
    let all = json!({"start": "earliest"});
    later.subscribe(&["room.*"], all).await;
    assert!(later.take(0).await.is_empty());
}

/// Each is told after the stored event before it, however close they come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_come_after_what_is_older() {
    let dir = tempdir().unwrap();
    let server = Server::start(Hub::new(log_at(dir.path())).unwrap()).await;
    let mut client = live(&server, None, &["room"]).await;
    let mut volatile = 0;
    for n in 0..200 {
        let stored = Outgoing::to("room", Payload::text("stored"));
        let stored = server.hub.emit(stored).await.unwrap();
        let place = server.hub.emit(typing("room")).await.unwrap();
        assert_eq!((stored.offset, place.offset), (n, n + 1));
        assert_eq!(client.take(1).await[0]["offset"], n);
        // Whoever is live gets it.
        assert_eq!(hear(&mut client).await["offset"], n + 1);
        volatile += 1;
    }
    assert_eq!(volatile, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_behind_does_not_get_them() {
    let dir = tempdir().unwrap();
    let server = Server::start(Hub::new(log_at(dir.path())).unwrap()).await;
    let (mut client, _) = server.welcome(None).await;
    let credit = json!({"events": 1, "bytes": 10_000});
    let start = json!({"start": "latest", "credit": credit});
    client.subscribe(&["room"], start).await;
    assert!(client.take(0).await.is_empty());
    for _ in 0..3 {
        let stored = Outgoing::to("room", Payload::text("stored"));
        server.hub.emit(stored).await.unwrap();
    }
    assert_eq!(client.hear("events").await["events"][0]["offset"], 0);
    // Two wait for credit.
    server.hub.emit(typing("room").id("lost")).await.unwrap();
    client.hear_nothing().await;
    let credit = json!({"type": "credit", "sub": "s", "events": 9, "bytes": 10_000});
    client.say(credit).await;
    assert_eq!(client.take(2).await.len(), 2);
    client.hear_nothing().await;
    server.hub.emit(typing("room").id("heard")).await.unwrap();
    assert_eq!(hear(&mut client).await["id"], "heard");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_publish_them_and_are_answered() {
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    let server = Server::start(Hub::new(log.clone()).unwrap()).await;
    let mut ann = live(&server, Some("ann"), &["room"]).await;
    let mut bob = live(&server, None, &["room"]).await;
    let event = json!({
        "type": "publish", "id": "1", "topics": ["room"], "volatile": true, "data": {"x": 1}
    });
    // No id is remembered.
    for _ in 0..2 {
        ann.say(event.clone()).await;
        let reply = ann.find("reply").await;
        assert_eq!((&reply["id"], &reply["text"]), (&json!("1"), &json!("")));
        let event = hear(&mut bob).await;
        let told = (&event["from"], &event["data"], &event["volatile"]);
        assert_eq!(told, (&json!("ann"), &json!({"x": 1}), &Value::Null));
    }
    assert_eq!(log.next_offset(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_topic_or_too_long_is_refused() {
    let dir = tempdir().unwrap();
    let server = Server::start(Hub::new(log_at(dir.path())).unwrap()).await;
    let refused = server.hub.emit(typing("a..b")).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::BadTopic);
    let long = Outgoing::to("a", Payload::text("x".repeat(70_000))).volatile();
    let refused = server.hub.emit(long).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::TooLarge);
}
