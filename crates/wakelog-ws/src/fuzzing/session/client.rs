//! What a client knows, and what it therefore must not be told.

use std::collections::BTreeMap;

use serde_json::Value;
use wakelog::Filter;

use super::driver::{Driver, at, parsed};
use crate::protocol::{ClientMessage, ErrorCode, Grant, ServerMessage, decode};

pub(super) struct Client {
    most: Grant,
    closed: bool,
    subs: BTreeMap<String, Sub>,
    /// How often each id was published, less how often that was answered.
    publishes: BTreeMap<String, u64>,
    acked: u64,
}

/// All that was said and heard under the name of a subscription.
#[derive(Default)]
struct Sub {
    asked: Vec<Filter>,
    open: bool,
    /// Below stands nothing that can come.
    next: u64,
    credit: u64,
    events: u64,
    /// With how many sets of filters it may be open.
    sets: u32,
}

impl Client {
    pub(super) fn new(most: Grant) -> Self {
        Self {
            most,
            closed: false,
            subs: BTreeMap::new(),
            publishes: BTreeMap::new(),
            acked: 0,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn close(&mut self) {
        assert!(!self.closed, "closed twice");
        self.closed = true;
    }

    /// Remembers what a message asks for.
    pub(super) fn said(&mut self, text: &str) {
        match decode(text) {
            Ok(ClientMessage::Subscribe(subscribe)) => {
                let credit = subscribe.credit.unwrap_or(self.most).events;
                let sub = self.subs.entry(subscribe.sub).or_default();
                sub.asked
                    .extend(parsed(&subscribe.filters).unwrap_or_default());
                sub.credit += u64::from(credit.min(self.most.events));
                sub.sets += 1;
            }
            Ok(ClientMessage::Change { sub, filters }) => {
                let sub = self.subs.entry(sub).or_default();
                sub.asked.extend(parsed(&filters).unwrap_or_default());
                sub.sets += 1;
            }
            Ok(ClientMessage::Credit { sub, grant }) => {
                self.subs.entry(sub).or_default().credit += u64::from(grant.events);
            }
            Ok(ClientMessage::Publish(event)) => {
                *self
                    .publishes
                    .entry(event.id.unwrap_or_default())
                    .or_default() += 1;
            }
            _ => {}
        }
    }

    /// Everything that was published is answered, if the session is not over.
    pub(super) fn settled(&self, closed: bool) {
        let open = self.publishes.iter().find(|(_, count)| **count > 0);
        assert!(closed || open.is_none(), "{open:?} was never answered");
    }

    /// # Panics
    /// If it must not be told that.
    pub(super) fn hears(&mut self, message: &ServerMessage, log: &Driver) {
        assert!(!self.closed, "{message:?} after the close");
        let text = message.encode();
        let value: Value = match serde_json::from_str(&text) {
            Ok(value) => value,
            Err(error) => panic!("{error}: {text}"),
        };
        assert!(value["type"].is_string(), "{text}");
        match message {
            ServerMessage::Subscribed { sub, position, .. } => {
                let sub = self.sub(sub, &text);
                // With other filters it goes on where it stood.
                assert!(!sub.open || sub.next <= position.offset, "{text}");
                (sub.open, sub.next) = (true, position.offset);
            }
            ServerMessage::Events {
                sub,
                position,
                live,
                volatile: true,
                ..
            } => {
                let sub = self.sub(sub, &text);
                assert!(sub.open && *live && position.offset <= log.end(), "{text}");
                sub.volatile(&value["events"][0], position.offset, log, &text);
            }
            ServerMessage::Events {
                sub,
                page,
                position,
                ..
            } => {
                let (sub, count) = (self.sub(sub, &text), page.events());
                sub.page(&value["events"], count, position.offset, log, &text);
            }
            ServerMessage::Gap { sub, gap, position } => {
                let sub = self.sub(sub, &text);
                let rises = gap.from < gap.to && gap.to == position.offset;
                assert!(sub.open && rises && sub.next <= position.offset, "{text}");
                sub.next = position.offset;
            }
            ServerMessage::Unsubscribed { sub, position } => {
                let sub = self.sub(sub, &text);
                assert!(sub.open && sub.next <= position.offset, "{text}");
                sub.open = false;
            }
            ServerMessage::Published { id, .. } => self.answered(id, &text),
            // The driver has no other code: this is its answer, and no word of a bad message.
            ServerMessage::Error(failure) if failure.code == ErrorCode::Unavailable => {
                match (failure.re, &failure.sub, &failure.id) {
                    (Some("publish"), _, Some(id)) => self.answered(id, &text),
                    (Some("subscribe"), Some(sub), _) => self.sub(sub, &text).open = false,
                    _ => {}
                }
            }
            ServerMessage::AckOk { position } => {
                assert!(self.acked <= position.offset && at(position.offset) == *position);
                self.acked = position.offset;
            }
            _ => {}
        }
    }

    fn sub(&mut self, name: &str, text: &str) -> &mut Sub {
        match self.subs.get_mut(name) {
            Some(sub) => sub,
            None => panic!("nobody asked for that: {text}"),
        }
    }

    fn answered(&mut self, id: &str, text: &str) {
        match self.publishes.get_mut(id) {
            Some(count) if *count > 0 => *count -= 1,
            _ => panic!("answered once too often: {text}"),
        }
    }
}

impl Sub {
    /// A page, for which there is credit.
    fn page(&mut self, events: &Value, count: u32, position: u64, log: &Driver, text: &str) {
        let events = events.as_array().map_or(&[][..], Vec::as_slice);
        assert_eq!(Some(count), u32::try_from(events.len()).ok(), "{text}");
        self.events += u64::from(count);
        assert!(self.open && self.events <= self.credit, "{text}");
        for event in events {
            self.event(event, log, text);
        }
        assert!(self.next <= position && position <= log.end(), "{text}");
        self.next = position;
    }

    /// An event that was asked for, above the one before.
    fn event(&mut self, event: &Value, log: &Driver, text: &str) {
        let offset = event["offset"].as_u64().unwrap_or(u64::MAX);
        assert!(offset >= self.next, "{offset} does not rise: {text}");
        let topic = log.topic(offset).unwrap_or_default();
        assert_eq!(event["topics"][0], topic, "{text}");
        let asked = self.asked.iter().any(|filter| filter.matches(topic));
        assert!(asked, "{topic} was not asked for: {text}");
        self.next = offset + 1;
    }

    /// An event that is not stored, after all that is older.
    fn volatile(&self, event: &Value, position: u64, log: &Driver, text: &str) {
        let matches = |topic: &str| self.asked.iter().any(|filter| filter.matches(topic));
        let topic = event["topics"][0].as_str().unwrap_or_default();
        assert!(matches(topic), "{topic} was not asked for: {text}");
        // With several sets it is not known here which of them holds.
        if self.sets == 1 {
            let mut older = (self.next..position).filter_map(|offset| log.topic(offset));
            assert_eq!(older.find(|topic| matches(topic)), None, "older: {text}");
        }
    }
}
