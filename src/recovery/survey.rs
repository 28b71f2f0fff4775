//! What an open would find, without changing anything. Another process may be writing.

use super::ending::{Ending, Finder};
use super::follow::ByReading;
use super::listing::Listing;
use super::{epochs, identity};
use crate::dir::Directory;
use crate::error::OpenError;
use crate::format::{Mark, Meta};
use crate::history::History;
use crate::mark_file;
use crate::types::Epoch;
use std::io;
use std::sync::Arc;

/// How often a look starts again when files move under it.
const TRIES: usize = 20;

/// The log as it is found.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) meta: Meta,
    pub(crate) mark: Option<Mark>,
    pub(crate) ending: Ending,
    pub(crate) history: History,
}

/// Looks at the log in this directory.
pub(crate) fn survey(dir: &Arc<dyn Directory>) -> Result<Survey, OpenError> {
    again(|| look(dir))
}

/// A spare may get its name, or a segment leave, between the listing and the look.
pub(super) fn again<T>(look: impl Fn() -> Result<T, OpenError>) -> Result<T, OpenError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match look() {
            Err(OpenError::Io(failure))
                if failure.source.kind() == io::ErrorKind::NotFound && tries < TRIES => {}
            other => return other,
        }
    }
}

pub(super) fn look(dir: &Arc<dyn Directory>) -> Result<Survey, OpenError> {
    let io = |operation| move |error| OpenError::from_io(dir.path(), operation, error);
    let listing = Listing::read(&**dir).map_err(io("list"))?;
    let Some(meta) = identity::read(&**dir, &listing)? else {
        return Err(OpenError::NotFound {
            path: dir.path().into(),
        });
    };
    // The mark before the names: a writer that rolls between the two has named the segment in which
    // a mark stands before it wrote the mark.
    let mark = read_mark(&**dir, &meta).map_err(io("read the mark"))?;
    let listing = Listing::read(&**dir).map_err(io("list"))?;
    let mut look = ByReading(&**dir, meta.log);
    let ending = Finder::new(&mut look, meta.log, &listing).find(&listing.spares, mark);
    let ending = ending.map_err(|error| identity::which_is_foreign(&**dir, error))?;
    let history = read_history(&**dir, &meta, &ending.epochs).map_err(io("read the epochs"))?;
    Ok(Survey {
        meta,
        mark,
        ending,
        history,
    })
}

impl Survey {
    /// Whether the segment with this base has left since the look: it is below all that are there.
    pub(crate) fn was_trimmed(&self, dir: &dyn Directory, base: u64) -> bool {
        let first = Listing::read(dir)
            .ok()
            .and_then(|now| now.bases.first().copied());
        first.is_some_and(|first| base < first)
    }
}

pub(super) fn read_mark(dir: &dyn Directory, meta: &Meta) -> io::Result<Option<Mark>> {
    match dir.open_file(mark_file::NAME, false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(file) => mark_file::read(&*file, meta.log),
    }
}

pub(super) fn read_history(
    dir: &dyn Directory,
    meta: &Meta,
    met: &[(Epoch, u64)],
) -> io::Result<History> {
    Ok(epochs::read(dir, meta.log)?.history().completed(met))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// How often is looked when this is found first, as often as that.
    fn looks(kind: io::ErrorKind, times: usize) -> (usize, bool) {
        let count = Cell::new(0);
        let found = again(|| {
            count.set(count.get() + 1);
            if count.get() > times {
                return Ok(());
            }
            Err(OpenError::from_io("events", "read", kind.into()))
        });
        (count.get(), found.is_ok())
    }

    #[test]
    fn a_look_begins_again_when_files_move_but_not_for_ever() {
        let moved = io::ErrorKind::NotFound;
        assert_eq!(looks(moved, 0), (1, true));
        assert_eq!(looks(moved, 19), (20, true));
        assert_eq!(looks(moved, 20), (20, false));
        assert_eq!(looks(io::ErrorKind::PermissionDenied, 1), (1, false));
    }
}
