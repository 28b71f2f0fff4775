//! Filters change while events come.

use serde_json::json;
use tempfile::tempdir;
use wakelog_ws::Hub;

use crate::kit::{Server, log_at, offsets};

/// Every change keeps `a` and turns `b` on or off: of `a` nothing is lost and nothing comes twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_is_lost_or_doubled_by_a_change() {
    const EVENTS: u64 = 6_000;
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    let server = Server::start(Hub::new(log.clone()).unwrap()).await;
    let (mut client, _) = server.welcome(None).await;
    client.subscribe(&["a"], json!({"start": "earliest"})).await;
    let writer = std::thread::spawn(move || {
        for n in 0..EVENTS {
            log.append(if n % 3 == 0 { "b" } else { "a" }, "x").unwrap();
            if n % 100 == 0 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        log.sync().unwrap();
    });
    let (mut all, mut changes, mut position) = (Vec::new(), 0_u64, 0);
    while position < EVENTS {
        let message = client.next().await.unwrap();
        match message["type"].as_str().unwrap() {
            "events" => {
                let events = message["events"].as_array().unwrap();
                all.extend(offsets(events));
                let text = message["position"].as_str().unwrap();
                position = text.rsplit_once('.').unwrap().1.parse().unwrap();
                let (count, bytes) = (events.len(), &message["bytes"]);
                client
                    .say(json!({"type": "credit", "sub": "s", "events": count, "bytes": bytes}))
                    .await;
                let filters = if changes % 2 == 0 {
                    json!(["a", "b"])
                } else {
                    json!(["a"])
                };
                changes += 1;
                client
                    .say(json!({"type": "change", "sub": "s", "filters": filters}))
                    .await;
            }
            "subscribed" | "heartbeat" => {}
            _ => panic!("{message}"),
        }
    }
    writer.join().unwrap();
    assert!(changes > 3, "{changes}");
    assert!(
        all.is_sorted_by(|one, next| one < next),
        "an event came twice"
    );
    let of_a: Vec<_> = all.into_iter().filter(|n| n % 3 != 0).collect();
    assert_eq!(of_a, (0..EVENTS).filter(|n| n % 3 != 0).collect::<Vec<_>>());
}

/// The last filters are those that hold, for the hook and for `clients` too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_filters_hold() {
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    let server = Server::start(Hub::new(log.clone()).unwrap()).await;
    let (mut client, _) = server.welcome(None).await;
    client.subscribe(&["a"], json!({"start": "latest"})).await;
    client.take(0).await;
    for topic in ["a", "b", "a"] {
        log.append(topic, "x").unwrap();
    }
    log.sync().unwrap();
    assert_eq!(offsets(&client.take(2).await), [0, 2]);
    let change = json!({"type": "change", "sub": "s", "filters": ["b"]});
    client.say(change).await;
    client.find("subscribed").await;
    for topic in ["a", "b", "a", "b"] {
        log.append(topic, "x").unwrap();
    }
    log.sync().unwrap();
    assert_eq!(offsets(&client.take(2).await), [4, 6]);
    assert_eq!(server.hub.clients()[0].topics, ["b"]);
}
