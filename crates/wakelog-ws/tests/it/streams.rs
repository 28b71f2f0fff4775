//! The story of [`shims`](crate::shims) for those that have no WebSocket: lines over TCP, and what
//! of it is told to a page that only reads.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::kit::{Client, within};
use crate::shims::{Shim, hub, serve};

/// A client that speaks lines.
struct Speaker {
    lines: Lines<BufReader<OwnedReadHalf>>,
    output: OwnedWriteHalf,
}

impl Speaker {
    async fn connect(address: SocketAddr) -> Self {
        let stream = within(TcpStream::connect(address)).await.unwrap();
        let (input, output) = stream.into_split();
        let lines = BufReader::new(input).lines();
        Self { lines, output }
    }

    async fn come(address: SocketAddr, consumer: &str) -> (Self, Value) {
        let mut speaker = Self::connect(address).await;
        speaker
            .say(&json!({"type": "hello", "consumer": consumer}))
            .await;
        let welcome = speaker.find("welcome").await;
        (speaker, welcome)
    }

    async fn say(&mut self, message: &Value) {
        self.write(&format!("{message}\r\n")).await;
    }

    async fn write(&mut self, text: &str) {
        within(self.output.write_all(text.as_bytes()))
            .await
            .unwrap();
    }

    async fn next(&mut self) -> Option<Value> {
        let line = within(self.lines.next_line()).await.unwrap()?;
        Some(serde_json::from_str(&line).unwrap())
    }

