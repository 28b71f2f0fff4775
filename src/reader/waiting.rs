//! How readers and cursors wait: as tasks, and as threads.
//!
//! A task registers with the dispatcher, which looks at what comes on behalf of everyone. A thread
//! can do without: as long as the first thing that comes is for it, it sits in the seat of its
//! level ([`Seat`](crate::notify::Seat)), looks itself and is woken by the publisher.

use super::reading::{Found, Reading};
use crate::error::ReadError;
use crate::notify::{self, Sleeper};
use crate::store::Shared;
use crate::sync::{Backoff, Parker, Plant, planted};
use crate::types::to_usize;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

impl Reading {
    /// Whether there is something to read; otherwise `context` is woken when there may be.
    pub(crate) fn poll_ready(&mut self, context: &Context<'_>) -> Poll<Result<(), ReadError>> {
        self.follow_dispatcher();
        loop {
            if self.look() {
                return Poll::Ready(Ok(()));
            }
            let shared = Arc::clone(self.shared());
            let generation = self.generation;
            self.sign_in(&shared, context.waker())?;
            // The end of the log and reopen wake those that are signed in; whoever signs in later
            // must look for itself, and once more for what came before the end.
            if shared.marks.ended() {
                self.sign_out();
                self.found = self.take();
                let closed = Poll::Ready(Err(ReadError::Closed));
                return self.found.as_ref().map_or(closed, |_| Poll::Ready(Ok(())));
            }
            if shared.marks.generation() == generation {
                return Poll::Pending;
            }
        }
    }

    fn sign_in(&mut self, shared: &Shared, waker: &Waker) -> Result<(), ReadError> {
        let most = shared.options.max_waiters_value();
        let from = self.scanner.next();
        let room = most - u32::from(shared.seat(self.level).is_taken());
        let waiters = shared.waiters(self.level);
        match waiters.sign_in(&mut self.ticket, &self.wants.filters, from, waker, room) {
            None => return Err(ReadError::TooManyWaiters { limit: most }),
            Some(true) => shared.wake_dispatcher(),
            Some(false) => {}
        }
        Ok(())
    }

    /// While it waits, the dispatcher reads on its behalf: what it has passed need not be read
    /// again, also if it was trimmed since.
    fn follow_dispatcher(&mut self) {
        let shared = self.shared();
        let waiters = shared.waiters(self.level);
        let Some(seen) = self.ticket.as_ref().map(|ticket| waiters.seen_for(ticket)) else {
            return;
        };
        // The generation behind what was seen: after a reopen that may be of the new history, under
        // which this place has not been judged.
        if shared.marks.generation() == self.generation
            && seen > self.scanner.next()
            && self.found.is_none()
        {
            self.scanner.seek(seen);
        }
    }

    pub(super) fn sign_out(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.shared().waiters(self.level).cancel(&ticket);
        }
    }

    /// Blocks until there is something to read, or until `deadline`: then `false`. `watch` is told
    /// the waker and says whether to give up.
    pub(crate) fn wait(
        &mut self,
        deadline: Option<Instant>,
        mut watch: impl FnMut(&Waker) -> Result<(), ReadError>,
    ) -> Result<bool, ReadError> {
        if self.look() {
            return Ok(true);
        }
        let wait = Wait::new(deadline);
        let next = self.scanner.next();
        let waited = match self.wait_at_the_end(&wait, &mut watch) {
            Ok(None) => self.wait_for_dispatcher(&wait, &mut watch),
            Ok(Some(waited)) => Ok(waited),
            Err(error) => Err(error),
        };
        self.sign_out();
        // Whether it would have been right to wake it for whatever came first.
        self.first_is_mine =
            matches!(&self.found, Some(Found::Event(_, spot)) if spot.offset == next);
        waited
    }

    /// Waits for whatever comes next, awake for a while and then in the seat. `None` if that is not
    /// for this reader, or the seat is not free: the dispatcher is to look on its behalf.
    fn wait_at_the_end(
        &mut self,
        wait: &Wait,
        watch: &mut impl FnMut(&Waker) -> Result<(), ReadError>,
    ) -> Result<Option<bool>, ReadError> {
        let shared = Arc::clone(self.shared());
        let word = shared.marks.word(self.level);
        let mut awake = Awake::new(self.spin);
        let mut seated = None;
        let mut begun = None;
        loop {
            watch(&wait.waker)?;
            // Before the look: what is published behind it keeps this thread from falling asleep.
            let (seen, ended) = (word.seen(), shared.marks.ended());
            if self.look() {
                return Ok(Some(true));
            }
            if ended {
                return Err(ReadError::Closed);
            }
            if wait.is_over() {
                return Ok(Some(false));
            }
            let came = seen.offset() != *begun.get_or_insert(seen.offset());
            if awake.stay(|| word.offset() != seen.offset()) {
                continue;
            }
            if came || !self.first_is_mine {
                return Ok(None);
            }
            if seated.is_none() {
                let most = to_usize(shared.options.max_waiters_value());
                let room = shared.waiting(self.level) < most;
                let seat = shared.seat(self.level);
                seated = room.then(|| seat.take(wait.parker.unparker())).flatten();
                if seated.is_none() {
                    return Ok(None);
                }
                // Poison, reopen and close wake the seat: what they changed before is seen now.
                if !planted(Plant::BlindSeat) {
                    continue;
                }
            }
            if word.fall_asleep(Sleeper::READER, seen) {
                wait.park();
            }
        }
    }

    fn wait_for_dispatcher(
        &mut self,
        wait: &Wait,
        watch: &mut impl FnMut(&Waker) -> Result<(), ReadError>,
    ) -> Result<bool, ReadError> {
        let context = Context::from_waker(&wait.waker);
        loop {
            watch(&wait.waker)?;
            if let Poll::Ready(ready) = self.poll_ready(&context) {
                return ready.map(|()| true);
            }
            if wait.is_over() {
                return Ok(false);
            }
            wait.park();
        }
    }
}

/// One wait of a thread.
struct Wait {
    parker: Parker,
    waker: Waker,
    deadline: Option<Instant>,
}

impl Wait {
    fn new(deadline: Option<Instant>) -> Self {
        let parker = Parker::new();
        let waker = notify::waker_of(parker.unparker().clone());
        Self {
            parker,
            waker,
            deadline,
        }
    }

    fn is_over(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    fn park(&self) {
        match self.deadline {
            None => self.parker.park(),
            Some(deadline) => self.parker.park_deadline(deadline),
        }
    }
}

/// How often a thread that spins looks at the end of the log before it looks at all else.
const LOOKS: u32 = 64;

/// How long a thread stays awake before it sleeps: as long as it was told to spin, else for the
/// moment in which whoever is at work on the next event often finishes.
struct Awake {
    spin: Duration,
    since: Option<Instant>,
    backoff: Backoff,
}

impl Awake {
    fn new(spin: Duration) -> Self {
        Self {
            spin,
            since: (!spin.is_zero()).then(Instant::now),
            backoff: Backoff::new(),
        }
    }

    /// Passes a little time, less if there are `news`. `false`: it is time to sleep.
    fn stay(&mut self, news: impl Fn() -> bool) -> bool {
        match self.since {
            Some(since) if since.elapsed() < self.spin => {
                for _ in 0..LOOKS {
                    if news() {
                        break;
                    }
                    std::hint::spin_loop();
                }
                true
            }
            None if !self.backoff.is_completed() => {
                self.backoff.snooze();
                true
            }
            _ => false,
        }
    }
}
