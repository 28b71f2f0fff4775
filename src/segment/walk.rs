//! Walking published frames: every frame is verified once per process, nothing is skipped silently.

use super::scan::may_stand;
use super::{Place, Segment};
use crate::format::{self, FRAME_HEADER, FrameHead, FrameKind, HEADER_BYTES, SkipReason};
use crate::history::History;
use crate::types::{Epoch, to_usize};
use std::ops::Range;
use std::sync::atomic::Ordering;

/// How much may be checked behind one damaged frame, in bytes. Bytes that only look like frames
/// must not cost more than a few passes over a segment.
const RESUME_BYTES: usize = 1 << 30;

/// Bytes between two entries of a segment's table of places.
const PLACE_EVERY: usize = 64 << 10;

/// Pages that are mapped at once, in bytes.
const POPULATE_MOST: usize = 1 << 20;

/// How far ahead of a walk bytes are fetched, and how many for one frame or event.
const FETCH_AHEAD: usize = 4_096;
const FETCH_MOST: usize = 256;

/// What is asked for of a frame at least before it is known how long it is; and what is read rather
/// than left out between two frames, in bytes.
const ASK_BYTES: usize = 512;
const ASK_GAP: usize = 64 << 10;

/// A frame that is longer is asked for by itself before it is verified, in bytes.
const ASK_ALONE: usize = 8 << 10;

/// A frame with events, verified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// Frame position.
    pub(crate) at: usize,
    pub(crate) head: FrameHead,
}

impl Frame {
    /// Header and body in bytes, without padding.
    pub(crate) fn bytes(&self) -> usize {
        self.head.bytes()
    }

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

    /// The bytes from `place` on whose frames have verified: all that did in this process, or about
    /// `most` of them that are verified now. [`Segment::step_in`] walks them.
    pub(crate) fn verified_from(&self, place: &Place, most: usize) -> &[u8] {
        let verified = self.verified.load(Ordering::Relaxed);
        let bytes = self.region().bytes(place.at..self.region().end());
        let bytes = bytes.unwrap_or_default();
        let mut length = verified.saturating_sub(place.at);
        if length == 0 {
            self.populate(place.at);
            let mut ahead = *place;
            while ahead.at - place.at < most {
                let rest = bytes.get(ahead.at - place.at..).unwrap_or_default();
                let Some(frame) = self.step_verifying(&mut ahead, rest) else {
                    break;
                };
                self.fetch_ahead(frame.at..ahead.at);
            }
            length = ahead.at - place.at;
            if place.at == verified {
                self.move_verified(ahead.at);
            }
            self.remember(&ahead);
        }
        bytes.get(..length).unwrap_or_default()
    }

    /// As [`Segment::step_in`], where nothing has verified yet.
    #[inline]
    fn step_verifying(&self, place: &mut Place, bytes: &[u8]) -> Option<Frame> {
        let head = format::decode_head(bytes)?;
        let frame = bytes.get(..head.bytes())?;
        let events = matches!(head.kind, FrameKind::Event | FrameKind::Batch);
        let good = events
            && format::verify(frame, &head, place.bound())
            && self.is_of_log(place.epoch, head.offset);
        if !good || !format::records_are_whole(frame, &head) {
            return None;
        }
        self.step_in(place, bytes)
    }

    /// The frame with events at `place`, which `bytes` begin with: the rest of what
    /// [`Segment::verified_from`] gave. `None`: they end here, or what stands here is for
    /// [`Segment::step`] to tell.
    #[inline]
    pub(crate) fn step_in(&self, place: &mut Place, bytes: &[u8]) -> Option<Frame> {
        let head = format::read_head(bytes)?;
        let events = matches!(head.kind, FrameKind::Event | FrameKind::Batch);
        // What was verified has both. A place out of an index that is wrong need not be a frame,
        // and the walk must move all the same.
        let moves = head.count > 0 && head.bytes() > FRAME_HEADER;
        if !events || !moves || head.offset != place.offset {
            return None;
        }
        let at = place.at;
        place.at += format::padded(head.bytes());
        place.offset += u64::from(head.count);
        Some(Frame { at, head })
    }

    /// Has the processor fetch what stands some way behind what is looked at: it is there when the
    /// walk comes to it. By itself the processor looks ahead neither over a length that it has to
    /// read first nor over the end of a page.
    #[inline]
    pub(crate) fn fetch_ahead(&self, looked_at: Range<usize>) {
        let at = looked_at.start + FETCH_AHEAD;
        self.region()
            .fetch(at..at + looked_at.len().min(FETCH_MOST));
    }

