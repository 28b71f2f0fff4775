//! `serve`: a round trip, origins, the token, the page, and the end.

use crate::kit::{Place, interrupt_by, until};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const PATIENCE: Duration = Duration::from_secs(20);

/// A server on a free port; killed when dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(place: &Place, words: &[&str]) -> Server {
        let words = [&["--listen", "127.0.0.1:0"], words].concat();
        let mut command = place.command("serve", &words);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim_end()
            .strip_prefix("listening on ")
            .unwrap()
            .to_owned();
        Server { child, address }
    }

    /// Status line, headers and body of an answer.
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let host = &self.address;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Connects; the error is the HTTP status of the refusal.
    async fn connect(&self, origin: Option<&str>) -> Result<Client, u16> {
        let url = format!("ws://{}/events", self.address);
        let mut request = url.into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", "wakelog.v1.json".parse().unwrap());
        if let Some(origin) = origin {
            headers.insert("origin", origin.parse().unwrap());
        }
        match timeout(PATIENCE, connect_async(request)).await.unwrap() {
            Ok((socket, _)) => Ok(Client { socket }),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Client {
    socket: WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>,
}

impl Client {
    async fn say(&mut self, message: Value) {
        self.socket
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    /// The first event of the next message that has any.
    async fn event(&mut self) -> Value {
        loop {
            let message = self.hear("events").await.unwrap();
            if let Some(event) = message["events"].get(0) {
                return event.clone();
            }
        }
    }

    /// The next message of this type; `None` if the connection ends before it comes.
    async fn hear(&mut self, kind: &str) -> Option<Value> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.unwrap()? {
                Ok(Message::Text(text)) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if message["type"] == kind {
                        return Some(message);
                    }
                }
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}

#[tokio::test]
async fn a_round_trip_and_an_end_in_order() {
    let place = Place::new();
    place.append(&["--topic", "room.1"], b"before\n");
    let mut server = Server::start(&place, &[]);
    let mut client = server.connect(None).await.unwrap();
    client.say(json!({"type": "hello"})).await;
    client.hear("welcome").await.unwrap();
    let subscribe = json!({"type": "subscribe", "sub": "s", "filters": ["room.*"],
                           "start": "earliest"});
    client.say(subscribe).await;
    assert_eq!(client.event().await["text"], "before");
    let publish = json!({"type": "publish", "id": "p", "topics": ["room.1"], "text": "during"});
    client.say(publish).await;
    assert_eq!(client.event().await["text"], "during");
    // Beside the server, others read.
    until("the event on disk", || {
        place.run("cat", &["--raw"]).text() == "before\nduring\n"
    });
    place
        .feed("append", &[], b"x\n")
        .refused(3, &["open for writing elsewhere"]);

    interrupt_by("-TERM", &server.child);
    assert!(client.hear("bye").await.is_some(), "the client is not told");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    assert_eq!(
        place.run("cat", &["--raw"]).good().text(),
        "before\nduring\n"
    );
}

#[tokio::test]
async fn foreign_origins_are_refused() {
    let place = Place::new();
    let server = Server::start(&place, &["--allow-origin", "https://app.example"]);
    let own = format!("http://{}", server.address);
    for good in [None, Some("https://app.example"), Some(own.as_str())] {
        assert!(server.connect(good).await.is_ok(), "{good:?}");
    }
    for foreign in ["https://evil.example", "http://app.example", "null"] {
        assert_eq!(
            server.connect(Some(foreign)).await.err(),
            Some(403),
            "{foreign}"
        );
    }
    let answer = place.run("serve", &["--allow-origin", "*"]);
    assert_eq!(answer.code, 2);
}

#[tokio::test]
async fn the_token_is_asked_for() {
    let place = Place::new();
    let file = place.beside("token");
    std::fs::write(&file, "s3cr3t-word\n").unwrap();
    let file = file.to_str().unwrap();
    let server = Server::start(&place, &["--token-file", file]);
    for wrong in [
        json!(null),
        json!(""),
        json!("s3cr3t-wore"),
        json!("s3cr3t-word2"),
    ] {
        let mut client = server.connect(None).await.unwrap();
        client.say(json!({"type": "hello", "token": wrong})).await;
        let error = client.hear("error").await.unwrap();
        assert_eq!(error["code"], "unauthorized");
        assert!(!error.to_string().contains("s3cr3t"), "{error}");
    }
    let mut client = server.connect(None).await.unwrap();
    client
        .say(json!({"type": "hello", "token": "s3cr3t-word"}))
        .await;
    assert!(client.hear("welcome").await.is_some());

    std::fs::write(file, " \n").unwrap();
    place
        .run("serve", &["--token-file", file])
        .refused(2, &["must hold one word"]);
    place
        .run("serve", &["--token-file", "/nowhere"])
        .refused(3, &["cannot read the token file"]);
}

#[test]
fn the_page_the_client_and_the_health() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    for (path, kind) in [
        ("/", "text/html"),
        ("/page.css", "text/css"),
        ("/page.js", "text/javascript"),
        ("/wakelog.js", "text/javascript"),
    ] {
        let answer = server.get(path);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        assert!(answer.contains(kind), "{path}: {answer}");
    }
    assert!(
        server
            .get("/")
            .contains("content-security-policy: default-src 'self'")
    );
    assert!(server.get("/healthz").ends_with("\r\n\r\nok\n"));
    assert!(server.get("/events").starts_with("HTTP/1.1 4"));

    let bare = Place::new();
    let bare = Server::start(&bare, &["--no-page"]);
    assert!(bare.get("/").starts_with("HTTP/1.1 404 "));
    assert!(bare.get("/wakelog.js").starts_with("HTTP/1.1 200 "));
    let taken = place.run("serve", &["--listen", &server.address]);
    taken.refused(3, &["open for writing elsewhere"]);
    Place::new()
        .run("serve", &["--listen", &server.address])
        .refused(3, &["cannot listen on"]);
}

/// In the text form of Prometheus: each number after a line that says what it is.
#[tokio::test]
async fn the_numbers_for_prometheus() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    let mut client = server.connect(None).await.unwrap();
    client.say(json!({"type": "hello"})).await;
    for (id, topic, answer) in [
        ("1", "a", "published"),
        ("2", "a", "published"),
        ("3", "$x", "error"),
    ] {
        client
            .say(json!({"type": "publish", "id": id, "topics": [topic], "text": "x"}))
            .await;
        client.hear(answer).await.unwrap();
    }
    let answer = server.get("/metrics");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    let mut name = "";
    for line in body.lines() {
        if let Some(about) = line.strip_prefix("# TYPE ") {
            let (of, kind) = about.split_once(' ').unwrap();
            assert_eq!(kind == "counter", of.ends_with("_total"), "{line}");
            name = of;
        } else {
            let (of, value) = line.rsplit_once(' ').unwrap();
            assert_eq!(of.split('{').next(), Some(name), "{line}");
            assert!(value.parse::<u64>().is_ok(), "{line}");
        }
    }
    for line in [
        "wakelog_next_offset 2",
        "wakelog_appended_events_total 2",
        "wakelog_poisoned 0",
        "wakelog_ws_sessions 1",
        "wakelog_ws_publishes_total 2",
        "wakelog_ws_refusals_total{code=\"bad_topic\"} 1",
    ] {
        assert!(
            body.lines().any(|found| found == line),
            "no {line} in {body}"
        );
    }

    let bare = Place::new();
    let bare = Server::start(&bare, &["--no-metrics"]);
    assert!(bare.get("/metrics").starts_with("HTTP/1.1 404 "));
}
