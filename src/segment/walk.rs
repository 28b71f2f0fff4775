//! Walking published frames: every frame is verified once per process, nothing is skipped silently.

use super::scan::may_stand;
use super::{Place, Segment};
use crate::format::{self, FRAME_HEADER, FrameHead, FrameKind, SkipReason};
use crate::history::History;
use std::ops::Range;
use std::sync::atomic::Ordering;

/// How much may be checked behind one damaged frame, in bytes. Bytes that only look like frames
/// must not cost more than a few passes over a segment.
const RESUME_BYTES: usize = 1 << 30;

/// Bytes between two entries of a segment's table of places.
const PLACE_EVERY: usize = 64 << 10;

/// A frame with events, verified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// Frame position.
    pub(crate) at: usize,
    pub(crate) head: FrameHead,
}

impl Frame {
    /// Where the records stand in the segment.
    pub(crate) fn records(&self) -> Range<usize> {
        self.at + FRAME_HEADER..self.at + self.head.bytes()
    }

    /// The offset after the last event of the frame.
    pub(crate) fn end(&self) -> u64 {
        self.head.offset + u64::from(self.head.count)
    }
}

/// What stands at a place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Events; the place has moved behind them.
    Frame(Frame),
    /// The published end of this segment.
    End,
    /// Bytes that do not verify; the place has not moved.
    Damaged,
}

impl Segment {
    /// Takes the next frame with events, passing over control frames.
    pub(crate) fn step(&self, place: &mut Place) -> Step {
        loop {
            if let Ok(step) = self.step_or_trimmed(place) {
                return step;
            }
        }
    }

    /// As [`Segment::step`], but stops behind a range that the source of a mirror had trimmed, and
    /// says which. Holes are passed over.
    pub(crate) fn step_or_trimmed(&self, place: &mut Place) -> Result<Step, Range<u64>> {
        loop {
            let end = self.region().end();
            if place.at >= end {
                return Ok(Step::End);
            }
            let Some(head) = self.frame_at(place, end) else {
                return Ok(Step::Damaged);
            };
            let at = place.at;
            let reason = self.pass(place, &head);
            match head.kind {
                FrameKind::Event | FrameKind::Batch => return Ok(Step::Frame(Frame { at, head })),
                FrameKind::Skip if reason == Some(SkipReason::Trimmed) => {
                    return Err(head.offset..place.offset);
                }
                FrameKind::Epoch | FrameKind::Skip => {}
            }
        }
    }

    /// The frame at `place` if it verifies there. An epoch frame verifies under its own epoch.
    fn frame_at(&self, place: &Place, end: usize) -> Option<FrameHead> {
        let rest = self.region().bytes(place.at..end)?;
        let head = format::decode_head(rest)?;
        let bytes = rest.get(..head.bytes())?;
        let verified = self.verified.load(Ordering::Relaxed);
        if place.at >= verified {
            let context = match format::decode_epoch(bytes, &head) {
                Some(epoch) => self.keys().context(epoch),
                None => place.context,
            };
            let good = format::verify(bytes, &head, context)
                && format::records_are_whole(bytes, &head)
                && may_stand(bytes, &head, self.keys());
            if !good {
                return None;
            }
            if place.at == verified {
                // Relaxed: the mark says nothing about memory, only that this process has checked
                // those bytes; they were frozen before any reader could see them. A reader that is
                // slower than another one may put it back, which only costs a second look.
                let next = place.at + format::padded(head.bytes());
                self.verified.store(next, Ordering::Relaxed);
            }
        }
        (head.offset == place.offset).then_some(head)
    }

