//! Plays `tests/scenario.json`, one story for every way into a hub: whatever carries the messages,
//! a client sees the same. What the steps mean: `tests/scenario.md`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::kit::{Client, within};
use crate::shims::{SHIMS, Shim, hub, serve};
use crate::streams::{Source, Speaker, Wire};

/// What each player has to have played, in the words in which it says so.
pub(crate) const ACTS: &str = "live resume twice fenced gap reset drain";

pub(crate) fn text() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenario.json");
    std::fs::read_to_string(path).unwrap()
}

/// The fields of a step that nobody has taken.
fn rest(step: &mut Value) -> Value {
    let mut rest = step.take();
    let fields = rest.as_object_mut().unwrap();
    fields.retain(|_, value| !value.is_null());
    rest
}

fn includes(found: &Value, wanted: &Value) {
    for (field, value) in wanted.as_object().unwrap() {
        assert_eq!(&found[field], value, "{field} of {found}");
    }
}

/// What is wanted, or, if nothing is said, a message of this type.
fn or_type(wanted: Value, kind: &str) -> Value {
    match wanted {
        Value::Null => json!({"type": kind}),
        wanted => wanted,
    }
}

/// PROTOCOL.md, section 11.
fn comes_back(code: &Value) -> bool {
    match code.as_u64() {
        Some(1000 | 1002 | 1003 | 1007..=1009) => false,
        Some(4400..=4499) => code == 4408,
        _ => true,
    }
}

struct Player {
    shim: Shim,
    address: SocketAddr,
    wires: HashMap<String, Wire>,
    /// Where the log ended when somebody began to read.
    ends: HashMap<String, Option<u64>>,
    /// Where an `EventSource` was when it was cut.
    kept: HashMap<String, String>,
    /// What steps have bound.
    names: Value,
}

/// Plays all acts and says which ones they were.
async fn play(shim: Shim) -> String {
    let (_dir, hub) = hub();
    let mut player = Player {
        shim,
        address: serve(hub, shim).await,
        wires: HashMap::new(),
        ends: HashMap::new(),
        kept: HashMap::new(),
        names: json!({}),
    };
    let acts: Value = serde_json::from_str(&text()).unwrap();
    let mut played = Vec::new();
    for act in acts.as_array().unwrap() {
        for step in act["steps"].as_array().unwrap() {
            println!("{shim:?}, {}: {step}", act["act"]);
            player.step(step.clone()).await;
        }
        played.push(act["act"].as_str().unwrap());
    }
    played.join(" ")
}

impl Player {
    /// Without a voice.
    fn listens(&self) -> bool {
        matches!(self.shim, Shim::Events)
    }

    fn wire(&mut self, who: &str) -> &mut Wire {
        self.wires.get_mut(who).unwrap()
    }

