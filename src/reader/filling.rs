//! Filling a page: the loop that a catch-up spends its time in.

use super::event::{Page, Spot};
use super::scanner::{Scanner, Standing, matches};
use crate::format::RecordRef;
use crate::segment::Step;
use crate::types::FilterSet;

/// How much a page may still take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

impl Room {
    pub(super) fn is_full(&self) -> bool {
        self.events == 0 || self.bytes == 0
    }

    /// Takes the room of an event of so many bytes; `false`: it has none.
    #[inline]
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let fits = self.events > 0 && bytes <= self.bytes;
        if fits {
            self.events -= 1;
            self.bytes -= bytes;
        }
        fits
    }
}

impl Scanner {
    /// Adds the matching events that follow in the segment of `page` while it is walked. Ends
    /// before whatever needs more thought: a jump, damage, what a mirror's source had trimmed, the
    /// end of the segment, `limit`, a full page. Nothing is passed that was not looked at.
    pub(super) fn fill(
        &mut self,
        limit: u64,
        filters: &FilterSet,
        page: &mut Page,
        room: &mut Room,
    ) {
        let Some(standing) = &mut self.standing else {
            return;
        };
        if standing.jumping.is_jumping() || !page.stands_in(&standing.segment) {
            return;
        }
        while fill_from_frame(standing, &mut self.next, limit, filters, page, room) {
            let mut place = standing.place;
            let Ok(Step::Frame(frame)) = standing.segment.step_or_trimmed(&mut place) else {
                return;
            };
            standing.place = place;
            self.touched += 1;
            if frame.end() > self.next {
                standing.open(&frame);
            }
        }
    }
}

/// Adds what matches in the frame that is open. `true`: the page can take more, and the frame has
/// none.
#[inline]
fn fill_from_frame(
    standing: &mut Standing,
    next: &mut u64,
    limit: u64,
    filters: &FilterSet,
    page: &mut Page,
    room: &mut Room,
) -> bool {
    let Standing { segment, open, .. } = standing;
    while let Some(frame) = open.as_mut().filter(|frame| frame.offset < frame.end) {
        let bytes = segment.region().bytes(frame.records.clone());
        let Some((record, bytes)) = bytes.and_then(RecordRef::read) else {
            return false;
        };
        if frame.offset >= limit {
            return false;
        }
        if frame.offset >= *next && matches(filters, &record) {
            if !room.take(bytes) {
                return false;
            }
            page.add(Spot {
                at: frame.records.start,
                bytes,
                offset: frame.offset,
                time: frame.time,
            });
        }
        frame.records.start += bytes;
        frame.offset += 1;
        *next = frame.offset.max(*next);
    }
    *open = None;
    *next < limit && !room.is_full()
}
