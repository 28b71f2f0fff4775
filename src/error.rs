//! Errors: one enum for each verb. Each variant says what the caller may still do.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::types::{FilterError, Gap, TopicError};

/// An operation on a file or directory failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("could not {operation} {}", path.display())]
pub struct IoFailure {
    /// The file or directory.
    pub path: PathBuf,
    /// What was tried, as a verb: `open`, `sync`, `rename`.
    pub operation: &'static str,
    /// What the system answered. Shared, so that everyone who waits for a sync can be told.
    pub source: Arc<io::Error>,
}

impl IoFailure {
    pub(crate) fn new(
        path: impl Into<PathBuf>,
        operation: &'static str,
        source: io::Error,
    ) -> IoFailure {
        IoFailure {
            path: path.into(),
            operation,
            source: Arc::new(source),
        }
    }

    /// No room on the device, or none left in the quota.
    fn is_disk_full(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }

    fn is_permission(&self) -> bool {
        let kind = self.source.kind();
        matches!(
            kind,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
        )
    }
}

/// Bytes in a file of the log are not what they must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} is damaged at byte {position}: expected {expected}")]
pub struct Corruption {
    /// The name of the file in the log's directory.
    pub file: String,
    /// The offset of the event that is damaged, where one can be told.
    pub offset: Option<u64>,
    /// Where in the file, in bytes.
    pub position: u64,
    /// What should have stood there.
    pub expected: &'static str,
}

