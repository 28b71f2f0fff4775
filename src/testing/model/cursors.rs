//! Cursors beside those that ought to be.

use super::ops::{FILTERS, From, Take};
use super::oracle::{CursorOracle, Meaning, Wish};
use super::world::World;
use crate::{
    AckError, Cursor, CursorBuilder, CursorError, Event, Gap, GapReason, Log, Opened, Position,
    ReadError, Start,
};

/// An open cursor, and where it ought to be.
pub(super) struct Handle {
    pub(super) cursor: Cursor,
    next: u64,
    handed: u64,
    gap: Option<Gap>,
}

pub(super) fn open(log: &Log, number: usize, start: Start) -> Result<Cursor, CursorError> {
    opening(log, number, start).open()
}

pub(super) fn opening(log: &Log, number: usize, start: Start) -> CursorBuilder {
    let (filters, identities) = FILTERS[number];
    let mut builder = log
        .cursor(format!("cursor-{number}"))
        .topics(filters.iter().copied());
    if let Some(identities) = identities {
        builder = builder.identities(identities.iter().copied());
    }
    builder.start(start)
}

impl Handle {
    pub(super) fn new(cursor: Cursor, next: u64) -> Self {
        Self {
            cursor,
            next,
            handed: 0,
            gap: None,
        }
    }
}

impl World {
    pub(super) fn open_cursor(&mut self, number: usize, from: From) {
        let (start, expected) = self.start(from, number);
        let known = self.oracle.cursors.get(&number).cloned();
        let opened = open(self.log(), number, start);
        let (cursor, next) = match (known, expected) {
            (Some(known), _) => (opened.unwrap(), known.acked),
            (None, None) => return assert!(matches!(opened, Err(CursorError::Offset { .. }))),
            (None, Some((acked, gap))) => {
                let made = CursorOracle::new(acked, gap.map(|gap| gap.to));
                self.oracle.cursors.insert(number, made);
                (opened.unwrap(), acked)
            }
        };
        self.expect_opened(number, &cursor, next);
        if let Some(mut older) = self.handles.insert(number, Handle::new(cursor, next)) {
            assert!(matches!(older.cursor.next(), Err(ReadError::Fenced)));
            assert!(matches!(older.cursor.lag(), Err(ReadError::Fenced)));
            let here = older.cursor.position();
            assert!(matches!(older.cursor.ack_to(here), Err(AckError::Fenced)));
        }
        self.check_cursor(number);
    }

    fn expect_opened(&self, number: usize, cursor: &Cursor, acked: u64) {
        let ever = self.handed.contains_key(&number);
        assert!(cursor.opened() == Opened::Resumed || !ever || acked == cursor.acked());
        assert_eq!(cursor.acked(), acked);
    }

    /// Runs `act` on an open cursor and the ones that ought to be, if it is open.
    fn with(&mut self, number: usize, act: impl FnOnce(&mut Self, &mut Handle)) {
        if let Some(mut handle) = self.handles.remove(&number) {
            act(self, &mut handle);
            self.handles.insert(number, handle);
            self.check_cursor(number);
        }
    }

    pub(super) fn check_cursor(&mut self, number: usize) {
        let lag = self.handles.get_mut(&number).unwrap().cursor.lag().unwrap();
        self.check_lag(number, self.oracle.cursors[&number].acked, lag);
        let handle = &self.handles[&number];
        assert_eq!(
            handle.cursor.acked(),
            self.oracle.cursors[&number].acked,
            "acked"
        );
        assert_eq!(
            handle.cursor.position().offset,
            handle.next,
            "the next offset"
        );
    }

    /// The gap that must be told before anything else.
    fn gap_of(&self, number: usize, handle: &mut Handle) -> Option<Gap> {
        let slot = &self.oracle.cursors[&number];
        if handle.gap.is_none() {
            let (from, reason) = (slot.acked, GapReason::Diverged);
            handle.gap = slot
                .kept
                .filter(|to| *to > from)
                .map(|to| Gap { from, to, reason });
        }
        handle.gap
    }