    /// Moves `place` behind a frame that has verified there; says why, if it skips offsets.
    fn pass(&self, place: &mut Place, head: &FrameHead) -> Option<SkipReason> {
        let mut reason = None;
        place.offset += u64::from(head.count);
        if matches!(head.kind, FrameKind::Epoch | FrameKind::Skip) {
            let bytes = self.region().bytes(place.at..place.at + head.bytes());
            let bytes = bytes.unwrap_or_default();
            if let Some(epoch) = format::decode_epoch(bytes, head) {
                place.epoch = epoch;
                place.context = self.keys().context(epoch);
            }
            if let Some(skip) = format::decode_skip(bytes, head) {
                place.offset = skip.to;
                reason = Some(skip.reason);
            }
        }
        place.at += format::padded(head.bytes());
        self.remember(place);
        reason
    }

    /// The frame with events at `place`, if it verifies there. The offset of `place` is not looked
    /// at. What an index says is verified each time: it may be wrong about where a frame begins.
    pub(crate) fn frame_to(&self, place: &Place) -> Option<Frame> {
        let rest = self.region().bytes(place.at..self.region().end())?;
        let head = format::decode_head(rest)?;
        let events = matches!(head.kind, FrameKind::Event | FrameKind::Batch);
        let bytes = rest.get(..head.bytes()).filter(|_| events)?;
        let at = place.at;
        format::verify(bytes, &head, place.context).then_some(Frame { at, head })
    }

    /// Takes places that an index has noted, unless walks have left some already. Frames behind a
    /// place are verified like any other; but below the mark of what has verified in this process,
    /// a walk takes what stands at a place for the beginning of a frame. It may, because the places
    /// stand in a table of the index whose checksum holds, and the index fits this segment.
    pub(crate) fn learn(&self, noted: impl FnOnce() -> Vec<Place>) {
        let mut places = self.places.lock();
        if places.is_empty() {
            *places = noted();
            places.retain(|place| place.offset > self.base());
            let last = places.last().map_or(0, |place| place.at);
            self.last_place.fetch_max(last, Ordering::Relaxed);
        }
    }

    fn remember(&self, place: &Place) {
        if place.at < self.last_place.load(Ordering::Relaxed) + PLACE_EVERY {
            return;
        }
        // Whoever comes second has nothing to add.
        if let Some(mut places) = self.places.try_lock() {
            if places
                .last()
                .is_none_or(|last| last.at + PLACE_EVERY <= place.at)
            {
                places.push(*place);
                self.last_place.store(place.at, Ordering::Relaxed);
            }
        }
    }

    /// The nearest known place at or below `offset`.
    pub(crate) fn place_below(&self, offset: u64) -> Place {
        let places = self.places.lock();
        let index = places.partition_point(|place| place.offset <= offset);
        index
            .checked_sub(1)
            .and_then(|last| places.get(last).copied())
            .unwrap_or_else(|| self.start())
    }

    /// Behind damage: moves `place` to the next frame that verifies and whose offset lies in
    /// [place.offset, below). `false`: there is none up to the published end.
    pub(crate) fn resume(&self, place: &mut Place, below: u64, history: &History) -> bool {
        let end = self.region().end();
        let mut at = place.at + 8;
        let mut budget = RESUME_BYTES;
        while at + FRAME_HEADER <= end && budget > 0 {
            if let Some(found) = self.plausible(at, end, place, below, history, &mut budget) {
                *place = found;
                return true;
            }
            at += 8;
        }
        false
    }

    fn plausible(
        &self,
        at: usize,
        end: usize,
        from: &Place,
        below: u64,
        history: &History,
        budget: &mut usize,
    ) -> Option<Place> {
        let rest = self.region().bytes(at..end)?;
        let head = format::decode_head(rest)?;
        if head.offset < from.offset || head.offset >= below {
            return None;
        }
        let bytes = rest.get(..head.bytes())?;
        let epochs = std::iter::once(from.epoch).chain(history.candidates(head.offset).take(4));
        for epoch in epochs {
            let context = self.keys().context(epoch);
            *budget = budget.saturating_sub(bytes.len());
            if format::verify(bytes, &head, context) && may_stand(bytes, &head, self.keys()) {
                return Some(Place {
                    at,
                    offset: head.offset,
                    epoch,
                    context,
                });
            }
        }
        None
    }
}
