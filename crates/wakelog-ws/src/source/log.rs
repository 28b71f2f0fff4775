//! A wakelog log as a source.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use wakelog::{
    AckError, AppendError, Cursor, CursorError, Gap, GapReason, Log, NewEvent, Opened, Page,
    Position, ReadError, ReadLevel, Reader, Start, SyncError, SyncPolicy,
};

use super::{EventSource, Outgoing, ReaderSpec, SourceCursor, SourceReader};
use crate::protocol::{
    ENCODING_ATTRIBUTE, EVERYONE, EncodedPage, Encoding, ErrorCode, EventHead, PageWriter, ResetReason,
};
use crate::session::{Failure, LoadedCursor, OpenFailure, Place, ReadAnswer};

/// A reader so close to the end, in offsets, reads what was just written: that is in memory.
const WARM: u64 = 4_096;

/// So many pages of old events are read at a time, by all connections together. A page that is not
/// in memory occupies a thread for as long as the disk takes.
const COLD_READS: usize = 4;

/// Before the name of each cursor of a consumer, so that they do not meet the cursors of the
/// process itself.
const CURSOR_PREFIX: &str = "ws.";

/// Why a log cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The log is synced only when somebody asks; open it with another policy.
    #[error("a log with SyncPolicy::Manual cannot be served: clients see durable events alone")]
    ManualSync,
}

/// Serves a [`Log`]: durable events alone, and acknowledgements once they are on disk.
#[derive(Clone, Debug)]
pub struct LogSource {
    log: Log,
    cold: Arc<Semaphore>,
    /// What was appended before is warm only by chance.
    born: u64,
}

impl LogSource {
    /// A source over a log.
    ///
    /// # Errors
    /// [`SourceError::ManualSync`].
    pub fn new(log: Log) -> Result<Self, SourceError> {
        if log.sync_policy() == SyncPolicy::Manual {
            return Err(SourceError::ManualSync);
        }
        let born = log.next_offset();
        Ok(Self { log, cold: Arc::new(Semaphore::new(COLD_READS)), born })
    }
}

impl EventSource for LogSource {
    type Reader = LogReader;
    type Cursor = LogCursor;

    fn end(&self) -> Position {
        Position { offset: self.log.durable_offset(), ..self.log.position() }
    }

    async fn open_reader(&self, spec: ReaderSpec) -> Result<LogReader, OpenFailure> {
        let ReaderSpec { filters, identities, place } = spec;
        let start = match place {
            Place::Earliest => Start::Earliest,
            Place::Latest => Start::Latest,
            Place::Offset(offset) => Start::Offset(offset),
            Place::Position(position) => Start::Position(position),
        };
        let builder = self.log.reader().topics(filters).identities(identities);
        match builder.start(start).level(ReadLevel::Durable).open() {
            Ok(reader) => Ok(LogReader { reader: Some(reader), ended: None, source: self.clone() }),
            Err(ReadError::Reset) => Err(self.reset(place)),
            Err(error) => Err(OpenFailure::Failed(read_failure(&error))),
        }
    }

    /// Opens inline: handles of one name that are opened by turns in other threads could fence each
    /// other in the wrong order.
    async fn open_cursor(&self, consumer: String) -> Result<LogCursor, Failure> {
        let name = format!("{CURSOR_PREFIX}{consumer}");
        // All that a session can hear, so that the cursor does not move by itself over events that
        // its client may want.
        let builder = self.log.cursor(&name).topics([">", EVERYONE]).refilter();
        let builder = builder.start(Start::Latest).level(ReadLevel::Durable);
        let mut cursor = builder.open().map_err(|error| cursor_failure(&error))?;
        let new = cursor.opened() == Opened::New;
        // A look at the first event tells whether a gap was kept for the consumer. Other gaps are
        // met by its readers.
        let kept = match cursor.next() {
            Err(ReadError::Gap(gap)) if gap.reason == GapReason::Diverged => Some(gap),
            _ => None,
        };
        if new {
            cursor.saved().await.map_err(|error| sync_failure(&error))?;
        }
        let place = Position { offset: cursor.acked(), ..self.log.position() };
        Ok(LogCursor { cursor, kept, new, place })
    }

