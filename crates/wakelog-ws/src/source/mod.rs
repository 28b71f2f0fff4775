//! Where events come from and go to: the seam between connections and a log.
//!
//! Everything that a source hands out is durable: the position of its [`end`](EventSource::end),
//! each event that its readers deliver, and each place to which a cursor was stored. A source that
//! delivers what a crash may take back breaks the protocol.

mod log;

use std::future::Future;
use std::task::{Context, Poll};

use wakelog::{Position, Start};

use crate::protocol::{Failure, Grant, LoadedCursor, Outgoing};
use crate::session::{OpenFailure, ReadAnswer};

pub use log::{LogCursor, LogReader, LogSource, SourceError};

/// An ordered log of events that connections read from and append to.
///
/// Dropping a future of a source gives up the answer; what was begun may still happen.
pub trait EventSource: Send + Sync + 'static {
    /// A place in the log that moves while it reads.
    type Reader: SourceReader;
    /// The durable place of one consumer.
    type Cursor: SourceCursor;

    /// The position after the last durable event.
    fn end(&self) -> Position;

    /// Opens a reader.
    fn open_reader(
        &self,
        spec: ReaderSpec,
    ) -> impl Future<Output = Result<Self::Reader, OpenFailure>> + Send;

    /// Takes over the cursor of a consumer from whoever had it, or makes it at the end of the log.
    /// The name is the hub's: that of the consumer, or identity, slash, consumer.
    ///
    /// When this resolves, the cursor is on disk.
    fn open_cursor(
        &self,
        consumer: String,
    ) -> impl Future<Output = Result<Self::Cursor, Failure>> + Send;

    /// How many ids the source remembers: an event with the id and the `from` of one of the last so
    /// many is not appended again. 0, the default, for none.
    fn dedup_ids(&self) -> u32 {
        0
    }

    /// Appends an event and says the position behind it, whose offset is one above the event's; it
    /// need not be durable yet. For an id that is remembered it is the position behind the first
    /// event.
    fn append(&self, event: Outgoing) -> impl Future<Output = Result<Position, Failure>> + Send;

    /// Resolves when the cursor of a consumer has reached a position that [`append`](Self::append)
    /// has said. A cursor that is not there, or goes away meanwhile, is a failure. The name is as
    /// for [`open_cursor`](Self::open_cursor).
    fn acked(
        &self,
        consumer: String,
        position: Position,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Resolves when everything before a position that [`append`](Self::append) has said is
    /// durable. What was lost since is a failure, even if another event has its offset now.
    fn durable(&self, position: Position) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Reads events in order.
pub trait SourceReader: Send + 'static {
    /// Where reading stands, over events that do not match too.
    fn position(&mut self) -> Position;

    /// As [`read`](Self::read), if that need not wait for anything. None, the default: it may.
    fn read_now(&mut self, most: Grant) -> Option<ReadAnswer> {
        let _ = most;
        None
    }

    /// Reads one page of about so many bytes and at most so many events, at least one of each.
    fn read(&mut self, most: Grant) -> impl Future<Output = ReadAnswer> + Send;

    /// Ready when reading again may find something: an event, a gap, or the end of the log's life.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// The durable place of one consumer.
pub trait SourceCursor: Send + 'static {
    /// What was found when it was opened.
    fn loaded(&self) -> LoadedCursor;

    /// Moves forward and says where the cursor stands then; resolves when that is on disk.
    ///
    /// A position below the cursor changes nothing.
    fn store(
        &mut self,
        position: Position,
    ) -> impl Future<Output = Result<Position, Failure>> + Send;
}

/// What a reader reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderSpec {
    /// The filters.
    pub filters: Vec<String>,
    /// Names of the consumer: events that are not to one of them are left out.
    pub identities: Vec<String>,
    /// Where to begin: earliest, latest, an offset or a position.
    pub start: Start,
    /// Whether pages that hold events are binary, or JSON.
    pub binary: bool,
}
