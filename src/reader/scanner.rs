//! Walking the log from an offset on, over all its segments: the next event, or the range that will
//! not come.

use super::event::Spot;
use super::jumping::Jumping;
use super::wants::{Wants, matches};
use crate::format::RecordRef;
use crate::segment::{Frame, Place, Segment, Step};
use crate::store::{Located, Shared};
use crate::types::{FilterSet, Gap, GapReason};
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// What a step of the scanner brings.
#[derive(Debug)]
pub(crate) enum Scan {
    /// The next event that matches.
    Event(Arc<Segment>, Spot),
    /// A range that will not come. The scanner stands behind it.
    Gap(Gap),
    /// Everything below the limit was seen.
    Done,
}

/// A walk over more events is long enough to look for a nearer place in the segment's index.
const FAR: u64 = 1_024;

/// A frame whose events are handed out one by one.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) records: Range<usize>,
    pub(super) offset: u64,
    /// The offset after its last event.
    pub(super) end: u64,
    pub(super) time: u64,
}

impl Open {
    /// A frame that has verified.
    #[inline]
    pub(super) fn of(frame: &Frame) -> Self {
        Self {
            records: frame.records(),
            offset: frame.head.offset,
            end: frame.end(),
            time: frame.head.time,
        }
    }
}

#[derive(Debug)]
pub(super) struct Standing {
    pub(super) segment: Arc<Segment>,
    pub(super) place: Place,
    /// Where the segment ends, as far as was known when it was found.
    pub(super) below: u64,
    pub(super) open: Option<Open>,
    /// Whether it goes from match to match here.
    pub(super) jumping: Jumping,
}

impl Standing {
    fn new(segment: Arc<Segment>, place: Place, below: u64) -> Self {
        Self {
            segment,
            place,
            below,
            open: None,
            jumping: Jumping::default(),
        }
    }
}

/// Reads forward from an offset. Takes no lock per event.
#[derive(Debug)]
pub(crate) struct Scanner {
    pub(super) next: u64,
    pub(super) standing: Option<Standing>,
    /// How many frames it has looked into.
    pub(super) touched: u64,
    /// Bytes of the frame that it has jumped to last.
    pub(super) frame_bytes: usize,
}

impl Scanner {
    pub(crate) fn new(next: u64) -> Self {
        Self {
            next,
            standing: None,
            touched: 0,
            frame_bytes: 0,
        }
    }

