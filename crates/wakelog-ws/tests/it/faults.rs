//! Cuts, crashes and damage: what was missed still arrives, or is told with exact numbers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use wakelog::Position;
use wakelog_ws::protocol::{ErrorCode, Failure, Grant};
use wakelog_ws::session::{OpenFailure, ReadAnswer};
use wakelog_ws::{
    EventSource, Hub, HubBuilder, LogCursor, LogReader, LogSource, Outgoing, ReaderSpec,
    SourceReader,
};

use crate::kit::{Client, Server, copy, fill, log_at, offsets};

/// Passes bytes between a client and the server, and cuts the connection after so many from the
/// server.
pub(crate) async fn cutting_proxy(server: SocketAddr, cut_after: Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut left = cut_after.load(Ordering::Relaxed);
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await.unwrap();
                let (mut up, mut down) = (vec![0; 4096], vec![0; 4096]);
                while left > 0 {
                    tokio::select! {
                        read = client.read(&mut up) => match read {
                            Ok(n) if n > 0 => server.write_all(&up[..n]).await.unwrap(),
                            _ => return,
                        },
                        read = server.read(&mut down) => match read {
                            Ok(n) if n > 0 => {
                                let n = n.min(usize::try_from(left).unwrap());
                                left -= u64::try_from(n).unwrap();
                                if client.write_all(&down[..n]).await.is_err() {
                                    return;
                                }
                            }
                            _ => return,
                        },
                    }
                }
            });
        }
    });
    address
}

