//! What a client says.

use std::time::Instant;

use wakelog::{Position, Start};

use super::request::{AppendKey, Request, SubKey};
use super::subscription::{Doing, Subscription};
use super::{Session, State};
use crate::protocol::{
    ClientMessage, CloseCode, ErrorCode, Failure, Grant, Outgoing, ServerMessage, Subscribe, decode,
};

impl Session {
    /// Takes a text message.
    pub fn handle_text(&mut self, now: Instant, text: &str) {
        self.heard = now;
        self.handle_alive(now);
        if matches!(self.state, State::Closed | State::Draining(_)) {
            return;
        }
        if text.len() > self.config.limits.message_bytes {
            self.close(CloseCode::TooBig);
            return;
        }
        match decode(text) {
            Ok(message) => self.handle_message(message),
            Err(error) => self.refuse(error),
        }
    }

    /// Takes a binary message, which this protocol does not have.
    pub fn handle_binary(&mut self) {
        self.close(CloseCode::Binary);
    }

    /// Takes a ping or pong frame. It is no sign of life: it may stand in the middle of a message
    /// that never ends.
    pub fn handle_alive(&mut self, now: Instant) {
        if let Some(until) = self.pace.count(now) {
            self.paused = Some(until);
        }
    }

    fn handle_message(&mut self, message: ClientMessage) {
        match (&self.state, message) {
            (State::AwaitHello(_), ClientMessage::Hello(hello)) => {
                self.state = State::Admitting;
                self.requests.push_back(Request::Admit(hello));
            }
            (State::Open, ClientMessage::Subscribe(subscribe)) => self.handle_subscribe(subscribe),
            (State::Open, ClientMessage::Change { sub, filters }) => {
                self.handle_change(sub, filters);
            }
            (State::Open, ClientMessage::Credit { sub, grant }) => self.handle_credit(&sub, grant),
            (State::Open, ClientMessage::Ack { position }) => self.handle_ack(position),
            (State::Open, ClientMessage::Publish(publish)) => self.handle_publish(publish),
            (State::Open, ClientMessage::Unsubscribe { sub }) => self.handle_unsubscribe(sub),
            (State::Open, ClientMessage::Heartbeat) => {}
            _ => {
                let text = "hello comes first, and once";
                self.refuse(Failure::new(ErrorCode::HelloExpected, text).re("hello"));
            }
        }
    }

    fn handle_subscribe(&mut self, subscribe: Subscribe) {
        if let Some(refusal) = self.refuse_subscribe(&subscribe) {
            self.refuse(refusal.re("subscribe").of_sub(subscribe.sub));
            return;
        }
        let key = SubKey(self.fresh_key());
        let cap = self.config.limits.credit;
        let credit = subscribe.credit.unwrap_or(cap);
        let mut sub = Subscription::new(key, subscribe.sub, cap, credit);
        let start = match (subscribe.start, &self.cursor) {
            (None, Some(cursor)) => {
                sub.kept_gap = cursor.gap;
                Start::Position(cursor.position)
            }
            // Without a cursor it was refused above.
            (start, _) => start.unwrap_or(Start::Latest),
        };
        self.subscriptions.push(sub);
        self.requests.push_back(Request::OpenReader {
            key,
            filters: subscribe.filters,
            start,
        });
    }

    fn refuse_subscribe(&self, subscribe: &Subscribe) -> Option<Failure> {
        let limits = self.config.limits;
        let has_name = |open: &Subscription| open.name == subscribe.sub;
        let (code, text) = if self.subscriptions.iter().any(has_name) {
            (ErrorCode::SubInUse, "the name is open on this connection")
        } else if self.subscriptions.len() >= limits.subscriptions {
            let text = "no more subscriptions on this connection";
            (ErrorCode::TooManySubs, text)
        } else if subscribe.filters.len() > limits.filters {
            (ErrorCode::BadMessage, "too many filters")
        } else if subscribe.start.is_none() && self.cursor.is_none() {
            let text = "give a start or a position: there is no consumer";
            (ErrorCode::NoCursor, text)
        } else {
            return None;
        };
        Some(Failure::new(code, text))
    }

