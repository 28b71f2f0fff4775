//! A whole session: a client that says anything, cut anywhere, a driver that answers late, badly or
//! in another order, time that jumps, and a log of a plain list behind it.

mod client;
mod driver;

use std::time::{Duration, Instant};

use client::Client;
use driver::Driver;

use crate::protocol::{CloseCode, Grant, Limits};
use crate::session::{Session, SessionConfig, Transmit};

/// So many steps are enough for every state; more only take time.
const STEPS_MAX: usize = 400;

/// When the input is over, everything is answered and taken within so many rounds.
const ROUNDS_MAX: usize = 2_000;

/// Lines: one that begins with `{` is a message as it stands, in all others each byte is a step of
/// the driver, the log or the clock. A message that is cut is one.
///
/// # Panics
/// When what the session sends or asks for breaks the protocol: a message that does not parse, an
/// offset that does not rise or was not asked for, more events than there was credit, an answer
/// twice or never, a cursor that goes back, anything after the close, or no end.
pub fn session(data: &[u8]) {
    let mut play = Play::new();
    let mut steps = 0;
    for line in data.split(|byte| *byte == b'\n') {
        if line.first() == Some(&b'{') {
            play.say(line);
            steps += 1;
        } else {
            line.iter()
                .take(STEPS_MAX)
                .for_each(|byte| play.step(*byte));
            steps += line.len();
        }
        if steps > STEPS_MAX {
            break;
        }
    }
    play.end();
}

struct Play {
    session: Session,
    now: Instant,
    driver: Driver,
    client: Client,
}

/// Small bounds, so that a short input reaches them.
fn config() -> SessionConfig {
    SessionConfig {
        limits: Limits {
            message_bytes: 4_096,
            subscriptions: 3,
            filters: 4,
            publishes: 3,
            credit: Grant {
                events: 9,
                bytes: 900,
            },
            ..Limits::default()
        },
        messages_per_second: 8,
        page: Grant {
            events: 4,
            bytes: 400,
        },
        ..SessionConfig::default()
    }
}

impl Play {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            session: Session::new(config(), now),
            now,
            driver: Driver::new(),
            client: Client::new(config().limits.credit),
        }
    }

    /// The client says something, if the session listens. What is no text cannot come as one.
    fn say(&mut self, line: &[u8]) {
        self.settle();
        if !self.session.wants_input() {
            return;
        }
        let text = String::from_utf8_lossy(line);
        self.client.said(&text);
        self.session.handle_text(self.now, &text);
    }

    fn step(&mut self, byte: u8) {
        let more = byte / 16;
        match byte % 16 {
            0 => self.pass(Duration::from_millis(1 << more)),
            1 => self.pass(Duration::from_secs(u64::from(more))),
            2 | 3 => self.answer(0, true),
            4 => self.answer(more, true),
            5 => self.answer(0, false),
            6 | 7 => self.driver.append(more),
            8 => self.driver.wake(&mut self.session),
            9 => self.driver.trim(more),
            10 => {
                self.take(usize::from(more) + 1);
            }
            11 => self.driver.positions(&mut self.session),
            12 => self.session.handle_alive(self.now),
            13 => self.driver.forget(more),
            14 if more == 0 => self.session.handle_fenced(),
            14 if more == 1 => self.session.handle_revoked(),
            14 if more == 2 => drop(self.session.handle_drain(self.now, [10, 20])),
            14 if more == 3 => self.session.handle_binary(),
            14 if more == 4 => self.session.close(CloseCode::Internal),
            15 if more % 4 == 1 => self.driver.tell(more / 4),
            _ => self.settle(),
        }
        self.ask();
    }

    fn answer(&mut self, number: u8, well: bool) {
        let number = usize::from(number);
        self.driver
            .answer(&mut self.session, self.now, number, well);
    }

    /// Time passes, and the session is called when it wants to be.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        for _ in 0..1_000 {
            match self.session.poll_timeout() {
                Some(due) if due <= until => {
                    self.now = self.now.max(due);
                    self.session.handle_timeout(self.now);
                }
                _ => {
                    self.now = until;
                    return;
                }
            }
        }
        panic!(
            "it wants to be called at {:?}, again and again",
            self.session.poll_timeout()
        );
    }

    /// Hears what the session wants to be done.
    fn ask(&mut self) {
        while let Some(request) = self.session.poll_request() {
            assert!(!self.client.is_closed(), "{request:?} after the close");
            self.driver.hear(request);
        }
        self.driver.offer(&mut self.session);
    }

    /// Takes so many messages that wait to be sent.
    fn take(&mut self, count: usize) -> bool {
        for _ in 0..count {
            match self.session.poll_transmit() {
                Some(Transmit::Message(message)) => self.client.hears(&message, &self.driver),
                Some(Transmit::Close(_)) => {
                    assert!(self.session.is_closed());
                    self.client.close();
                }
                None => return false,
            }
        }
        true
    }

    /// Answers and takes all there is.
    fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            self.ask();
            let answered = self.driver.answer(&mut self.session, self.now, 0, true);
            if !self.take(1) && !answered {
                self.ask();
                if self.driver.is_idle() {
                    return;
                }
            }
        }
        panic!("it has no rest");
    }

    /// A session comes to rest, and ends when it is told to.
    fn end(&mut self) {
        self.settle();
        self.client.settled(self.session.is_closed());
        self.session.handle_drain(self.now, [1, 2]);
        self.settle();
        self.pass(Duration::from_secs(3_600));
        self.settle();
        assert!(self.session.is_closed() && self.client.is_closed());
        assert_eq!(self.session.poll_timeout(), None);
    }
}
