//! The one writer of the active segment.

use super::{Place, Segment};
use crate::format::{FrameBuffer, SHARED_END_AT, padded};
use crate::map::RegionWriter;
use std::sync::atomic::Ordering;

/// How far ahead of the appends cache lines are fetched: what takes about as long to append as a
/// line takes to come from memory.
const FETCH_AHEAD: usize = 512;
/// Of a frame that is larger, the processor fetches the rest by itself.
const FETCHED_MOST: usize = 1024;

/// Appends frames to a segment. Not Clone: whoever holds it is the only one that writes there.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    region: RegionWriter,
    place: Place,
}

impl SegmentWriter {
    /// Goes on at `start`, up to which the caller has published.
    pub(crate) fn new(mut region: RegionWriter, start: Place) -> Self {
        region.publish(start.at);
        Self {
            region,
            place: start,
        }
    }

    /// Where the next frame will stand.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether a frame of `bytes` bytes fits.
    pub(crate) fn fits(&self, bytes: usize) -> bool {
        self.place.at + padded(bytes) <= self.region.region().len()
    }

    /// Bytes used and bytes in all.
    pub(crate) fn filled(&self) -> (usize, usize) {
        (self.place.at, self.region.region().len())
    }

    /// Puts `frame` at the end and makes its bytes readable. The caller has seen that it fits, and
    /// publishes the offset afterwards; until then no reader in this process looks for it.
    pub(crate) fn append(&mut self, frame: &mut FrameBuffer, time: u64) {
        let at = self.place.at;
        let end = at + padded(frame.bytes());
        let head = frame.head(self.place.offset, time, self.place.bound());
        self.region.write_with_head(at, head, frame.records());
        let ahead = end + FETCH_AHEAD;
        self.region
            .fetch(ahead..ahead + (end - at).min(FETCHED_MOST));
        self.region.publish(end);
        // Release: pairs with the Acquire load of a reader in another process, which verifies all
        // the same.
        let shared = u64::try_from(end).unwrap_or(u64::MAX);
        self.region
            .region()
            .word(SHARED_END_AT)
            .store(shared, Ordering::Release);
        self.place.at = end;
        self.place.offset = frame.offset_behind(self.place.offset);
    }

    /// From here on, frames are of `place`'s epoch (its frame position and offset are not taken).
    pub(crate) fn enter(&mut self, segment: &Segment, epoch: crate::types::Epoch) {
        self.place.epoch = epoch;
        self.place.context = segment.keys().context(epoch);
    }
}