    async fn append(&self, event: Outgoing) -> Result<u64, Failure> {
        let mark = [event.payload.encoding().mark()];
        match self.log.try_append(new_event(&event, &mark)) {
            Err(AppendError::WouldBlock) => {}
            Ok(offset) => return Ok(offset),
            Err(error) => return Err(append_failure(&error)),
        }
        // The next segment is late; that is the one moment at which an append waits for the disk.
        let log = self.log.clone();
        let waited = spawn_blocking(move || log.append_event(new_event(&event, &mark))).await;
        waited.map_err(|_| internal())?.map_err(|error| append_failure(&error))
    }

    async fn durable(&self, offset: u64) -> Result<(), Failure> {
        self.log.durable(offset).await.map_err(|error| sync_failure(&error))
    }
}

impl LogSource {
    fn reset(&self, place: Place) -> OpenFailure {
        let end = self.end();
        let reason = match place {
            Place::Position(position) if position.log == end.log => ResetReason::Epoch,
            _ => ResetReason::Log,
        };
        let earliest = Position { offset: self.log.first_offset(), ..end };
        OpenFailure::Reset { reason, earliest, end }
    }
}

/// A reader of a log.
#[derive(Debug)]
pub struct LogReader {
    /// None while another thread reads with it, and for ever if that thread was lost.
    reader: Option<Reader>,
    /// Why waiting is over; told by the next read.
    ended: Option<ReadError>,
    source: LogSource,
}

impl SourceReader for LogReader {
    fn position(&mut self) -> Position {
        self.reader.as_ref().map_or_else(|| self.source.end(), Reader::position)
    }

    async fn read(&mut self, max_events: u32, max_bytes: u32) -> ReadAnswer {
        if let Some(error) = self.ended.take() {
            return ReadAnswer::Failed(read_failure(&error));
        }
        let Some(mut reader) = self.reader.take() else { return ReadAnswer::Failed(internal()) };
        let events = usize::try_from(max_events).unwrap_or(usize::MAX);
        let bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        let end = self.source.log.durable_offset();
        let at = reader.position().offset;
        if at >= self.source.born && end.saturating_sub(at) <= WARM {
            let answer = read_page(&mut reader, events, bytes, end);
            self.reader = Some(reader);
            return answer;
        }
        let Ok(_permit) = Arc::clone(&self.source.cold).acquire_owned().await else {
            return ReadAnswer::Failed(internal());
        };
        let cold = spawn_blocking(move || {
            let answer = read_page(&mut reader, events, bytes, end);
            (reader, answer)
        });
        match cold.await {
            Ok((reader, answer)) => {
                self.reader = Some(reader);
                answer
            }
            Err(_) => ReadAnswer::Failed(internal()),
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(reader) = self.reader.as_mut() else { return Poll::Ready(()) };
        reader.poll_ready(cx).map(|ready| self.ended = ready.err())
    }
}

/// Reads and writes down one page. The events are touched here, so a page that is not in memory is
/// waited for here.
fn read_page(reader: &mut Reader, events: usize, bytes: usize, end: u64) -> ReadAnswer {
    let page = match reader.page_of(events, bytes) {
        Ok(Some(page)) => page,
        Ok(None) => return ReadAnswer::CaughtUp { position: reader.position() },
        Err(ReadError::Gap(gap)) => {
            let position = Position { offset: gap.resume_at(), ..reader.position() };
            return ReadAnswer::Gap { gap, position };
        }
        Err(error) => return ReadAnswer::Failed(read_failure(&error)),
    };
    let position = reader.position();
    let more = position.offset < end;
    ReadAnswer::Page { page: encode(&page), position, more }
}

fn encode(page: &Page) -> EncodedPage {
    let mut writer = PageWriter::new();
    for event in page.iter() {
        let head = EventHead {
            offset: event.offset(),
            time: event.time(),
            name: event.name(),
            id: event.id(),
            from: event.from(),
            encoding: Encoding::from_attribute(event.attribute(ENCODING_ATTRIBUTE)),
            payload: event.payload(),
        };
        writer.push(head, event.topics(), event.not_to());
    }
    writer.finish()
}

/// The cursor of a consumer.
#[derive(Debug)]
pub struct LogCursor {
    cursor: Cursor,
    kept: Option<Gap>,
    new: bool,
    place: Position,
}

impl SourceCursor for LogCursor {
    fn loaded(&self) -> LoadedCursor {
        LoadedCursor { new: self.new, position: self.place, gap: self.kept }
    }

