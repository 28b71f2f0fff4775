//! Ways without a WebSocket: lines over TCP, and a stream for a page that only reads. Both are told
//! the one story ([`scenario`](crate::scenario)); here stand their clients, and what they alone
//! have.

use std::net::SocketAddr;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_tungstenite::tungstenite::Message;

use crate::kit::{Client, within};
use crate::shims::{Shim, hub, serve};

/// A connection that tells everything in messages: its end, too.
pub(crate) enum Wire {
    Socket(Client),
    Lines(Speaker),
    Events(Source),
}

impl Wire {
    pub(crate) async fn say(&mut self, message: &Value) {
        match self {
            Self::Socket(client) => client.say(message.clone()).await,
            Self::Lines(speaker) => speaker.say(message).await,
            // What it would have to say, the server says for it.
            Self::Events(_) => {}
        }
    }

    /// Heartbeats are passed over.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            let message = match self {
                Self::Socket(client) => match within(client.socket.next()).await {
                    Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
                    Some(Ok(Message::Close(Some(frame)))) => {
                        json!({"type": "close", "code": u16::from(frame.code)})
                    }
                    Some(Ok(Message::Ping(_))) => continue,
                    end => panic!("{end:?}"),
                },
                Self::Lines(speaker) => speaker.next().await,
                Self::Events(source) => source.next().await,
            };
            if message["type"] != "heartbeat" {
                return message;
            }
        }
    }
}

/// A client that speaks lines.
pub(crate) struct Speaker {
    lines: Lines<BufReader<OwnedReadHalf>>,
    output: OwnedWriteHalf,
}

impl Speaker {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = within(TcpStream::connect(address)).await.unwrap();
        let (input, output) = stream.into_split();
        let lines = BufReader::new(input).lines();
        Self { lines, output }
    }

    pub(crate) async fn say(&mut self, message: &Value) {
        self.write(&format!("{message}\r\n")).await;
    }

    async fn write(&mut self, text: &str) {
        within(self.output.write_all(text.as_bytes()))
            .await
            .unwrap();
    }

    /// The next message. A close is the last one.
    pub(crate) async fn next(&mut self) -> Value {
        let line = within(self.lines.next_line()).await.unwrap();
        let message: Value = serde_json::from_str(&line.expect("no close")).unwrap();
        if message["type"] == "close" {
            let more = within(self.lines.next_line()).await;
            assert!(!matches!(more, Ok(Some(_))), "{more:?}");
        }
        message
    }

    /// The next message of this type; others are passed over.
    async fn find(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next().await;
            if message["type"] == kind {
                return message;
            }
            assert_ne!(message["type"], "close", "before {kind}");
        }
    }
}

/// What `EventSource` makes of a stream, in the words of a client with a voice.
pub(crate) struct Source {
    lines: Lines<BufReader<TcpStream>>,
    pub(crate) id: String,
    /// It is known where reading begins.
    begun: bool,
}

impl Source {
    /// The error is the status of the refusal.
    pub(crate) async fn open(address: SocketAddr, query: &str, last: &str) -> Result<Self, u16> {
        let mut stream = within(TcpStream::connect(address)).await.unwrap();
        let last = match last {
            // Whatever else a request offers, a stream is text.
            "" => "Sec-WebSocket-Protocol: wakelog.v1.bin\r\n".to_owned(),
            id => format!("Last-Event-ID: {id}\r\n"),
        };
        let request = format!("GET /wakelog/events?{query} HTTP/1.0\r\nHost: x\r\n{last}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut lines = BufReader::new(stream).lines();
        let status = within(lines.next_line()).await.unwrap().unwrap();
        while within(lines.next_line()).await.unwrap().unwrap() != "" {}
        match status.split(' ').nth(1) {
            Some("200") => {
                let (id, begun) = (String::new(), false);
                Ok(Self { lines, id, begun })
            }
            status => Err(status.unwrap().parse().unwrap()),
        }
    }

    /// The next message. The first `id` that comes alone says where reading begins.
    pub(crate) async fn next(&mut self) -> Value {
        let (mut kind, mut data) = (String::new(), Value::Null);
        while let Some(line) = within(self.lines.next_line()).await.unwrap() {
            match line.split_once(": ") {
                Some(("id", id)) => id.clone_into(&mut self.id),
                Some(("event", event)) => event.clone_into(&mut kind),
                Some(("data", text)) => data = serde_json::from_str(text).unwrap(),
                Some(("retry", wait)) => {
                    let wait: u64 = wait.parse().unwrap();
                    return json!({"type": "bye", "in": [wait, wait]});
                }
                _ if line.is_empty() && !data.is_null() => return self.message(&kind, data),
                _ if line.is_empty() && !self.id.is_empty() && !self.begun => {
                    self.begun = true;
                    return json!({"type": "subscribed", "position": self.id});
                }
                _ => {}
            }
        }
        json!({"type": "close"})
    }

    fn message(&self, kind: &str, data: Value) -> Value {
        if kind.is_empty() {
            let dot = self.id.rfind('.').unwrap() + 1;
            let after = data["offset"].as_u64().unwrap() + 1;
            assert_eq!(self.id[dot..], after.to_string());
            let (stem, events) = (&self.id[..dot], [&data]);
            return json!({"type": "events", "stem": stem, "events": events, "position": self.id});
        }
        if kind == "volatile" {
            // It has no id: the place stays.
            let stem = &self.id[..=self.id.rfind('.').unwrap()];
            let (events, at) = ([&data], format!("{stem}{}", data["offset"]));
            return json!({"type": kind, "stem": stem, "events": events, "position": at});
        }
        let place = match kind {
            "gap" => &data["position"],
            "reset" => &data["earliest"],
            _ => return data,
        };
        assert_eq!((&data["type"], place), (&json!(kind), &json!(self.id)));
        data
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_not_taken_for_lines() {
    let (_dir, hub) = hub();
    let address = serve(hub, Shim::Lines).await;
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

/// What others have published in several lines is one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_one_line_however_it_was_published() {
    let (_dir, hub) = hub();
    let address = serve(hub.clone(), Shim::Lines).await;
    let mut reader = Speaker::connect(address).await;
    reader.say(&json!({"type": "hello"})).await;
    let all = json!({"type": "subscribe", "sub": "s", "filters": ["room"], "start": "earliest"});
    reader.say(&all).await;
    let mut writer = Client::connect(serve(hub, Shim::Axum).await).await;
    writer.say(json!({"type": "hello"})).await;
    let text = "{\"type\":\"publish\",\"id\":\"1\",\"topics\":[\"room\"],\"data\":[\r\n2]}";
    writer.say_raw(Message::text(text)).await;
    writer.find("published").await;
    let mut page = reader.find("events").await;
    while page["events"] == json!([]) {
        page = reader.find("events").await;
    }
    assert_eq!(page["events"][0]["data"], json!([2]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_source_is_refused_what_it_may_not_have() {
    let (_dir, hub) = hub();
    let address = serve(hub, Shim::Axum).await;
    let mut refused = Source::open(address, "topics=$all", "").await.unwrap();
    let told = refused.next().await;
    assert_eq!(told["code"], "bad_filter");
    assert_eq!(refused.next().await["type"], "close");
    for query in ["", "topics=a&token=x"] {
        assert_eq!(Source::open(address, query, "").await.err(), Some(400));
    }
}