/// Reads what it can before the cut; returns the events and keeps the position.
async fn read_until_cut(address: SocketAddr, position: &mut Option<Value>) -> Vec<Value> {
    let mut events = Vec::new();
    let stream = TcpStream::connect(address).await.unwrap();
    let Ok(mut client) = Client::upgrade(stream, Some("wakelog.v1.json")).await else {
        return events;
    };
    let start = match position {
        Some(position) => json!({"position": position}),
        None => json!({"start": "earliest"}),
    };
    let mut subscribe = json!({"type": "subscribe", "sub": "s", "filters": ["a"]});
    subscribe
        .as_object_mut()
        .unwrap()
        .extend(start.as_object().unwrap().clone());
    client
        .say(json!({"type": "hello", "consumer": "alice"}))
        .await;
    client.say(subscribe).await;
    while let Some(message) = client.next().await {
        match message["type"].as_str().unwrap() {
            "welcome" | "subscribed" => {}
            "events" => {
                for event in message["events"].as_array().unwrap() {
                    let next = event["offset"].as_u64().unwrap() + 1;
                    *position = Some(json!(format!(
                        "{}{next}",
                        message["stem"].as_str().unwrap()
                    )));
                    events.push(event.clone());
                }
                *position = Some(message["position"].clone());
                if message["live"] == true {
                    break;
                }
            }
            other => panic!("{other}: {message}"),
        }
    }
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cuts_at_any_byte_lose_and_repeat_nothing() {
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    fill(&log, "a", 0..20_000);
    let server = Server::start(Hub::new(log).unwrap()).await;
    let cut_after = Arc::new(AtomicU64::new(0));
    let proxy = cutting_proxy(server.address, Arc::clone(&cut_after)).await;
    let (mut position, mut events, mut random, mut cuts) = (None, Vec::new(), 0x5eed_u64, 0);
    while events.len() < 20_000 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        cut_after.store((random >> 33) % 150_000, Ordering::Relaxed);
        events.extend(read_until_cut(proxy, &mut position).await);
        cuts += 1;
        assert!(cuts < 2_000);
    }
    assert!(cuts > 20, "{cuts} cuts only");
    assert_eq!(offsets(&events), (0..20_000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_that_lost_nothing_costs_nothing() {
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    let server = Server::start(Hub::new(log.clone()).unwrap()).await;
    let (mut client, _) = server.welcome(Some("alice")).await;
    client.publish("1", "a", "before").await;
    client.subscribe(&["a"], json!({"start": "earliest"})).await;
    client.take(1).await;
    let position = client.publish("2", "a", "seen?").await["position"].clone();
    drop(client);
    // What a kill would leave, not what an orderly end leaves.
    let killed = tempdir().unwrap();
    copy(dir.path(), killed.path());
    let again = log_at(killed.path());
    fill(&again, "a", 2..4);
    let server = Server::start(Hub::new(again).unwrap()).await;
    let (mut client, welcome) = server.welcome(Some("alice")).await;
    assert_eq!(welcome["cursor"]["state"], "resumed");
    client
        .subscribe(&["a"], json!({"position": position}))
        .await;
    assert_eq!(offsets(&client.take(2).await), [2, 3]);
    client.say(json!({"type": "unsubscribe", "sub": "s"})).await;
    client.hear("unsubscribed").await;
    client.subscribe(&["a"], json!({})).await;
    assert_eq!(offsets(&client.take(4).await), [0, 1, 2, 3]);
}

/// A log whose disk was set back: clients have seen what is not there any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_tail_is_told_as_diverged_until_it_is_acked() {
    let (dir, backup) = (tempdir().unwrap(), tempdir().unwrap());
    let log = log_at(dir.path());
    fill(&log, "a", 0..10);
    let server = Server::start(Hub::new(log.clone()).unwrap()).await;
    drop(server.welcome(Some("alice")).await);
    copy(dir.path(), backup.path());
    fill(&log, "a", 10..15);
    let (mut client, welcome) = server.welcome(Some("alice")).await;
    let position = welcome["end"].clone();
    assert!(position.as_str().unwrap().ends_with(".15"));
    client
        .say(json!({"type": "ack", "position": position}))
        .await;
    client.hear("ack_ok").await;
    drop(client);
    server.stop().await;

    // The cursors' file is the newer one: the consumer has acked what the log has lost.
    for name in ["cursors-00.slots", "cursors.defs"] {
        std::fs::copy(dir.path().join(name), backup.path().join(name)).unwrap();
    }
    let server = Server::start(Hub::new(log_at(backup.path())).unwrap()).await;
    server
        .hub
        .emit(Outgoing::to("a", wakelog_ws::Payload::text("other")))
        .await
        .unwrap();
    let (mut client, welcome) = server.welcome(Some("alice")).await;
    let gap = json!(["diverged", 10, 15]);
    let said = |message: &Value| json!([message["reason"], message["from"], message["to"]]);
    client
        .subscribe(&["a"], json!({"position": position}))
        .await;
    let message = client.hear("gap").await;
    assert_eq!(said(&message), gap);
    assert!(message["position"].as_str().unwrap().ends_with(".10"));
    let events = client.take(1).await;
    assert_eq!(
        (offsets(&events), &events[0]["text"]),
        (vec![10], &json!("other"))
    );

    // From the cursor the same gap comes on each connection, until it is acknowledged.
    assert!(
        welcome["cursor"]["position"]
            .as_str()
            .unwrap()
            .ends_with(".10")
    );
    for _ in 0..2 {
        let (mut client, _) = server.welcome(Some("alice")).await;
        client.subscribe(&["a"], json!({})).await;
        assert_eq!(said(&client.hear("gap").await), gap);
        assert_eq!(offsets(&client.take(1).await), [10]);
    }
    let (mut client, _) = server.welcome(Some("alice")).await;
    client
        .say(json!({"type": "ack", "position": message["position"]}))
        .await;
    assert_eq!(client.hear("ack_ok").await["position"], message["position"]);
    let (mut client, _) = server.welcome(Some("alice")).await;
    client.subscribe(&["a"], json!({})).await;
    assert_eq!(offsets(&client.take(1).await), [10]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_of_another_log_is_a_reset() {
    let (dir, other) = (tempdir().unwrap(), tempdir().unwrap());
    let log = log_at(dir.path());
    fill(&log, "a", 0..5);
    let server = Server::start(Hub::new(log).unwrap()).await;
    let (mut client, welcome) = server.welcome(None).await;
    let end = welcome["end"].as_str().unwrap();
    let foreign = log_at(other.path()).position();
    let here: Position = end.parse().unwrap();
    let future = Position {
        epoch: foreign.epoch,
        ..here
    };
    for (position, reason) in [(foreign, "log"), (future, "epoch")] {
        let position = position.to_string();
        client
            .say(json!({"type": "subscribe", "sub": "s", "filters": ["a"], "position": position}))
            .await;
        let reset = client.hear("reset").await;
        assert_eq!(
            (&reset["reason"], &reset["end"]),
            (&json!(reason), &json!(end))
        );
        assert!(reset["earliest"].as_str().unwrap().ends_with(".0"));
    }
    let reset_to = end.replace(".5", ".0");
    client
        .subscribe(&["a"], json!({"position": reset_to}))
        .await;
    assert_eq!(client.take(5).await.len(), 5);
}

/// Flips one byte of an event on disk.
fn damage(dir: &Path, needle: &[u8]) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes
            .windows(needle.len())
            .position(|window| window == needle)
        {
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            return;
        }
    }
    panic!("not found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_range_is_told_in_its_place() {
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    fill(&log, "a", 1000..1010);
    log.close().unwrap();
    drop(log);
    damage(dir.path(), b"1004");
    let server = Server::start(Hub::new(log_at(dir.path())).unwrap()).await;
    let (mut client, _) = server.welcome(None).await;
    client.subscribe(&["a"], json!({"start": "earliest"})).await;
    let before = client.hear("events").await;
    assert_eq!(before["events"].as_array().unwrap().len(), 4);
    let gap = client.hear("gap").await;
    assert_eq!(
        json!([gap["reason"], gap["from"], gap["to"]]),
        json!(["corrupt", 4, 5])
    );
    assert!(gap["position"].as_str().unwrap().ends_with(".5"));
    assert_eq!(offsets(&client.take(5).await), [5, 6, 7, 8, 9]);
}

/// A source that fails when it is told to: everything else is the log's.
struct Moody {
    log: LogSource,
    broken: Arc<AtomicBool>,
}

struct MoodyReader {
    reader: LogReader,
    broken: Arc<AtomicBool>,
}

fn mood(broken: &AtomicBool) -> Result<(), Failure> {
    let failure = || Failure::new(ErrorCode::Unavailable, "the disk is full");
    if broken.load(Ordering::Relaxed) {
        Err(failure())
    } else {
        Ok(())
    }
}

impl EventSource for Moody {
    type Reader = MoodyReader;
    type Cursor = LogCursor;

    fn end(&self) -> Position {
        self.log.end()
    }

    async fn open_reader(&self, spec: ReaderSpec) -> Result<MoodyReader, OpenFailure> {
        let broken = Arc::clone(&self.broken);
        Ok(MoodyReader {
            reader: self.log.open_reader(spec).await?,
            broken,
        })
    }

    async fn open_cursor(&self, consumer: String) -> Result<LogCursor, Failure> {
        mood(&self.broken)?;
        self.log.open_cursor(consumer).await
    }

    async fn append(&self, event: Outgoing) -> Result<Position, Failure> {
        mood(&self.broken)?;
        self.log.append(event).await
    }

    async fn acked(&self, consumer: String, position: Position) -> Result<(), Failure> {
        self.log.acked(consumer, position).await
    }

    async fn durable(&self, position: Position) -> Result<(), Failure> {
        self.log.durable(position).await
    }
}

impl SourceReader for MoodyReader {
    fn position(&mut self) -> Position {
        self.reader.position()
    }

    async fn read(&mut self, most: Grant) -> ReadAnswer {
        match mood(&self.broken) {
            Ok(()) => self.reader.read(most).await,
            Err(failure) => ReadAnswer::Failed(failure),
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.reader.poll_ready(cx)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_fails_for_a_while_costs_a_retry() {
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    let broken = Arc::new(AtomicBool::new(false));
    let source = Moody {
        log: LogSource::new(log.clone()).unwrap(),
        broken: Arc::clone(&broken),
    };
    let server = Server::start(HubBuilder::over(source).build()).await;
    let (mut client, _) = server.welcome(None).await;
    client.subscribe(&["a"], json!({"start": "latest"})).await;
    client.take(0).await;
    broken.store(true, Ordering::Relaxed);
    client
        .say(json!({"type": "publish", "id": "1", "topics": ["a"], "text": "x"}))
        .await;
    let error = client.hear("error").await;
    assert_eq!(
        (&error["code"], &error["retry"]),
        (&json!("unavailable"), &json!(true))
    );
    assert!(error["after_ms"].as_u64().is_some() && error["id"] == "1");
    fill(&log, "a", 0..1);
    let error = client.hear("error").await;
    assert_eq!(
        (&error["re"], &error["sub"]),
        (&json!("subscribe"), &json!("s"))
    );
    let emitted = server
        .hub
        .emit(Outgoing::to("a", wakelog_ws::Payload::text("y")))
        .await;
    assert!(emitted.unwrap_err().code.retry());
    let mut refused = server.connect().await;
    refused
        .say(json!({"type": "hello", "consumer": "alice"}))
        .await;
    assert_eq!(refused.close_code().await, Some(1011));

    broken.store(false, Ordering::Relaxed);
    client.publish("1", "a", "x").await;
    client.subscribe(&["a"], json!({"start": "earliest"})).await;
    assert_eq!(offsets(&client.take(2).await), [0, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_log_is_told_once_and_costs_no_time() {
    let dir = tempdir().unwrap();
    let log = log_at(dir.path());
    let server = Server::start(Hub::new(log.clone()).unwrap()).await;
    let (mut client, _) = server.welcome(None).await;
    client.subscribe(&["a"], json!({"start": "latest"})).await;
    client.take(0).await;
    log.close().unwrap();
    let error = client.hear("error").await;
    assert_eq!(
        (&error["code"], &error["re"]),
        (&json!("unavailable"), &json!("subscribe"))
    );
    client.hear_nothing().await;
}
