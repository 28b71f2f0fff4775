//! The log: the handle that users hold. Only wiring: each verb goes to the room that does it.

mod append;
mod listen;
mod mirror;
mod open;
#[cfg(all(test, shuttle))]
mod shuttle_tests;

pub use mirror::{Mirror, MirrorError, MirrorSource};

use crate::cursor::{self, AckedFuture, CursorBuilder, CursorInfo};
use crate::cursor_file::CursorFile;
use crate::error::{CursorError, IoFailure, OpenError, ReadError, SyncError, TrimError};
use crate::format::Limits;
use crate::listen::Pool;
use crate::options::{Start, SyncPolicy};
use crate::reader::{self, ReaderBuilder, TopicInfo, deadline};
use crate::recovery::RecoveryReport;
use crate::snapshot::{self, Snapshot, SnapshotError};
use crate::store::{DurableFuture, Store};
use crate::types::{FilterSet, LogId, Position, Stats, to_u64};
use std::fmt;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// An event log in a directory, or in memory. Cheap to clone; all clones are the same log, and it
/// is closed when the last one, with all its readers and cursors, is gone.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("events");
/// let log = wakelog::Log::open(&path)?;
/// log.append("room.42", b"hello")?;
/// let mut inbox = log.cursor("alice").topics(["room.42"]).start(wakelog::Start::Earliest).open()?;
/// while let Some(event) = inbox.next()? {
///     assert_eq!(event.payload(), b"hello");
///     inbox.ack(&event)?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Log {
    store: Arc<Store>,
    limits: Limits,
    listeners: Arc<Pool>,
}

impl Log {
    /// Syncs everything appended and acked so far; returns when it is on disk.
    ///
    /// # Errors
    /// [`SyncError::Poisoned`]: what was not durable before may be lost; see [`Log::reopen`].
    pub fn sync(&self) -> Result<(), SyncError> {
        DurableFuture::everything(Arc::clone(self.store.shared())).wait()
    }

    /// Blocks until the event with this offset is on disk. Under
    /// [`SyncPolicy::Manual`](crate::SyncPolicy::Manual) this asks for a sync, since nobody else
    /// may; for an offset that no event has yet, it waits until somebody syncs after the append.
    ///
    /// # Errors
    /// As [`Log::sync`]; [`SyncError::Closed`] if the log is closed before the offset is reached.
    pub fn wait_durable(&self, offset: u64) -> Result<(), SyncError> {
        DurableFuture::offset(Arc::clone(self.store.shared()), offset).wait()
    }