    /// The next offset to look at.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn seek(&mut self, offset: u64) {
        self.next = offset;
        self.standing = None;
    }

    /// Goes on to the next event below `limit` that is wanted. Everything below `limit` is
    /// published.
    pub(crate) fn advance(
        &mut self,
        shared: &Shared,
        limit: u64,
        wants: impl FnMut(&RecordRef<'_>) -> bool,
    ) -> io::Result<Scan> {
        self.advance_by(shared, limit, None, None, wants)
    }

    /// Goes on to the next event below `limit` that matches, over what does not match without
    /// walking it where the topic index says how.
    pub(crate) fn advance_to(
        &mut self,
        shared: &Shared,
        limit: u64,
        filters: &FilterSet,
    ) -> io::Result<Scan> {
        let wants = |record: &RecordRef<'_>| matches(filters, record);
        self.advance_by(shared, limit, Some(filters), None, wants)
    }

    /// As [`advance_to`](Self::advance_to), for one who asks again and again.
    pub(super) fn advance_for(
        &mut self,
        shared: &Shared,
        limit: u64,
        Wants { filters, last }: &mut Wants,
    ) -> io::Result<Scan> {
        let wants = |record: &RecordRef<'_>| last.wants(filters, record);
        self.advance_by(shared, limit, Some(filters), None, wants)
    }

    /// Counts the events below `limit` that match, and passes them, but not more than `most`.
    /// Damaged ones are counted where the index knows that they match; otherwise nobody knows.
    pub(crate) fn count(
        &mut self,
        shared: &Shared,
        limit: u64,
        filters: &FilterSet,
        most: u64,
    ) -> io::Result<u64> {
        let mut left = most;
        let wants = |record: &RecordRef<'_>| matches(filters, record);
        while left > 0 {
            match self.advance_by(shared, limit, Some(filters), Some(&mut left), wants)? {
                Scan::Event(..) => left -= 1,
                Scan::Gap(_) => {}
                Scan::Done => break,
            }
        }
        Ok(most - left)
    }

    /// With `filters`, which `wants` must be the meaning of, it may jump; with `left` it takes
    /// matches off it there instead of looking at them, where it can, and is done at 0.
    fn advance_by(
        &mut self,
        shared: &Shared,
        limit: u64,
        filters: Option<&FilterSet>,
        mut left: Option<&mut u64>,
        mut wants: impl FnMut(&RecordRef<'_>) -> bool,
    ) -> io::Result<Scan> {
        loop {
            if self.next >= limit {
                return Ok(Scan::Done);
            }
            let first = shared.marks.first();
            if self.next < first {
                let off_by = u64::from(sabotaged!("gap-off-by-one"));
                let gap = Gap {
                    from: self.next,
                    to: first - off_by,
                    reason: GapReason::Trimmed,
                };
                self.seek(first);
                return Ok(Scan::Gap(gap));
            }
            if let Some(found) = self.event_of_frame(limit, &mut wants) {
                return Ok(found);
            }
            // What the source of a mirror had trimmed is told to every filter: nothing is jumped.
            if let Some(filters) = filters.filter(|_| !shared.is_mirror()) {
                let left = left.as_deref_mut();
                if let Some(found) = self.jump(shared, limit, filters, left, &mut wants) {
                    return Ok(found);
                }
                if self.next >= limit {
                    continue;
                }
            }
            if let Some(gap) = self.enter_frame(shared, limit)? {
                return Ok(Scan::Gap(gap));
            }
        }
    }

    /// The next wanted event of the frame that is open. A frame whose records are not what its head
    /// says, although its checksum holds, is told as corrupt.
    fn event_of_frame(
        &mut self,
        limit: u64,
        wants: &mut impl FnMut(&RecordRef<'_>) -> bool,
    ) -> Option<Scan> {
        let Standing { segment, open, .. } = self.standing.as_mut()?;
        while let Some(frame) = open {
            if frame.offset == frame.end {
                *open = None;
                return None;
            }
            if frame.offset >= limit {
                return Some(Scan::Done);
            }
            let bytes = segment.region().bytes(frame.records.clone());
            let Some((record, bytes)) = bytes.and_then(RecordRef::read) else {
                let end = frame.end;
                *open = None;
                return self.told(end).map(Scan::Gap);
            };
            let spot = Spot {
                at: frame.records.start,
                bytes,
                offset: frame.offset,
                time: frame.time,
            };
            let wanted = spot.offset >= self.next && wants(&record);
            frame.records.start += bytes;
            frame.offset += 1;
            self.next = self.next.max(frame.offset);
            if wanted {
                return Some(Scan::Event(Arc::clone(segment), spot));
            }
        }
        None
    }

    /// Opens the next frame that has events at or above `next`; a gap if bytes on the way do not
    /// verify.
    fn enter_frame(&mut self, shared: &Shared, limit: u64) -> io::Result<Option<Gap>> {
        let Some(standing) = &mut self.standing else {
            return self.stand(shared);
        };
        let step = standing.segment.step_or_trimmed(&mut standing.place);
        if let Ok(Step::Damaged | Step::End) = step {
            // Holes of a mirror are passed silently.
            self.next = self.next.max(standing.place.offset);
        }
        match step {
            Ok(Step::Frame(frame)) => {
                self.touched += 1;
                if frame.end() > self.next {
                    standing.open = Some(Open::of(&frame));
                }
                Ok(None)
            }
            Ok(Step::Damaged) if self.next < limit => Ok(self.resume(shared, limit)),
            Ok(Step::End) if self.next < limit => self.leave(shared, limit),
            Ok(Step::Damaged | Step::End) => Ok(None),
            Err(trimmed) => Ok(self.trimmed(&trimmed)),
        }
    }

    /// The source of a mirror had trimmed these before they came.
    fn trimmed(&mut self, range: &Range<u64>) -> Option<Gap> {
        let from = self.next.max(range.start);
        self.next = self.next.max(range.end);
        (from < range.end).then_some(Gap {
            from,
            to: range.end,
            reason: GapReason::Trimmed,
        })
    }

    /// Finds the segment of `next` and stands at the nearest place known in it.
    fn stand(&mut self, shared: &Shared) -> io::Result<Option<Gap>> {
        match shared.locate(self.next)? {
            Located::Segment { segment, below } => {
                let mut place = segment.place_below(self.next);
                if place.offset + FAR < self.next {
                    // The places that its index has noted are taken over once.
                    let _ = shared.index_at_hand(&segment);
                    place = segment.place_below(self.next);
                }
                self.standing = Some(Standing::new(segment, place, below));
                Ok(None)
            }
            Located::Damaged { to } => Ok(self.skip_to(to, GapReason::Corrupt)),
            Located::Trimmed { first } => Ok(self.skip_to(first, GapReason::Trimmed)),
        }
    }

    /// Behind damage, at the next frame that verifies.
    fn resume(&mut self, shared: &Shared, limit: u64) -> Option<Gap> {
        let standing = self.standing.as_mut()?;
        let next_base = standing
            .segment
            .next()
            .map_or(standing.below, |next| next.base());
        let below = standing.below.min(next_base);
        let found =
            standing
                .segment
                .resume(&mut standing.place, below.min(limit), &shared.history());
        let to = if found {
            standing.place.offset
        } else {
            below.min(limit)
        };
        if !found {
            self.standing = None;
        }
        self.told(to)
    }

    /// The segment ends here: on to the one that follows.
    fn leave(&mut self, shared: &Shared, limit: u64) -> io::Result<Option<Gap>> {
        let Some(standing) = self.standing.take() else {
            return Ok(None);
        };
        let reached = standing.place.offset.max(self.next);
        let (segment, below) = match standing.segment.next() {
            Some(next) => {
                let below = shared.base_after(next.base());
                (next, below)
            }
            None => match shared.locate(reached)? {
                Located::Segment { segment, below } => (segment, below),
                Located::Damaged { to } => return Ok(self.skip_to(to, GapReason::Corrupt)),
                Located::Trimmed { first } => {
                    return Ok(self.skip_to(first, GapReason::Trimmed));
                }
            },
        };
        if Arc::ptr_eq(&segment, &standing.segment) {
            // It should hold `reached`, and does not.
            return Ok(self.skip_to(below.min(limit), GapReason::Corrupt));
        }
        let to = segment.base();
        let place = segment.place_below(reached);
        self.standing = Some(Standing::new(segment, place, below));
        Ok(if to > reached { self.told(to) } else { None })
    }

    fn skip_to(&mut self, to: u64, reason: GapReason) -> Option<Gap> {
        let from = self.next;
        self.seek(to.max(from));
        (to > from).then_some(Gap { from, to, reason })
    }

    /// [next, to) is corrupt; the walk stands at `to` already.
    fn told(&mut self, to: u64) -> Option<Gap> {
        let from = self.next;
        self.next = to.max(from);
        (to > from).then_some(Gap {
            from,
            to,
            reason: GapReason::Corrupt,
        })
    }
}
