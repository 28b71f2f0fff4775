//! One file of the log: making it, writing frames into it, walking and scanning them.

mod landed;
mod make;
mod place;
mod scan;
#[cfg(test)]
mod tests;
mod walk;
mod writer;

pub(crate) use make::{
    Spare, TEMPORARY, activate, index_name_of, is_as_long_as_made, is_index_temporary, make,
    name_of, parse_index_name, parse_name, parse_spare_name, read_header,
};
pub(crate) use place::{Keys, Place};
pub(crate) use scan::{Scanned, Tail, scan};
pub(crate) use walk::{Frame, Step};
pub(crate) use writer::SegmentWriter;

use self::landed::Landed;
use crate::format::{HEADER_BYTES, SegmentHeader};
use crate::history::History;
use crate::map::Region;
use crate::sync::Mutex;
use crate::sync::OnceLock;
use crate::sync::atomic::AtomicUsize;
use crate::types::Epoch;
use std::sync::{Arc, Weak};

/// A segment that can be read. Shared by everything that reads it; the map lives as long as this
/// does.
#[derive(Debug)]
pub(crate) struct Segment {
    base: u64,
    previous: Option<(u64, u32)>,
    epoch: Epoch,
    /// No event here has an earlier time.
    began: u64,
    keys: Keys,
    region: Region,
    /// Frames below this frame position have verified in this process: their checksums are not
    /// computed again.
    verified: AtomicUsize,
    /// Frames elsewhere that have, as far as it is remembered.
    landed: Landed,
    /// Pages below this frame position were mapped ahead of a walk.
    populated: AtomicUsize,
    /// Known places, a coarse table that walks leave behind, so that a seek does not walk from the
    /// start.
    places: Mutex<Vec<Place>>,
    /// The last of `places`, to see without the lock whether a walk has something to add.
    last_place: AtomicUsize,
    /// When epochs began, as it was known when this was opened. A segment that was made in this
    /// process has none: nothing stood in it before.
    history: OnceLock<Arc<History>>,
    /// The segment after this one, once there is one. Weak: a reader here does not hold the rest of
    /// the log.
    next: OnceLock<Weak<Segment>>,
}

impl Segment {
    pub(crate) fn new(header: &SegmentHeader, region: Region) -> Option<Self> {
        let activation = header.activation.as_ref()?;
        Some(Self {
            base: activation.base,
            previous: activation.previous,
            epoch: activation.epoch,
            began: activation.time,
            keys: Keys {
                log: header.making.log,
                salt: header.making.salt,
                mirror: activation.mirror,
            },
            region,
            verified: AtomicUsize::new(HEADER_BYTES),
            landed: Landed::default(),
            populated: AtomicUsize::new(0),
            places: Mutex::new(Vec::new()),
            last_place: AtomicUsize::new(HEADER_BYTES),
            history: OnceLock::new(),
            next: OnceLock::new(),
        })
    }

    /// Offset of the first event that stands here, or will.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Base of the segment before, and where its valid bytes end.
    pub(crate) fn previous(&self) -> Option<(u64, u32)> {
        self.previous
    }

    /// No event here has an earlier time, in UTC microseconds.
    pub(crate) fn began(&self) -> u64 {
        self.began
    }

    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The place of the first frame.
    pub(crate) fn start(&self) -> Place {
        Place {
            at: HEADER_BYTES,
            offset: self.base,
            epoch: self.epoch,
            context: self.keys.context(self.epoch),
        }
    }

    /// Says when epochs began, so that events which were lost before a later one are not taken for
    /// events of the log where they still stand, or have come back. Of a mirror nothing follows:
    /// its epochs come when the source says so.
    pub(crate) fn know(&self, history: &Arc<History>) {
        if !self.keys.mirror {
            // A second history knows of later epochs, and these have begun behind this segment.
            let _ = self.history.set(Arc::clone(history));
        }
    }

    /// Whether an event of this epoch may stand at this offset.
    #[inline]
    fn is_of_log(&self, epoch: Epoch, offset: u64) -> bool {
        let history = self.history.get();
        history.is_none_or(|history| !history.is_over(epoch, offset))
    }

    /// Links the segment that follows. Called once, by the roll.
    pub(crate) fn link(&self, next: &Arc<Self>) {
        // A second link would be the same one: rolls are made under the append lock.
        let _ = self.next.set(Arc::downgrade(next));
    }

    /// The segment that follows, if it is still held by the log.
    pub(crate) fn next(&self) -> Option<Arc<Self>> {
        self.next.get()?.upgrade()
    }
}
