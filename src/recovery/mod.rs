//! Open: what is on disk, where the log ends, and how it goes on. docs/durability.md has the table.

mod copy;
mod ending;
mod epochs;
mod follow;
mod identity;
mod listing;
mod report;
mod survey;
mod tail;

pub(crate) use copy::copy_identity;
pub(crate) use epochs::read as read_epochs;
pub(crate) use follow::{Followed, Follower, News, open_read_only};
pub(crate) use listing::{EPOCHS, META};
pub use report::{RecoveryReport, TornTail};
pub(crate) use survey::{Survey, survey};

use crate::cursor_file::CursorFile;
use crate::dir::{Directory, Lock};
use crate::error::OpenError;
use crate::format::{Meta, MetaKind};
use crate::history::History;
use crate::mark_file::MarkFile;
use crate::options::Options;
use crate::segment::{Segment, SegmentWriter};
use crate::types::Epoch;
use listing::{LOCK, Listing};
use std::io;
use std::sync::Arc;

/// Up to where the log is on disk.
#[derive(Clone, Debug)]
pub(crate) struct DurablePlace {
    pub(crate) offset: u64,
    pub(crate) segment: Arc<Segment>,
    /// Frame position in the segment.
    pub(crate) at: usize,
    pub(crate) epoch: Epoch,
    /// Time of the last event below.
    pub(crate) time: u64,
}

/// A log that can go on: all of it is on disk, a new epoch has begun.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) dir: Arc<dyn Directory>,
    pub(crate) meta: Meta,
    pub(crate) lock: Option<Lock>,
    /// Bases of all segments, the active one included.
    pub(crate) bases: Vec<u64>,
    pub(crate) active: Arc<Segment>,
    /// `None` on a log that is open for reading only.
    pub(crate) writer: Option<SegmentWriter>,
    /// The next offset.
    pub(crate) next: u64,
    pub(crate) time: u64,
    pub(crate) history: History,
    pub(crate) durable: DurablePlace,
    pub(crate) mark_file: Option<MarkFile>,
    pub(crate) cursors: Option<CursorFile>,
    pub(crate) report: RecoveryReport,
}

/// Opens a log for writing, creating it if the directory is empty.
pub(crate) fn open(dir: Arc<dyn Directory>, options: &Options) -> Result<Recovered, OpenError> {
    let path = dir.path().to_path_buf();
    let io = |operation| {
        let path = path.clone();
        move |error| OpenError::from_io(path, operation, error)
    };
    // A stranger's directory is left as it is: not even the lock file is put there.
    if Listing::read(&*dir).map_err(io("list"))?.is_foreign() {
        return Err(OpenError::NotALog { path });
    }
    let lock = dir.lock(LOCK).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked { path: path.clone() },
        _ => OpenError::from_io(&path, "lock", error),
    })?;
    let listing = Listing::read(&*dir).map_err(io("list"))?;
    let (meta, created) = match identity::read(&*dir, &listing)? {
        Some(meta) => (meta, false),
        None => (identity::create(&*dir)?, true),
    };
    if meta.kind == MetaKind::Mirror {
        return Err(OpenError::Options {
            option: "kind",
            why: "this log is a mirror: its events come from another log",
        });
    }
    let mut recovered = tail::recover(&dir, options, &meta, None)?;
    recovered.lock = Some(lock);
    recovered.report.created = created;
    Ok(recovered)
}

/// Recovers a log that this process has open and that a failed sync has poisoned.
pub(crate) fn reopen(
    dir: &Arc<dyn Directory>,
    options: &Options,
    meta: &Meta,
    cursors: Option<&CursorFile>,
) -> Result<Recovered, OpenError> {
    tail::recover(dir, options, meta, cursors)
}
