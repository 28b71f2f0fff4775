//! A wakelog log as a source.

mod cursor;
mod failure;
mod ledger;
mod pages;
mod reader;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio::task::spawn_blocking;
use wakelog::{
    AppendError, CursorError, GapReason, Log, NewEvent, Opened, Position, ReadError, ReadLevel,
    Start, SyncPolicy,
};

use super::{EventSource, ReaderSpec};
use crate::protocol::{
    CursorState, ENCODING_ATTRIBUTE, EVERYONE, Failure, LoadedCursor, Outgoing, PERSONAL, Reset,
    ResetReason,
};
use crate::session::OpenFailure;
use crate::settings::settings;
use failure::too_many_cursors;

use ledger::Ledger;
use pages::Pages;

pub use cursor::LogCursor;
pub use reader::LogReader;

/// So many pages of old events are read at a time, by all connections together. A page that is not
/// in memory occupies a thread for as long as the disk takes.
const COLD_READS: usize = 4;

/// Before the name of each cursor of a consumer, so that they do not meet the cursors of the
/// process itself.
const CURSOR_PREFIX: &str = "ws.";

/// How many cursors one identity may have by default, and how long one lives that nobody uses.
const CURSORS_OF_IDENTITY: u32 = 1_000;
const CURSOR_LIFE: Duration = Duration::from_secs(90 * 24 * 3_600);

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
    ledger: Arc<Mutex<Ledger>>,
    /// As JSON, and in binary.
    pages: [Arc<Pages>; 2],
    cursors_max: u64,
    cursors_of_identity: u32,
    cursor_life: Duration,
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
        // The process keeps room for its own.
        let cursors_max = u64::from(log.max_cursors()) * 9 / 10;
        Ok(Self {
            log,
            cold: Arc::new(Semaphore::new(COLD_READS)),
            born,
            ledger: Arc::default(),
            pages: [false, true].map(|binary| Arc::new(Pages::new(binary))),
            cursors_max,
            cursors_of_identity: CURSORS_OF_IDENTITY,
            cursor_life: CURSOR_LIFE,
        })
    }

    settings! {
        /// How many cursors all consumers may have together, before none gets a new one: nine
        /// tenths of [`Options::max_cursors`](wakelog::Options::max_cursors) by default.
        cursors(most: u64) => cursors_max = most;

        /// How many cursors the consumers of one identity may have: 1,000 by default. A client that
        /// invents names would take the room of all others. Those without an identity are one.
        cursors_of_identity(most: u32) => cursors_of_identity = most;

        /// How long a consumer's cursor lives while nobody uses it: 90 days by default, between a
        /// minute and 100 years.
        cursor_life(life: Duration) => cursor_life = life;
    }

    /// Counts a cursor that is about to be made; an error if there are enough.
    async fn make_room_for(&self, consumer: &str, cursor: &str) -> Result<(), Failure> {
        // Does it want something above 0? What matters is whether the question makes sense.
        let known = self.log.wait_acked_timeout(cursor, 0, Duration::ZERO);
        let new = matches!(
            known,
            Err(CursorError::Unknown { .. } | CursorError::Expired { .. })
        );
        if !new {
            return Ok(());
        }
        let mut ledger = Arc::clone(&self.ledger).lock_owned().await;
        let (of_identity, total) = (self.cursors_of_identity, self.cursors_max);
        let full = |ledger: &Ledger| !ledger.has_room(consumer, of_identity, total);
        if ledger.is_due(full(&ledger)) {
            let log = self.log.clone();
            let counted = spawn_blocking(move || ledger.count(&log).map(|()| ledger)).await;
            ledger = counted.map_err(|_| Failure::internal())??;
        }
        if full(&ledger) {
            return Err(too_many_cursors());
        }
        ledger.add(consumer);
        Ok(())
    }

    fn reset(&self, start: Start) -> OpenFailure {
        let end = self.end();
        let reason = match start {
            Start::Position(position) if position.log == end.log => ResetReason::Epoch,
            _ => ResetReason::Log,
        };
        let earliest = at(self.log.first_offset(), end);
        OpenFailure::Reset(Reset {
            reason,
            earliest,
            end,
        })
    }
}

impl EventSource for LogSource {
    type Reader = LogReader;
    type Cursor = LogCursor;

