//! Opening a cursor.

use super::Cursor;
use crate::cursor_file::{Age, CursorFile, SlotHandle};
use crate::error::{AckError, CursorError, ReadError};
use crate::options::{Opened, ReadLevel, Start};
use crate::reader::{Reading, Wish, start_at};
use crate::store::{Shared, Store};
use crate::sync::{Plant, planted};
use crate::types::{FilterSet, Gap, check_name};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Says what a [`Cursor`] shall read. Made by [`Log::cursor`](crate::Log::cursor).
#[derive(Clone)]
#[must_use = "a builder does nothing until `open`"]
pub struct CursorBuilder {
    store: Arc<Store>,
    name: String,
    wish: Wish,
    refilter: bool,
    time_to_live: Option<Duration>,
    if_corrupt: Option<Start>,
}

/// The bounds of a time to live: cursors in use are marked so each minute.
const SHORTEST_LIFE: Duration = Duration::from_secs(60);
const LONGEST_LIFE: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl CursorBuilder {
    pub(crate) fn new(store: Arc<Store>, name: String) -> Self {
        Self {
            store,
            name,
            wish: Wish::new(Start::Latest),
            refilter: false,
            time_to_live: None,
            if_corrupt: None,
        }
    }

    /// Adds filters: topics, with `*` for one token and `>` for the rest. They are stored with the
    /// cursor; a cursor that is known is opened with the same ones or without any, which means
    /// those stored. A new one without any reads every topic but those that begin with `$`.
    pub fn topics<S: Into<String>>(mut self, filters: impl IntoIterator<Item = S>) -> Self {
        self.wish.add_filters(filters);
        self
    }

    /// Adds identities: events that are *not to* one of them are not read. Without any, they are
    /// the filters that have no wildcard. They are stored with the filters.
    pub fn identities<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.wish.add_identities(names);
        self
    }

    /// Where a *new* cursor begins; [`Start::Latest`] if not said. A known one goes on where it
    /// was.
    pub fn start(mut self, start: Start) -> Self {
        self.wish.start = start;
        self
    }

    /// Which events count; [`ReadLevel::Visible`] if not said. Not stored.
    pub fn level(mut self, level: ReadLevel) -> Self {
        self.wish.level = level;
        self
    }

    /// Stores the filters and identities given here in place of those that a known cursor has. Its
    /// place stays.
    pub fn refilter(mut self) -> Self {
        self.refilter = true;
        self
    }

    /// How long the cursor lives while nobody uses it: 1 minute to 100 years; for ever if not said
    /// when it is made. It is used while a handle of it is open; after a crash, the last use is
    /// known to the minute. Stored with the cursor; given for one that is known, it replaces
    /// what is stored.
    ///
    /// One that has expired holds back no retention, and does not count for
    /// [`Options::max_cursors`](crate::Options::max_cursors): when room is needed, the one that
    /// expired first makes it. Until then opening the name says where it stood
    /// ([`Opened::Expired`]). Nothing expires in the first minute after the log was opened, and
    /// setting the clock makes nothing expire.
    pub fn ttl(mut self, time_to_live: Duration) -> Self {
        self.time_to_live = Some(time_to_live);
        self
    }

    /// Where a known cursor begins whose slot or definition is damaged, with the filters given
    /// here; [`Opened::Corrupt`] says so. [`Start::Earliest`] leaves out nothing that is kept. Not
    /// said, such a cursor is [`CursorError::Corrupt`]. Until the new place is on disk
    /// ([`Cursor::saved`]), a crash leaves the damage as it was.
    pub fn start_if_corrupt(mut self, start: Start) -> Self {
        self.if_corrupt = Some(start);
        self
    }

    /// How long a blocking receive keeps looking at the end of the log before it sleeps; see
    /// [`ReaderBuilder::spin`](crate::ReaderBuilder::spin). Not stored.
    pub fn spin(mut self, spin: Duration) -> Self {
        self.wish.spin = spin;
        self
    }

    /// Opens the cursor, and fences an older handle of the same name.
    ///
    /// # Errors
    /// [`CursorError::Name`] and [`CursorError::Filter`] for what was given;
    /// [`CursorError::FilterDiffers`] when the cursor is stored with others;
    /// [`CursorError::Corrupt`] when its slot is damaged, unless
    /// [`CursorBuilder::start_if_corrupt`] was said; [`CursorError::TooMany`];
    /// [`CursorError::TimeToLive`];
    /// [`CursorError::Offset`], [`CursorError::Reset`] and [`CursorError::NotAPlace`] for the start
    /// of a new one.
    pub fn open(self) -> Result<Cursor, CursorError> {
        check_name(&self.name).map_err(CursorError::Name)?;
        let shared = Arc::clone(self.store.shared());
        let cursors = shared.cursors.as_ref().ok_or(CursorError::ReadOnly)?;
        // One at a time: two threads may open the same new name.
        let _naming = shared.fences.naming();
        let open = shared.hold_open().map_err(closed_or_poisoned)?;
        let mut damaged = None;
        let (slot, filters, opened) = match cursors.find(&self.name) {
            Err(corruption) => {
                let start = self.if_corrupt.ok_or(CursorError::Corrupt(corruption))?;
                damaged = cursors.slot_of(&self.name);
                let filters = self.wish.filter_set()?;
                let slot = self.replace(&shared, cursors, &filters, start)?;
                (slot, filters, Opened::Corrupt)
            }
            Ok(Some(slot)) if !has_expired(&shared, &slot) => {
                let filters = self.filters_of_known(&shared, cursors, &slot)?;
                slot.touch(shared.clock.now());
                (slot, filters, Opened::Resumed)
            }
            Ok(Some(slot)) => {
                let filters = self.wish.filter_set()?;
                let acked = slot.acked();
                self.revive(&shared, cursors, &filters, &slot)?;
                (slot, filters, Opened::Expired { acked })
            }
            Ok(None) => {
                let filters = self.wish.filter_set()?;
                let slot = self.create(&shared, cursors, &filters)?;
                (slot, filters, Opened::New)
            }
        };
        let acked = slot.acked();
        let start = Start::Offset(acked);
        let store = Arc::clone(&self.store);
        let reading = Reading::new(store, filters, self.wish.level, start);
        let reading = reading.map_err(reading_failed)?.spinning(self.wish.spin);
        drop(open);
        // Not while acks are held: a waker is somebody else's code.
        if matches!(opened, Opened::Expired { .. }) {
            shared.ack_waits.changed(slot.number());
        }
        if let Some(damaged) = damaged {
            shared.fences.expel(damaged);
            shared.ack_waits.changed(damaged);
        }
        // Last: the older handle works on if this open fails, but for a place that cannot be read.
        let (fence, was_held) = shared.fences.take_over(slot.number());
        let mut cursor = Cursor::new(reading, slot, fence, opened);
        if was_held {
            // What the older handle was storing is stored; from now on it stores nothing.
            shared.await_acks();
        }
        // A reopen may lower the cursor: not between the look and the seek.
        let _acks = shared.hold_acks();
        // The older handle may have gone on until now, or until it was dropped a moment ago.
        let moved = cursor.slot.acked();
        if moved != acked && (was_held || !planted(Plant::HastyHandover)) {
            let place = cursor.reading.seek(Start::Offset(moved));
            place.map_err(reading_failed)?;
        }
        Ok(cursor)
    }

    fn filters_of_known(
        &self,
        shared: &Shared,
        cursors: &CursorFile,
        slot: &SlotHandle,
    ) -> Result<FilterSet, CursorError> {
        let stored = slot.definition().map_err(|error| self.io(shared, error))?;
        let stored_set = FilterSet::new(&stored.filters, stored.identities.as_deref())?;
        let asked = self.wish.filters.is_some() || self.wish.identities.is_some() || self.refilter;
        let given = if asked {
            self.wish.filter_set()?
        } else {
            stored_set.clone()
        };
        if given != stored_set && !self.refilter {
            return Err(CursorError::FilterDiffers {
                stored: stored.filters,
            });
        }
        let time_to_live = self.time_to_live()?.unwrap_or(stored.time_to_live);
        if given != stored_set || time_to_live != stored.time_to_live {
            cursors
                .redefine(slot, &self.name, &given, time_to_live)
                .map_err(|error| self.io(shared, error))?;
        }
        Ok(given)
    }

    /// In microseconds.
    fn time_to_live(&self) -> Result<Option<u64>, CursorError> {
        let Some(time) = self.time_to_live else {
            return Ok(None);
        };
        let micros = u64::try_from(time.as_micros()).ok();
        let good = (SHORTEST_LIFE..=LONGEST_LIFE).contains(&time);
        match micros.filter(|_| good) {
            Some(micros) => Ok(Some(micros)),
            None => Err(CursorError::TimeToLive),
        }
    }

    fn create(
        &self,
        shared: &Shared,
        cursors: &CursorFile,
        filters: &FilterSet,
    ) -> Result<SlotHandle, CursorError> {
        let time_to_live = self.time_to_live()?.unwrap_or(0);
        let (start, gap) = self.place_of(shared, self.wish.start, filters)?;
        let age = Age {
            now: shared.clock.now(),
            is_held: &|slot| shared.fences.is_held(slot),
        };
        let slot = cursors.create(&self.name, filters, time_to_live, start, &age)?;
        if let Some(gap) = gap {
            slot.keep(gap.to);
        }
        shared.wake_sync();
        Ok(slot)
    }

    /// Begins anew in the place of a damaged cursor.
    fn replace(
        &self,
        shared: &Shared,
        cursors: &CursorFile,
        filters: &FilterSet,
        start: Start,
    ) -> Result<SlotHandle, CursorError> {
        let time_to_live = self.time_to_live()?.unwrap_or(0);
        let (start, gap) = self.place_of(shared, start, filters)?;
        let now = shared.clock.now();
        let slot = cursors.replace(&self.name, filters, time_to_live, start, now)?;
        if let Some(gap) = gap {
            slot.keep(gap.to);
        }
        shared.wake_sync();
        Ok(slot)
    }

    /// Begins anew where an expired cursor of the name stands. The definition first: if that fails,
    /// the old position is still there to be told.
    fn revive(
        &self,
        shared: &Shared,
        cursors: &CursorFile,
        filters: &FilterSet,
        slot: &SlotHandle,
    ) -> Result<(), CursorError> {
        let time_to_live = self.time_to_live()?.unwrap_or(0);
        let (start, gap) = self.place_of(shared, self.wish.start, filters)?;
        cursors
            .redefine(slot, &self.name, filters, time_to_live)
            .map_err(|error| self.io(shared, error))?;
        slot.put(start, gap, shared.clock.now());
        shared.wake_sync();
        Ok(())
    }

    fn place_of(
        &self,
        shared: &Shared,
        start: Start,
        filters: &FilterSet,
    ) -> Result<(u64, Option<Gap>), CursorError> {
        start_at(shared, start, self.wish.level, filters).map_err(reading_failed)
    }

    fn io(&self, shared: &Shared, error: std::io::Error) -> CursorError {
        CursorError::from_io(shared.dir.path(), "read or write a cursor", error)
    }
}

/// Whether nobody has used the cursor for as long as it lives.
pub(super) fn has_expired(shared: &Shared, slot: &SlotHandle) -> bool {
    let is_old = || slot.is_old(shared.clock.now());
    // Again at last: a handle that is dropped says first that it was used until now.
    is_old() && !shared.fences.is_held(slot.number()) && is_old()
}

pub(super) fn closed_or_poisoned(error: AckError) -> CursorError {
    match error {
        AckError::Poisoned => CursorError::Poisoned,
        AckError::ReadOnly => CursorError::ReadOnly,
        _ => CursorError::Closed,
    }
}

pub(super) fn reading_failed(error: ReadError) -> CursorError {
    match error {
        ReadError::Offset { asked, next } => CursorError::Offset { asked, next },
        ReadError::Filter(error) => CursorError::Filter(error),
        ReadError::Io(failure) => CursorError::Io(failure),
        ReadError::NotAPlace => CursorError::NotAPlace,
        _ => CursorError::Reset,
    }
}

impl fmt::Debug for CursorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CursorBuilder")
            .field("wish", &self.wish)
            .finish_non_exhaustive()
    }
}
