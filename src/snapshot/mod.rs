//! A snapshot: the log copied while it is written.
//!
//! The order makes it consistent. The cursors are copied first and the end is taken then, so no
//! cursor stands above it. Everything below the end is frozen, so the rest may take its time. What
//! the copy holds is said by its mark, written last, as by a log that was closed in order.

mod error;

pub use error::SnapshotError;

use crate::cursor_file;
use crate::dedup;
use crate::dir::{self, Directory, FreshDir};
use crate::format::{HEADER_BYTES, Mark, SHARED_END_AT};
use crate::mark_file::MarkFile;
use crate::recovery;
use crate::segment::{self, Segment};
use crate::store::{Ending, Shared};
use crate::types::{Position, to_u64};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

/// What a copy holds. Made by [`Log::snapshot`](crate::Log::snapshot).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Offset of its oldest event.
    pub first_offset: u64,
    /// One above its newest event: where it ends.
    pub next_offset: u64,
    /// Its segments.
    pub segments: u64,
    /// Bytes of all its files.
    pub bytes: u64,
    /// The position at its end, good in the copy and in the log that was copied.
    pub position: Position,
}

/// Copies into a directory that is made for it.
pub(crate) fn to_disk(shared: &Shared, path: &Path) -> Result<Snapshot, SnapshotError> {
    let failed = |operation| move |error| SnapshotError::from_io(path, operation, error);
    let fresh = FreshDir::create(path).map_err(failed("create"))?;
    let Some(dir) = fresh.dir() else {
        unreachable!("it is open until it is finished")
    };
    let snapshot = into_dir(shared, dir).map_err(|error| match error {
        // A name that is taken in there is not the caller's.
        SnapshotError::Exists { .. } => failed("write into")(io::ErrorKind::ResourceBusy.into()),
        other => other,
    })?;
    fresh.finish().map_err(failed("name"))?;
    Ok(snapshot)
}

/// Copies into an empty directory, and syncs it.
pub(crate) fn into_dir(shared: &Shared, to: &dyn Directory) -> Result<Snapshot, SnapshotError> {
    let from = &*shared.dir;
    let no_ending = |error| SnapshotError::from_ending(from.path(), error);
    let failed = |operation| move |error| SnapshotError::from_io(to.path(), operation, error);
    // A log that may not be copied is refused before anything is written.
    let begun = shared.ending().map_err(no_ending)?;
    let mut bytes =
        cursor_file::copy(from, to, shared.log_id()).map_err(failed("copy the cursors into"))?;
    bytes += copy_ids(from, to).map_err(failed("copy the ids into"))?;
    let ending = shared.ending().map_err(no_ending)?;
    if ending.generation != begun.generation {
        return Err(SnapshotError::Reopened);
    }
    let sealed = Sealed::copy(shared, to, &ending).map_err(failed("copy a segment into"))?;
    bytes += sealed.bytes + copy_active(to, &ending).map_err(failed("copy a segment into"))?;
    bytes += recovery::copy_identity(from, to, &shared.meta, &ending.history)
        .map_err(failed("write the identity into"))?;
    bytes += write_mark(shared, to, &ending).map_err(failed("write the mark into"))?;
    to.sync().map_err(failed("sync"))?;
    if !shared.still_holds(&ending).map_err(no_ending)? {
        return Err(SnapshotError::Reopened);
    }
    Ok(Snapshot {
        first_offset: sealed
            .bases
            .first()
            .copied()
            .unwrap_or(ending.active.base()),
        next_offset: ending.place.offset,
        segments: to_u64(sealed.bases.len() + 1),
        bytes,
        position: Position {
            log: shared.log_id(),
            epoch: ending.history.newest().unwrap_or_default(),
            offset: ending.place.offset,
        },
    })
}

/// The sealed segments of the copy.
struct Sealed {
    bases: Vec<u64>,
    bytes: u64,
}

impl Sealed {
    fn copy(shared: &Shared, to: &dyn Directory, ending: &Ending) -> io::Result<Sealed> {
        let mut copied: Vec<(u64, u64)> = Vec::new();
        for base in &ending.sealed {
            let name = segment::name_of(*base);
            match copy_file(&*shared.dir, to, &name) {
                Ok(bytes) => copied.push((*base, bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Retention takes the oldest first: what was copied before is gone too. A file
                    // that is missing otherwise is missing in the copy, and told there as here.
                    shared.follow_once()?;
                    if !shared.bases_below(ending.active.base()).contains(base) {
                        for (base, _) in copied.drain(..) {
                            to.unlink(&segment::name_of(base))?;
                        }
                    }
                }
                // No regular file: as damaged as a missing one.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Sealed {
            bytes: copied.iter().map(|(_, bytes)| bytes).sum(),
            bases: copied.into_iter().map(|(base, _)| base).collect(),
        })
    }
}

fn copy_file(from: &dyn Directory, to: &dyn Directory, name: &str) -> io::Result<u64> {
    let source = from.open_file(name, false)?;
    let target = to.create_file(name)?;
    let bytes = dir::copy(&*source, &*target)?;
    target.sync()?;
    Ok(bytes)
}

/// The ids that outlive their events. They hold for events below the end that is taken later.
fn copy_ids(from: &dyn Directory, to: &dyn Directory) -> io::Result<u64> {
    match copy_file(from, to, dedup::NAME) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        other => other,
    }
}

/// The segment in which the log ends: up to there as it is, zeros after it, in its full length.
fn copy_active(to: &dyn Directory, ending: &Ending) -> io::Result<u64> {
    let region = ending.active.region();
    let end = ending.place.at;
    let header = header_of(&ending.active, end);
    let name = segment::name_of(ending.active.base());
    let mut copy = to.create_region(&name, region.len(), HEADER_BYTES, &header)?;
    let frames = region.bytes(HEADER_BYTES..end);
    let gone = || io::Error::from(io::ErrorKind::InvalidData);
    copy.write(HEADER_BYTES, frames.ok_or_else(gone)?);
    copy.publish(end);
    copy.region().sync(0..end)?;
    Ok(to_u64(region.len()))
}

/// The page that a segment begins with, with the shared end at `end`.
fn header_of(segment: &Segment, end: usize) -> Vec<u8> {
    let mut page = Vec::with_capacity(HEADER_BYTES);
    for at in (0..HEADER_BYTES).step_by(8) {
        let word = match at {
            SHARED_END_AT => to_u64(end),
            _ => segment.region().load_word(at, Ordering::Acquire),
        };
        page.extend_from_slice(&word.to_le_bytes());
    }
    page
}

/// All of it is on disk, as after an orderly close.
fn write_mark(shared: &Shared, to: &dyn Directory, ending: &Ending) -> io::Result<u64> {
    let (mut file, _) = MarkFile::open(to, shared.log_id())?;
    file.write_both(Mark {
        sequence: 0,
        offset: ending.place.offset,
        base: ending.active.base(),
        position: to_u64(ending.place.at),
        epoch: ending.place.epoch,
        time: ending.time,
        closed: true,
    })?;
    Ok(to_u64(crate::format::MARK_FILE_BYTES))
}
