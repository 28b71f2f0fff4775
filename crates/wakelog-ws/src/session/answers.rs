//! What the outside answers.

use std::time::Instant;

use wakelog::Position;

use super::request::{
    Admission, AppendKey, Failure, LoadedCursor, OpenFailure, Opened, ReadAnswer, Request, SubKey,
};
use super::subscription::Doing;
use super::{Cursor, Session, Slot, State, error};
use crate::protocol::{
    CloseCode, CursorState, EncodedPage, ErrorCode, Payload, ServerMessage, Welcome, WelcomeCursor,
    WireError,
};

impl Session {
    /// Answers [`Request::Admit`].
    pub fn handle_admitted(&mut self, now: Instant, answer: Result<Admission, Failure>) {
        if !matches!(self.state, State::Admitting) {
            return;
        }
        match answer {
            Ok(admission) => {
                if let Some(consumer) = admission.consumer.clone() {
                    self.requests.push_back(Request::LoadCursor { consumer });
                    self.state = State::LoadingCursor(admission);
                } else {
                    self.welcome(now, admission, None);
                }
            }
            Err(failure) => self.give_up(failure, "hello"),
        }
    }

    /// Answers [`Request::LoadCursor`].
    pub fn handle_cursor(&mut self, now: Instant, answer: Result<LoadedCursor, Failure>) {
        let State::LoadingCursor(admission) = &self.state else {
            return;
        };
        match answer {
            Ok(loaded) => {
                let admission = admission.clone();
                self.welcome(now, admission, Some(loaded));
            }
            Err(failure) => self.give_up(failure, "hello"),
        }
    }

    /// Answers [`Request::OpenReader`].
    pub fn handle_opened(&mut self, key: SubKey, answer: Result<Opened, OpenFailure>) {
        let Some(index) = self.subscriptions.iter().position(|sub| sub.key == key) else {
            return;
        };
        match answer {
            Ok(Opened { position, end }) => {
                let sub = &mut self.subscriptions[index];
                if let Some(key) = sub.replaced.take() {
                    sub.live = false;
                    self.requests.push_back(Request::CloseReader { key });
                }
                sub.doing = Doing::Ready;
                sub.at = Some(position);
                sub.told = Some(position);
                let (name, kept) = (sub.name.clone(), sub.kept_gap.take());
                self.send(ServerMessage::Subscribed {
                    sub: name.clone(),
                    position,
                    end,
                });
                if let Some(gap) = kept {
                    self.send(ServerMessage::Gap {
                        sub: name,
                        gap,
                        position,
                    });
                }
            }
            Err(failure) if self.subscriptions[index].replaced.is_some() => {
                self.refuse_change(index, failure);
            }
            Err(failure) => {
                let sub = self.subscriptions.remove(index).name;
                match failure {
                    OpenFailure::Reset {
                        reason,
                        earliest,
                        end,
                    } => {
                        self.send(ServerMessage::Reset {
                            sub,
                            reason,
                            earliest,
                            end,
                        });
                    }
                    OpenFailure::Failed(Failure { code, message }) => {
                        let error = error(code, message, "subscribe");
                        self.refuse(WireError {
                            sub: Some(sub),
                            ..error
                        });
                    }
                }
            }
        }
    }

    /// The reader with other filters cannot be opened: the one that there was goes on.
    fn refuse_change(&mut self, index: usize, failure: OpenFailure) {
        let sub = &mut self.subscriptions[index];
        sub.key = sub.replaced.take().unwrap_or(sub.key);
        sub.doing = Doing::Ready;
        let name = Some(sub.name.clone());
        let Failure { code, message } = match failure {
            OpenFailure::Failed(failure) => failure,
            // The position was one of this log a moment ago; the reader that is kept will tell
            // what has become of it.
            OpenFailure::Reset { .. } => {
                Failure::new(ErrorCode::Unavailable, "the log has changed")
            }
        };
        self.refuse(WireError {
            sub: name,
            ..error(code, message, "change")
        });
    }

    /// Answers [`Request::ReadPage`].
    pub fn handle_read(&mut self, key: SubKey, answer: ReadAnswer) {
        self.take_read(key, answer);
        let index = self.subscriptions.iter().position(|sub| sub.key == key);
        if let Some(index) = index {
            if let Some(filters) = self.subscriptions[index].change.take() {
                self.start_change(index, filters);
            }
        }
    }