    pub(super) fn take(&mut self, number: usize, take: Take) {
        self.with(number, |world, handle| {
            if let Some(gap) = world.gap_of(number, handle) {
                let told = match take {
                    Take::Next(_) => handle.cursor.next().map(|_| ()),
                    Take::Page { events, bytes } => {
                        handle.cursor.page_of(events, bytes).map(|_| ())
                    }
                };
                assert!(
                    matches!(told, Err(ReadError::Gap(told)) if told == gap),
                    "{told:?}"
                );
                return;
            }
            if world.oracle.trimmed(handle.next).is_some() {
                return world.meet_trim(number, handle);
            }
            match take {
                Take::Next(count) => {
                    (0..count).all(|_| world.next(number, handle));
                }
                Take::Page { events, bytes } => world.page(number, handle, events, bytes),
            }
        });
    }

    /// The log was trimmed above the cursor's place: it is told, behind an event that it may have
    /// looked at before.
    fn meet_trim(&mut self, number: usize, handle: &mut Handle) {
        let due = self.oracle.trimmed(handle.next);
        match handle.cursor.next() {
            Err(ReadError::Gap(told)) => {
                assert_eq!(Some(told), due);
                handle.gap = due;
                handle.next = told.to;
            }
            Ok(Some(event)) => {
                assert!(event.offset() >= handle.next && event.offset() < self.oracle.first);
                handle.next = event.offset() + 1;
                self.hand_out(number, handle, vec![event]);
            }
            other => panic!("{other:?} in place of {due:?}"),
        }
    }

    pub(super) fn delete_cursor(&mut self, number: usize) {
        let deleted = self.log().delete_cursor(&format!("cursor-{number}"));
        match self.oracle.cursors.remove(&number) {
            Some(_) => deleted.unwrap(),
            None => assert!(matches!(deleted, Err(CursorError::Unknown { .. }))),
        }
        self.expect_fenced(number);
    }

    pub(super) fn set_cursor(&mut self, number: usize, from: From) {
        let (start, expected) = self.start(from, number);
        let set = self.log().set_cursor(&format!("cursor-{number}"), start);
        let Some(slot) = self.oracle.cursors.get_mut(&number) else {
            return assert!(matches!(set, Err(CursorError::Unknown { .. })));
        };
        let Some((next, gap)) = expected else {
            return assert!(matches!(set, Err(CursorError::Offset { .. })));
        };
        assert_eq!(set.unwrap(), next);
        // Cleared first, and then the new end is stored.
        slot.keep(None);
        slot.keep(gap.map(|gap| gap.to));
        slot.put(next);
        self.expect_fenced(number);
    }

    fn expect_fenced(&mut self, number: usize) {
        if let Some(mut older) = self.handles.remove(&number) {
            assert!(matches!(older.cursor.next(), Err(ReadError::Fenced)));
        }
    }

    /// Takes one event; `false` at the end.
    fn next(&mut self, number: usize, handle: &mut Handle) -> bool {
        let event = handle.cursor.next().unwrap();
        let (filters, identities) = FILTERS[number];
        let end = self.oracle.end();
        let mut due = self
            .oracle
            .matching(Wish(filters, identities), handle.next, end);
        due.truncate(1);
        assert_eq!(event.as_ref().map(Event::offset), due.first().copied());
        match event {
            Some(event) => {
                handle.next = event.offset() + 1;
                self.hand_out(number, handle, vec![event]);
                true
            }
            None => {
                handle.next = end;
                self.move_on(number, handle);
                false
            }
        }
    }

