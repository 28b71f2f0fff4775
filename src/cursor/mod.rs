//! Cursors: named, durable progress of a consumer.

mod acked;
mod builder;
mod life;
#[cfg(test)]
mod tests;

pub use builder::CursorBuilder;
pub use life::{CursorInfo, CursorState};

pub(crate) use acked::AckedFuture;
pub(crate) use life::{delete, list, names, put};

use crate::cursor_file::SlotHandle;
use crate::error::{AckError, ReadError, SyncError};
use crate::history::Verdict;
use crate::options::{Opened, Start};
use crate::reader::{Event, EventStream, Page, Reading, Source, deadline};
use crate::store::{Changed, DurableFuture, Fence, Shared};
use crate::types::{Gap, GapReason, Position};
use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Reads like a [`Reader`](crate::Reader) and remembers under a name how far its consumer has come.
/// Made by [`Log::cursor`](crate::Log::cursor).
///
/// [`Cursor::ack`] says that an event *and all before it* are done. Opening the same name again,
/// also after a crash, goes on behind the last ack that was kept: an event may come again, none is
/// left out. A gap is told again and again until [`Cursor::ack_gap`] takes note of it.
///
/// Opening a name that is open already *fences* the older handle: all it says from then on is
/// [`ReadError::Fenced`] and [`AckError::Fenced`].
pub struct Cursor {
    reading: Reading,
    slot: SlotHandle,
    fence: Arc<Fence>,
    opened: Opened,
    /// One above the highest offset that was handed out.
    handed: u64,
    gap: Option<Gap>,
}

impl Cursor {
    fn new(reading: Reading, slot: SlotHandle, fence: Arc<Fence>, opened: Opened) -> Self {
        Self {
            reading,
            slot,
            fence,
            opened,
            handed: 0,
            gap: None,
        }
    }

    /// Wakes at the next poison, reopen or close.
    pub(crate) fn on_change(&self, waker: &Waker) -> Changed {
        Changed::new(Arc::clone(self.reading.shared()), waker)
    }

    /// Does not keep the log open any more.
    pub(crate) fn loosen(&mut self) {
        self.reading.loosen();
    }

    /// Whether the name was known.
    pub fn opened(&self) -> Opened {
        self.opened
    }

    /// The next offset this consumer wants: everything below is acked.
    pub fn acked(&self) -> u64 {
        self.slot.acked()
    }

    /// How many events match that are not acked yet, exactly, at this cursor's level. Costs what
    /// was missed on the filters, not what was appended.
    ///
    /// # Errors
    /// [`ReadError::Fenced`]; [`ReadError::Io`] if a segment cannot be opened.
    pub fn lag(&mut self) -> Result<u64, ReadError> {
        if self.fence.is_fenced() {
            return Err(ReadError::Fenced);
        }
        let offset = self.slot.acked();
        let here = self.reading.position();
        self.reading.lag_from(Position { offset, ..here })
    }

    /// Where the next read begins.
    pub fn position(&self) -> Position {
        self.reading.position()
    }