    fn handle_change(&mut self, name: String, filters: Vec<String>) {
        let Some(index) = self.open_sub(&name, "change") else {
            return;
        };
        if filters.len() > self.config.limits.filters {
            let failure = Failure::new(ErrorCode::BadMessage, "too many filters");
            self.refuse(failure.re("change").of_sub(name));
        } else if self.subscriptions[index].doing == Doing::Reading {
            self.subscriptions[index].change = Some(filters);
        } else {
            self.start_change(index, filters);
        }
    }

    /// Opens a reader with other filters where the present one stands, which is kept until then.
    pub(super) fn start_change(&mut self, index: usize, filters: Vec<String>) {
        let key = SubKey(self.fresh_key());
        let sub = &mut self.subscriptions[index];
        let Some(at) = sub.at else {
            return;
        };
        sub.replaced = Some(std::mem::replace(&mut sub.key, key));
        sub.doing = Doing::Opening;
        self.requests.push_back(Request::OpenReader {
            key,
            filters,
            start: Start::Position(at),
        });
    }

    fn handle_credit(&mut self, name: &str, grant: Grant) {
        if let Some(index) = self.open_sub(name, "credit") {
            self.subscriptions[index].add(grant);
        }
    }

    fn handle_unsubscribe(&mut self, sub: String) {
        let Some(index) = self.open_sub(&sub, "unsubscribe") else {
            return;
        };
        if let Some(position) = self.drop_subscription(index).at {
            self.send(ServerMessage::Unsubscribed { sub, position });
        }
    }

    /// The open subscription of this name, without which the message is refused.
    fn open_sub(&mut self, name: &str, re: &'static str) -> Option<usize> {
        let open = |sub: &Subscription| sub.name == name && sub.doing != Doing::Opening;
        let index = self.subscriptions.iter().position(open);
        if index.is_none() {
            let text = "no subscription of that name is open";
            self.refuse(Failure::new(ErrorCode::NoSuchSub, text).re(re).of_sub(name));
        }
        index
    }

    /// Removes a subscription and tells the driver to drop its reader.
    pub(super) fn drop_subscription(&mut self, index: usize) -> Subscription {
        let sub = self.subscriptions.remove(index);
        if matches!(self.slot, super::Slot::Reading(key, _) if key == sub.key) {
            self.slot = super::Slot::Free;
        }
        let key = sub.key;
        self.requests.push_back(Request::CloseReader { key });
        sub
    }

    fn handle_ack(&mut self, position: Position) {
        let Some(cursor) = &mut self.cursor else {
            let text = "without a consumer there is no cursor";
            self.refuse(Failure::new(ErrorCode::NoCursor, text).re("ack"));
            return;
        };
        let within =
            |place: &Position| same_course(place, &position) && position.offset <= place.offset;
        // A gap that was kept for the cursor is acknowledged by its own position, at which the
        // cursor stands already.
        if cursor.gap.is_none() && within(&cursor.position) {
            let position = cursor.position;
            self.send(ServerMessage::AckOk { position });
            return;
        }
        if !cursor.wanted.as_ref().is_some_and(within) {
            cursor.wanted = Some(position);
        }
        self.store_cursor();
    }

    /// Starts the next store of the cursor, if there is something to store and none is under way.
    pub(super) fn store_cursor(&mut self) {
        let Some(cursor) = &mut self.cursor else {
            return;
        };
        if cursor.storing {
            return;
        }
        if let Some(position) = cursor.wanted.take() {
            cursor.storing = true;
            self.requests.push_back(Request::StoreCursor { position });
        }
    }

    fn handle_publish(&mut self, event: Outgoing) {
        let key = AppendKey(self.fresh_key());
        let id = event.id.clone().unwrap_or_default();
        self.appends.insert(key, id);
        self.requests.push_back(Request::Append { key, event });
    }
}

/// Whether the offsets of two positions can be compared.
pub(super) fn same_course(one: &Position, other: &Position) -> bool {
    one.log == other.log && one.epoch == other.epoch
}
