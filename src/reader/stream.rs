//! Events as a stream.

use super::Event;
use crate::error::ReadError;
use futures_core::Stream;
use std::pin::Pin;
use std::task::{Context, Poll};

/// What a stream takes its events from: a reader or a cursor.
pub trait Source {
    /// The next event, `None` when there is none yet.
    ///
    /// # Errors
    /// As the reader's or cursor's own method.
    fn next(&mut self) -> Result<Option<Event>, ReadError>;

    /// Whether there is something to read.
    ///
    /// # Errors
    /// As the reader's or cursor's own method.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ReadError>>;
}

/// All events from here on. Made by [`Reader::stream`](crate::Reader::stream) and
/// [`Cursor::stream`](crate::Cursor::stream).
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct EventStream<'a, S> {
    source: &'a mut S,
}

impl<'a, S: Source> EventStream<'a, S> {
    pub(crate) fn new(source: &'a mut S) -> Self {
        Self { source }
    }
}

impl<S: Source> Stream for EventStream<'_, S> {
    type Item = Result<Event, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match self.source.next() {
                Ok(Some(event)) => return Poll::Ready(Some(Ok(event))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            match self.source.poll_ready(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(ReadError::Closed)) => return Poll::Ready(None),
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
