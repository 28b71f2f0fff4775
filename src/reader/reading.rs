//! What readers and cursors have in common: a place, a filter, a level, and how to wait.

use super::event::{Event, Page, Spot};
use super::filling::Room;
use super::picks::Picks;
use super::releasing::Releasing;
use super::scanner::{Scan, Scanner};
use super::start::start_at;
use super::wants::Wants;
use crate::error::ReadError;
use crate::history::Verdict;
use crate::options::{ReadLevel, Start};
use crate::segment::Segment;
use crate::store::{Hold, Shared, Store};
use crate::types::{Epoch, FilterSet, Gap, GapReason, Position};
use crate::waiters::Ticket;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Something that was found and not handed out yet.
#[derive(Debug)]
pub(super) enum Found {
    Event(Arc<Segment>, Spot),
    Gap(Gap),
    /// Met behind events that were found before it.
    Failed(ReadError),
}

/// Reads forward under a filter. One reader for catch-up and live: live is a lag of zero.
pub(crate) struct Reading {
    store: Hold,
    pub(super) scanner: Scanner,
    pub(super) wants: Wants,
    pub(super) level: ReadLevel,
    /// Under which history the place was last judged.
    pub(super) generation: u64,
    epoch: Epoch,
    pub(super) found: Option<Found>,
    /// Events to hand out before the scanner goes on.
    picks: Option<Picks>,
    pub(super) ticket: Option<Ticket>,
    /// Whether the first event that came was for this reader when it last waited for one.
    pub(super) first_is_mine: bool,
    /// How long a thread that waits stays awake.
    pub(super) spin: Duration,
    /// How many events the last page had: the next one will have about as many.
    page_events: usize,
    /// If what it has read is to leave the page table behind it.
    releasing: Option<Releasing>,
}

impl Reading {
    /// Stands at `start`. A position that is not valid any more shows as a gap in the first read.
    pub(crate) fn new(
        store: Arc<Store>,
        filters: FilterSet,
        level: ReadLevel,
        start: Start,
    ) -> Result<Self, ReadError> {
        let shared = store.shared();
        let generation = shared.marks.generation();
        let epoch = shared.epoch();
        let picks = Picks::of(shared, start, level, &filters)?;
        let start = picks.as_ref().map_or(start, Picks::start);
        let (next, gap) = start_at(shared, start, level, &filters)?;
        Ok(Self {
            store: Hold::new(store),
            scanner: Scanner::new(next),
            wants: Wants::new(filters),
            level,
            generation,
            epoch,
            found: gap.map(Found::Gap),
            picks,
            ticket: None,
            first_is_mine: true,
            spin: Duration::ZERO,
            page_events: 0,
            releasing: None,
        })
    }

    /// Whether pages of memory are released when they were read.
    pub(crate) fn releasing(mut self, releasing: bool) -> Self {
        self.releasing = releasing.then(Releasing::default);
        self
    }

    /// Stays awake for so long when a thread waits.
    pub(crate) fn spinning(mut self, spin: Duration) -> Self {
        self.spin = spin;
        self
    }

    /// Does not keep the log open any more.
    pub(crate) fn loosen(&mut self) {
        self.store.loosen();
    }

    /// Goes somewhere else; returns the offset and a gap that the next read tells.
    pub(crate) fn seek(&mut self, start: Start) -> Result<(u64, Option<Gap>), ReadError> {
        let shared = Arc::clone(self.store.shared());
        let (generation, epoch) = (shared.marks.generation(), shared.epoch());
        // A start that is refused leaves the place as it is, still to be judged after a reopen.
        let picks = Picks::of(&shared, start, self.level, &self.wants.filters)?;
        let start = picks.as_ref().map_or(start, Picks::start);
        let (next, gap) = start_at(&shared, start, self.level, &self.wants.filters)?;
        self.picks = picks;
        (self.generation, self.epoch) = (generation, epoch);
        // What the dispatcher has passed was seen from the old place.
        self.sign_out();
        self.scanner.seek(next);
        self.found = gap.map(Found::Gap);
        // What lies between was not read here.
        self.releasing = self.releasing.take().map(|_| Releasing::default());
        Ok((next, gap))
    }