    /// The next event, `None` when it has caught up.
    ///
    /// # Errors
    /// [`ReadError::Gap`] until the gap is acked; [`ReadError::Fenced`] for ever when a newer
    /// handle was opened; [`ReadError::Io`] if a segment cannot be opened.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator's `None` is final, this one is not; and a gap must not be skipped"
    )]
    pub fn next(&mut self) -> Result<Option<Event>, ReadError> {
        self.check()?;
        let event = self.reading.next();
        let event = event.map_err(|error| self.keep_gap(error))?;
        match &event {
            Some(event) => self.handed = event.offset() + 1,
            None => self.move_on(self.slot.acked()),
        }
        Ok(event)
    }

    /// The next event; blocks until there is one.
    ///
    /// # Errors
    /// As [`Cursor::next`], and [`ReadError::Closed`] when the log was closed and everything is
    /// read.
    pub fn recv(&mut self) -> Result<Event, ReadError> {
        loop {
            if let Some(event) = self.wait_next(None)? {
                return Ok(event);
            }
        }
    }

    /// The next event; blocks for `timeout` at most. `None`: the time is over.
    ///
    /// # Errors
    /// As [`Cursor::recv`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Event>, ReadError> {
        let deadline = deadline(timeout);
        self.wait_next(deadline)
    }

    /// The next event until `deadline`.
    fn wait_next(&mut self, deadline: Option<Instant>) -> Result<Option<Event>, ReadError> {
        loop {
            if let Some(event) = self.next()? {
                return Ok(Some(event));
            }
            let fence = Arc::clone(&self.fence);
            let watch = |waker: &Waker| {
                fence.watch(waker);
                if fence.is_fenced() {
                    Err(ReadError::Fenced)
                } else {
                    Ok(())
                }
            };
            if !self.reading.wait(deadline, watch)? {
                return Ok(None);
            }
        }
    }

    /// The next events, `bytes` of the log at most but at least one event; see
    /// [`Reader::page`](crate::Reader::page).
    ///
    /// # Errors
    /// As [`Cursor::next`].
    pub fn page(&mut self, bytes: usize) -> Result<Option<Page>, ReadError> {
        self.page_of(usize::MAX, bytes)
    }

    /// As [`Cursor::page`], with `events` events at most; see
    /// [`Reader::page_of`](crate::Reader::page_of).
    ///
    /// # Errors
    /// As [`Cursor::next`].
    pub fn page_of(&mut self, events: usize, bytes: usize) -> Result<Option<Page>, ReadError> {
        self.check()?;
        let (events, bytes) = self.reading.shared().options.page_bounds(events, bytes);
        let page = self.reading.page(events, bytes);
        let page = page.map_err(|error| self.keep_gap(error))?;
        match page.as_ref().and_then(Page::last) {
            Some(last) => self.handed = last + 1,
            None => self.move_on(self.slot.acked()),
        }
        Ok(page)
    }

    /// Waits until there is something to read. Works under any async runtime.
    ///
    /// # Errors
    /// [`ReadError::Fenced`], [`ReadError::Closed`]; a gap is not an error here but something to
    /// read.
    pub async fn ready(&mut self) -> Result<(), ReadError> {
        poll_fn(|context| self.poll_ready(context)).await
    }

    /// The poll form of [`Cursor::ready`]. Only the last waker is kept.
    ///
    /// # Errors
    /// As [`Cursor::ready`].
    pub fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ReadError>> {
        self.fence.watch(context.waker());
        match self.check() {
            Ok(()) => self.reading.poll_ready(context),
            Err(ReadError::Gap(_)) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// All events from here on, for any async runtime; see
    /// [`Reader::stream`](crate::Reader::stream). A gap is told by every item until it is acked, so
    /// ack it before going on.
    pub fn stream(&mut self) -> EventStream<'_> {
        EventStream::new(self)
    }

    /// This event and all before it are done.
    ///
    /// On disk with the next sync; at once in memory. Acking what is acked already changes nothing.
    ///
    /// # Errors
    /// [`AckError::Fenced`]; [`AckError::Diverged`] if the event was lost with its epoch's tail
    /// (the cursor is not moved); [`AckError::Beyond`], [`AckError::Reset`] for events of another
    /// log.
    pub fn ack(&mut self, event: &Event) -> Result<(), AckError> {
        self.ack_to(event.position())
    }

    /// Everything before `position` is done.
    ///
    /// # Errors
    /// As [`Cursor::ack`].
    pub fn ack_to(&mut self, position: Position) -> Result<(), AckError> {
        let moved = self.store(&position)?;
        let acked = if moved {
            position.offset
        } else {
            self.slot.acked()
        };
        self.move_on(acked);
        Ok(())
    }

    /// Takes note of a gap, and of everything before it. Reading goes on behind it. Nothing happens
    /// if the gap is not the one that is being told.
    ///
    /// # Errors
    /// [`AckError::Fenced`] and those of a log that takes no acks.
    pub fn ack_gap(&mut self, gap: &Gap) -> Result<(), AckError> {
        if self.gap.as_ref() != Some(gap) {
            return self.store_with(|_| Ok(false)).map(|_| ());
        }
        let offset = gap.resume_at();
        let slot = &self.slot;
        self.store_with(|_| {
            if gap.reason == GapReason::Diverged {
                slot.clear_kept();
            }
            Ok(slot.ack(offset))
        })?;
        self.gap = None;
        if gap.reason == GapReason::Diverged {
            // What this handle itself has read of the lost tail was told with it.
            self.handed = self.handed.min(gap.from);
            self.reading.diverged(gap);
        }
        Ok(())
    }

    /// Goes to another place, forward or back, and forgets the acks above it: the one way in which
    /// a cursor goes back.
    ///
    /// # Errors
    /// [`ReadError::Fenced`], [`ReadError::Closed`]; [`ReadError::Offset`], [`ReadError::Reset`]
    /// [`ReadError::NotAPlace`] for the start: the cursor stays where it is.
    pub fn seek(&mut self, start: Start) -> Result<(), ReadError> {
        if self.fence.is_fenced() {
            return Err(ReadError::Fenced);
        }
        if start == Start::LastPerTopic {
            return Err(ReadError::NotAPlace);
        }
        let mut moved = false;
        while !moved {
            let generation = self.reading.shared().marks.generation();
            let (offset, gap) = self.reading.seek(start)?;
            let slot = &self.slot;
            let stored = self.store_with(|shared| {
                // After a reopen the start may be another place.
                moved = shared.marks.generation() == generation;
                if moved {
                    slot.put(offset, gap, shared.clock.now());
                }
                Ok(moved)
            });
            stored.map_err(|error| match error {
                AckError::Fenced => ReadError::Fenced,
                // Closed, or poisoned: nothing can be kept before the log is opened again.
                _ => ReadError::Closed,
            })?;
        }
        self.gap = None;
        self.handed = 0;
        Ok(())
    }

    /// Resolves when every ack made before the call is on disk. Asks for a sync at once, under
    /// every policy.
    pub fn saved(&self) -> impl Future<Output = Result<(), SyncError>> + Send + 'static + use<> {
        DurableFuture::everything(Arc::clone(self.reading.shared()))
    }

    /// Blocks until every ack made before the call is on disk; see [`Cursor::saved`].
    ///
    /// # Errors
    /// [`SyncError::Poisoned`] and [`SyncError::Closed`]: they may not be.
    pub fn wait_saved(&self) -> Result<(), SyncError> {
        DurableFuture::everything(Arc::clone(self.reading.shared())).wait()
    }

    /// Whether this handle may read, and nothing has to be told first.
    fn check(&mut self) -> Result<(), ReadError> {
        if self.fence.is_fenced() {
            return Err(ReadError::Fenced);
        }
        if self.gap.is_none() {
            let kept = self.slot.kept().filter(|to| *to > self.slot.acked());
            self.gap = kept.map(|to| Gap {
                from: self.slot.acked(),
                to,
                reason: GapReason::Diverged,
            });
        }
        self.gap.map_or(Ok(()), |gap| Err(ReadError::Gap(gap)))
    }

    fn keep_gap(&mut self, error: ReadError) -> ReadError {
        if let ReadError::Gap(gap) = &error {
            self.gap = Some(*gap);
            if gap.reason == GapReason::Diverged {
                // What was handed out above is not in the log any more: no ack of it will come.
                self.handed = self.handed.min(gap.from);
            }
        }
        error
    }

    /// Acks everything before `position`, if it still means the same place. Whether that was new.
    fn store(&self, position: &Position) -> Result<bool, AckError> {
        self.store_with(|shared| match self.reading.judge(position) {
            Verdict::Valid => Ok(self.slot.ack(position.offset)),
            Verdict::Diverged(gap) if position.epoch == shared.epoch() => Err(AckError::Beyond {
                asked: position.offset,
                next: gap.from,
            }),
            Verdict::Diverged(gap) => Err(AckError::Diverged(gap)),
            Verdict::Reset => Err(AckError::Reset),
        })
    }

    /// Changes the slot, unless this handle is fenced or the log takes no acks. `change` says
    /// whether it has changed anything.
    #[inline]
    fn store_with(
        &self,
        change: impl FnOnce(&Shared) -> Result<bool, AckError>,
    ) -> Result<bool, AckError> {
        let shared = self.reading.shared();
        let open = shared.hold_open();
        // Whoever deletes the cursor fences first, and then lets the acks pass that hold this.
        if self.fence.is_fenced() {
            return Err(AckError::Fenced);
        }
        let open = open?;
        let changed = change(shared)?;
        drop(open);
        shared
            .ack_waits
            .reached(self.slot.number(), || self.slot.acked());
        if changed {
            shared.wake_sync();
        }
        Ok(changed)
    }

    /// Moves over events that did not match, once everything handed out before them is acked.
    fn move_on(&mut self, acked: u64) {
        let reached = self.reading.place();
        if reached <= acked || self.handed > acked || self.gap.is_some() {
            return;
        }
        if self.slot.kept().is_none_or(|to| to <= acked) {
            // If the log takes no acks now, the next one moves it.
            let _ = self.store(&self.reading.position());
        }
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor")
            .field("acked", &self.acked())
            .field("position", &self.position())
            .field("fenced", &self.fence.is_fenced())
            .finish_non_exhaustive()
    }
}

impl Source for Cursor {
    fn next(&mut self) -> Result<Option<Event>, ReadError> {
        Self::next(self)
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ReadError>> {
        Self::poll_ready(self, context)
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        let shared = self.reading.shared();
        if let Ok(open) = shared.hold_open() {
            if !self.fence.is_fenced() {
                self.slot.touch(shared.clock.now());
                drop(open);
                shared.wake_sync();
            }
        }
        shared.fences.release(self.slot.number(), &self.fence);
    }
}
