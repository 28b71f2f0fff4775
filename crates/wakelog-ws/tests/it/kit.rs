//! A server on the loopback, and a client that speaks the protocol by hand.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderMap;
use tokio_tungstenite::tungstenite::{self, Message};
use wakelog::{Log, Options, SyncPolicy};
use wakelog_ws::{EventSource, Hub, LogSource};

/// Longer than anything that works takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long a test watches for something that must not come.
pub(crate) const SHORTLY: Duration = Duration::from_millis(150);

/// A log that syncs fast.
pub(crate) fn log_at(path: &Path) -> Log {
    Options::new()
        .sync(SyncPolicy::Every(Duration::from_millis(1)))
        .open(path)
        .unwrap()
}

/// A log that syncs the first event at once and then not again for the length of any test.
pub(crate) fn slow_log_at(path: &Path) -> Log {
    Options::new()
        .sync(SyncPolicy::Every(Duration::from_secs(60)))
        .open(path)
        .unwrap()
}

/// A server; gone when dropped, with its listener. Its connections live on.
pub(crate) struct Server<S: EventSource = LogSource> {
    pub(crate) hub: Hub<S>,
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl<S: EventSource> Server<S> {
    pub(crate) async fn start(hub: Hub<S>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = hub.axum_router();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { hub, address, task }
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// A client that has been welcomed, with the welcome.
    pub(crate) async fn welcome(&self, consumer: Option<&str>) -> (Client, Value) {
        let mut client = self.connect().await;
        client
            .say(json!({"type": "hello", "consumer": consumer}))
            .await;
        let welcome = client.hear("welcome").await;
        (client, welcome)
    }

    /// Ends the connections in order and stops.
    pub(crate) async fn stop(self) {
        within(self.hub.drain(Duration::ZERO..=Duration::ZERO)).await;
        self.task.abort();
    }
}

impl<S: EventSource> Drop for Server<S> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("it takes too long")
}

/// A client of the protocol.
pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<TcpStream>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = within(TcpStream::connect(address)).await.unwrap();
        Self::upgrade(stream, Some("wakelog.v1.json"))
            .await
            .unwrap()
    }

    /// Upgrades a connection; the error is the HTTP status of the refusal, 0 for none.
    pub(crate) async fn upgrade(stream: TcpStream, subprotocol: Option<&str>) -> Result<Self, u16> {
        let headers = subprotocol.map(|value| ("sec-websocket-protocol", value));
        let headers: Vec<_> = headers.into_iter().collect();
        let (client, answer) = Self::request(stream, "/wakelog", &headers).await?;
        let selected = answer.get("sec-websocket-protocol");
        assert_eq!(selected.map(|s| s.to_str().unwrap()), subprotocol);
        Ok(client)
    }

    /// Upgrades with these headers and no others of ours; the answer's come with it.
    pub(crate) async fn request(
        stream: TcpStream,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<(Self, HeaderMap), u16> {
        let url = format!("ws://127.0.0.1{path}");
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        match within(tokio_tungstenite::client_async(request, stream)).await {
            Ok((socket, response)) => Ok((Self { socket }, response.headers().clone())),
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(_) => Err(0),
        }
    }

    pub(crate) async fn say(&mut self, message: Value) {
        self.say_raw(Message::text(message.to_string())).await;
    }

    /// Says something to a server that may have closed.
    pub(crate) async fn try_say(&mut self, message: &Value) -> Result<(), tungstenite::Error> {
        within(self.socket.send(Message::text(message.to_string()))).await
    }

    /// Waits for the answer to a ping, before which the server sends nothing: it serves us.
    pub(crate) async fn is_served(&mut self) {
        self.say_raw(Message::Ping(Vec::new().into())).await;
        let answer = within(self.socket.next()).await.unwrap().unwrap();
        assert!(answer.is_pong(), "{answer:?}");
    }

    pub(crate) async fn say_raw(&mut self, message: Message) {
        within(self.socket.send(message)).await.unwrap();
    }

    /// The next message, or none if the connection ends.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            match within(self.socket.next()).await? {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next message, which is of this type. Heartbeats are passed over.
    pub(crate) async fn hear(&mut self, kind: &str) -> Value {
        loop {
            let message = self
                .next()
                .await
                .unwrap_or_else(|| panic!("closed before {kind}"));
            if message["type"] == kind {
                return message;
            }
            assert_eq!(message["type"], "heartbeat", "{kind} expected: {message}");
        }
    }

    /// The next message of this type; others are passed over.
    pub(crate) async fn find(&mut self, kind: &str) -> Value {
        loop {
            let message = self
                .next()
                .await
                .unwrap_or_else(|| panic!("closed before {kind}"));
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// Nothing comes for a while.
    pub(crate) async fn hear_nothing(&mut self) {
        if let Ok(Some(message)) = timeout(SHORTLY, self.socket.next()).await {
            panic!("unexpected: {message:?}");
        }
    }

    /// The code with which the server closes; messages before it are passed over.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        loop {
            match within(self.socket.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => return Some(frame.code.into()),
                Some(Ok(Message::Close(None)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Subscribes under the name `s` and returns the answer.
    pub(crate) async fn subscribe(&mut self, filters: &[&str], rest: Value) -> Value {
        let mut message = json!({"type": "subscribe", "sub": "s", "filters": filters});
        message
            .as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        self.say(message).await;
        self.hear("subscribed").await
    }

    /// Reads pages, and pays them back, until the subscription is live and `count` events came.
    /// Returns them.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let page = self.hear("events").await;
            let list = page["events"].as_array().unwrap();
            let stem = page["stem"].as_str().unwrap();
            assert!(page["position"].as_str().unwrap().starts_with(stem));
            if !list.is_empty() {
                let (events, bytes) = (list.len(), &page["bytes"]);
                let credit = json!({
                    "type": "credit", "sub": page["sub"], "events": events, "bytes": bytes
                });
                self.say(credit).await;
            }
            events.extend(list.iter().cloned());
            if page["live"] == true && events.len() >= count {
                assert_eq!(events.len(), count);
                return events;
            }
        }
    }

    pub(crate) async fn publish(&mut self, id: &str, topic: &str, text: &str) -> Value {
        self.say(json!({"type": "publish", "id": id, "topics": [topic], "text": text}))
            .await;
        let answer = self.find("published").await;
        assert_eq!(answer["id"], id);
        answer
    }
}

pub(crate) fn offsets(events: &[Value]) -> Vec<u64> {
    events
        .iter()
        .map(|event| event["offset"].as_u64().unwrap())
        .collect()
}

/// Appends events `n` in `range` to a topic, with `n` as text, and syncs.
pub(crate) fn fill(log: &Log, topic: &str, range: std::ops::Range<u64>) {
    for n in range {
        log.append(topic, n.to_string()).unwrap();
    }
    log.sync().unwrap();
}

/// A copy of the files as they are now: what a kill would leave.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // What is on its way to a rename can be made again, and may be gone by now.
        if entry.path().extension().is_none_or(|end| end != "new") {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
