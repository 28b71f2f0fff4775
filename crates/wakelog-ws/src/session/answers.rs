//! What the outside answers.

use std::time::Instant;

use wakelog::Position;

use super::messages::same_course;
use super::request::{
    Admission, AppendKey, OpenFailure, Opened, ReadAnswer, ReadPage, Request, SubKey,
};
use super::subscription::Doing;
use super::{Cursor, MAX_QUEUED, Session, Slot, State};
use crate::protocol::{
    CloseCode, EncodedPage, ErrorCode, Failure, Payload, ServerMessage, Welcome,
};

impl Session {
    /// Answers [`Request::Admit`].
    pub fn handle_admitted(&mut self, now: Instant, answer: Result<Admission, Failure>) {
        if !matches!(self.state, State::Admitting) {
            return;
        }
        match answer {
            Ok(admission) => self.welcome(now, admission),
            Err(failure) => {
                self.refuse(failure.re("hello"));
                // Nothing can follow, whatever it was.
                self.close(CloseCode::Internal);
            }
        }
    }

    /// Answers [`Request::OpenReader`].
    pub fn handle_opened(&mut self, key: SubKey, answer: Result<Opened, OpenFailure>) {
        let Some(index) = self.index_of(key) else {
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
                sub.tell(position);
                let (sub, kept) = (sub.name.clone(), sub.kept_gap.take());
                self.send(ServerMessage::Subscribed {
                    sub: sub.clone(),
                    position,
                    end,
                });
                if let Some(gap) = kept {
                    self.send(ServerMessage::Gap { sub, gap, position });
                }
            }
            Err(failure) if self.subscriptions[index].replaced.is_some() => {
                self.refuse_change(index, failure);
            }
            Err(failure) => {
                let sub = self.subscriptions.remove(index).name;
                match failure {
                    OpenFailure::Reset(reset) => self.send(ServerMessage::Reset { sub, reset }),
                    OpenFailure::Failed(failure) => {
                        self.refuse(failure.re("subscribe").of_sub(sub));
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
        let name = sub.name.clone();
        let failure = match failure {
            OpenFailure::Failed(failure) => failure,
            // The position was one of this log a moment ago; the reader that is kept will tell
            // what has become of it.
            OpenFailure::Reset(_) => Failure::new(ErrorCode::Unavailable, "the log has changed"),
        };
        self.refuse(failure.re("change").of_sub(name));
    }

    /// Answers [`Request::ReadPage`].
    pub fn handle_read(&mut self, key: SubKey, answer: ReadAnswer) {
        self.take_read(key, answer);
        if let Some(index) = self.index_of(key) {
            if let Some(filters) = self.subscriptions[index].change.take() {
                self.start_change(index, filters);
            }
        }
    }

    fn take_read(&mut self, key: SubKey, answer: ReadAnswer) {
        let (Slot::Reading(reading, most), Some(index)) = (self.slot, self.index_of(key)) else {
            return;
        };
        if reading != key {
            return;
        }
        let sub = &mut self.subscriptions[index];
        self.slot = Slot::Free;
        sub.doing = Doing::Ready;
        match answer {
            ReadAnswer::Page(ReadPage { page, at, more }) => {
                let cut = page.events() >= most.events || page.bytes() >= u64::from(most.bytes);
                // Of a page that was not cut, `more` means only that something came in meanwhile.
                let live = !more || (sub.live && !cut);
                let told = std::mem::replace(&mut sub.live, live);
                sub.pass_to(at);
                sub.take(page.events(), page.bytes());
                if !more {
                    sub.doing = Doing::Waiting;
                    self.requests.push_back(Request::Wait { key });
                }
                if page.events() > 0 || !told {
                    sub.tell(at);
                    let sub = sub.name.clone();
                    self.slot = Slot::Queued;
                    self.send(ServerMessage::Events {
                        sub,
                        page,
                        position: at,
                        live,
                        volatile: false,
                    });
                }
            }
            ReadAnswer::Gap { gap, position } => {
                sub.tell(position);
                let sub = sub.name.clone();
                self.slot = Slot::Queued;
                self.send(ServerMessage::Gap { sub, gap, position });
            }
            ReadAnswer::Failed(failure) => {
                let sub = self.drop_subscription(index).name;
                self.refuse(failure.re("subscribe").of_sub(sub));
            }
        }
    }

    /// Answers [`Request::Wait`]: there may be something to read.
    pub fn handle_ready(&mut self, key: SubKey) {
        if let Some(sub) = self.waiting(key) {
            sub.doing = Doing::Ready;
        }
    }

    /// Tells where a reader stands for which [`Request::Wait`] is open: events that do not match
    /// were passed over.
    pub fn handle_position(&mut self, key: SubKey, position: Position) {
        if let Some(sub) = self.waiting(key) {
            sub.pass_to(position);
        }
    }

    /// Takes an event that is not stored, emitted when the log ended at `position`. It goes out
    /// after all that is older, and to nobody who is behind. `true`: something older is still on
    /// its way, so it is to be offered again.
    pub fn handle_volatile(&mut self, key: SubKey, page: &EncodedPage, position: Position) -> bool {
        let busy = self.transmits.len() >= MAX_QUEUED / 2;
        let Some(sub) = self.subscriptions.iter().find(|sub| sub.key == key) else {
            return false;
        };
        let same = sub.at.filter(|at| same_course(at, &position));
        let Some(at) = same.filter(|_| sub.live && !busy) else {
            return false;
        };
        if sub.doing != Doing::Waiting || at.offset < position.offset {
            // Without credit nothing is on its way.
            return sub.doing != Doing::Ready || sub.allowance(self.config.page).is_some();
        }
        let (sub, page) = (sub.name.clone(), page.clone());
        self.send(ServerMessage::Events {
            sub,
            page,
            position,
            live: true,
            volatile: true,
        });
        false
    }

    /// Answers [`Request::Append`]: the position after the durable event.
    pub fn handle_appended(&mut self, key: AppendKey, answer: Result<Position, Failure>) {
        let Some(id) = self.appends.remove(&key) else {
            return;
        };
        match answer {
            Ok(position) => {
                self.send(ServerMessage::Published {
                    id,
                    offset: position.offset.saturating_sub(1),
                    position,
                });
            }
            Err(failure) => self.refuse(failure.re("publish").of_event(id)),
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
                self.send(ServerMessage::AckOk { position });
            }
            Err(failure) => self.refuse(failure.re("ack")),
        }
        if matches!(self.state, State::Open) {
            self.store_cursor();
        }
        self.end_drain();
    }

    fn welcome(&mut self, now: Instant, admission: Admission) {
        self.expires = admission.expires;
        self.cursor = admission.cursor.map(|loaded| Cursor {
            position: loaded.position,
            gap: loaded.gap,
            wanted: None,
            storing: false,
        });
        self.state = State::Open;
        self.heard = now;
        self.next_beat = now + self.config.heartbeat;
        self.send(ServerMessage::Welcome(Box::new(Welcome {
            log: admission.end.log,
            epoch: admission.end.epoch,
            end: admission.end,
            from: admission.from,
            consumer: admission.consumer,
            cursor: admission.cursor,
            heartbeat_ms: u64::try_from(self.config.heartbeat.as_millis()).unwrap_or(u64::MAX),
            reconnect: self.config.reconnect,
            limits: self.config.limits,
        })));
    }
}