    /// `$name` and `$name.field` stand for what a step has bound.
    fn resolve(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => fields.values_mut().for_each(|inner| self.resolve(inner)),
            Value::Array(values) => values.iter_mut().for_each(|inner| self.resolve(inner)),
            Value::String(text) => {
                if let Some(path) = text.strip_prefix('$') {
                    let bound = self.names.pointer(&format!("/{}", path.replace('.', "/")));
                    *value = bound.expect(path).clone();
                }
            }
            _ => {}
        }
    }

    async fn step(&mut self, mut step: Value) {
        self.resolve(&mut step);
        match step["for"].take().as_str() {
            None => {}
            Some("speakers") if self.listens() => return,
            Some("listeners") if !self.listens() => return,
            Some(whom) => assert!(["speakers", "listeners"].contains(&whom), "{whom}"),
        }
        let (kind, who) = (step["do"].take(), step["who"].take());
        let (kind, who) = (kind.as_str().unwrap(), who.as_str().unwrap());
        match kind {
            "come" => {
                let mut wire = self.open().await.unwrap();
                let hello = json!({"type": "hello", "consumer": step["consumer"].take()});
                wire.say(&hello).await;
                let welcome = wire.next().await;
                includes(&welcome["cursor"], &step["cursor"].take());
                self.wires.insert(who.to_owned(), wire);
            }
            "read" => self.read(who, &mut step).await,
            "hear" => self.hear(who, step["events"].take()).await,
            "publish" => {
                let (name, wanted) = (step["bind"].take(), step["answer"].take());
                let mut event = rest(&mut step);
                event["type"] = json!("publish");
                let told = self.ask(who, &event).await;
                includes(&told, &or_type(wanted, "published"));
                assert_eq!(told["id"], event["id"]);
                if let Some(name) = name.as_str() {
                    self.names[name] = told;
                }
            }
            "ack" => {
                let at = step["at"].take();
                let ack = json!({"type": "ack", "position": at});
                let told = self.ask(who, &ack).await;
                includes(&told, &json!({"type": "ack_ok", "position": at}));
            }
            "stop" if self.listens() => drop(self.wires.remove(who)),
            "stop" => {
                let stop = json!({"type": "unsubscribe", "sub": "s"});
                assert_eq!(self.ask(who, &stop).await["type"], "unsubscribed");
            }
            "cut" => {
                if let Wire::Events(source) = self.wires.remove(who).unwrap() {
                    self.kept.insert(who.to_owned(), source.id);
                }
            }
            "leave" => {
                if let Wire::Socket(mut client) = self.wires.remove(who).unwrap() {
                    within(client.socket.close(None)).await.unwrap();
                }
            }
            "told" => includes(&self.wire(who).next().await, &rest(&mut step)),
            "closed" => {
                let told = self.wire(who).next().await;
                includes(
                    &told,
                    &json!({"type": "close", "code": step["code"].take()}),
                );
                assert_eq!(comes_back(&told["code"]), step["back"].take());
            }
            "refused" => self.refused(&mut step).await,
            _ => panic!("a step that this player does not know: {kind}"),
        }
        let left = step.as_object().into_iter().flatten();
        for (field, value) in left {
            assert_eq!(value, &Value::Null, "{kind} has no {field}");
        }
    }

    /// A WebSocket, or lines. The error is the status of a refusal.
    async fn open(&self) -> Result<Wire, u16> {
        if matches!(self.shim, Shim::Lines) {
            return Ok(Wire::Lines(Speaker::connect(self.address).await));
        }
        let stream = within(TcpStream::connect(self.address)).await.unwrap();
        let client = Client::upgrade(stream, Some("wakelog.v1.json")).await?;
        Ok(Wire::Socket(client))
    }

    /// Says something, and hears what comes next.
    async fn ask(&mut self, who: &str, message: &Value) -> Value {
        let wire = self.wire(who);
        wire.say(message).await;
        wire.next().await
    }

    async fn read(&mut self, who: &str, step: &mut Value) {
        let (filters, at) = (step["filters"].take(), step["at"].take());
        let at = at.as_str().unwrap();
        // After a reset, a stream goes on by itself.
        if self.listens() && !self.wires.contains_key(who) {
            let filters: Vec<String> = serde_json::from_value(filters.clone()).unwrap();
            let topics = format!("topics={}", filters.join(","));
            let (query, last) = match (self.kept.remove(who), at) {
                (Some(kept), _) => {
                    assert_eq!(kept, at);
                    (topics, kept)
                }
                (None, "latest") => (topics, String::new()),
                (None, _) => (format!("{topics}&position={at}"), String::new()),
            };
            let source = Source::open(self.address, &query, &last).await.unwrap();
            self.wires.insert(who.to_owned(), Wire::Events(source));
        }
        let mut message = json!({"type": "subscribe", "sub": "s", "filters": filters});
        match at {
            "cursor" => {}
            "latest" | "earliest" => message["start"] = json!(at),
            _ => message["position"] = json!(at),
        }
        let told = self.ask(who, &message).await;
        includes(&told, &or_type(step["answer"].take(), "subscribed"));
        self.ends.insert(who.to_owned(), told["end"].as_u64());
    }

    async fn hear(&mut self, who: &str, wanted: Value) {
        let mut wanted: Vec<Value> = serde_json::from_value(wanted).unwrap();
        let end = self.ends[who];
        let wire = self.wire(who);
        let mut heard = Vec::new();
        loop {
            let page = wire.next().await;
            let volatile = page["type"] == "volatile";
            assert!(volatile || page["type"] == "events", "{page}");
            let (stem, events) = (page["stem"].as_str().unwrap(), page["events"].as_array());
            let events = events.unwrap();
            assert!(page["position"].as_str().unwrap().starts_with(stem));
            for event in events {
                let (mut event, offset) = (event.clone(), event["offset"].as_u64());
                let after = offset.unwrap() + u64::from(!volatile);
                event["position"] = json!(format!("{stem}{after}"));
                event["volatile"] = json!(volatile);
                event["missed"] = json!(offset < end);
                heard.push(event);
            }
            if !events.is_empty() && !volatile {
                let (count, bytes) = (events.len(), &page["bytes"]);
                let credit = json!({"type": "credit", "sub": "s", "events": count, "bytes": bytes});
                wire.say(&credit).await;
            }
            // A stream does not say whether it is live.
            if page["live"] != false && heard.len() >= wanted.len() {
                break;
            }
        }
        assert_eq!(heard.len(), wanted.len(), "{heard:?}");
        for (found, wanted) in heard.iter().zip(&mut wanted) {
            if self.listens() {
                // It has not been told where the log ended.
                wanted.as_object_mut().unwrap().remove("missed");
            }
            includes(found, wanted);
        }
    }

    async fn refused(&mut self, step: &mut Value) {
        // A page sees neither a status nor lines.
        let (upgrade, lines, _) = (
            step["upgrade"].take(),
            step["lines"].take(),
            step["page"].take(),
        );
        let refused = match self.shim {
            Shim::Events => Source::open(self.address, "topics=hall", "").await.err(),
            _ => match self.open().await {
                Ok(mut late) => {
                    let (error, close) = (late.next().await, late.next().await);
                    includes(&error, &json!({"type": "error", "code": lines["error"]}));
                    includes(&close, &json!({"type": "close", "code": lines["code"]}));
                    assert!(error["after_ms"].as_u64() >= Some(1_000), "{error}");
                    return;
                }
                Err(status) => Some(status),
            },
        };
        assert_eq!(json!({"status": refused}), upgrade);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shim_tells_the_story() {
    for shim in SHIMS {
        assert_eq!(play(shim).await, ACTS, "{shim:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_tell_the_story() {
    assert_eq!(play(Shim::Lines).await, ACTS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_source_is_told_what_it_can_hear_of_the_story() {
    assert_eq!(play(Shim::Events).await, ACTS);
}
