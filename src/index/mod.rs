//! The topic index: where in a segment the events of a topic stand, so that catching up on a filter
//! costs what was missed on it.
//!
//! The log is the truth, the index is derived: one that is missing, stale or damaged is built anew
//! out of the segment. docs/format.md has its bytes.

mod build;
mod cache;
mod dictionary;
mod jumps;
mod postings;
mod run;
#[cfg(test)]
mod tests;

pub(crate) use cache::Indexes;
pub(crate) use dictionary::Entry;
pub(crate) use jumps::Jumps;
pub(crate) use postings::{Posting, Unfit};
pub(crate) use run::Run;

use crate::segment::{Place, Segment};
use std::sync::Arc;

/// What is indexed of one segment: one run after the other, from its first frame on. Never changed;
/// a longer one takes its place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    runs: Vec<Arc<Run>>,
}

impl Index {
    pub(crate) fn runs(&self) -> &[Arc<Run>] {
        &self.runs
    }

    fn events(&self) -> u64 {
        let events = self.runs.iter().map(|run| run.events());
        events.fold(0, u64::saturating_add)
    }

    /// Offset up to which it speaks.
    pub(crate) fn next(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.next())
    }

    /// Frame position up to which it speaks.
    pub(crate) fn covers(&self) -> usize {
        self.runs.last().map_or(0, |run| run.covers())
    }

    /// The place behind what is indexed.
    pub(crate) fn end(&self, segment: &Segment) -> Place {
        let last = self.runs.last();
        last.map_or_else(|| segment.start(), |run| run.end(segment))
    }

    /// A place at which the time is below `time`, not long before the first frame that is not;
    /// `None` if there is none.
    pub(crate) fn before_time(&self, segment: &Segment, time: u64) -> Option<Place> {
        let places = self.runs.iter().flat_map(|run| {
            let of_run = run.places().iter().map(move |place| (run, place));
            of_run.take_while(|(_, place)| place.time < time)
        });
        let (run, place) = places.last()?;
        Some(run.place(segment, crate::types::to_usize(place.at), place.offset))
    }

    /// All places that were noted.
    pub(crate) fn places(&self, segment: &Segment) -> Vec<Place> {
        let of = |run: &Arc<Run>| {
            let run = Arc::clone(run);
            let places: Vec<_> = run.places().to_vec();
            places.into_iter().map(move |place| {
                run.place(segment, crate::types::to_usize(place.at), place.offset)
            })
        };
        self.runs.iter().flat_map(of).collect()
    }
}
