//! Where the log ends at one moment, for those who copy it.

use super::append::Status;
use super::{Located, Shared};
use crate::error::IoFailure;
use crate::history::History;
use crate::segment::{self, Place, Segment, Step};
use std::io;
use std::sync::Arc;

/// The end of the log at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    /// The segment in which it lies.
    pub(crate) active: Arc<Segment>,
    pub(crate) place: Place,
    /// No event below has a later time.
    pub(crate) time: u64,
    /// Bases of the segments before, oldest first.
    pub(crate) sealed: Vec<u64>,
    pub(crate) history: Arc<History>,
    /// As long as this stays, so does all that was visible then.
    pub(crate) generation: u64,
}

/// Why the end cannot be told.
#[derive(Clone, Debug)]
pub(crate) enum NoEnding {
    Poisoned(IoFailure),
    Closed,
    /// The segment cannot be read.
    Io(Arc<io::Error>),
}

impl Shared {
    /// Where the log ends now. Appends wait for it no longer than for each other.
    pub(crate) fn ending(&self) -> Result<Ending, NoEnding> {
        // A log that follows another process ends where that one was seen last.
        self.follow_once().map_err(io_failed)?;
        loop {
            let (generation, history) = (self.marks.generation(), self.history());
            let (active, place, time) = self.visible_end()?;
            let sealed = self.bases_below(active.base());
            if generation == self.marks.generation() {
                return Ok(Ending {
                    active,
                    place,
                    time,
                    sealed,
                    history,
                    generation,
                });
            }
        }
    }

    /// Whether all that was visible at `ending` still is.
    pub(crate) fn still_holds(&self, ending: &Ending) -> Result<bool, NoEnding> {
        self.follow_once().map_err(io_failed)?;
        if let Status::Poisoned(failure) = &self.append.lock().status {
            return Err(NoEnding::Poisoned(failure.clone()));
        }
        Ok(self.marks.generation() == ending.generation)
    }

    /// Bases of the segments below this one, oldest first.
    pub(crate) fn bases_below(&self, base: u64) -> Vec<u64> {
        // A file that is gone is not listed any more.
        self.await_trim_step();
        let table = self.table.lock();
        let below = table.bases().iter().filter(|other| **other < base);
        below.copied().collect()
    }

    fn visible_end(&self) -> Result<(Arc<Segment>, Place, u64), NoEnding> {
        let state = self.append.lock();
        match (&state.status, &state.writer) {
            (Status::Poisoned(failure), _) => return Err(NoEnding::Poisoned(failure.clone())),
            (Status::Closed, _) => return Err(NoEnding::Closed),
            (Status::Open | Status::Closing, Some(writer)) => {
                return Ok((Arc::clone(&state.active), *writer.place(), state.time));
            }
            _ => {}
        }
        drop(state);
        self.followed_end()
    }

    /// The end of what another process has written, as far as it was seen.
    fn followed_end(&self) -> Result<(Arc<Segment>, Place, u64), NoEnding> {
        let damaged = || io_failed(io::ErrorKind::InvalidData.into());
        let end = self.marks.next();
        let Located::Segment { segment, .. } = self.locate(end).map_err(io_failed)? else {
            return Err(damaged());
        };
        let header = segment::read_header(segment.region(), self.log_id(), Some(segment.base()));
        let activation = header.ok().and_then(|header| header.activation);
        let mut time = activation.map_or(0, |activation| activation.time);
        let mut place = segment.start();
        while place.offset < end {
            match segment.step(&mut place) {
                Step::Frame(frame) => time = time.max(frame.head.time),
                Step::Damaged | Step::End if place.offset < end => return Err(damaged()),
                Step::Damaged | Step::End => {}
            }
        }
        Ok((segment, place, time))
    }
}

fn io_failed(error: io::Error) -> NoEnding {
    NoEnding::Io(Arc::new(error))
}
