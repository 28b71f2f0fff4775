//! Open: what is on disk, where the log ends, and how it goes on. docs/durability.md has the table.

mod copy;
mod ending;
mod epochs;
mod follow;
mod identity;
mod listing;
mod mirror;
mod report;
mod survey;
mod tail;
#[cfg(test)]
mod tests;

pub(crate) use copy::copy_identity;
pub(crate) use epochs::read as read_epochs;
pub(crate) use follow::{Followed, Follower, News, open_read_only};
pub(crate) use listing::{EPOCHS, META};
pub use report::{RecoveryReport, TornTail};
pub(crate) use survey::{Survey, survey};

use crate::cursor_file::CursorFile;
use crate::dir::{Directory, Lock};
use crate::error::OpenError;
use crate::format::{EpochRecord, Meta, MetaKind};
use crate::history::History;
use crate::host;
use crate::mark_file::MarkFile;
use crate::options::Options;
use crate::segment::{Segment, SegmentWriter};
use crate::types::{Epoch, LogId};
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

/// Where the events of a mirror come from, and where one that holds nothing yet begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Begin {
    pub(crate) log: LogId,
    pub(crate) epoch: Epoch,
    pub(crate) first: u64,
}

/// Opens a log for writing, creating it if the directory is empty; with `mirror`, a mirror.
pub(crate) fn open(
    dir: Arc<dyn Directory>,
    options: &Options,
    mirror: Option<Begin>,
) -> Result<Recovered, OpenError> {
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
        None => (
            identity::create(&*dir, mirror.map(|mirror| mirror.log))?,
            true,
        ),
    };
    let kind = |why| OpenError::Options {
        option: "kind",
        why,
    };
    match (meta.kind, mirror) {
        (MetaKind::Mirror, None) => {
            return Err(kind(
                "this log is a mirror: its events come from another log",
            ));
        }
        (MetaKind::Own, Some(_)) => {
            return Err(kind("this log has events of its own: it mirrors no other"));
        }
        (MetaKind::Mirror, Some(mirror)) if mirror.log != meta.log => {
            return Err(OpenError::Foreign { file: META.into() });
        }
        _ => {}
    }
    let begin = mirror.map(|mirror| (mirror.epoch, mirror.first));
    let mut recovered = tail::recover(&dir, options, &meta, None, begin)?;
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
    tail::recover(dir, options, meta, cursors, None)
}

/// Puts an epoch of the source of a mirror on disk. The next [`reopen`], or open, enters it, and
/// drops what stands at or above its first offset.
pub(crate) fn begin_epoch(
    dir: &dyn Directory,
    meta: &Meta,
    epoch: Epoch,
    first: u64,
) -> io::Result<()> {
    let record = EpochRecord {
        epoch,
        first,
        began: host::now(),
    };
    epochs::read(dir, meta.log)?.enter(dir, meta.log, record)
}