    async fn find(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next().await;
            let message = message.unwrap_or_else(|| panic!("closed before {kind}"));
            if message["type"] == kind {
                return message;
            }
        }
    }

    async fn subscribe(&mut self, place: Value) {
        let mut message = json!({"type": "subscribe", "sub": "s", "filters": ["room.*"]});
        let place = place.as_object().unwrap().clone();
        message.as_object_mut().unwrap().extend(place);
        self.say(&message).await;
        self.find("subscribed").await;
    }

    /// The next page that has events, which has one.
    async fn event(&mut self) -> Value {
        loop {
            let page = self.find("events").await;
            if let [event] = page["events"].as_array().unwrap().as_slice() {
                return event.clone();
            }
        }
    }

    async fn publish(&mut self, id: &str, topic: &str, data: &str) -> Value {
        let topics = json!([topic]);
        let text = format!(r#"{{"type":"publish","id":"{id}","topics":{topics},"data":{data}}}"#);
        self.write(&format!("{text}\n")).await;
        loop {
            let answer = self.next().await.unwrap();
            if answer["id"] == id {
                return answer;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_tell_the_story() {
    let (_dir, hub) = hub();
    let other = serve(hub.clone(), Shim::Axum).await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let hub = hub.clone();
            tokio::spawn(async move { hub.serve_lines(stream).await });
        }
    });

    // Live, and published twice with one id.
    let (mut reader, welcome) = Speaker::come(address, "reader").await;
    assert_eq!(welcome["cursor"]["state"], "new");
    let (mut writer, _) = Speaker::come(address, "writer").await;
    reader.subscribe(json!({"start": "latest"})).await;
    let first = writer.publish("1", "room.1", "[1]").await;
    assert_eq!(writer.publish("1", "room.1", "[1]").await, first);
    let event = reader.event().await;
    assert_eq!(
        (&event["data"], &event["from"]),
        (&json!([1]), &json!("writer"))
    );

    // Cut and resumed. What others have published in several lines is one.
    drop(reader);
    let mut socket = Client::upgrade(
        TcpStream::connect(other).await.unwrap(),
        Some("wakelog.v1.json"),
    )
    .await
    .unwrap();
    socket.say(json!({"type": "hello"})).await;
    let text = "{\"type\":\"publish\",\"id\":\"2\",\"topics\":[\"room.2\"],\"data\":[\r\n2]}";
    let message = tokio_tungstenite::tungstenite::Message::text(text);
    socket.say_raw(message).await;
    socket.find("published").await;
    let (mut reader, welcome) = Speaker::come(address, "reader").await;
    assert_eq!(welcome["cursor"]["state"], "resumed");
    reader
        .subscribe(json!({"position": first["position"]}))
        .await;
    assert_eq!(reader.event().await["data"], json!([2]));

    // Fenced.
    let (newer, _) = Speaker::come(address, "reader").await;
    reader.find("fenced").await;
    assert_eq!(reader.find("close").await["code"], 4409);
    assert_eq!(reader.next().await, None);

    strangers(address).await;
    the_end(address, newer, writer, &first["position"]).await;
}

async fn strangers(address: SocketAddr) {
    // A browser that was made to send a request says nothing that is understood.
    let mut stranger = Speaker::connect(address).await;
    stranger.write("POST / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(stranger.find("error").await["code"], "not_json");
    assert_eq!(stranger.find("close").await["code"], 4400);
    // And one that does not end its line is not read for ever.
    let mut stranger = Speaker::connect(address).await;
    stranger.write(&"x".repeat(200 << 10)).await;
    assert_eq!(stranger.find("close").await["code"], 1009);
}

/// A gap, a reset, and the end.
async fn the_end(address: SocketAddr, mut newer: Speaker, mut writer: Speaker, seen: &Value) {
    let reply = writer.publish("3", "control.trim", "null").await;
    newer.subscribe(json!({"position": seen})).await;
    assert_eq!(newer.find("gap").await["to"], reply["data"]["first"]);
    let foreign = format!("{}.1-00000001.3", "0".repeat(32));
    newer
        .say(&json!({"type": "subscribe", "sub": "t", "filters": ["a"], "position": foreign}))
        .await;
    assert_eq!(newer.find("reset").await["reason"], "log");

    writer.publish("4", "control.drain", "null").await;
    assert_eq!(newer.find("bye").await["in"], json!([0, 0]));
    assert_eq!(newer.find("close").await["code"], 1012);
    let mut late = Speaker::connect(address).await;
    let refused = late.find("error").await;
    assert_eq!(refused["code"], "unavailable");
    assert!(refused["after_ms"].as_u64() >= Some(1_000), "{refused}");
    assert_eq!(late.find("close").await["code"], 1013);
}

/// What `EventSource` makes of a stream.
struct Source {
    lines: Lines<BufReader<TcpStream>>,
    id: String,
}

#[derive(Debug)]
struct Event {
    kind: String,
    data: Value,
    id: String,
    retry: Option<u64>,
}

impl Source {
    async fn open(address: SocketAddr, query: &str, last: &str) -> Result<Self, String> {
        let mut stream = within(TcpStream::connect(address)).await.unwrap();
        let last = match last {
            "" => String::new(),
            id => format!("Last-Event-ID: {id}\r\n"),
        };
        let request = format!("GET /wakelog/events?{query} HTTP/1.0\r\nHost: x\r\n{last}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut lines = BufReader::new(stream).lines();
        let status = within(lines.next_line()).await.unwrap().unwrap();
        while within(lines.next_line()).await.unwrap().unwrap() != "" {}
        let id = String::new();
        if status.contains(" 200 ") {
            Ok(Self { lines, id })
        } else {
            Err(status)
        }
    }

    /// The next event, or the next time to wait; none at the end.
    async fn next(&mut self) -> Option<Event> {
        let (mut kind, mut data, mut retry) = ("message".to_owned(), String::new(), None);
        loop {
            let line = within(self.lines.next_line()).await.unwrap()?;
            match line.split_once(": ") {
                Some(("id", id)) => id.clone_into(&mut self.id),
                Some(("event", event)) => event.clone_into(&mut kind),
                Some(("data", text)) => text.clone_into(&mut data),
                Some(("retry", wait)) => retry = Some(wait.parse().unwrap()),
                _ if line.is_empty() && (!data.is_empty() || retry.is_some()) => {
                    let data = serde_json::from_str(&data).unwrap_or_default();
                    let id = self.id.clone();
                    return Some(Event {
                        kind,
                        data,
                        id,
                        retry,
                    });
                }
                _ => {}
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_source_is_told_what_it_can_hear_of_the_story() {
    let (_dir, hub) = hub();
    let address = serve(hub, Shim::Axum).await;
    let stream = TcpStream::connect(address).await.unwrap();
    let mut writer = Client::upgrade(stream, Some("wakelog.v1.json"))
        .await
        .unwrap();
    writer
        .say(json!({"type": "hello", "consumer": "writer"}))
        .await;
    writer.hear("welcome").await;

    // Live: from the position of an event on, so that none can be missed before it is open.
    let before = writer.publish("0", "room.0", "before").await;
    let place = format!(
        "topics=room.*,x&position={}",
        before["position"].as_str().unwrap()
    );
    let mut source = Source::open(address, &place, "").await.unwrap();
    let first = writer.publish("1", "room.1", "live").await;
    writer.publish("1", "room.1", "live").await;
    let event = source.next().await.unwrap();
    assert_eq!(
        (&*event.kind, &event.data["text"]),
        ("message", &json!("live"))
    );
    assert_eq!(event.id, first["position"].as_str().unwrap());

    // Cut, and resumed by the browser itself; published twice with one id, it is told once.
    drop(source);
    writer.publish("2", "room.2", "missed").await;
    let mut source = Source::open(address, &place, &event.id).await.unwrap();
    let missed = source.next().await.unwrap();
    assert_eq!(missed.data["text"], "missed");

    // A gap.
    writer
        .say(json!({"type": "publish", "id": "3", "topics": ["control.trim"]}))
        .await;
    let reply = writer.find("reply").await;
    let mut late = Source::open(address, &place, &event.id).await.unwrap();
    let gap = late.next().await.unwrap();
    assert_eq!(
        (&*gap.kind, &gap.data["to"]),
        ("gap", &reply["data"]["first"])
    );
    assert_eq!(gap.id, gap.data["position"].as_str().unwrap());

    not_this_log(address).await;
    not_allowed(address).await;

    // The end.
    writer
        .say(json!({"type": "publish", "id": "4", "topics": ["control.drain"]}))
        .await;
    while let Some(event) = source.next().await {
        assert_eq!(event.retry, Some(0));
    }
    let refused = Source::open(address, &place, "").await.err().unwrap();
    assert!(refused.contains(" 503 "), "{refused}");
}

/// A reset: it goes on with the first event that there is.
async fn not_this_log(address: SocketAddr) {
    let foreign = format!("{}.1-00000001.3", "0".repeat(32));
    let mut reset = Source::open(address, "topics=noise", &foreign)
        .await
        .unwrap();
    let told = reset.next().await.unwrap();
    assert_eq!(
        (&*told.kind, &told.data["reason"]),
        ("reset", &json!("log"))
    );
    assert_eq!(reset.next().await.unwrap().data["topics"], json!(["noise"]));
}

/// What it may not have.
async fn not_allowed(address: SocketAddr) {
    let mut refused = Source::open(address, "topics=$all", "").await.unwrap();
    let told = refused.next().await.unwrap();
    assert_eq!(
        (&*told.kind, &told.data["code"]),
        ("refused", &json!("bad_filter"))
    );
    assert!(refused.next().await.is_none());
    for (query, status) in [("", " 400 "), ("topics=a&token=x", " 400 ")] {
        let answer = Source::open(address, query, "").await.err().unwrap();
        assert!(answer.contains(status), "{answer}");
    }
}
