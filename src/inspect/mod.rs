//! Verifying a log: every byte that counts is read and checked, nothing is changed.

mod copies;
mod report;
mod segments;

pub use report::{CorruptRange, CorruptReason, Verification};

use crate::cursor_file;
use crate::dir::{Directory, DiskDir};
use crate::error::OpenError;
use crate::recovery;
use segments::Walk;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// How often what looks damaged beside a live writer is looked at again: it may have been in the
/// middle of being written.
const TRIES: usize = 3;

/// Told how many bytes of the segments were read, and how many there are in all.
type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// How a log is verified.
#[derive(Default)]
pub struct VerifyOptions<'a> {
    progress: Option<Progress<'a>>,
}

impl<'a> VerifyOptions<'a> {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls `progress` now and then with the bytes of the segments that were read, and with how
    /// many there are in all. A log that is being written may grow meanwhile.
    #[must_use]
    pub fn progress(mut self, progress: &'a mut dyn FnMut(u64, u64)) -> Self {
        self.progress = Some(progress);
        self
    }
}

impl fmt::Debug for VerifyOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyOptions").finish_non_exhaustive()
    }
}

/// Reads every byte that counts of the log in this directory, checks all of it, and reports what is
/// lost. Nothing is changed, no lock is taken, and another process may be writing meanwhile: then
/// what was durable when this began is checked, and what is valid behind it.
///
/// The numbers are those that readers are told when they come by. Files are read by calls, not
/// mapped, so a disk that cannot read a sector is an error and does not end the process. Takes the
/// memory of the largest segment (64 MiB by default, 1 GiB at most), and a few bytes a cursor.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path();
/// # wakelog::Log::open(path)?.append("room.42", b"hello")?;
/// let found = wakelog::verify(path, wakelog::VerifyOptions::new())?;
/// assert!(found.ok && found.events == 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`OpenError::NotFound`] if there is no log. What makes an open impossible is an error here too:
/// [`OpenError::NotALog`], [`OpenError::Newer`], [`OpenError::Older`], [`OpenError::Foreign`],
/// [`OpenError::Damaged`]. [`OpenError::Io`] and [`OpenError::Permission`] if something cannot be
/// read.
pub fn verify(
    path: impl AsRef<Path>,
    options: VerifyOptions<'_>,
) -> Result<Verification, OpenError> {
    let path = path.as_ref();
    let dir = DiskDir::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => OpenError::NotFound { path: path.into() },
        _ => OpenError::from_io(path, "open the directory", error),
    })?;
    let dir: Arc<dyn Directory> = Arc::new(dir);
    verify_in(&dir, options)
}

pub(crate) fn verify_in(
    dir: &Arc<dyn Directory>,
    options: VerifyOptions<'_>,
) -> Result<Verification, OpenError> {
    let survey = recovery::survey(dir)?;
    let io = |error| OpenError::from_io(dir.path(), "read", error);
    let mut report = Walk::new(&**dir, &survey, options.progress).run()?;
    for fault in &survey.ending.report.damaged {
        report.add_damage(fault.clone());
    }
    copies::check(&**dir, &survey, &mut report).map_err(io)?;
    let mut faults = Vec::new();
    for _ in 0..TRIES {
        faults = cursor_file::check(&**dir, &survey.meta)?;
        if faults.is_empty() {
            break;
        }
    }
    faults
        .into_iter()
        .for_each(|fault| report.add_damage(fault));
    report.ok = report.corrupt.is_empty() && report.damaged.is_empty();
    Ok(report)
}
