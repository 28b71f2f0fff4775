//! Waiting until something is on disk, as a future and by blocking.

use super::append::Status;
use super::{Shared, unpark};
use crate::error::SyncError;
use crate::history::Verdict;
use crate::options::SyncPolicy;
use crate::sync::Mutex;
use crate::types::Position;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// The event with this offset is on disk.
    Offset(u64),
    /// The sync round with this number is done.
    Round(u64),
}

#[derive(Debug, Default)]
struct Waits {
    next: u64,
    waiting: HashMap<u64, (Goal, Waker)>,
}

/// Who waits for the disk.
#[derive(Debug, Default)]
pub(super) struct DurableWaits(Mutex<Waits>);

impl DurableWaits {
    fn set(&self, ticket: Option<u64>, goal: Goal, waker: &Waker) -> u64 {
        let mut waits = self.0.lock();
        let ticket = ticket.unwrap_or_else(|| {
            waits.next += 1;
            waits.next
        });
        let old = waits.waiting.insert(ticket, (goal, waker.clone()));
        drop(waits);
        // It may be the last of a task that waits here as well: nothing is held.
        drop(old);
        ticket
    }

    pub(super) fn count(&self) -> usize {
        self.0.lock().waiting.len()
    }

    fn remove(&self, ticket: u64) {
        let gone = self.0.lock().waiting.remove(&ticket);
        drop(gone);
    }

    /// Wakes those whose goal is reached, and says how many they were.
    pub(super) fn wake_due(&self, shared: &Shared) -> usize {
        let mut waits = self.0.lock();
        if waits.waiting.is_empty() {
            return 0;
        }
        let (durable, done) = (shared.marks.durable(), shared.rounds.done());
        let mut due = Vec::new();
        waits.waiting.retain(|_, (goal, waker)| {
            let reached = match goal {
                Goal::Offset(offset) => *offset < durable,
                Goal::Round(round) => *round <= done,
            };
            if reached {
                due.push(waker.clone());
            }
            !reached
        });
        drop(waits);
        let woken = due.len();
        due.into_iter().for_each(Waker::wake);
        woken
    }

    pub(super) fn wake_all(&self) {
        let waiting = std::mem::take(&mut self.0.lock().waiting);
        waiting.into_values().for_each(|(_, waker)| waker.wake());
    }
}

/// Calls a waker at the next poison, reopen or close, unless it is dropped before.
#[derive(Debug)]
pub(crate) struct Changed {
    shared: Arc<Shared>,
    ticket: u64,
}

impl Changed {
    pub(crate) fn new(shared: Arc<Shared>, waker: &Waker) -> Self {
        // No event ever has that offset: only `wake_all` reaches it.
        let ticket = shared
            .durable_waits
            .set(None, Goal::Offset(u64::MAX), waker);
        Self { shared, ticket }
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        self.shared.durable_waits.remove(self.ticket);
    }
}

/// Resolves when what it waits for is on disk, or never will be.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct DurableFuture {
    shared: Arc<Shared>,
    goal: Goal,
    /// What the goal was set for, if its epoch is known.
    position: Option<Position>,
    /// Under which history the goal was set or judged: after a reopen an offset may be another
    /// event's.
    generation: Option<u64>,
    ticket: Option<u64>,
}

impl DurableFuture {
    fn new(shared: Arc<Shared>, goal: Goal) -> Self {
        let generation = Some(shared.marks.generation());
        Self {
            shared,
            goal,
            position: None,
            generation,
            ticket: None,
        }
    }

    pub(crate) fn offset(shared: Arc<Shared>, offset: u64) -> Self {
        Self::ask(&shared, offset);
        Self::new(shared, Goal::Offset(offset))
    }

    /// Everything before a position: what was lost since it was told is not taken for durable.
    pub(crate) fn position(shared: Arc<Shared>, position: Position) -> Self {
        let last = position.offset.checked_sub(1);
        last.into_iter()
            .for_each(|offset| Self::ask(&shared, offset));
        Self {
            shared,
            // Nothing is before the first event, and that is on disk.
            goal: last.map_or(Goal::Round(0), Goal::Offset),
            position: Some(position),
            generation: None,
            ticket: None,
        }
    }