    /// The consumer knows of this divergence: if the place lies in it, reading goes on where it
    /// begins, and the gap is not told a second time.
    pub(crate) fn diverged(&mut self, known: &Gap) {
        // Whoever waited through the reopen has found it too, and stands behind it already.
        if matches!(&self.found, Some(Found::Gap(gap))
            if gap.reason == GapReason::Diverged && gap.from >= known.from && gap.to <= known.to)
        {
            self.found = None;
        }
        let verdict = self.shared().judge(&self.position());
        if matches!(verdict, Verdict::Diverged(gap) if gap.to <= known.to) {
            // The log ends at or above the start of the gap.
            let _ = self.seek(Start::Offset(known.from));
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        self.store.shared()
    }

    /// Where the next read begins.
    pub(crate) fn position(&self) -> Position {
        Position {
            log: self.shared().log_id(),
            epoch: self.epoch,
            offset: self.place(),
        }
    }

    /// The offset at which the next read begins.
    #[inline]
    pub(crate) fn place(&self) -> u64 {
        match &self.found {
            Some(Found::Event(_, spot)) => spot.offset,
            Some(Found::Gap(gap)) => gap.from,
            Some(Found::Failed(_)) | None => self.next_place(),
        }
    }

    /// What [`Shared::judge`] says, without a look at the history if that is as it was when this
    /// reader's epoch was the newest: then all up to the end is valid.
    #[inline]
    pub(crate) fn judge(&self, position: &Position) -> Verdict {
        let shared = self.shared();
        // A history is there before its generation is, and an epoch was asked for after the
        // generation: an epoch that is newer than the generation beside it is not taken for valid.
        if position.epoch == self.epoch
            && shared.marks.generation() == self.generation
            && position.offset <= shared.marks.next()
            && position.log == shared.log_id()
        {
            return Verdict::Valid;
        }
        shared.judge(position)
    }

    /// How many frames it has looked into.
    #[cfg(test)]
    pub(crate) fn touched(&self) -> u64 {
        self.scanner.touched
    }

    /// Where it goes on behind what was found.
    fn next_place(&self) -> u64 {
        let picks = self.picks.as_ref();
        picks.map_or(self.scanner.next(), Picks::next_place)
    }

    /// How many events match that were not handed out yet.
    pub(crate) fn lag(&self) -> Result<u64, ReadError> {
        let Some(picks) = &self.picks else {
            return self.lag_from(self.position());
        };
        let found = u64::from(matches!(self.found, Some(Found::Event(..))));
        let then = Position {
            offset: picks.then,
            ..self.position()
        };
        Ok(found + picks.events() + self.lag_from(then)?)
    }

    /// How many events match from `position` on.
    pub(crate) fn lag_from(&self, position: Position) -> Result<u64, ReadError> {
        let shared = self.shared();
        loop {
            let generation = shared.marks.generation();
            let from = match shared.judge(&position) {
                Verdict::Diverged(gap) => gap.from,
                Verdict::Valid | Verdict::Reset => position.offset,
            };
            let limit = shared.marks.limit(self.level);
            let counted = Scanner::new(from).count(shared, limit, &self.wants.filters, u64::MAX);
            if generation == shared.marks.generation() {
                return counted
                    .map_err(|error| ReadError::from_io(shared.dir.path(), "read", error));
            }
        }
    }

    /// The next event, `None` when there is none yet.
    pub(crate) fn next(&mut self) -> Result<Option<Event>, ReadError> {
        match self.take() {
            Some(Found::Event(segment, spot)) => Ok(Some(Event::new(segment, spot, self.epoch))),
            Some(Found::Gap(gap)) => Err(ReadError::Gap(gap)),
            Some(Found::Failed(error)) => Err(error),
            None => Ok(None),
        }
    }

    /// The next events, all of one segment and read under one epoch, at least one if there is any;
    /// `None` when there is none yet.
    pub(crate) fn page(&mut self, events: usize, bytes: usize) -> Result<Option<Page>, ReadError> {
        let (segment, spot) = match self.take() {
            Some(Found::Event(segment, spot)) => (segment, spot),
            Some(Found::Gap(gap)) => return Err(ReadError::Gap(gap)),
            Some(Found::Failed(error)) => return Err(error),
            None => return Ok(None),
        };
        if let Some(releasing) = &mut self.releasing {
            releasing.come_to(&segment, spot.at);
        }
        let epoch = self.epoch;
        let mut room = Room { events, bytes };
        // The first one is taken however large.
        room.take(spot.bytes.min(bytes));
        let mut page = Page::new(segment, epoch, self.page_events.min(events));
        page.add(spot);
        while !room.is_full() {
            self.fill(&mut page, &mut room);
            match self.take() {
                Some(Found::Event(segment, spot))
                    if self.epoch == epoch && page.stands_in(&segment) && room.take(spot.bytes) =>
                {
                    page.add(spot);
                }
                // What has no room, or comes otherwise, is handed out next.
                Some(other) => {
                    self.found = Some(other);
                    break;
                }
                None => break,
            }
        }
        self.page_events = page.len();
        Ok(Some(page))
    }

    /// Adds what can be had in one go, all of it under the history under which the page began.
    fn fill(&mut self, page: &mut Page, room: &mut Room) {
        if self.picks.is_some() {
            return;
        }
        let (begun, before) = (self.scanner.next(), *room);
        let shared = self.store.shared();
        // As in `take`: the limit before the generation.
        let limit = shared.marks.limit(self.level);
        if shared.marks.generation() == self.generation {
            let events = page.len();
            self.scanner.fill(limit, &mut self.wants, page, room);
            if self.store.shared().marks.generation() != self.generation {
                // It may have run from the old log into the new one: `take` judges where it is.
                page.shorten(events);
                *room = before;
                self.scanner.seek(begun);
            }
        }
    }

    /// Whether there is something to hand out.
    pub(super) fn look(&mut self) -> bool {
        if self.found.is_none() {
            self.found = self.take();
        }
        self.found.is_some()
    }

    /// What comes next. What it fails with comes in its turn too: behind events that were found
    /// before, which must not be lost.
    pub(super) fn take(&mut self) -> Option<Found> {
        let shared = Arc::clone(self.store.shared());
        loop {
            // The limit before the generation: a reopen changes the generation before it publishes,
            // so whoever has read a limit of the new epoch sees the new generation too.
            let limit = shared.marks.limit(self.level);
            match self.found.take() {
                // After a failed sync, reading ends at the durable mark.
                Some(Found::Event(_, spot)) if spot.offset >= limit => {
                    self.scanner.seek(spot.offset);
                    if let Some(picks) = &mut self.picks {
                        picks.put_back(spot.offset);
                    }
                }
                Some(found) => return Some(found),
                None => {}
            }
            match self.judge_again(&shared) {
                Ok(None) => {}
                Ok(Some(gap)) => return Some(Found::Gap(gap)),
                Err(error) => return Some(Found::Failed(error)),
            }
            let begun = self.scanner.next();
            let scanned = match self.picks.as_mut() {
                Some(picks) => match picks.next(&mut self.scanner, &shared, limit) {
                    Some(scanned) => scanned,
                    None => {
                        self.scanner.seek(picks.then);
                        self.picks = None;
                        continue;
                    }
                },
                None => self.scanner.advance_for(&shared, limit, &mut self.wants),
            };
            if shared.marks.generation() != self.generation {
                // The scan may have run from the old log into the new one: once more.
                self.scanner.seek(begun);
                continue;
            }
            if let Some(picks) = &mut self.picks {
                picks.passed(&scanned);
            }
            return match scanned {
                Ok(Scan::Event(segment, spot)) => Some(Found::Event(segment, spot)),
                Ok(Scan::Gap(gap)) => Some(Found::Gap(gap)),
                Ok(Scan::Done) => None,
                Err(error) => {
                    let error = ReadError::from_io(shared.dir.path(), "read", error);
                    Some(Found::Failed(error))
                }
            };
        }
    }

    /// After a reopen, the place may not be in the log any more.
    fn judge_again(&mut self, shared: &Shared) -> Result<Option<Gap>, ReadError> {
        let generation = shared.marks.generation();
        if generation == self.generation {
            return Ok(None);
        }
        let here = Position {
            log: shared.log_id(),
            epoch: self.epoch,
            offset: self
                .picks
                .as_ref()
                .map_or(self.scanner.next(), |picks| picks.then),
        };
        self.generation = generation;
        self.sign_out();
        let verdict = shared.judge(&here);
        self.epoch = shared.epoch();
        match verdict {
            Verdict::Valid => {
                self.scanner.seek(here.offset);
                Ok(None)
            }
            Verdict::Diverged(gap) => {
                self.scanner.seek(gap.from);
                if let Some(picks) = &mut self.picks {
                    picks.cut(gap.from);
                }
                Ok(Some(gap))
            }
            Verdict::Reset => Err(ReadError::Reset),
        }
    }
}

/// The deadline after `timeout`; none if it lies beyond what the clock can say.
pub(crate) fn deadline(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading")
            .field("position", &self.position())
            .field("filters", &self.wants.filters)
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.sign_out();
    }
}
