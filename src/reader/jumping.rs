//! From match to match through the topic index of a segment, where that costs less than walking it.

use super::event::{Page, Spot};
use super::filling::Room;
use super::scanner::{Scan, Scanner};
use super::wants::Wants;
use crate::format::RecordRef;
use crate::index::{Jumps, Posting, Unfit};
use crate::segment::{Frame, Segment};
use crate::store::Shared;
use crate::types::{FilterSet, Gap, GapReason, to_usize};
use std::sync::Arc;

/// How a scanner goes through the segment in which it stands.
#[derive(Debug, Default)]
pub(super) struct Jumping {
    jumps: Option<Box<Jumps>>,
    /// While it walks: the frame position from which on an index may be asked for again.
    ask_from: usize,
    /// The frame that was verified last: a batch is for several matches.
    frame: Option<Frame>,
}

impl Jumping {
    #[inline]
    pub(super) fn is_jumping(&self) -> bool {
        self.jumps.is_some()
    }
}

/// What is at the end of a jump.
enum Landing {
    Match(Spot),
    /// The event is there and not wanted.
    Other,
    /// What stands there does not verify.
    Corrupt,
}

impl Scanner {
    /// Goes on by jumping, if that is how it goes here. `None`: walk on, from where it stands then.
    pub(super) fn jump(
        &mut self,
        shared: &Shared,
        limit: u64,
        filters: &FilterSet,
        mut left: Option<&mut u64>,
        wants: &mut impl FnMut(&RecordRef<'_>) -> bool,
    ) -> Option<Scan> {
        loop {
            if !self.is_jumping(shared, filters) {
                return None;
            }
            let all = filters.has_no_identity();
            if let Some(left) = left.as_deref_mut() {
                if *left == 0 {
                    return Some(Scan::Done);
                }
                if let Some((matches, next)) = self.pass_run(limit, all, *left) {
                    *left -= matches;
                    self.next = self.next.max(next);
                    continue;
                }
            }
            let posting = match self.peek() {
                Ok(Some(posting)) if posting.offset < limit => posting,
                Ok(Some(_)) => {
                    self.next = self.next.max(limit);
                    return Some(Scan::Done);
                }
                Ok(None) => return self.walk_on(limit),
                Err(Unfit) => {
                    self.mistrust(shared);
                    continue;
                }
            };
            if let Some(left) = left.as_deref_mut().filter(|_| all || !posting.excluding) {
                *left -= 1;
                self.next = posting.offset + 1;
                continue;
            }
            match self.land(&posting, wants)? {
                Landing::Match(spot) => {
                    self.next = posting.offset + 1;
                    let segment = Arc::clone(&self.standing.as_ref()?.segment);
                    return Some(Scan::Event(segment, spot));
                }
                Landing::Other => self.next = posting.offset + 1,
                Landing::Corrupt => return Some(Scan::Gap(self.corrupt(&posting, limit))),
            }
        }
    }

    /// Whether it jumps here; asks for an index where there is enough to read.
    #[inline]
    fn is_jumping(&mut self, shared: &Shared, filters: &FilterSet) -> bool {
        let Some(standing) = &mut self.standing else {
            return false;
        };
        if standing.jumping.jumps.is_some() {
            return true;
        }
        let (at, end) = (standing.place.at, standing.segment.region().end());
        let least = to_usize(shared.options.scan_bytes_value());
        if at < standing.jumping.ask_from || end.saturating_sub(at) <= least {
            return false;
        }
        if filters.has_everything() {
            standing.jumping.ask_from = usize::MAX;
            return false;
        }
        self.ask(shared, filters)
    }

    #[cold]
    fn ask(&mut self, shared: &Shared, filters: &FilterSet) -> bool {
        let next = self.next;
        let Some(standing) = &mut self.standing else {
            return false;
        };
        let Some(index) = shared.index_of(&standing.segment, standing.below) else {
            // It cannot be told what stands in bytes that do not verify: all of it is walked.
            standing.jumping.ask_from = usize::MAX;
            return false;
        };
        let least = to_usize(shared.options.scan_bytes_value());
        standing.jumping.ask_from = index.covers().max(standing.place.at + least + 1);
        if index.next() <= next {
            return false;
        }
        match index.jumps(filters, shared.options.jump_share_value()) {
            Ok(Some(jumps)) => standing.jumping.jumps = Some(Box::new(jumps)),
            Ok(None) => {}
            Err(Unfit) => {
                self.mistrust(shared);
                return self.is_jumping(shared, filters);
            }
        }
        // The index may know a nearer place than the walk.
        let nearer = standing.segment.place_below(next);
        if nearer.at > standing.place.at {
            standing.place = nearer;
        }
        standing.jumping.jumps.is_some()
    }

    // Always: a posting that is handed on through memory, in pieces, costs more than all else here.
    #[inline(always)]
    fn peek(&mut self) -> Result<Option<Posting>, Unfit> {
        let (next, frame_bytes) = (self.next, self.frame_bytes);
        let Some(standing) = &mut self.standing else {
            return Ok(None);
        };
        let (below, segment) = (standing.below, &standing.segment);
        let jumps = standing.jumping.jumps.as_mut();
        let found = jumps.map_or(Ok(None), |jumps| jumps.peek(segment, next, frame_bytes))?;
        match found {
            Some(posting) if posting.offset < below => Ok(Some(posting)),
            // After a cut, what stands behind it here is no part of the log.
            _ => Ok(None),
        }
    }

    fn pass_run(&mut self, limit: u64, all: bool, most: u64) -> Option<(u64, u64)> {
        let next = self.next;
        let standing = self.standing.as_mut()?;
        let below = standing.below.min(limit);
        standing
            .jumping
            .jumps
            .as_mut()?
            .pass_run(next, below, all, most)
    }

    /// No match is left in the index: on from where it ends, unless that is not read yet.
    fn walk_on(&mut self, limit: u64) -> Option<Scan> {
        let standing = self.standing.as_mut()?;
        let jumps = standing.jumping.jumps.as_mut()?;
        let end = jumps.end().min(standing.below);
        self.next = self.next.max(end.min(limit));
        if limit <= end {
            return Some(Scan::Done);
        }
        if end >= standing.below {
            // The next segment begins here.
            self.standing = None;
            return None;
        }
        standing.place = jumps.end_place(&standing.segment);
        standing.jumping.jumps = None;
        standing.jumping.ask_from = standing.place.at;
        None
    }

    /// The index has bytes that do not verify: it is not used any more, and another one is built.
    fn mistrust(&mut self, shared: &Shared) {
        if let Some(standing) = &mut self.standing {
            shared.discard_index(&standing.segment);
            standing.place = standing.segment.place_below(self.next);
            standing.jumping = Jumping::default();
        }
    }

    /// Looks at the event of a posting.
    fn land(
        &mut self,
        posting: &Posting,
        wants: &mut impl FnMut(&RecordRef<'_>) -> bool,
    ) -> Option<Landing> {
        let standing = self.standing.as_mut()?;
        let (segment, jumping) = (&standing.segment, &mut standing.jumping);
        let jumps = jumping.jumps.as_ref()?;
        if let Some(ahead) = jumps.ahead() {
            segment.fetch_record(ahead.frame, ahead.record);
        }
        let at = to_usize(posting.frame);
        if jumping.frame.is_none_or(|frame| frame.at != at) {
            self.touched += 1;
            jumping.frame = segment.frame_to(posting.frame, || jumps.epoch(posting));
        }
        let Some(frame) = jumping.frame else {
            return Some(Landing::Corrupt);
        };
        self.frame_bytes = frame.bytes();
        let Some((record, spot)) = record_of(&standing.segment, &frame, posting) else {
            return Some(Landing::Corrupt);
        };
        Some(if wants(&record) {
            Landing::Match(spot)
        } else {
            Landing::Other
        })
    }

    /// As [`Scanner::fill`], from match to match.
    pub(super) fn fill_by_jumps(
        &mut self,
        limit: u64,
        wants: &mut Wants,
        page: &mut Page,
        room: &mut Room,
    ) {
        while self.next < limit && !room.is_full() {
            let Ok(Some(posting)) = self.peek() else {
                return;
            };
            if posting.offset >= limit {
                return;
            }
            match self.land(&posting, &mut |record| wants.wants(record)) {
                Some(Landing::Match(spot)) if room.take(spot.bytes) => page.add(spot),
                Some(Landing::Other) => {}
                _ => return,
            }
            self.next = posting.offset + 1;
        }
    }

    /// The event of this posting will not come, nor those of the ones behind it that do not verify
    /// either. What lies between them does not match: the index says so.
    fn corrupt(&mut self, posting: &Posting, limit: u64) -> Gap {
        let from = posting.offset;
        self.next = from + 1;
        while let Ok(Some(posting)) = self.peek() {
            let corrupt = |scanner: &mut Self| scanner.land(&posting, &mut |_| false);
            if posting.offset >= limit || !matches!(corrupt(self), Some(Landing::Corrupt)) {
                break;
            }
            self.next = posting.offset + 1;
        }
        Gap {
            from,
            to: self.next,
            reason: GapReason::Corrupt,
        }
    }
}

fn record_of<'s>(
    segment: &'s Segment,
    frame: &Frame,
    posting: &Posting,
) -> Option<(RecordRef<'s>, Spot)> {
    let records = frame.records();
    let at = to_usize(posting.record);
    let inside =
        records.contains(&at) && (frame.head.offset..frame.end()).contains(&posting.offset);
    let bytes = segment.region().bytes(at..records.end.max(at));
    let (record, bytes) = bytes.filter(|_| inside).and_then(RecordRef::parse)?;
    let spot = Spot {
        at,
        bytes,
        offset: posting.offset,
        time: frame.head.time,
    };
    Some((record, spot))
}
