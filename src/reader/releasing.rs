//! What a reader has read leaves the page table of the process behind it.

use crate::segment::Segment;
use std::sync::{Arc, Weak};

/// So much is released at a time: the system tells each processor of it.
const STEP: usize = 1 << 20;

/// Who maps a page has the system map others around it, also some that were released before.
const AROUND: usize = 64 << 10;

/// Up to where a reader has released what it has read.
#[derive(Debug, Default)]
pub(super) struct Releasing {
    /// A segment, and from where on it may be mapped. A reader that waits keeps no segment from
    /// being trimmed.
    from: Option<(Weak<Segment>, usize)>,
}

impl Releasing {
    /// What comes next is there: whatever lies before it is done with.
    pub(super) fn come_to(&mut self, segment: &Arc<Segment>, at: usize) {
        match &mut self.from {
            Some((same, from)) if same.as_ptr() == Arc::as_ptr(segment) => {
                // Back, after a seek: what lies between is released later.
                *from = at.min(*from);
                if at - *from >= STEP {
                    segment.region().release(from.saturating_sub(AROUND)..at);
                    *from = at;
                }
            }
            other => {
                let left = other.replace((Arc::downgrade(segment), at));
                if let Some((Some(left), from)) = left.map(|(left, from)| (left.upgrade(), from)) {
                    let region = left.region();
                    region.release(from.saturating_sub(AROUND)..region.end());
                }
            }
        }
    }
}
