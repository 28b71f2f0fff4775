//! Why a log was not copied.

use crate::error::IoFailure;
use crate::store::NoEnding;
use std::io;
use std::path::{Path, PathBuf};

/// Why a log was not copied. Nothing is left of the copy, and the log is as good as before.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// There is something at the path. Choose another one.
    #[error("there is something at {} already", path.display())]
    Exists {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// A sync of the log has failed, so that nobody knows what it holds. See
    /// [`Log::reopen`](crate::Log::reopen).
    #[error("a sync of the log has failed")]
    Poisoned(#[source] IoFailure),
    /// The log was reopened while it was copied, here or by the process that writes it. Try again.
    #[error("the log was reopened while it was copied")]
    Reopened,
    /// The log is closed: somebody else may write it.
    #[error("the log is closed")]
    Closed,
    /// There is no room for the copy. Make room, or choose another disk.
    #[error("the disk is full")]
    DiskFull(#[source] IoFailure),
    /// The system failed otherwise.
    #[error("the log cannot be copied")]
    Io(#[source] IoFailure),
}

impl SnapshotError {
    pub(super) fn from_io(path: &Path, operation: &'static str, error: io::Error) -> Self {
        let kind = error.kind();
        let failure = IoFailure::new(path, operation, error);
        match kind {
            io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => {
                Self::Exists { path: path.into() }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull(failure),
            _ => Self::Io(failure),
        }
    }

    pub(super) fn from_ending(path: &Path, error: NoEnding) -> Self {
        match error {
            NoEnding::Poisoned(failure) => Self::Poisoned(failure),
            NoEnding::Closed => Self::Closed,
            NoEnding::Io(source) => Self::Io(IoFailure {
                path: path.into(),
                operation: "read the end of",
                source,
            }),
        }
    }
}
