//! Filling a page: the loop that a catch-up spends its time in.

use super::event::{Page, Spot};
use super::scanner::{Open, Scanner};
use super::wants::Wants;
use crate::format::{FRAME_HEADER, RecordRef};
use crate::segment::{Place, Segment};

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

/// Frames are verified in pieces of about so many bytes: what was verified is still near when it is
/// looked at.
const PIECE: usize = 16 << 10;

impl Scanner {
    /// Adds the matching events that follow in the segment of `page` while it is walked. Ends
    /// before whatever needs more thought: damage, what a mirror's source had trimmed, the
    /// end of the segment, `limit`, a full page. Nothing is passed that was not looked at.
    pub(super) fn fill(&mut self, limit: u64, wants: &mut Wants, page: &mut Page, room: &mut Room) {
        let Some(standing) = &mut self.standing else {
            return;
        };
        if !page.stands_in(&standing.segment) {
            return;
        }
        if standing.jumping.is_jumping() {
            return self.fill_by_jumps(limit, wants, page, room);
        }
        let mut filling = Filling {
            segment: &standing.segment,
            place: standing.place,
            open: standing.open.take(),
            next: self.next,
            limit,
            room: *room,
            touched: self.touched,
        };
        filling.fill(wants, page);
        (standing.place, standing.open) = (filling.place, filling.open);
        (self.next, self.touched) = (filling.next, filling.touched);
        *room = filling.room;
    }
}

/// How far a page is filled.
struct Filling<'a> {
    segment: &'a Segment,
    place: Place,
    open: Option<Open>,
    next: u64,
    limit: u64,
    room: Room,
    touched: u64,
}

impl Filling<'_> {
    fn fill(&mut self, wants: &mut Wants, page: &mut Page) {
        let segment = self.segment;
        let open = self.open.as_ref();
        let mut records = open.and_then(|open| segment.region().bytes(open.records.clone()));
        let (mut begun, mut frames) = (self.place.at, <&[u8]>::default());
        loop {
            // What is open is a frame that has verified.
            while let Some(open) = self.open.as_mut().filter(|open| open.offset < open.end) {
                let Some((record, bytes)) = records.and_then(RecordRef::read) else {
                    return;
                };
                if open.offset >= self.limit {
                    return;
                }
                let at = open.records.start;
                segment.fetch_ahead(at..at + bytes);
                if open.offset >= self.next && wants.wants(&record) {
                    if !self.room.take(bytes) {
                        return;
                    }
                    page.add(Spot {
                        at,
                        bytes,
                        offset: open.offset,
                        time: open.time,
                    });
                }
                records = records.and_then(|records| records.get(bytes..));
                open.records.start += bytes;
                open.offset += 1;
                self.next = open.offset.max(self.next);
            }
            self.open = None;
            if self.next >= self.limit || self.room.is_full() {
                return;
            }
            let mut rest = frames.get(self.place.at - begun..).unwrap_or_default();
            if rest.is_empty() {
                begun = self.place.at;
                frames = segment.verified_from(&self.place, PIECE);
                rest = frames;
            }
            let Some(frame) = segment.step_in(&mut self.place, rest) else {
                return;
            };
            self.touched += 1;
            if frame.end() > self.next {
                self.open = Some(Open::of(&frame));
                records = rest.get(FRAME_HEADER..frame.bytes());
            }
        }
    }
}
