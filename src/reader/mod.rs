//! Readers: a place in the log that dies with its handle.

mod builder;
mod event;
mod filling;
mod jumping;
mod picks;
mod reading;
mod releasing;
mod scanner;
mod start;
mod stream;
mod topics;
mod waiting;
mod wants;

pub use builder::ReaderBuilder;
pub use event::{Event, EventRef, Page};
pub use stream::EventStream;
pub use topics::TopicInfo;

pub(crate) use builder::Wish;
pub(crate) use reading::{Reading, deadline};
pub(crate) use scanner::{Scan, Scanner};
pub(crate) use start::start_at;
pub(crate) use stream::Source;
pub(crate) use topics::topics;

use crate::error::ReadError;
use crate::options::Start;
use crate::types::Position;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

/// Reads the events that match a filter, from a start on: those of the past first, then new ones as
/// they come. Made by [`Log::reader`](crate::Log::reader).
///
/// A gap ([`ReadError::Gap`]) is told once; the next call goes on behind it.
#[derive(Debug)]
pub struct Reader {
    reading: Reading,
}

impl Reader {
    pub(crate) fn new(reading: Reading) -> Self {
        Self { reading }
    }

    /// Does not keep the log open any more.
    pub(crate) fn loosen(&mut self) {
        self.reading.loosen();
    }

    /// The next event, `None` when it has caught up.
    ///
    /// # Errors
    /// [`ReadError::Gap`] for a range that will not come; [`ReadError::Io`] if a segment cannot be
    /// opened.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator's `None` is final, this one is not; and a gap must not be skipped"
    )]
    pub fn next(&mut self) -> Result<Option<Event>, ReadError> {
        self.reading.next()
    }

    /// The next event; blocks until there is one.
    ///
    /// # Errors
    /// As [`Reader::next`], and [`ReadError::Closed`] when the log was closed and everything is
    /// read.
    pub fn recv(&mut self) -> Result<Event, ReadError> {
        loop {
            self.reading.wait(None, |_| Ok(()))?;
            if let Some(event) = self.reading.next()? {
                return Ok(event);
            }
        }
    }

    /// The next event; blocks for `timeout` at most. `None`: the time is over.
    ///
    /// # Errors
    /// As [`Reader::recv`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Event>, ReadError> {
        let deadline = deadline(timeout);
        loop {
            if !self.reading.wait(deadline, |_| Ok(()))? {
                return Ok(None);
            }
            if let Some(event) = self.reading.next()? {
                return Ok(Some(event));
            }
        }
    }

    /// The next events, `bytes` of the log at most but at least one event: the fast way to read.
    /// `None` when it has caught up. A page ends where a segment does, and before a gap.
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub fn page(&mut self, bytes: usize) -> Result<Option<Page>, ReadError> {
        self.page_of(usize::MAX, bytes)
    }

    /// As [`Reader::page`], with `events` events at most (0 counts as 1).
    ///
    /// Both bounds are lowered to [`Options::max_page_events`](crate::Options::max_page_events) and
    /// [`Options::max_page_bytes`](crate::Options::max_page_bytes).
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub fn page_of(&mut self, events: usize, bytes: usize) -> Result<Option<Page>, ReadError> {
        let (events, bytes) = self.reading.shared().options.page_bounds(events, bytes);
        self.reading.page(events, bytes)
    }

    /// Waits until there is something to read. Works under any async runtime.
    ///
    /// # Errors
    /// As [`Reader::recv`]; a gap is not an error here but something to read.
    pub async fn ready(&mut self) -> Result<(), ReadError> {
        poll_fn(|context| self.poll_ready(context)).await
    }

    /// The poll form of [`Reader::ready`]. Only the last waker is kept.
    ///
    /// # Errors
    /// As [`Reader::ready`].
    pub fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ReadError>> {
        self.reading.poll_ready(context)
    }

    /// All events from here on, for any async runtime. A gap is an `Err` item, after which it goes
    /// on; the stream ends when the log is closed.
    pub fn stream(&mut self) -> EventStream<'_> {
        EventStream::new(self)
    }

    /// Goes to another place, forward or back.
    ///
    /// # Errors
    /// [`ReadError::Offset`], [`ReadError::Reset`]; the reader stays where it is.
    pub fn seek(&mut self, start: Start) -> Result<(), ReadError> {
        self.reading.seek(start).map(|_| ())
    }

    /// How many frames it has looked into.
    #[cfg(test)]
    pub(crate) fn touched(&self) -> u64 {
        self.reading.touched()
    }

    /// How many events match that were not handed out yet, exactly, at this reader's level. Costs
    /// what was missed on the filter, not what was appended.
    ///
    /// # Errors
    /// [`ReadError::Io`] if a segment cannot be opened.
    pub fn lag(&mut self) -> Result<u64, ReadError> {
        self.reading.lag()
    }

    /// Where the next read begins. Moves over events that do not match, so it may be kept to resume
    /// ([`Start::Position`](crate::Start::Position)) even if nothing matched for long.
    pub fn position(&self) -> Position {
        self.reading.position()
    }
}

impl Source for Reader {
    fn next(&mut self) -> Result<Option<Event>, ReadError> {
        Self::next(self)
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ReadError>> {
        Self::poll_ready(self, context)
    }
}