    /// Resolves when the event with this offset is on disk; the async form of
    /// [`Log::wait_durable`], for any runtime.
    pub fn durable(
        &self,
        offset: u64,
    ) -> impl Future<Output = Result<(), SyncError>> + Send + 'static + use<> {
        DurableFuture::offset(Arc::clone(self.store.shared()), offset)
    }

    /// Blocks until everything before this position is on disk: as [`Log::wait_durable`], for
    /// something that must not be taken for another event if a sync fails and the log is reopened
    /// meanwhile. [`Appended::position`](crate::Appended::position) is such a position.
    ///
    /// # Errors
    /// As [`Log::wait_durable`]; [`SyncError::Lost`] if it is not in this log any more.
    pub fn wait_durable_at(&self, position: Position) -> Result<(), SyncError> {
        DurableFuture::position(Arc::clone(self.store.shared()), position).wait()
    }

    /// Resolves when everything before this position is on disk; the async form of
    /// [`Log::wait_durable_at`], for any runtime.
    pub fn durable_at(
        &self,
        position: Position,
    ) -> impl Future<Output = Result<(), SyncError>> + Send + 'static + use<> {
        DurableFuture::position(Arc::clone(self.store.shared()), position)
    }

    /// A reader: its place dies with its handle.
    pub fn reader(&self) -> ReaderBuilder {
        ReaderBuilder::new(Arc::clone(&self.store))
    }

    /// A cursor: its place is kept under `name`, 1 to 255 bytes of UTF-8 without
    /// control characters.
    pub fn cursor(&self, name: impl Into<String>) -> CursorBuilder {
        CursorBuilder::new(Arc::clone(&self.store), name.into())
    }

    /// All cursors, by name: where they stand, how far behind they are, whether they are used. Read
    /// from the files, so it works on a log that is open for reading only, too, beside a process
    /// that writes.
    ///
    /// # Errors
    /// [`CursorError::Io`].
    pub fn cursor_list(&self) -> Result<Vec<CursorInfo>, CursorError> {
        cursor::list(self.store.shared())
    }

    /// Visits the names of all cursors that have not expired, in no order: a second for a million,
    /// and a bit of memory for each. One that is made or deleted meanwhile may be missed.
    ///
    /// # Errors
    /// [`CursorError::Io`], [`CursorError::ReadOnly`].
    pub fn cursor_names(&self, visit: impl FnMut(&str)) -> Result<(), CursorError> {
        cursor::names(self.store.shared(), visit)
    }

    /// Ends a cursor, a damaged one too; returns when that is on disk. A handle that is open is
    /// fenced. The name can be opened again, as a new one.
    ///
    /// # Errors
    /// [`CursorError::Unknown`], [`CursorError::Name`], [`CursorError::ReadOnly`],
    /// [`CursorError::Closed`], [`CursorError::DiskFull`], [`CursorError::Io`]: nothing is deleted,
    /// though a handle may be fenced. [`CursorError::Poisoned`]: it may be deleted or not.
    pub fn delete_cursor(&self, name: &str) -> Result<(), CursorError> {
        cursor::delete(self.store.shared(), name)
    }

    /// Puts a cursor to another place, forward or back, without opening it, and returns the offset.
    /// A handle that is open is fenced. One that has expired lives again. On disk with the next
    /// sync.
    ///
    /// # Errors
    /// [`CursorError::Unknown`], [`CursorError::Corrupt`], [`CursorError::Offset`],
    /// [`CursorError::Reset`] and those of a log that takes no acks: the cursor is where it was.
    pub fn set_cursor(&self, name: &str, start: Start) -> Result<u64, CursorError> {
        cursor::put(self.store.shared(), name, start)
    }

    /// Blocks until the consumer of this name has processed the event with this offset: until its
    /// ack is above it. An event that its filter does not match counts once the cursor has moved
    /// over it. What was acked is on disk with the next sync.
    ///
    /// # Errors
    /// [`CursorError::Unknown`] (also when it is deleted meanwhile), [`CursorError::Expired`],
    /// [`CursorError::Corrupt`], [`CursorError::ReadOnly`], [`CursorError::Poisoned`],
    /// [`CursorError::Closed`].
    pub fn wait_acked(&self, name: &str, offset: u64) -> Result<(), CursorError> {
        AckedFuture::new(self.store.shared(), name, offset)
            .wait(None)
            .map(|_| ())
    }

    /// As [`Log::wait_acked`], but blocks for `timeout` at most. `false`: the time is over.
    ///
    /// # Errors
    /// As [`Log::wait_acked`].
    pub fn wait_acked_timeout(
        &self,
        name: &str,
        offset: u64,
        timeout: Duration,
    ) -> Result<bool, CursorError> {
        AckedFuture::new(self.store.shared(), name, offset).wait(deadline(timeout))
    }

    /// The async form of [`Log::wait_acked`], for any runtime.
    pub fn acked(
        &self,
        name: &str,
        offset: u64,
    ) -> impl Future<Output = Result<(), CursorError>> + Send + 'static + use<> {
        AckedFuture::new(self.store.shared(), name, offset)
    }

    /// Lets go what [`Options::retention`](crate::Options::retention) lets go, and returns the
    /// offset of the oldest event that is kept. The log does so by itself, when a segment is full
    /// and about once a second; this call says what went wrong. It waits for a sync if something
    /// goes.
    ///
    /// # Errors
    /// [`TrimError::Poisoned`], [`TrimError::ReadOnly`], [`TrimError::Closed`];
    /// [`TrimError::Io`]: nothing is lost, and it is tried again.
    pub fn retain(&self) -> Result<u64, TrimError> {
        self.store.shared().retain()
    }

    /// Lets go every segment all of whose events are below `before`, whatever retention says and
    /// wherever cursors stand; never the one that is being written. Returns the offset of the
    /// oldest event that is kept: at most `before`, unless more had gone already. Readers and
    /// cursors below it are told with a gap ([`GapReason::Trimmed`](crate::GapReason::Trimmed)).
    ///
    /// # Errors
    /// As [`Log::retain`].
    pub fn trim(&self, before: u64) -> Result<u64, TrimError> {
        self.store.shared().trim(before)
    }

    /// Heals a log that a failed sync has poisoned: looks at what is on disk, makes that the end,
    /// begins a new epoch. All handles go on; those that saw events that are lost are told
    /// ([`GapReason::Diverged`](crate::GapReason::Diverged)). Nothing happens to a healthy log.
    ///
    /// # Errors
    /// As [`Log::open`]; the log stays poisoned then.
    pub fn reopen(&self) -> Result<(), OpenError> {
        self.store.shared().reopen()
    }

    /// Syncs, and closes the log for all handles: appends say
    /// [`AppendError::Closed`](crate::AppendError::Closed), readers read
    /// what there is and then say [`ReadError::Closed`](crate::ReadError::Closed). Dropping the
    /// last handle does the same, but has nobody to tell an error to.
    ///
    /// Returns when all is done, whoever began it. Called on one of the log's own threads, from a
    /// waker, it only begins.
    ///
    /// # Errors
    /// The sync that failed, now or before.
    pub fn close(&self) -> Result<(), IoFailure> {
        self.store.close()
    }

    /// Offset of the oldest event that is kept.
    pub fn first_offset(&self) -> u64 {
        self.store.shared().marks.first()
    }

    /// Offset that the next event will have: one above the newest visible one.
    pub fn next_offset(&self) -> u64 {
        self.store.shared().marks.next()
    }

    /// All events below this offset are on disk.
    pub fn durable_offset(&self) -> u64 {
        self.store.shared().marks.durable()
    }

    /// The position at the end: a reader that starts there gets what is appended from now on.
    pub fn position(&self) -> Position {
        self.store.shared().position()
    }

    /// Who this log is, for ever.
    pub fn id(&self) -> LogId {
        self.store.shared().log_id()
    }

    /// The directory, or `<memory>`.
    pub fn path(&self) -> &Path {
        self.store.shared().dir.path()
    }

    /// The policy it was opened with.
    pub fn sync_policy(&self) -> SyncPolicy {
        self.store.shared().options.sync_value()
    }

    /// How many ids it remembers; see [`Options::dedup_ids`](crate::Options::dedup_ids).
    pub fn dedup_ids(&self) -> u32 {
        self.store.shared().options.dedup_ids_value()
    }

    /// What the last open or [`Log::reopen`] has found and mended.
    pub fn recovery(&self) -> RecoveryReport {
        self.store.shared().report()
    }

    /// How many segments the log has.
    pub fn segments(&self) -> usize {
        self.store.shared().segments()
    }

    /// Copies the log into a new directory while it is used: a hot backup.
    ///
    /// The copy holds every event that was visible at one moment during the call, and each cursor
    /// where it stood shortly before, never beyond those events. It is all on disk when this
    /// returns, and only then is there anything at `path`, which must not exist or be an empty
    /// directory; the directory above it must exist. If the call fails, nothing is left; a kill may
    /// leave a directory beside it, whose name begins with a dot and ends in `.new`.
    ///
    /// Appends do not wait for it. What retention takes away meanwhile is missing in the copy. It
    /// works on a log in memory, and on one that is open for reading only beside its writer.
    ///
    /// The copy is the same log: it has the same [`Log::id`]. Opening it for writing begins an
    /// epoch of its own, so histories that go apart from there are told apart: a position that was
    /// given before the copy was made is valid in both; one beyond its end, of an epoch that the
    /// copy knows, is [`Diverged`](crate::GapReason::Diverged) there; one of an epoch that began
    /// later is [`ReadError::Reset`](crate::ReadError::Reset). docs/durability.md has more.
    ///
    /// # Errors
    /// See [`SnapshotError`]. The log is as good as before.
    pub fn snapshot(&self, path: impl AsRef<Path>) -> Result<Snapshot, SnapshotError> {
        snapshot::to_disk(self.store.shared(), path.as_ref())
    }

    /// The state of the log in numbers. Cheap: it walks over no events and waits for no disk, so a
    /// monitor may ask each second; the first call lists the directory.
    pub fn stats(&self) -> Stats {
        let handles = Arc::strong_count(&self.store);
        let listeners = self.listeners.count();
        self.store
            .shared()
            .stats(to_u64(handles), to_u64(listeners))
    }

    /// A copy in a directory of the tests' own.
    #[cfg(test)]
    pub(crate) fn snapshot_into(
        &self,
        to: &dyn crate::dir::Directory,
    ) -> Result<Snapshot, SnapshotError> {
        snapshot::into_dir(self.store.shared(), to)
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &crate::store::Shared {
        self.store.shared()
    }

    /// The topics that match any of the filters, sorted, with the number of their events and the
    /// last of them. `>` matches all but those that begin with `$`.
    ///
    /// # Errors
    /// [`ReadError::Filter`]; [`ReadError::TooManyTopics`] if there are more than
    /// [`Options::max_topics`](crate::Options::max_topics); [`ReadError::Io`] if a segment cannot
    /// be opened.
    pub fn topics<S: AsRef<str>>(
        &self,
        filters: impl IntoIterator<Item = S>,
    ) -> Result<Vec<TopicInfo>, ReadError> {
        let filters = FilterSet::new(filters, Some(&[]))?;
        reader::topics(self.store.shared(), &filters)
    }

    /// See `Store::abandon`.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn abandon<T>(&self, look: impl FnOnce() -> T) -> T {
        self.store.abandon(look)
    }

    /// [`Options::max_cursors`](crate::Options::max_cursors).
    /// 0 on a log that is open for reading only.
    pub fn max_cursors(&self) -> u32 {
        self.store
            .shared()
            .cursors
            .as_ref()
            .map_or(0, CursorFile::most)
    }

    /// How many cursors the log keeps, expired ones too. 0 on a log that is open for reading only.
    pub fn cursors(&self) -> usize {
        self.store
            .shared()
            .cursors
            .as_ref()
            .map_or(0, CursorFile::count)
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("path", &self.path())
            .field("first_offset", &self.first_offset())
            .field("next_offset", &self.next_offset())
            .field("durable_offset", &self.durable_offset())
            .finish_non_exhaustive()
    }
}