    fn page(&mut self, number: usize, handle: &mut Handle, events: usize, bytes: usize) {
        let page = handle.cursor.page_of(events, bytes).unwrap();
        let (filters, identities) = FILTERS[number];
        let end = self.oracle.end();
        let due = self
            .oracle
            .matching(Wish(filters, identities), handle.next, end);
        let Some(page) = page else {
            assert_eq!(due, []);
            handle.next = end;
            return self.move_on(number, handle);
        };
        let got: Vec<Event> = page.events().collect();
        let offsets: Vec<u64> = got.iter().map(Event::offset).collect();
        assert!(due.starts_with(&offsets) && (1..=events).contains(&got.len()));
        // It may have looked ahead, up to the next event that matches.
        let reached = handle.cursor.position().offset;
        let ahead = due.get(got.len()).copied().unwrap_or(end);
        assert!((page.last().unwrap() + 1..=ahead).contains(&reached));
        handle.next = reached;
        self.hand_out(number, handle, got);
    }

    fn hand_out(&mut self, number: usize, handle: &mut Handle, events: Vec<Event>) {
        events.iter().for_each(|event| self.check_event(event));
        handle.handed = events.last().unwrap().offset() + 1;
        let all = self.handed.entry(number).or_default();
        all.extend(events);
        all.drain(..all.len().saturating_sub(64));
    }

    /// Events that did not match are passed once everything handed out before is acked.
    fn move_on(&mut self, number: usize, handle: &Handle) {
        let slot = self.oracle.cursors.get_mut(&number).unwrap();
        let told = handle.gap.is_some() || slot.kept.is_some();
        if !told && handle.handed <= slot.acked && handle.next > slot.acked {
            slot.ack(handle.next);
        }
    }

    pub(super) fn ack(&mut self, number: usize, back: usize) {
        let event = self
            .handed
            .get(&number)
            .and_then(|all| all.iter().rev().nth(back).cloned());
        let Some(event) = event else { return };
        self.with(number, |world, handle| {
            let done = handle.cursor.ack(&event);
            world.expect_ack(number, handle, &event.position(), done);
        });
    }

    pub(super) fn ack_kept(&mut self, number: usize, kept: usize) {
        let Some(kept) = self.kept[kept] else { return };
        self.with(number, |world, handle| {
            let done = handle.cursor.ack_to(kept.position);
            world.expect_ack(number, handle, &kept.position, done);
        });
    }

    fn expect_ack(
        &mut self,
        number: usize,
        handle: &Handle,
        position: &Position,
        done: Result<(), AckError>,
    ) {
        match (self.oracle.judge(position), done) {
            (Meaning::Valid, Ok(())) => {
                self.oracle
                    .cursors
                    .get_mut(&number)
                    .unwrap()
                    .ack(position.offset);
                self.move_on(number, handle);
            }
            (Meaning::Diverged(gap), Err(AckError::Diverged(told))) => assert_eq!(told, gap),
            (meaning, done) => panic!("an ack of {position} is {meaning:?}, and was {done:?}"),
        }
    }

    pub(super) fn ack_gap(&mut self, number: usize) {
        self.with(number, |world, handle| {
            // One that was not told is not acked.
            let other = Gap {
                from: 0,
                to: 1 << 40,
                reason: GapReason::Diverged,
            };
            handle.cursor.ack_gap(&other).unwrap();
            let Some(gap) = world.gap_of(number, handle) else {
                return;
            };
            assert!(matches!(handle.cursor.next(), Err(ReadError::Gap(told)) if told == gap));
            handle.cursor.ack_gap(&gap).unwrap();
            handle.gap = None;
            let slot = world.oracle.cursors.get_mut(&number).unwrap();
            if gap.reason == GapReason::Diverged {
                slot.keep(None);
            }
            slot.ack(gap.resume_at());
        });
    }

    pub(super) fn seek_cursor(&mut self, number: usize, from: From) {
        let (start, expected) = self.start(from, number);
        self.with(number, |world, handle| {
            let sought = handle.cursor.seek(start);
            let Some((next, gap)) = expected else {
                return assert!(matches!(sought, Err(ReadError::Offset { .. })));
            };
            sought.unwrap();
            (handle.next, handle.handed, handle.gap) = (next, 0, None);
            let slot = world.oracle.cursors.get_mut(&number).unwrap();
            // Of an older gap, the higher end is kept.
            slot.keep(gap.map(|gap| slot.kept.unwrap_or(0).max(gap.to)));
            slot.put(next);
        });
    }
}
