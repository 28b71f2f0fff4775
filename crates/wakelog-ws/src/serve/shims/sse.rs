//! Server-sent events: a stream that a page reads with `EventSource`, which comes back by itself
//! and says where it was (PROTOCOL.md, section 16).
//!
//! To the hub it is a client like any other. What such a client has to say is said here: `hello`,
//! `subscribe`, credit for what the connection has taken, and heartbeats.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use futures_sink::Sink;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tokio_util::sync::PollSender;

use super::one_line;
use crate::serve::frame::{Frame, FrameError};

/// What is asked for.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) topics: Vec<String>,
    /// None for what comes from now on.
    pub(super) position: Option<String>,
}

impl Wanted {
    fn subscribe(&self) -> Frame {
        let mut message = json!({"type": "subscribe", "sub": "sse", "filters": self.topics});
        match &self.position {
            Some(position) => message["position"] = json!(position),
            None => message["start"] = json!("latest"),
        }
        Frame::Text(message.to_string())
    }
}

/// The body of an answer as a socket of frames.
pub(super) struct Events {
    wanted: Wanted,
    output: PollSender<String>,
    said: VecDeque<Frame>,
    over: bool,
    /// Waits for something to be said.
    listener: Option<Waker>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow, default)]
    events: Vec<&'a RawValue>,
    #[serde(default)]
    stem: &'a str,
    position: Option<&'a str>,
    earliest: Option<&'a str>,
    #[serde(borrow, default)]
    positions: BTreeMap<&'a str, &'a str>,
    #[serde(default)]
    bytes: u64,
    #[serde(rename = "in")]
    window: Option<[u64; 2]>,
}

#[derive(Deserialize)]
struct Numbered {
    offset: u64,
}

impl Events {
    pub(super) fn new(wanted: Wanted, output: tokio::sync::mpsc::Sender<String>) -> Self {
        let hello = Frame::Text(r#"{"type":"hello","client":"EventSource"}"#.to_owned());
        let subscribe = wanted.subscribe();
        Self {
            wanted,
            output: PollSender::new(output),
            said: VecDeque::from([hello, subscribe]),
            over: false,
            listener: None,
        }
    }

    /// What a message of the server is in the stream.
    fn write(&mut self, text: &str) -> String {
        let mut out = String::new();
        let Ok(message) = serde_json::from_str::<Message<'_>>(text) else {
            return out;
        };
        match message.kind {
            "volatile" => {
                for event in &message.events {
                    let _ = write!(out, "event: volatile\ndata: {event}\n\n");
                }
            }
            "events" => {
                for event in &message.events {
                    let numbered = serde_json::from_str::<Numbered>(event.get());
                    let after = numbered.map_or(0, |event| event.offset + 1);
                    let _ = write!(out, "id: {}{after}\ndata: {event}\n\n", message.stem);
                }
                let credit = json!({
                    "type": "credit", "sub": "sse", "events": message.events.len(),
                    "bytes": message.bytes,
                });
                self.said.push_back(Frame::Text(credit.to_string()));
                place(&mut out, message.position);
            }
            "subscribed" => place(&mut out, message.position),
            "heartbeat" => {
                let beat = r#"{"type":"heartbeat"}"#.to_owned();
                self.said.push_back(Frame::Text(beat));
                match message.positions.values().next() {
                    Some(position) => place(&mut out, Some(position)),
                    None => out.push_str(":\n\n"),
                }
            }
            "gap" => {
                let id = message.position.unwrap_or_default();
                let _ = write!(out, "id: {id}\nevent: gap\ndata: {text}\n\n");
            }
            // What came after the last position that it knew cannot be said: all that there is
            // comes.
            "reset" => {
                self.wanted.position = message.earliest.map(str::to_owned);
                let id = message.earliest.unwrap_or_default();
                let _ = write!(out, "id: {id}\nevent: reset\ndata: {text}\n\n");
                let again = self.wanted.subscribe();
                self.said.push_back(again);
            }
            "bye" => {
                let [least, most] = message.window.unwrap_or_default();
                let spread = most.saturating_sub(least).saturating_add(1);
                let _ = write!(out, "retry: {}\n\n", least + random() % spread);
            }
            "error" => {
                let _ = write!(out, "event: refused\ndata: {text}\n\n");
                // With one subscription, one that is refused is the end.
                self.over = true;
            }
            _ => {}
        }
        out
    }
}

/// Moves the position of the client, which sees no event for it.
fn place(out: &mut String, position: Option<&str>) {
    if let Some(position) = position {
        let _ = write!(out, "id: {position}\n\n");
    }
}

fn random() -> u64 {
    use std::hash::BuildHasher as _;
    std::collections::hash_map::RandomState::new().hash_one(())
}

impl Stream for Events {
    type Item = Result<Frame, FrameError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.said.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None if self.over => Poll::Ready(None),
            None => {
                self.listener = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Sink<Frame> for Events {
    type Error = FrameError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), FrameError>> {
        self.output.poll_reserve(cx).map_err(gone)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), FrameError> {
        let text = match frame {
            Frame::Text(text) => self.write(&one_line(text)),
            Frame::Page(page) => self.write(&one_line(page.text())),
            Frame::Close { .. } => {
                self.over = true;
                String::new()
            }
            // The driver sends nothing else.
            Frame::Binary | Frame::Alive | Frame::Closed => String::new(),
        };
        // What is said comes of what was heard.
        let speaks = self.over || !self.said.is_empty();
        if let Some(listener) = self.listener.take_if(|_| speaks) {
            listener.wake();
        }
        if text.is_empty() {
            return Ok(());
        }
        self.output.send_item(text).map_err(gone)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), FrameError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), FrameError>> {
        self.output.close();
        Poll::Ready(Ok(()))
    }
}

fn gone<T>(_: tokio_util::sync::PollSendError<T>) -> FrameError {
    FrameError::Cut("nobody reads the answer".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{EncodedPage, PageMessage};
    use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
    use tokio::sync::mpsc;

    /// The hub asks a socket that had nothing again when that wakes it, and not before.
    #[tokio::test]
    async fn what_is_said_in_answer_is_heard_by_whoever_waits_for_it() {
        let (output, _answer) = mpsc::channel(8);
        let mut events = Events::new(Wanted::default(), output);
        assert!(events.next().now_or_never().is_some(), "hello");
        assert!(events.next().now_or_never().is_some(), "subscribe");
        let (mut sink, mut stream) = events.split();
        let credit = tokio::spawn(async move { stream.next().await });
        tokio::task::yield_now().await;
        let page = EncodedPage::one(r#"{"offset":0}"#, false);
        let head = br#"{"type":"events","events":["#.to_vec();
        sink.send(Frame::Page(PageMessage { head, page }))
            .await
            .unwrap();
        let Some(Ok(Frame::Text(credit))) = credit.await.unwrap() else {
            panic!("nothing is said");
        };
        assert!(credit.contains(r#""type":"credit""#), "{credit}");
    }
}
