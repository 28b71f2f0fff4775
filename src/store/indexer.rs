//! Topic indexes: handed out to readers, written beside sealed segments by a thread of their own.
//! An append never waits for one, and a failure to write one is nobody's.

use super::append::Status;
use super::{Located, Shared, unpark};
use crate::format::HEADER_BYTES;
use crate::host;
use crate::index::Index;
use crate::segment::{self, Segment};
use crate::sync::{self, Parker};
use crate::types::to_usize;
use std::sync::Arc;
use std::time::Duration;

/// Sealed segments that wait for their index. Of more than that, the oldest are left to whoever
/// reads them.
const MOST_WAITING: usize = 1_024;

/// How long the thread rests now and then while it builds: nobody waits for it, and it must not
/// keep those from the processor that make pages ahead of appends.
const REST: Duration = Duration::from_micros(100);

/// What of them is still done when the log is closed.
const LAST_ONES: usize = 4;

impl Shared {
    /// The index of a segment that somebody reads, which ends before the offset `below`. `None`:
    /// there is none and cannot be, so the segment is walked.
    pub(crate) fn index_of(&self, segment: &Segment, below: u64) -> Option<Arc<Index>> {
        let next = segment.next().map_or(u64::MAX, |next| next.base());
        let below = below.min(next);
        let below = Some(below).filter(|below| *below < u64::MAX);
        let mut built = false;
        let index = self.indexes.get(&*self.dir, segment, below, &mut built);
        if built {
            self.ask_for_index(segment.base());
        }
        index
    }

    /// The index of a segment if there is one already.
    pub(crate) fn index_at_hand(&self, segment: &Segment) -> Option<Arc<Index>> {
        self.indexes.peek(&*self.dir, segment)
    }

    /// The index has bytes that do not verify.
    pub(crate) fn discard_index(&self, segment: &Segment) {
        self.indexes.discard(segment);
    }

    pub(super) fn ask_for_index(&self, base: u64) {
        // Nobody takes them on a log that is open for reading only.
        if self.signals.indexer.get().is_none() {
            return;
        }
        let mut waiting = self.to_index.lock();
        if !waiting.contains(&base) {
            waiting.push_back(base);
        }
        if waiting.len() > MOST_WAITING {
            waiting.pop_front();
        }
        drop(waiting);
        unpark(&self.signals.indexer);
    }

    pub(super) fn index_loop(&self, parker: &Parker) {
        host::step_back();
        while !self.marks.closed() {
            let base = self.to_index.lock().pop_front();
            match base {
                Some(base) => self.index_sealed(base),
                None => parker.park(),
            }
        }
        // After a failed sync, or the death of the process, nothing is written any more.
        let state = self.append.lock();
        let active = matches!(state.status, Status::Closing).then(|| Arc::clone(&state.active));
        drop(state);
        let Some(active) = active else {
            return;
        };
        let last: Vec<_> = self.to_index.lock().drain(..).take(LAST_ONES).collect();
        last.into_iter().for_each(|base| self.index_sealed(base));
        let bytes = active.region().end().saturating_sub(HEADER_BYTES);
        if bytes >= to_usize(self.options.scan_bytes_value()) {
            // So that after an open only what comes then has to be walked.
            let _ = self.indexes.write(&*self.dir, &active, None, &|| {});
        }
    }

    /// Writes the index of a sealed segment. It is derived: if it cannot be written, whoever reads
    /// builds it in memory.
    fn index_sealed(&self, base: u64) {
        let Ok(Located::Segment { segment, below }) = self.locate(base) else {
            return;
        };
        let below = segment.next().map_or(below, |next| next.base().min(below));
        if segment.base() != base || below == u64::MAX {
            return;
        }
        let pace = || {
            if !self.marks.closed() {
                sync::rest(REST);
            }
        };
        let _ = self.indexes.write(&*self.dir, &segment, Some(below), &pace);
        if base < self.marks.first() {
            // Its segment was trimmed meanwhile.
            let _ = self.dir.unlink(&segment::index_name_of(base));
        }
    }
}