    fn store(
        &mut self,
        position: Position,
    ) -> impl Future<Output = Result<Position, Failure>> + Send {
        let acked = self.ack(position);
        let saved = self.cursor.saved();
        let place = Position { offset: self.cursor.acked(), ..self.cursor.position() };
        self.place = place;
        async move {
            acked.map_err(|error| ack_failure(&error))?;
            saved.await.map_err(|error| sync_failure(&error))?;
            Ok(place)
        }
    }
}

impl LogCursor {
    fn ack(&mut self, position: Position) -> Result<(), AckError> {
        if let Some(gap) = self.kept {
            // The gap is acknowledged by any place of today at which its reading goes on, or one
            // beyond.
            if position.epoch == self.place.epoch && position.offset >= gap.resume_at() {
                self.cursor.ack_gap(&gap)?;
                self.kept = None;
            }
        }
        self.cursor.ack_to(position)
    }
}

fn new_event<'a>(event: &'a Outgoing, mark: &'a [u8]) -> NewEvent<'a> {
    let (first, more) = event.topics.split_first().map_or(("", &[][..]), |(f, m)| (f.as_str(), m));
    let mut new = NewEvent::new(first, event.payload.as_bytes());
    for topic in more {
        new = new.also_to(topic);
    }
    for identity in &event.not_to {
        new = new.not_to(identity);
    }
    if let Some(name) = &event.name {
        new = new.name(name);
    }
    if let Some(id) = &event.id {
        new = new.id(id);
    }
    if let Some(from) = &event.from {
        new = new.from(from);
    }
    new.attribute(ENCODING_ATTRIBUTE, mark)
}

fn internal() -> Failure {
    Failure::new(ErrorCode::Internal, "internal error")
}

/// Says in the server's log what the client need not know.
fn unavailable(what: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    tracing::warn!(error, "{what}");
    Failure::new(ErrorCode::Unavailable, what)
}

fn append_failure(error: &AppendError) -> Failure {
    match error {
        AppendError::Topic(_) | AppendError::Audience { .. } => {
            Failure::new(ErrorCode::BadTopic, error.to_string())
        }
        AppendError::TooLarge { .. } | AppendError::Attributes { .. } => {
            Failure::new(ErrorCode::TooLarge, error.to_string())
        }
        _ => unavailable("the log cannot be written at the moment", error),
    }
}

fn sync_failure(error: &SyncError) -> Failure {
    unavailable("the log cannot be synced at the moment", error)
}

fn read_failure(error: &ReadError) -> Failure {
    match error {
        ReadError::Filter(_) => Failure::new(ErrorCode::BadFilter, error.to_string()),
        ReadError::Offset { .. } => Failure::new(ErrorCode::BadPosition, error.to_string()),
        _ => unavailable("the log cannot be read at the moment", error),
    }
}

fn cursor_failure(error: &CursorError) -> Failure {
    unavailable("the cursor cannot be opened at the moment", error)
}

fn ack_failure(error: &AckError) -> Failure {
    match error {
        AckError::Diverged(_) | AckError::Beyond { .. } | AckError::Reset => {
            Failure::new(ErrorCode::AckRefused, error.to_string())
        }
        _ => unavailable("the cursor cannot be stored at the moment", error),
    }
}
