//! What was missed arrives, in order, once.

use serde_json::json;
use tempfile::tempdir;
use wakelog_ws::{Hub, Outgoing, Payload};

use crate::kit::{SHORTLY, Server, fill, log_at, offsets, slow_log_at};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_events_come_to_those_who_hear_the_topic() {
    let dir = tempdir().unwrap();
    let server = Server::start(Hub::new(log_at(dir.path())).unwrap()).await;
    let (mut alice, welcome) = server.welcome(Some("alice")).await;
    assert_eq!(welcome["from"], "alice");
    assert_eq!(welcome["cursor"]["state"], "new");
    let (mut bob, _) = server.welcome(None).await;
    bob.subscribe(&["room.*"], json!({"start": "latest"})).await;
    assert!(bob.take(0).await.is_empty());

    let event = json!({
        "type": "publish", "id": "1", "topics": ["room.42", "hall"], "name": "message",
        "data": {"text": "hello"}
    });
    alice.say(event).await;
    let published = alice.hear("published").await;
    assert_eq!(published["offset"], 0);
    alice.publish("2", "elsewhere", "not for bob").await;
    alice.publish("3", "room.43", "plain").await;

    let mut events = bob.take(1).await;
    if events.len() == 1 {
        events.extend(bob.take(1).await);
    }
    assert_eq!(offsets(&events), [0, 2]);
    assert_eq!(events[0]["topics"], json!(["room.42", "hall"]));
    assert_eq!(events[0]["data"], json!({"text": "hello"}));
    let (name, id, from) = (&events[0]["name"], &events[0]["id"], &events[0]["from"]);
    assert_eq!(
        (name, id, from),
        (&json!("message"), &json!("1"), &json!("alice"))
    );
    assert_eq!(events[1]["text"], "plain");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_comes_in_pages_under_credit_then_live() {
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    fill(&log, "room.1", 0..3000);
    let server = Server::start(Hub::new(log.clone()).unwrap()).await;
    let (mut client, _) = server.welcome(None).await;
    let credit = json!({"events": 100, "bytes": 1 << 20});
    let start = json!({"start": "earliest", "credit": credit});
    let subscribed = client.subscribe(&["room.1"], start).await;
    assert_eq!(subscribed["end"], 3000);
    let page = client.hear("events").await;
    assert_eq!(
        (page["events"].as_array().unwrap().len(), &page["live"]),
        (100, &json!(false))
    );
    // The credit is used up: what is on its way is never more than the client has asked for.
    client.hear_nothing().await;
    client
        .say(json!({"type": "credit", "sub": "s", "events": 5000, "bytes": 1 << 20}))
        .await;
    let events = client.take(2900).await;
    assert_eq!(offsets(&events), (100..3000).collect::<Vec<_>>());
    for event in &events {
        assert_eq!(event["text"], json!(event["offset"].to_string()));
    }
    fill(&log, "room.1", 3000..3001);
    assert_eq!(offsets(&client.take(1).await), [3000]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_goes_on_from_its_position_or_from_its_cursor() {
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    let server = Server::start(Hub::new(log.clone()).unwrap()).await;
    // The cursor exists from hello on: what comes before the first subscribe is not missed.
    let (client, _) = server.welcome(Some("alice")).await;
    drop(client);
    fill(&log, "a", 0..10);
    let (mut client, welcome) = server.welcome(Some("alice")).await;
    assert_eq!(welcome["cursor"]["state"], "resumed");
    client.subscribe(&["a"], json!({})).await;
    let events = client.take(10).await;
    assert_eq!(offsets(&events), (0..10).collect::<Vec<_>>());
    let stem = welcome["end"]
        .as_str()
        .unwrap()
        .rsplit_once('.')
        .unwrap()
        .0
        .to_owned();
    let fourth = format!("{stem}.4");
    client.say(json!({"type": "ack", "position": fourth})).await;
    assert_eq!(client.hear("ack_ok").await["position"], fourth.as_str());
    drop(client);

    let (mut client, welcome) = server.welcome(Some("alice")).await;
    assert_eq!(welcome["cursor"]["position"], fourth.as_str());
    client.subscribe(&["a"], json!({})).await;
    assert_eq!(offsets(&client.take(6).await), (4..10).collect::<Vec<_>>());
    // A position wins over the cursor, and a rewind does not lower it.
    client.say(json!({"type": "unsubscribe", "sub": "s"})).await;
    assert_eq!(
        client.hear("unsubscribed").await["position"],
        format!("{stem}.10")
    );
    let first = format!("{stem}.1");
    client.subscribe(&["a"], json!({"position": first})).await;
    assert_eq!(offsets(&client.take(9).await), (1..10).collect::<Vec<_>>());
    client.say(json!({"type": "ack", "position": first})).await;
    assert_eq!(client.hear("ack_ok").await["position"], fourth.as_str());
}

/// Nobody knows where it stood, so all that is kept comes again, and that is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_cursor_is_told_and_begins_with_the_oldest_event() {
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    let server = Server::start(Hub::new(log.clone()).unwrap()).await;
    let (mut client, welcome) = server.welcome(Some("alice")).await;
    fill(&log, "a", 0..10);
    let position = welcome["end"].as_str().unwrap().replace(".0", ".4");
    client
        .say(json!({"type": "ack", "position": position}))
        .await;
    client.hear("ack_ok").await;
    drop(client);
    server.stop().await;
    log.close().unwrap();
    drop(log);
    // The two words of the first slot that say where its cursor stands.
    let slots = dir.path().join("cursors-00.slots");
    let mut bytes = std::fs::read(&slots).unwrap();
    bytes[4096 + 24..4096 + 40].fill(0x55);
    std::fs::write(&slots, bytes).unwrap();

    let log = log_at(dir.path());
    let server = Server::start(Hub::new(log.clone()).unwrap()).await;
    let (mut client, welcome) = server.welcome(Some("alice")).await;
    assert_eq!(welcome["cursor"]["state"], "lost");
    client.subscribe(&["a"], json!({})).await;
    let events = client.take(10).await;
    assert_eq!(offsets(&events), (0..10).collect::<Vec<_>>());
    drop(client);
    let (_client, welcome) = server.welcome(Some("alice")).await;
    assert_eq!(welcome["cursor"]["state"], "resumed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_cursor_is_said_to_be_is_on_disk() {
    let dir = tempdir().unwrap();
    let log = slow_log_at(dir.path());
    let server = Server::start(Hub::new(log.clone()).unwrap()).await;
    let (client, _) = server.welcome(Some("alice")).await;
    drop(client);
    fill(&log, "a", 0..3);
    log.sync().unwrap();
    // An ack in memory; the next sync of the policy is a minute away.
    let mut cursor = log.cursor("ws.alice").refilter().open().unwrap();
    let event = cursor.next().unwrap().unwrap();
    cursor.wait_saved().unwrap();
    let before = log.stats().syncs;
    cursor.ack(&event).unwrap();
    let (_client, welcome) = server.welcome(Some("alice")).await;
    let position = welcome["cursor"]["position"].as_str().unwrap();
    assert!(position.ends_with(".1"), "{position}");
    assert!(log.stats().syncs > before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_not_durable_leaves_the_server() {
    let dir = tempdir().unwrap();
    let log = slow_log_at(dir.path());
    let server = Server::start(Hub::new(log.clone()).unwrap()).await;
    let (mut client, _) = server.welcome(Some("alice")).await;
    fill(&log, "a", 0..1);
    let subscribed = client.subscribe(&["a"], json!({"start": "earliest"})).await;
    assert_eq!(subscribed["end"], 1);
    client.take(1).await;

    // Visible to the process, not durable: the next sync of the policy is a minute away.
    assert_eq!(log.append("a", "1").unwrap(), 1);
    client
        .say(json!({"type": "publish", "id": "p", "topics": ["a"], "text": "2"}))
        .await;
    client.hear_nothing().await;
    assert_eq!((log.next_offset(), log.durable_offset()), (3, 1));
    let (mut other, welcome) = server.welcome(None).await;
    assert!(welcome["end"].as_str().unwrap().ends_with(".1"));
    assert_eq!(other.subscribe(&["a"], json!({"start": 0})).await["end"], 1);
    assert_eq!(other.take(1).await.len(), 1);
    other.hear_nothing().await;

    log.sync().unwrap();
    let mut seen = (0, false);
    while seen != (2, true) {
        let message = client.next().await.unwrap();
        match message["type"].as_str().unwrap() {
            "published" => seen.1 = message["offset"] == 2,
            "events" => seen.0 += message["events"].as_array().unwrap().len(),
            other => panic!("{other}"),
        }
    }
    assert_eq!(offsets(&other.take(2).await), [1, 2]);

    // An ack is answered after a sync that began after it, which makes this event durable too.
    assert_eq!(log.append("b", "3").unwrap(), 3);
    assert_eq!(log.durable_offset(), 3);
    let end = welcome["end"].as_str().unwrap();
    let position = format!("{}.2", end.rsplit_once('.').unwrap().0);
    client
        .say(json!({"type": "ack", "position": position}))
        .await;
    let syncing = log.clone();
    let sync = tokio::spawn(async move {
        tokio::time::sleep(SHORTLY).await;
        syncing.sync().unwrap();
    });
    let answer = client.hear("ack_ok").await;
    assert_eq!(log.durable_offset(), 4);
    assert_eq!(answer["position"], position.as_str());
    sync.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everyone_hears_all_and_those_excepted_do_not() {
    let dir = tempdir().unwrap();
    let server = Server::start(Hub::new(log_at(dir.path())).unwrap()).await;
    let (mut alice, _) = server.welcome(Some("alice")).await;
    let (mut bob, _) = server.welcome(Some("bob")).await;
    for client in [&mut alice, &mut bob] {
        client.subscribe(&["a"], json!({"start": "latest"})).await;
        client.take(0).await;
    }
    let hub = &server.hub;
    let published = hub
        .emit(Outgoing::to_everyone(Payload::text("all")))
        .await
        .unwrap();
    assert_eq!((published.offset, published.position.offset), (0, 1));
    hub.emit(Outgoing::to("a", Payload::bytes(vec![0xff])).not_to("alice"))
        .await
        .unwrap();
    hub.emit(Outgoing::to("a", Payload::json(&[1, 2]).unwrap()).from("server"))
        .await
        .unwrap();
    let mut heard = [Vec::new(), Vec::new()];
    for (n, (client, count)) in [(&mut alice, 2), (&mut bob, 3)].into_iter().enumerate() {
        while heard[n].len() < count {
            let page = client.hear("events").await;
            heard[n].extend(page["events"].as_array().unwrap().clone());
        }
    }
    assert_eq!(offsets(&heard[0]), [0, 2]);
    assert_eq!(offsets(&heard[1]), [0, 1, 2]);
    assert_eq!(heard[1][0]["topics"], json!(["$all"]));
    assert_eq!(
        (&heard[1][1]["base64"], &heard[1][1]["not_to"]),
        (&json!("/w=="), &json!(["alice"]))
    );
    assert_eq!(
        (&heard[1][2]["data"], &heard[1][2]["from"]),
        (&json!([1, 2]), &json!("server"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishes_of_one_connection_keep_their_order() {
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    let server = Server::start(Hub::new(log.clone()).unwrap()).await;
    let (mut client, _) = server.welcome(None).await;
    // More than may be unanswered at a time: the rest waits in the socket.
    for n in 0..1000 {
        let id = n.to_string();
        client
            .say(json!({"type": "publish", "id": id, "topics": ["a"], "data": n}))
            .await;
    }
    for n in 0..1000_u64 {
        let published = client.hear("published").await;
        assert_eq!(
            (&published["id"], &published["offset"]),
            (&json!(n.to_string()), &json!(n))
        );
    }
    client.subscribe(&["a"], json!({"start": "earliest"})).await;
    let events = client.take(1000).await;
    assert!((0..1000).zip(&events).all(|(n, event)| event["data"] == n));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_event_comes_alone_and_whole() {
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    let large = "\u{1}".repeat(300 << 10);
    log.append("a", "small").unwrap();
    log.append("a", &large).unwrap();
    fill(&log, "a", 2..5);
    let server = Server::start(Hub::new(log).unwrap()).await;
    let (mut client, _) = server.welcome(None).await;
    let credit = json!({"events": 10, "bytes": 100});
    client
        .subscribe(&["a"], json!({"start": "earliest", "credit": credit}))
        .await;
    let events = client.take(5).await;
    assert_eq!(offsets(&events), [0, 1, 2, 3, 4]);
    assert_eq!(events[1]["text"], large.as_str());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_subscriptions_have_their_own_places() {
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    for n in 0..100 {
        log.append(["a", "b"][n % 2], n.to_string()).unwrap();
    }
    log.sync().unwrap();
    let server = Server::start(Hub::new(log).unwrap()).await;
    let (mut client, _) = server.welcome(None).await;
    for (sub, start) in [("a", 0), ("b", 50)] {
        let filters = [sub];
        client
            .say(json!({"type": "subscribe", "sub": sub, "filters": filters, "start": start}))
            .await;
    }
    let (mut a, mut b, mut live) = (Vec::new(), Vec::new(), 0);
    while live < 2 {
        let message = client.next().await.unwrap();
        if message["type"] != "events" {
            assert_eq!(message["type"], "subscribed");
            continue;
        }
        let list = if message["sub"] == "a" {
            &mut a
        } else {
            &mut b
        };
        list.extend(message["events"].as_array().unwrap().clone());
        live += i32::from(message["live"] == true);
    }
    assert_eq!(offsets(&a), (0..100).step_by(2).collect::<Vec<_>>());
    assert_eq!(offsets(&b), (51..100).step_by(2).collect::<Vec<_>>());
    let clients = server.hub.clients();
    assert_eq!(clients.len(), 1);
    assert_eq!(
        (clients[0].topics.join(" "), clients[0].behind),
        ("a b".to_owned(), 0)
    );
}
