//! What a client says.

use std::time::Instant;

use wakelog::Position;

use super::request::{AppendKey, Place, Request, SubKey};
use super::subscription::{Doing, Subscription};
use super::{Session, State, error};
use crate::protocol::{
    ClientMessage, CloseCode, DecodeError, ErrorCode, Grant, Hello, Publish, ServerMessage,
    StartAt, Subscribe, WireError, decode,
};

impl Session {
    /// Takes a text message.
    pub fn handle_text(&mut self, now: Instant, text: &str) {
        self.heard = now;
        self.count(now);
        if matches!(self.state, State::Closed | State::Draining(_)) {
            return;
        }
        if text.len() > self.config.limits.message_bytes {
            self.close(CloseCode::TooBig);
            return;
        }
        match decode(text) {
            Ok(message) => self.handle_message(message),
            Err(DecodeError {
                code,
                message,
                re,
                sub,
                id,
            }) => {
                self.refuse(WireError {
                    code,
                    message,
                    re,
                    sub,
                    id,
                    after_ms: None,
                });
            }
        }
    }

    /// Takes a binary message, which this protocol does not have.
    pub fn handle_binary(&mut self) {
        self.close(CloseCode::Binary);
    }

    /// Takes a ping or pong frame. It is no sign of life: it may stand in the middle of a message
    /// that never ends.
    pub fn handle_alive(&mut self, now: Instant) {
        self.count(now);
    }

    fn count(&mut self, now: Instant) {
        if let Some(until) = self.pace.count(now) {
            self.paused = Some(until);
        }
    }

    fn handle_message(&mut self, message: ClientMessage) {
        match (&self.state, message) {
            (State::AwaitHello(_), ClientMessage::Hello(hello)) => self.handle_hello(hello),
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
                self.refuse(error(ErrorCode::HelloExpected, text, "hello"));
            }
        }
    }

    fn handle_hello(&mut self, hello: Hello) {
        self.state = State::Admitting;
        self.requests.push_back(Request::Admit(hello));
    }

    fn handle_subscribe(&mut self, subscribe: Subscribe) {
        let Subscribe {
            sub: name,
            filters,
            start,
            credit,
        } = subscribe;
        let limits = self.config.limits;
        let refusal = if self.subscriptions.iter().any(|open| open.name == name) {
            Some((ErrorCode::SubInUse, "the name is open on this connection"))
        } else if self.subscriptions.len() >= limits.subscriptions {
            Some((
                ErrorCode::TooManySubs,
                "no more subscriptions on this connection",
            ))
        } else if filters.len() > limits.filters {
            Some((ErrorCode::BadMessage, "too many filters"))
        } else if start == StartAt::Cursor && self.cursor.is_none() {
            Some((
                ErrorCode::NoCursor,
                "give a start or a position: there is no consumer",
            ))
        } else {
            None
        };
        if let Some((code, text)) = refusal {
            self.refuse(WireError {
                sub: Some(name),
                ..error(code, text, "subscribe")
            });
            return;
        }
        let key = SubKey(self.fresh_key());
        let credit = credit.unwrap_or(limits.credit);
        let mut sub = Subscription::new(key, name, limits.credit, credit);
        let place = match (start, &self.cursor) {
            (StartAt::Cursor, Some(cursor)) => {
                sub.kept_gap = cursor.gap;
                Place::Position(cursor.position)
            }
            // Without a cursor it was refused above.
            (StartAt::Cursor, None) | (StartAt::Latest, _) => Place::Latest,
            (StartAt::Earliest, _) => Place::Earliest,
            (StartAt::Offset(offset), _) => Place::Offset(offset),
            (StartAt::Position(position), _) => Place::Position(position),
        };
        self.subscriptions.push(sub);
        self.requests.push_back(Request::OpenReader {
            key,
            filters,
            place,
        });
    }

    fn handle_change(&mut self, name: String, filters: Vec<String>) {
        let open = |sub: &Subscription| sub.name == name && sub.doing != Doing::Opening;
        let Some(index) = self.subscriptions.iter().position(open) else {
            self.no_such_sub(name, "change");
            return;
        };
        if filters.len() > self.config.limits.filters {
            self.refuse(WireError {
                sub: Some(name),
                ..error(ErrorCode::BadMessage, "too many filters", "change")
            });
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
            place: Place::Position(at),
        });
    }

    fn handle_credit(&mut self, name: &str, grant: Grant) {
        match self.subscriptions.iter_mut().find(|sub| sub.name == name) {
            Some(sub) => sub.add(grant),
            None => self.no_such_sub(name.to_owned(), "credit"),
        }
    }

    fn handle_unsubscribe(&mut self, name: String) {
        let open = |sub: &Subscription| sub.name == name && sub.doing != Doing::Opening;
        let Some(index) = self.subscriptions.iter().position(open) else {
            self.no_such_sub(name, "unsubscribe");
            return;
        };
        let sub = self.drop_subscription(index);
        if let Some(position) = sub.at {
            self.send(ServerMessage::Unsubscribed {
                sub: name,
                position,
            });
        }
    }

    fn no_such_sub(&mut self, name: String, re: &'static str) {
        let text = "no subscription of that name is open";
        self.refuse(WireError {
            sub: Some(name),
            ..error(ErrorCode::NoSuchSub, text, re)
        });
    }

    /// Removes a subscription and tells the driver to drop its reader.
    pub(super) fn drop_subscription(&mut self, index: usize) -> Subscription {
        let sub = self.subscriptions.remove(index);
        if matches!(self.slot, super::Slot::Reading { key, .. } if key == sub.key) {
            self.slot = super::Slot::Free;
        }
        self.requests
            .push_back(Request::CloseReader { key: sub.key });
        sub
    }

    fn handle_ack(&mut self, position: Position) {
        let Some(cursor) = &mut self.cursor else {
            let text = "without a consumer there is no cursor";
            self.refuse(error(ErrorCode::NoCursor, text, "ack"));
            return;
        };
        // A gap that was kept for the cursor is acknowledged by its own position, at which the
        // cursor stands already.
        let nothing_new = cursor.gap.is_none()
            && same_course(&cursor.position, &position)
            && position.offset <= cursor.position.offset;
        if nothing_new {
            let position = cursor.position;
            self.send(ServerMessage::AckOk { position });
            return;
        }
        let lower =
            |wanted: &Position| same_course(wanted, &position) && position.offset <= wanted.offset;
        if !cursor.wanted.as_ref().is_some_and(lower) {
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

    fn handle_publish(&mut self, event: Publish) {
        let key = AppendKey(self.fresh_key());
        self.appends.insert(key, event.id.clone());
        self.requests.push_back(Request::Append { key, event });
    }
}

/// Whether the offsets of two positions can be compared.
fn same_course(one: &Position, other: &Position) -> bool {
    one.log == other.log && one.epoch == other.epoch
}