    fn end(&self) -> Position {
        at(self.log.durable_offset(), self.log.position())
    }

    async fn open_reader(&self, spec: ReaderSpec) -> Result<LogReader, OpenFailure> {
        let reader = self.log.reader().topics(&spec.filters);
        let reader = reader.identities(&spec.identities).start(spec.start);
        match reader.level(ReadLevel::Durable).release_behind().open() {
            Ok(reader) => Ok(LogReader::new(reader, spec, self.clone())),
            Err(ReadError::Reset) => Err(self.reset(spec.start)),
            Err(error) => Err(OpenFailure::Failed(error.into())),
        }
    }

    /// Opens inline: handles of one name that are opened by turns in other threads could fence each
    /// other in the wrong order.
    async fn open_cursor(&self, consumer: String) -> Result<LogCursor, Failure> {
        let name = format!("{CURSOR_PREFIX}{consumer}");
        self.make_room_for(&consumer, &name).await?;
        // All that a session can hear, so that the cursor does not move by itself over events that
        // its client may want.
        let hearable = [">", EVERYONE, &format!("{PERSONAL}.>")];
        let builder = self.log.cursor(&name).topics(hearable).refilter();
        let builder = builder.level(ReadLevel::Durable).ttl(self.cursor_life);
        let builder = builder.start_if_corrupt(Start::Earliest);
        let mut cursor = builder.start(Start::Latest).open()?;
        let state = match cursor.opened() {
            Opened::New => CursorState::New,
            Opened::Resumed => CursorState::Resumed,
            Opened::Corrupt => {
                tracing::error!(name, "a damaged cursor begins anew with the oldest event");
                CursorState::Lost
            }
            _ => CursorState::Expired,
        };
        // A look at the first event tells whether a gap was kept for the consumer. Other gaps are
        // met by its readers.
        let gap = match cursor.next() {
            Err(ReadError::Gap(gap)) if gap.reason == GapReason::Diverged => Some(gap),
            _ => None,
        };
        // What a client is told is on disk: a cursor in memory may be ahead of it. This asks for a
        // sync at once, whatever the policy.
        let position = at(cursor.acked(), self.log.position());
        cursor.saved().await?;
        let loaded = LoadedCursor {
            state,
            position,
            gap,
        };
        Ok(LogCursor { cursor, loaded })
    }

    fn dedup_ids(&self) -> u32 {
        self.log.dedup_ids()
    }

    async fn append(&self, event: Outgoing) -> Result<Position, Failure> {
        let mark = [event.payload.encoding().mark()];
        match self.log.try_append_once(new_event(&event, &mark)) {
            Err(AppendError::WouldBlock) => {}
            Ok(appended) => return Ok(appended.position),
            Err(error) => return Err(error.into()),
        }
        // The next segment is late, or the ids are not found yet: the moments at which an append
        // waits for the disk.
        let log = self.log.clone();
        let waited = spawn_blocking(move || log.append_once(new_event(&event, &mark))).await;
        Ok(waited.map_err(|_| Failure::internal())??.position)
    }

    async fn acked(&self, consumer: String, position: Position) -> Result<(), Failure> {
        let name = format!("{CURSOR_PREFIX}{consumer}");
        // The cursor wants something above the event, which stands one below the position.
        let event = position.offset.saturating_sub(1);
        Ok(self.log.acked(&name, event).await?)
    }

    async fn durable(&self, position: Position) -> Result<(), Failure> {
        Ok(self.log.durable_at(position).await?)
    }
}

/// Another place of the same log in the same epoch.
fn at(offset: u64, position: Position) -> Position {
    Position { offset, ..position }
}

fn new_event<'a>(event: &'a Outgoing, mark: &'a [u8]) -> NewEvent<'a> {
    let mut topics = event.topics.iter().map(String::as_str);
    let new = NewEvent::new(topics.next().unwrap_or_default(), event.payload.as_bytes());
    let new = topics.fold(new.attribute(ENCODING_ATTRIBUTE, mark), NewEvent::also_to);
    let new = event.not_to.iter().fold(new, |new, name| new.not_to(name));
    let new = event.name.iter().fold(new, |new, name| new.name(name));
    let new = event.id.iter().fold(new, |new, id| new.id(id));
    event.from.iter().fold(new, |new, from| new.from(from))
}
