//! Events as a stream.

use super::Event;
use crate::error::ReadError;
use futures_core::Stream;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

/// What a stream takes its events from: a reader or a cursor.
pub(crate) trait Source: Send {
    fn next(&mut self) -> Result<Option<Event>, ReadError>;
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ReadError>>;
}

/// All events from here on. Made by [`Reader::stream`](crate::Reader::stream) and
/// [`Cursor::stream`](crate::Cursor::stream).
#[must_use = "streams do nothing unless polled"]
pub struct EventStream<'a> {
    source: &'a mut dyn Source,
}

impl<'a> EventStream<'a> {
    pub(crate) fn new(source: &'a mut dyn Source) -> Self {
        Self { source }
    }
}

impl fmt::Debug for EventStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").finish_non_exhaustive()
    }
}

impl Stream for EventStream<'_> {
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