    /// Has the pages ahead of a walk mapped, many at a time, when it comes where nobody was. More
    /// the longer it has gone, so that a short one does not wait for what it does not read.
    fn populate(&self, at: usize) {
        let populated = self.populated.load(Ordering::Relaxed);
        if at >= populated {
            let window = (at - HEADER_BYTES.min(at)).clamp(PLACE_EVERY, POPULATE_MOST);
            self.populated.store(at + window, Ordering::Relaxed);
            // The disk is to be at work on the next window while this one is looked at.
            self.region().will_need(at..at + 2 * window);
            self.region().populate(at..at + window);
        }
    }

    /// The frame at `place` if it verifies there. An epoch frame verifies under its own epoch.
    fn frame_at(&self, place: &Place, end: usize) -> Option<FrameHead> {
        let rest = self.region().bytes(place.at..end)?;
        let head = format::decode_head(rest)?;
        let bytes = rest.get(..head.bytes())?;
        let verified = self.verified.load(Ordering::Relaxed);
        if place.at >= verified {
            self.populate(place.at);
            let context = match format::decode_epoch(bytes, &head) {
                Some(epoch) => self.keys().context(epoch),
                None => place.context,
            };
            let good = format::verify(bytes, &head, context.at(place.at))
                && format::records_are_whole(bytes, &head)
                && may_stand(bytes, &head, self.keys())
                && (head.count == 0 || self.is_of_log(place.epoch, head.offset));
            if !good {
                return None;
            }
            if place.at == verified {
                self.move_verified(place.at + format::padded(head.bytes()));
            }
        }
        (head.offset == place.offset).then_some(head)
    }

    /// All frames below `to` have verified.
    fn move_verified(&self, to: usize) {
        // Relaxed: the mark says nothing about memory, only that this process has checked those
        // bytes; they were frozen before any reader could see them. A reader that is slower than
        // another one may put it back, which only costs a second look.
        self.verified.store(to, Ordering::Relaxed);
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

    /// The frame with events at the frame position `at`, where an index says that one is, if it
    /// verifies there under the epoch that `epoch` says. The index may be wrong about where a frame
    /// begins, so being below the mark of what has verified proves nothing.
    #[inline]
    pub(crate) fn frame_to(&self, at: u32, epoch: impl FnOnce() -> Epoch) -> Option<Frame> {
        let position = to_usize(at);
        let rest = self.region().bytes(position..self.region().end())?;
        let head = if self.landed.has(at) {
            format::read_head(rest)?
        } else {
            let head = format::decode_head(rest)?;
            let events = matches!(head.kind, FrameKind::Event | FrameKind::Batch);
            let bytes = rest.get(..head.bytes()).filter(|_| events)?;
            if bytes.len() > ASK_ALONE {
                // In one go, should the disk still have it: page by page takes many times as long.
                self.region().will_need(position..position + bytes.len());
            }
            if !format::verify(bytes, &head, self.keys().context(epoch()).at(position)) {
                return None;
            }
            self.landed.remember(at);
            head
        };
        Some(Frame { at: position, head })
    }

    /// Asks for the bytes of frames that are about to be landed at, all at once: the disk reads
    /// them side by side. Each will have about `bytes` bytes.
    pub(crate) fn ask_for(&self, frames: impl Iterator<Item = u32>, bytes: usize) {
        let (mut wanted, bytes) = (0..0, bytes.max(ASK_BYTES));
        for at in frames.filter(|at| !self.landed.has(*at)).map(to_usize) {
            if wanted.end + ASK_GAP < at {
                self.region().will_need(wanted);
                wanted = at..at;
            }
            wanted.end = at + bytes;
        }
        self.region().will_need(wanted);
    }

    /// Has the processor fetch a frame's head and a record in it.
    #[inline]
    pub(crate) fn fetch_record(&self, frame: u32, record: u32) {
        let (frame, record) = (to_usize(frame), to_usize(record));
        self.region().fetch(frame..frame + FRAME_HEADER);
        self.region().fetch(record..record + FETCH_MOST / 2);
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
        // The frame of an epoch says itself which one, should the records of epochs be gone.
        let own = format::decode_epoch(bytes, &head);
        let epochs = own
            .into_iter()
            .chain(std::iter::once(from.epoch))
            .chain(history.candidates(head.offset).take(4));
        let mirror = self.keys().mirror;
        for epoch in epochs {
            if head.count > 0 && !mirror && history.is_over(epoch, head.offset) {
                continue;
            }
            let context = self.keys().context(epoch);
            *budget = budget.saturating_sub(bytes.len());
            if format::verify(bytes, &head, context.at(at)) && may_stand(bytes, &head, self.keys())
            {
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
