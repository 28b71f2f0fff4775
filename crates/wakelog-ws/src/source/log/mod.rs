//! A wakelog log as a source.

mod cursor;
mod failure;
mod reader;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use wakelog::{
    AppendError, CursorError, GapReason, Log, NewEvent, Opened, Position, ReadError, ReadLevel,
    Start, SyncPolicy,
};

use super::{EventSource, Outgoing, ReaderSpec};
use crate::protocol::{ENCODING_ATTRIBUTE, EVERYONE, PERSONAL, ResetReason};
use crate::session::{Failure, OpenFailure, Place};
use failure::{
    acked_failure, append_failure, cursor_failure, internal, read_failure, sync_failure,
    too_many_cursors,
};

pub use cursor::LogCursor;
pub use reader::LogReader;

/// So many pages of old events are read at a time, by all connections together. A page that is not
/// in memory occupies a thread for as long as the disk takes.
const COLD_READS: usize = 4;

/// Before the name of each cursor of a consumer, so that they do not meet the cursors of the
/// process itself.
const CURSOR_PREFIX: &str = "ws.";

/// How many cursors there may be by default.
const CURSORS_MAX: u64 = 1_000_000;

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
    cursors_max: u64,
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
        Ok(Self {
            log,
            cold: Arc::new(Semaphore::new(COLD_READS)),
            born,
            cursors_max: CURSORS_MAX,
        })
    }

    /// How many cursors the log may have before no consumer gets a new one: a million by default. A
    /// client that invents names would fill memory and disk with them.
    #[must_use]
    pub fn cursors(mut self, most: u64) -> Self {
        self.cursors_max = most;
        self
    }

    fn has_no_room_for(&self, cursor: &str) -> bool {
        // Does it want something above 0? What matters is whether the question makes sense.
        let known = self.log.wait_acked_timeout(cursor, 0, Duration::ZERO);
        matches!(known, Err(CursorError::Unknown { .. }))
            && self.log.stats().cursors >= self.cursors_max
    }
}

impl EventSource for LogSource {
    type Reader = LogReader;
    type Cursor = LogCursor;

    fn end(&self) -> Position {
        Position {
            offset: self.log.durable_offset(),
            ..self.log.position()
        }
    }

    async fn open_reader(&self, spec: ReaderSpec) -> Result<LogReader, OpenFailure> {
        let ReaderSpec {
            filters,
            identities,
            place,
        } = spec;
        let start = match place {
            Place::Earliest => Start::Earliest,
            Place::Latest => Start::Latest,
            Place::Offset(offset) => Start::Offset(offset),
            Place::Position(position) => Start::Position(position),
        };
        let builder = self.log.reader().topics(filters).identities(identities);
        match builder.start(start).level(ReadLevel::Durable).open() {
            Ok(reader) => Ok(LogReader {
                reader: Some(reader),
                ended: None,
                source: self.clone(),
            }),
            Err(ReadError::Reset) => Err(self.reset(place)),
            Err(error) => Err(OpenFailure::Failed(read_failure(&error))),
        }
    }

    /// Opens inline: handles of one name that are opened by turns in other threads could fence each
    /// other in the wrong order.
    async fn open_cursor(&self, consumer: String) -> Result<LogCursor, Failure> {
        let name = format!("{CURSOR_PREFIX}{consumer}");
        if self.has_no_room_for(&name) {
            return Err(too_many_cursors());
        }
        // All that a session can hear, so that the cursor does not move by itself over events that
        // its client may want.
        let hearable = [">", EVERYONE, &format!("{PERSONAL}.>")];
        let builder = self.log.cursor(&name).topics(hearable).refilter();
        let builder = builder.start(Start::Latest).level(ReadLevel::Durable);
        let mut cursor = builder.open().map_err(|error| cursor_failure(&error))?;
        // One that has expired begins anew.
        let new = cursor.opened() != Opened::Resumed;
        // A look at the first event tells whether a gap was kept for the consumer. Other gaps are
        // met by its readers.
        let kept = match cursor.next() {
            Err(ReadError::Gap(gap)) if gap.reason == GapReason::Diverged => Some(gap),
            _ => None,
        };
        // What a client is told is on disk: a cursor in memory may be ahead of it. This asks for a
        // sync at once, whatever the policy.
        let place = Position {
            offset: cursor.acked(),
            ..self.log.position()
        };
        cursor.saved().await.map_err(|error| sync_failure(&error))?;
        Ok(LogCursor {
            cursor,
            kept,
            new,
            place,
        })
    }

    fn dedup_ids(&self) -> u32 {
        self.log.dedup_ids()
    }

    async fn append(&self, event: Outgoing) -> Result<Position, Failure> {
        let mark = [event.payload.encoding().mark()];
        match self.log.try_append_once(new_event(&event, &mark)) {
            Err(AppendError::WouldBlock) => {}
            Ok(appended) => return Ok(appended.position),
            Err(error) => return Err(append_failure(&error)),
        }
        // The next segment is late, or the ids are not found yet: the moments at which an append
        // waits for the disk.
        let log = self.log.clone();
        let waited = spawn_blocking(move || log.append_once(new_event(&event, &mark))).await;
        waited
            .map_err(|_| internal())?
            .map(|appended| appended.position)
            .map_err(|error| append_failure(&error))
    }

    async fn acked(&self, consumer: String, position: Position) -> Result<(), Failure> {
        let name = format!("{CURSOR_PREFIX}{consumer}");
        // The cursor wants something above the event, which stands one below the position.
        let event = position.offset.saturating_sub(1);
        let acked = self.log.acked(&name, event).await;
        acked.map_err(|error| acked_failure(&error))
    }

    async fn durable(&self, position: Position) -> Result<(), Failure> {
        self.log
            .durable_at(position)
            .await
            .map_err(|error| sync_failure(&error))
    }
}

impl LogSource {
    fn reset(&self, place: Place) -> OpenFailure {
        let end = self.end();
        let reason = match place {
            Place::Position(position) if position.log == end.log => ResetReason::Epoch,
            _ => ResetReason::Log,
        };
        let earliest = Position {
            offset: self.log.first_offset(),
            ..end
        };
        OpenFailure::Reset {
            reason,
            earliest,
            end,
        }
    }
}

fn new_event<'a>(event: &'a Outgoing, mark: &'a [u8]) -> NewEvent<'a> {
    let (first, more) = event
        .topics
        .split_first()
        .map_or(("", &[][..]), |(f, m)| (f.as_str(), m));
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
