//! Waiting until a consumer has processed an event.

use super::builder::{closed_or_poisoned, has_expired};
use crate::cursor_file::SlotHandle;
use crate::error::CursorError;
use crate::notify;
use crate::store::Shared;
use crate::sync::Parker;
use crate::types::check_name;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

/// Resolves when the cursor of a name wants something above an offset, or never will.
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct AckedFuture {
    shared: Arc<Shared>,
    name: String,
    slot: Result<SlotHandle, CursorError>,
    offset: u64,
    /// Under which history it was asked: after a reopen an offset may be another event's.
    generation: u64,
    ticket: Option<u64>,
}

impl AckedFuture {
    pub(crate) fn new(shared: &Arc<Shared>, name: &str, offset: u64) -> Self {
        Self {
            shared: Arc::clone(shared),
            name: name.into(),
            slot: find(shared, name),
            offset,
            generation: shared.marks.generation(),
            ticket: None,
        }
    }

    /// Blocks until it is so, or until `deadline`: then `false`.
    pub(crate) fn wait(mut self, deadline: Option<Instant>) -> Result<bool, CursorError> {
        let parker = Parker::new();
        let waker = notify::waker_of(parker.unparker().clone());
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(result) = Pin::new(&mut self).poll(&mut context) {
                return result.map(|()| true);
            }
            match deadline {
                None => parker.park(),
                Some(deadline) if Instant::now() >= deadline => return Ok(false),
                Some(deadline) => parker.park_deadline(deadline),
            }
        }
    }

    fn state(&self) -> Option<Result<(), CursorError>> {
        let slot = match &self.slot {
            Ok(slot) => slot,
            Err(error) => return Some(Err(error.clone())),
        };
        let name = || self.name.clone();
        if self.generation != self.shared.marks.generation() {
            return Some(Err(CursorError::Poisoned));
        }
        if let Err(error) = self.shared.hold_open() {
            return Some(Err(closed_or_poisoned(error)));
        }
        if !slot.is_there() {
            return Some(Err(CursorError::Unknown { name: name() }));
        }
        if slot.acked_for_waiter() > self.offset {
            return Some(Ok(()));
        }
        has_expired(&self.shared, slot).then(|| Err(CursorError::Expired { name: name() }))
    }
}

fn find(shared: &Shared, name: &str) -> Result<SlotHandle, CursorError> {
    check_name(name).map_err(CursorError::Name)?;
    let cursors = shared.cursors.as_ref().ok_or(CursorError::ReadOnly)?;
    let found = cursors.find(name).map_err(CursorError::Corrupt)?;
    found.ok_or_else(|| CursorError::Unknown { name: name.into() })
}

impl Future for AckedFuture {
    type Output = Result<(), CursorError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(result) = self.state() {
            return Poll::Ready(result);
        }
        if let Ok(slot) = &self.slot {
            let (number, goal) = (slot.number(), self.offset.saturating_add(1));
            let waits = &self.shared.ack_waits;
            let ticket = waits.set(self.ticket, number, goal, context.waker());
            self.ticket = Some(ticket);
        }
        // An ack that has not seen the registration is seen here.
        self.state().map_or(Poll::Pending, Poll::Ready)
    }
}

impl fmt::Debug for AckedFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AckedFuture")
            .field("name", &self.name)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

impl Drop for AckedFuture {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.shared.ack_waits.remove(ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Log;
    use std::sync::mpsc;
    use std::task::Waker;
    use std::time::Duration;

    /// A trim lets no cursor move while it brings a directory to the disk.
    #[test]
    fn who_asks_for_an_ack_waits_for_no_trim() {
        let log = Log::in_memory().unwrap();
        let mut cursor = log.cursor("alice").open().unwrap();
        log.append("a", "x").unwrap();
        let trim = log.shared().hold_open().unwrap();
        let (sender, answers) = mpsc::channel();
        let waiting = log.clone();
        std::thread::spawn(move || {
            let mut acked = Box::pin(waiting.acked("alice", 0));
            let mut context = Context::from_waker(Waker::noop());
            let _ = sender.send(acked.as_mut().poll(&mut context).is_ready());
            sender.send(waiting.wait_acked("alice", 0).is_ok())
        });
        let patience = Duration::from_secs(60);
        assert_eq!(answers.recv_timeout(patience), Ok(false));
        let event = cursor.next().unwrap().unwrap();
        cursor.ack(&event).unwrap();
        assert_eq!(answers.recv_timeout(patience), Ok(true));
        drop(trim);
    }
}