    fn take_read(&mut self, key: SubKey, answer: ReadAnswer) {
        let Slot::Reading {
            key: reading,
            events,
            bytes,
        } = self.slot
        else {
            return;
        };
        let Some(index) = self.subscriptions.iter().position(|sub| sub.key == key) else {
            return;
        };
        if reading != key {
            return;
        }
        let sub = &mut self.subscriptions[index];
        self.slot = Slot::Free;
        sub.doing = Doing::Ready;
        let name = sub.name.clone();
        match answer {
            ReadAnswer::Page {
                page,
                position,
                more,
            } => {
                let cut = page.events() >= events || page.bytes() >= u64::from(bytes);
                // Of a page that was not cut, `more` means only that something came in meanwhile.
                sub.live = !more || (sub.live && !cut);
                sub.take(page.events(), page.bytes());
                let live = sub.live;
                self.send_page(index, name, page, position, live);
            }
            ReadAnswer::CaughtUp { position } => {
                sub.at = Some(position);
                sub.doing = Doing::Waiting;
                self.requests.push_back(Request::Wait { key });
                if !sub.live {
                    sub.live = true;
                    self.send_page(index, name, EncodedPage::default(), position, true);
                }
            }
            ReadAnswer::Gap { gap, position } => {
                sub.at = Some(position);
                sub.told = sub.at;
                self.slot = Slot::Queued;
                self.send(ServerMessage::Gap {
                    sub: name,
                    gap,
                    position,
                });
            }
            ReadAnswer::Failed(Failure { code, message }) => {
                self.drop_subscription(index);
                self.refuse(WireError {
                    sub: Some(name),
                    ..error(code, message, "subscribe")
                });
            }
        }
    }

    /// Answers [`Request::Wait`]: there may be something to read.
    pub fn handle_ready(&mut self, key: SubKey) {
        if let Some(sub) = self.find(key) {
            if sub.doing == Doing::Waiting {
                sub.doing = Doing::Ready;
            }
        }
    }

    /// Tells where a reader stands for which [`Request::Wait`] is open: events that do not match
    /// were passed over.
    pub fn handle_position(&mut self, key: SubKey, position: Position) {
        if let Some(sub) = self.find(key) {
            if sub.doing == Doing::Waiting {
                sub.at = Some(position);
            }
        }
    }

    /// Answers [`Request::Append`]: the offset of the durable event and the position after it.
    pub fn handle_appended(&mut self, key: AppendKey, answer: Result<(u64, Position), Failure>) {
        let Some(id) = self.appends.remove(&key) else {
            return;
        };
        match answer {
            Ok((offset, position)) => {
                self.send(ServerMessage::Published {
                    id,
                    offset,
                    position,
                });
            }
            Err(Failure { code, message }) => {
                self.refuse(WireError {
                    id: Some(id),
                    ..error(code, message, "publish")
                });
            }
        }
        self.end_drain();
    }

    /// Answers [`Request::Append`] for an event that was not appended: the application has taken
    /// it, and says this.
    pub fn handle_replied(&mut self, key: AppendKey, payload: Payload) {
        if let Some(id) = self.appends.remove(&key) {
            self.send(ServerMessage::Reply { id, payload });
        }
        self.end_drain();
    }

    /// Answers [`Request::StoreCursor`]: where the cursor stands, durably.
    pub fn handle_stored(&mut self, answer: Result<Position, Failure>) {
        let Some(cursor) = &mut self.cursor else {
            return;
        };
        cursor.storing = false;
        match answer {
            Ok(position) => {
                cursor.position = position;
                cursor.gap = None;
                if !self.is_closed() {
                    self.send(ServerMessage::AckOk { position });
                }
            }
            Err(Failure { code, message }) if !self.is_closed() => {
                self.refuse(error(code, message, "ack"));
            }
            Err(_) => {}
        }
        if matches!(self.state, State::Open) {
            self.store_cursor();
        }
        self.end_drain();
    }

    fn welcome(&mut self, now: Instant, admission: Admission, loaded: Option<LoadedCursor>) {
        let Admission {
            from,
            consumer,
            end,
            expires,
        } = admission;
        self.expires = expires;
        let cursor = loaded.as_ref().map(|cursor| WelcomeCursor {
            state: if cursor.new {
                CursorState::New
            } else {
                CursorState::Resumed
            },
            position: cursor.position,
        });
        self.cursor = loaded.map(|LoadedCursor { position, gap, .. }| Cursor {
            position,
            gap,
            wanted: None,
            storing: false,
        });
        self.state = State::Open;
        self.heard = now;
        self.next_beat = now + self.config.heartbeat;
        self.send(ServerMessage::Welcome(Box::new(Welcome {
            log: end.log,
            epoch: end.epoch,
            end,
            from,
            consumer,
            cursor,
            heartbeat_ms: u64::try_from(self.config.heartbeat.as_millis()).unwrap_or(u64::MAX),
            reconnect: self.config.reconnect,
            limits: self.config.limits,
        })));
    }

    /// Refuses a `hello`, after which nothing can follow.
    fn give_up(&mut self, failure: Failure, re: &'static str) {
        self.refuse(error(failure.code, failure.message, re));
        self.close(match failure.code {
            ErrorCode::Unauthorized => CloseCode::Unauthorized,
            _ => CloseCode::Internal,
        });
    }

    fn send_page(
        &mut self,
        index: usize,
        sub: String,
        page: EncodedPage,
        position: Position,
        live: bool,
    ) {
        let subscription = &mut self.subscriptions[index];
        subscription.at = Some(position);
        subscription.told = subscription.at;
        self.slot = Slot::Queued;
        self.send(ServerMessage::Events {
            sub,
            page,
            position,
            live,
        });
    }
}