/// Why a log could not be opened. Nothing was changed in the directory, except that a fresh
/// directory may have been made.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another handle of this one, has the log open for writing. Wait for
    /// it, or open the log read-only beside it.
    #[error("the log at {} is open for writing elsewhere", path.display())]
    Locked {
        /// The directory of the log.
        path: PathBuf,
    },
    /// The directory holds files of somebody else and no log. Choose another directory.
    #[error("the directory {} is not empty and holds no log", path.display())]
    NotALog {
        /// The directory.
        path: PathBuf,
    },
    /// There is nothing to open read-only. Let a writer create the log first.
    #[error("there is no log at {}", path.display())]
    NotFound {
        /// The directory.
        path: PathBuf,
    },
    /// A file belongs to another log. Take it out of the directory and open again.
    #[error("the file {file} belongs to another log")]
    Foreign {
        /// The name of the file.
        file: String,
    },
    /// A file was written by a newer release. Open the log with that release.
    #[error("the file {file} has format version {found}; this release reads up to {supported}")]
    Newer {
        /// The name of the file.
        file: String,
        /// The version of the file.
        found: u16,
        /// The highest version that this release reads.
        supported: u16,
    },
    /// The log was written before the format was fixed. Open it with the build that has written it.
    #[error("the file {file} has format version {found}; this release reads {oldest} and later")]
    Older {
        /// The name of the file.
        file: String,
        /// The version of the file.
        found: u16,
        /// The lowest version that this release reads.
        oldest: u16,
    },
    /// What must be whole to open at all is not. Restore the file from a backup.
    #[error("the log cannot be opened")]
    Damaged(#[source] Corruption),
    /// An option is out of its bounds. Correct it.
    #[error("the option {option} is out of bounds: {why}")]
    Options {
        /// The name of the option.
        option: &'static str,
        /// The bound that it breaks.
        why: &'static str,
    },
    /// The process may not do that there. Give it the permission, or open read-only.
    #[error("no permission")]
    Permission(#[source] IoFailure),
    /// There is no room on the disk. Make room and open again; nothing is lost.
    #[error("the disk is full")]
    DiskFull(#[source] IoFailure),
    /// The system failed otherwise. Opening again may help.
    #[error("the log cannot be opened")]
    Io(#[source] IoFailure),
}

/// Why events were not appended. None of them is in the log.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// A topic, or an identity that the event is not to, breaks a rule. Correct it; the log is
    /// as good as before.
    #[error("the audience of the event is not valid")]
    Topic(#[from] TopicError),
    /// The event is to too many topics, or not to too many identities. Send several events.
    #[error("the event has {count} {what}, more than {limit}")]
    Audience {
        /// What there is too much of: `topics` or `identities`.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// The highest number allowed.
        limit: usize,
    },
    /// The attributes are too long together. Move them into the payload.
    #[error("the attributes have {bytes} bytes, more than {limit}")]
    Attributes {
        /// How many bytes they take.
        bytes: usize,
        /// The highest number allowed.
        limit: usize,
    },
    /// The tag of an attribute is reserved for the log. Use 128 to 255.
    #[error("the attribute tag {tag} is reserved; use 128 to 255")]
    ReservedTag {
        /// The tag.
        tag: u8,
    },
    /// The event or the batch is too large. Split it, or open the log with a higher limit.
    #[error("{bytes} bytes are more than the limit of {limit}")]
    TooLarge {
        /// How many bytes it has: for an event its payload, audience and attributes, for a
        /// batch all of it.
        bytes: u64,
        /// The highest number allowed.
        limit: u64,
    },
    /// The batch has too many events. Append several batches.
    #[error("the batch has more than {limit} events")]
    TooMany {
        /// The highest number allowed.
        limit: u32,
    },
    /// The batch has no event. There is nothing to append.
    #[error("the batch has no event")]
    EmptyBatch,
    /// The log has used up its offsets. It can be read for ever; go on in a new log.
    #[error("the log has used up its offsets")]
    Full,
    /// The append would have to wait for the disk: the next segment is not ready. Try again
    /// later, or use an append that waits.
    #[error("the append would have to wait for the disk")]
    WouldBlock,
    /// A sync failed before. Reads go on up to the durable mark; reopen the log to append
    /// again.
    #[error("a sync of the log failed before; reopen it")]
    Poisoned,
    /// There is no room for the next segment. Make room and append again; nothing is lost.
    #[error("the disk is full")]
    DiskFull(#[source] IoFailure),
    /// The log is a mirror: its events come from its source. Append to the source.
    #[error("the log is a mirror: its events come from its source")]
    Mirror,
    /// The log was opened read-only. Append through the process that has it open for writing.
    #[error("the log was opened read-only")]
    ReadOnly,
    /// The log was closed. Open it again.
    #[error("the log was closed")]
    Closed,
    /// The next segment could not be made. Appending again tries again.
    #[error("the next segment could not be made")]
    Io(#[source] IoFailure),
}

/// Why the log cannot say that events are durable. They are visible all the same, and survive
/// the end of the process but perhaps not a power loss.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// A sync failed, now or before, and nothing is retried: after a failed sync the system may
    /// drop what it could not write. Reads end at the durable mark; reopen the log to go on.
    #[error("a sync of the log failed; reopen it")]
    Poisoned(#[source] IoFailure),
    /// The log was opened read-only, so there is nothing to sync here.
    #[error("the log was opened read-only")]
    ReadOnly,
    /// The log was closed before the events were durable. Open it again to learn its end.
    #[error("the log was closed")]
    Closed,
    /// What stood before the position is not in this log, or not any more: a sync failed, and the
    /// log was reopened without it. Append it again.
    #[error("what stood before the position was lost")]
    Lost,
}

/// Why there is no next event to read.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Events may have been missed. Take note and read on: a reader tells a gap once, a cursor
    /// until it is acked.
    #[error("{0}")]
    Gap(Gap),
    /// The position is of another log, or of an epoch that this log does not know, so that no
    /// numbers can be given. Start anew.
    #[error("the position is of another log or of an unknown epoch")]
    Reset,
    /// A filter or an identity is not valid. Correct it.
    #[error("the filter is not valid")]
    Filter(#[from] FilterError),
    /// The start lies beyond the end of the log. Start at the end or before it.
    #[error("the start {asked} lies beyond the end of the log, {next}")]
    Offset {
        /// The offset that was asked for.
        asked: u64,
        /// The next offset of the log, the highest start there is.
        next: u64,
    },
    /// More topics match than [`Options::max_topics`](crate::Options::max_topics) allows. Ask for
    /// fewer, or raise the limit.
    #[error("more than {limit} topics match")]
    TooManyTopics {
        /// The limit.
        limit: u32,
    },
    /// The last event of each topic is a set of events, not one place: a cursor cannot stand there.
    /// Read them with a reader, and start the cursor at [`Start::Latest`](crate::Start::Latest).
    #[error("the last event of each topic is not one place, where a cursor can stand")]
    NotAPlace,
    /// A newer handle of this cursor was opened. Drop this one; do not open it again by itself.
    #[error("a newer handle of the cursor was opened")]
    Fenced,
    /// As many readers wait already as [`Options::max_waiters`](crate::Options::max_waiters)
    /// allows. Read without waiting, or later.
    #[error("{limit} readers wait already")]
    TooManyWaiters {
        /// The limit.
        limit: u32,
    },
    /// The log was closed. Open it again; positions and cursors stay valid.
    #[error("the log was closed")]
    Closed,
    /// The system failed. Reading again may help; the place in the log is kept.
    #[error("the log cannot be read")]
    Io(#[source] IoFailure),
}

/// Why a cursor could not be opened, changed or asked for. Other cursors are not affected.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CursorError {
    /// The name of the cursor breaks a rule. Correct it.
    #[error("the name of the cursor is not valid: {0}")]
    Name(#[source] TopicError),
    /// A filter or an identity is not valid. Correct it.
    #[error("the filter is not valid")]
    Filter(#[from] FilterError),
    /// The cursor exists with other filters or identities. Open it with those, without any, or
    /// ask for the change.
    #[error("the cursor exists with other filters: {}", stored.join(", "))]
    FilterDiffers {
        /// The filters that the cursor has.
        stored: Vec<String>,
    },
    /// There are as many cursors as the options allow. Remove some, or raise the limit.
    #[error("there are {limit} cursors already")]
    TooMany {
        /// The highest number allowed.
        limit: u32,
    },
    /// The bytes of the cursor are damaged, so that its place is lost. All events are still in the
    /// log: read them with a reader, or with a cursor of another name.
    #[error("the cursor is damaged")]
    Corrupt(#[source] Corruption),
    /// The time to live is out of its bounds: 1 minute to 100 years. Give another one.
    #[error("a time to live is 1 minute to 100 years")]
    TimeToLive,
    /// The cursor was not used for as long as it lives. Open it to begin anew.
    #[error("the cursor {name:?} has expired")]
    Expired {
        /// The name.
        name: String,
    },
    /// There is no cursor of that name. Create it by opening it.
    #[error("there is no cursor {name:?}")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The start lies beyond the end of the log. Start at the end or before it.
    #[error("the start {asked} lies beyond the end of the log, {next}")]
    Offset {
        /// The offset that was asked for.
        asked: u64,
        /// The next offset of the log, the highest start there is.
        next: u64,
    },
    /// The start is a position of another log or of an unknown epoch. Start anew.
    #[error("the position is of another log or of an unknown epoch")]
    Reset,
    /// The last event of each topic is a set of events, not one place: a cursor cannot stand there.
    /// Read them with a reader, and start the cursor at [`Start::Latest`](crate::Start::Latest).
    #[error("the last event of each topic is not one place, where a cursor can stand")]
    NotAPlace,
    /// A sync failed before. Reopen the log to go on.
    #[error("a sync of the log failed before; reopen it")]
    Poisoned,
    /// The log was opened read-only, where cursors cannot be made or moved. Use a reader.
    #[error("the log was opened read-only")]
    ReadOnly,
    /// The log was closed. Open it again.
    #[error("the log was closed")]
    Closed,
    /// There is no room for more cursors on the disk. Make room and try again.
    #[error("the disk is full")]
    DiskFull(#[source] IoFailure),
    /// The system failed. Trying again may help.
    #[error("the cursors cannot be read or written")]
    Io(#[source] IoFailure),
}

/// Why the log could not let events go. Nothing is lost by it: what is still there is read as
/// before.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrimError {
    /// A sync failed, now or before. Reopen the log and try again.
    #[error("a sync of the log failed; reopen it")]
    Poisoned,
    /// The log was opened read-only. The process that writes it lets events go.
    #[error("the log was opened read-only")]
    ReadOnly,
    /// The log was closed. Open it again.
    #[error("the log was closed")]
    Closed,
    /// The system failed; some of the segments may have left. Try again: retention does so by
    /// itself.
    #[error("a segment could not be removed")]
    Io(#[source] IoFailure),
}

/// Why an ack was not taken. The cursor stands where it stood.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AckError {
    /// What is acked was lost with the end of its epoch. Read on: the cursor tells the gap.
    #[error("{0}")]
    Diverged(Gap),
    /// The ack lies beyond the end of the log. Ack what was read.
    #[error("the ack of {asked} lies beyond the end of the log, {next}")]
    Beyond {
        /// The offset that was acked.
        asked: u64,
        /// The next offset of the log, the highest ack there is.
        next: u64,
    },
    /// The position is of another log or of an unknown epoch. Ack what this cursor read.
    #[error("the position is of another log or of an unknown epoch")]
    Reset,
    /// A newer handle of this cursor was opened. Drop this one.
    #[error("a newer handle of the cursor was opened")]
    Fenced,
    /// A sync failed before, and the ack might not last. Reopen the log and ack again.
    #[error("a sync of the log failed before; reopen it")]
    Poisoned,
    /// The log was opened read-only.
    #[error("the log was opened read-only")]
    ReadOnly,
    /// The log was closed. Open it again; at worst the event is read once more.
    #[error("the log was closed")]
    Closed,
}

impl From<IoFailure> for OpenError {
    fn from(failure: IoFailure) -> OpenError {
        if failure.is_disk_full() {
            OpenError::DiskFull(failure)
        } else if failure.is_permission() {
            OpenError::Permission(failure)
        } else {
            OpenError::Io(failure)
        }
    }
}

impl From<IoFailure> for AppendError {
    fn from(failure: IoFailure) -> AppendError {
        if failure.is_disk_full() {
            AppendError::DiskFull(failure)
        } else {
            AppendError::Io(failure)
        }
    }
}

impl From<SyncError> for AppendError {
    /// What an append under `SyncPolicy::Always` says when the event is visible, but its sync
    /// failed.
    fn from(error: SyncError) -> AppendError {
        match error {
            SyncError::Poisoned(_) | SyncError::Lost => AppendError::Poisoned,
            SyncError::ReadOnly => AppendError::ReadOnly,
            SyncError::Closed => AppendError::Closed,
        }
    }
}

impl From<IoFailure> for CursorError {
    fn from(failure: IoFailure) -> CursorError {
        if failure.is_disk_full() {
            CursorError::DiskFull(failure)
        } else {
            CursorError::Io(failure)
        }
    }
}

impl From<IoFailure> for TrimError {
    fn from(failure: IoFailure) -> TrimError {
        TrimError::Io(failure)
    }
}

impl From<AckError> for TrimError {
    /// What a log that takes no acks says.
    fn from(error: AckError) -> TrimError {
        match error {
            AckError::Poisoned => TrimError::Poisoned,
            AckError::ReadOnly => TrimError::ReadOnly,
            _ => TrimError::Closed,
        }
    }
}

impl From<SyncError> for TrimError {
    fn from(error: SyncError) -> TrimError {
        match error {
            SyncError::Poisoned(_) | SyncError::Lost => TrimError::Poisoned,
            SyncError::ReadOnly => TrimError::ReadOnly,
            SyncError::Closed => TrimError::Closed,
        }
    }
}

impl From<IoFailure> for ReadError {
    fn from(failure: IoFailure) -> ReadError {
        ReadError::Io(failure)
    }
}

/// Gives each of these errors a constructor from what the system said, for `map_err`.
macro_rules! from_io {
    ($($error:ident),*) => {
        $(impl $error {
            /// The variant that fits what the system said about `operation` on `path`.
            pub(crate) fn from_io(
                path: impl Into<PathBuf>,
                operation: &'static str,
                source: io::Error,
            ) -> $error {
                IoFailure::new(path, operation, source).into()
            }
        })*
    };
}

from_io!(OpenError, AppendError, ReadError, CursorError, TrimError);

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error;

    fn failure(errno: i32) -> IoFailure {
        IoFailure::new(
            "events/x.log",
            "create",
            io::Error::from_raw_os_error(errno),
        )
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_the_system_says_becomes_the_right_variant() {
        const EPERM: i32 = 1;
        const EIO: i32 = 5;
        const EACCES: i32 = 13;
        const ENOSPC: i32 = 28;
        const EROFS: i32 = 30;
        const EDQUOT: i32 = 122;
        for full in [ENOSPC, EDQUOT] {
            assert!(matches!(
                OpenError::from(failure(full)),
                OpenError::DiskFull(_)
            ));
            assert!(matches!(
                AppendError::from(failure(full)),
                AppendError::DiskFull(_)
            ));
            assert!(matches!(
                CursorError::from(failure(full)),
                CursorError::DiskFull(_)
            ));
        }
        for denied in [EPERM, EACCES, EROFS] {
            assert!(matches!(
                OpenError::from(failure(denied)),
                OpenError::Permission(_)
            ));
        }
        assert!(matches!(OpenError::from(failure(EIO)), OpenError::Io(_)));
        assert!(matches!(
            AppendError::from(failure(EIO)),
            AppendError::Io(_)
        ));
        assert!(matches!(
            CursorError::from(failure(EIO)),
            CursorError::Io(_)
        ));
    }

    #[test]
    fn the_chain_of_sources_names_the_file_and_the_cause() {
        let error = OpenError::from_io("x.log", "create", io::Error::from_raw_os_error(28));
        let source = error.source().unwrap();
        assert_eq!(source.to_string(), "could not create x.log");
        let cause = source.source().unwrap().to_string();
        assert_eq!(cause, io::Error::from_raw_os_error(28).to_string());
    }

    #[test]
    fn errors_travel_between_threads() {
        fn check<T: Error + Clone + Send + Sync + 'static>() {}
        check::<OpenError>();
        check::<AppendError>();
        check::<SyncError>();
        check::<ReadError>();
        check::<CursorError>();
        check::<AckError>();
        check::<TrimError>();
    }
}
