//! Heartbeats, deadlines and the orderly end.

use std::time::{Duration, Instant};

use super::{Session, State, Subscription};
use crate::protocol::{CloseCode, ErrorCode, Failure, ServerMessage};

/// How long a session that is being drained waits for what it has accepted.
const DRAIN: Duration = Duration::from_secs(5);

impl Session {
    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = match self.state {
            State::AwaitHello(deadline) | State::Draining(deadline) => deadline,
            State::Admitting => self.silence(),
            State::Open => self.next_beat.min(self.silence()),
            State::Closed => return None,
        };
        let others = self.paused.into_iter().chain(self.expires);
        others.chain([due]).min()
    }

    /// Does what is due at `now`. Tell the positions of waiting readers before, so that a heartbeat
    /// can carry them.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.paused = self.paused.filter(|until| now < *until);
        if self.expires.is_some_and(|end| now >= end) {
            self.expires = None;
            self.expire("the credentials have expired");
        }
        match self.state {
            State::AwaitHello(deadline) if now >= deadline => self.close(CloseCode::Silent),
            State::Admitting if now >= self.silence() => self.close(CloseCode::Internal),
            State::Draining(deadline) if now >= deadline => self.close(CloseCode::Restart),
            State::Open => self.beat(now),
            _ => {}
        }
    }

    /// Announces the end: `bye`, then answers for what was accepted, then the close.
    ///
    /// The client is asked to come back at a random moment of `window`, in milliseconds.
    /// `false`: it was announced before, or the session is over.
    pub fn handle_drain(&mut self, now: Instant, window: [u64; 2]) -> bool {
        if matches!(self.state, State::Closed | State::Draining(_)) {
            return false;
        }
        self.send(ServerMessage::Bye { window });
        if matches!(self.state, State::Open) {
            self.state = State::Draining(now + DRAIN);
            self.end_drain();
        } else {
            self.close(CloseCode::Restart);
        }
        true
    }

    /// Closes a draining session once all that it accepted is answered.
    pub(super) fn end_drain(&mut self) {
        let storing = self.cursor.as_ref().is_some_and(|cursor| cursor.storing);
        if matches!(self.state, State::Draining(_)) && self.appends.is_empty() && !storing {
            self.close(CloseCode::Restart);
        }
    }

    pub(super) fn expire(&mut self, text: &str) {
        self.refuse(Failure::new(ErrorCode::Expired, text).re("hello"));
    }

    fn beat(&mut self, now: Instant) {
        // A client that we do not listen to cannot be blamed for being silent.
        if !self.wants_input() {
            self.heard = now;
        }
        if now >= self.silence() {
            self.close(CloseCode::Silent);
            return;
        }
        if now < self.next_beat {
            return;
        }
        self.next_beat = now + self.config.heartbeat;
        let moved = |sub: &mut Subscription| sub.untold().map(|at| (sub.name.clone(), at));
        let positions = self.subscriptions.iter_mut().filter_map(moved).collect();
        self.send(ServerMessage::Heartbeat { positions });
    }

    fn silence(&self) -> Instant {
        self.heard + self.config.heartbeat * 5 / 2
    }
}