    /// Nobody else would sync for this waiter under `Manual`.
    fn ask(shared: &Shared, offset: u64) {
        if shared.options.sync_value() == SyncPolicy::Manual && shared.marks.durable() <= offset {
            shared.rounds.ask();
            unpark(&shared.signals.sync);
        }
    }

    /// All appends and acks before this call, at once.
    pub(crate) fn everything(shared: Arc<Shared>) -> Self {
        let round = shared.rounds.ask();
        unpark(&shared.signals.sync);
        Self::new(shared, Goal::Round(round))
    }

    fn state(&mut self) -> Option<Result<(), SyncError>> {
        loop {
            let generation = self.shared.marks.generation();
            if self.generation != Some(generation) {
                if let Err(error) = self.judge() {
                    return Some(Err(error));
                }
                self.generation = Some(generation);
            }
            let reached = match self.goal {
                Goal::Offset(offset) => offset < self.shared.marks.durable(),
                Goal::Round(round) => round <= self.shared.rounds.done(),
            };
            // A mark that is of a later history moved after the generation did.
            if generation != self.shared.marks.generation() {
                continue;
            }
            if reached {
                return Some(Ok(()));
            }
            return match &self.shared.append.lock().status {
                Status::Open | Status::Closing => None,
                Status::ReadOnly => Some(Err(SyncError::ReadOnly)),
                Status::Poisoned(failure) => Some(Err(SyncError::Poisoned(failure.clone()))),
                Status::Closed => Some(Err(SyncError::Closed)),
            };
        }
    }

    /// The history is not the one under which the goal was set: does that still mean the same?
    fn judge(&self) -> Result<(), SyncError> {
        match &self.position {
            Some(position) if self.shared.judge(position) == Verdict::Valid => Ok(()),
            Some(_) => Err(SyncError::Lost),
            // A sync has failed and the log was reopened since: what was waited for may be lost.
            None => {
                let failure = self.shared.failure.lock().clone();
                Err(failure.map_or(SyncError::ReadOnly, SyncError::Poisoned))
            }
        }
    }

    /// Blocks this thread until the future is ready.
    pub(crate) fn wait(self) -> Result<(), SyncError> {
        self.wait_unless(|_| false)
    }

    /// As [`DurableFuture::wait`], but not beyond the beginning of a close: for the log's own
    /// threads, since the log does not end before they do.
    pub(super) fn wait_while_open(self) -> Result<(), SyncError> {
        self.wait_unless(|shared| shared.marks.closed())
    }

    fn wait_unless(mut self, give_up: impl Fn(&Shared) -> bool) -> Result<(), SyncError> {
        let parker = crate::sync::Parker::new();
        let waker = crate::notify::waker_of(parker.unparker().clone());
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(result) = Pin::new(&mut self).poll(&mut context) {
                return result;
            }
            // A close wakes all who wait after it has set the mark.
            if give_up(&self.shared) {
                return Err(SyncError::Closed);
            }
            parker.park();
        }
    }
}

impl Future for DurableFuture {
    type Output = Result<(), SyncError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(result) = self.state() {
            return Poll::Ready(result);
        }
        let ticket = self
            .shared
            .durable_waits
            .set(self.ticket, self.goal, context.waker());
        self.ticket = Some(ticket);
        // Whoever reached the goal before the registration did not see it.
        self.state().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for DurableFuture {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.shared.durable_waits.remove(ticket);
        }
    }
}

#[cfg(test)]
#[cfg(not(any(loom, shuttle)))]
mod tests {
    use super::*;
    use crate::testing::wakers::looking_around;

    #[test]
    fn wakers_are_dropped_where_nothing_is_held() {
        let waits = Arc::new(DurableWaits::default());
        let mut ticket = None;
        for _ in 0..3 {
            let here = Arc::clone(&waits);
            let waker = looking_around(move || here.0.try_lock().is_some());
            ticket = Some(waits.set(ticket, Goal::Offset(7), &waker));
        }
        waits.remove(ticket.unwrap());
    }
}
