//! Cursors from outside: a list of them, their end, and another place for one.

use super::builder::{closed_or_poisoned, reading_failed};
use crate::cursor_file::{self, Age, Listed};
use crate::error::{CursorError, SyncError};
use crate::options::{ReadLevel, Start};
use crate::reader::{Scanner, start_at};
use crate::store::{DurableFuture, Shared};
use crate::types::{FilterSet, Position, check_name};
use std::sync::Arc;
use std::time::Duration;

/// How many events one list may count to say how far cursors are behind.
const LAG_EVENTS: u64 = 1_000_000;

/// What is known of a cursor. Made by [`Log::cursor_list`](crate::Log::cursor_list).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CursorInfo {
    /// Its name.
    pub name: String,
    /// The filters that are stored with it; none stands for every topic but those that begin with
    /// `$`.
    pub filters: Vec<String>,
    /// The identities that were given; `None` if they follow from the filters.
    pub identities: Option<Vec<String>>,
    /// The next offset that its consumer wants: all below is acked. `None` if it is damaged.
    pub acked: Option<u64>,
    /// The same as a position of the epoch in force.
    pub position: Option<Position>,
    /// How many events that match are not acked; `None` if it is damaged, or if the list has
    /// counted a million events for the others.
    pub lag: Option<u64>,
    /// About when it was acked last, UTC microseconds. An ack looks at no clock: this is when a
    /// handle that may ack was open last, known to the minute, and the last ack may be earlier.
    /// `None` if that was in the first minute after the log was opened, which is not over.
    pub last_ack: Option<u64>,
    /// How long it lives unused; `None` is for ever.
    pub ttl: Option<Duration>,
    /// Whether it can be used.
    pub state: CursorState,
}

/// What may be done with a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CursorState {
    /// It can be opened.
    Live,
    /// A handle is open in this process. (What other processes hold cannot be seen.)
    Open,
    /// Nobody has used it for as long as it lives.
    Expired,
    /// Its place is lost. It can be deleted.
    Corrupt,
}

/// All cursors, by name.
pub(crate) fn list(shared: &Shared) -> Result<Vec<CursorInfo>, CursorError> {
    let listed = cursor_file::list(&*shared.dir, &shared.meta);
    let listed = listed
        .map_err(|error| CursorError::from_io(shared.dir.path(), "list the cursors in", error))?;
    let (now, here) = (shared.clock.now(), shared.position());
    let held = shared.fences.held();
    let mut budget = LAG_EVENTS;
    let info = |listed: Listed| {
        let lag = lag_of(shared, &listed, &mut budget);
        let old = now.zip(listed.used).is_some_and(|(now, used)| {
            listed.time_to_live > 0 && used.saturating_add(listed.time_to_live) < now
        });
        let state = match listed.acked {
            None => CursorState::Corrupt,
            Some(_) if held.contains(&listed.slot) => CursorState::Open,
            Some(_) if old => CursorState::Expired,
            Some(_) => CursorState::Live,
        };
        let ttl = (listed.time_to_live > 0).then(|| Duration::from_micros(listed.time_to_live));
        CursorInfo {
            name: listed.name,
            filters: listed.filters,
            identities: listed.identities,
            acked: listed.acked,
            position: listed.acked.map(|offset| Position { offset, ..here }),
            lag,
            last_ack: listed.used,
            ttl,
            state,
        }
    };
    Ok(listed.into_iter().map(info).collect())
}

/// The names of all that have not expired.
pub(crate) fn names(shared: &Shared, visit: impl FnMut(&str)) -> Result<(), CursorError> {
    let cursors = shared.cursors.as_ref().ok_or(CursorError::ReadOnly)?;
    let age = Age {
        now: shared.clock.now(),
        is_held: &|slot| shared.fences.is_held(slot),
    };
    cursors
        .names(&age, visit)
        .map_err(|error| CursorError::from_io(shared.dir.path(), "list the cursors in", error))
}

/// How many events match from the ack on, as long as `budget` lasts.
fn lag_of(shared: &Shared, cursor: &Listed, budget: &mut u64) -> Option<u64> {
    let end = shared.marks.next();
    let from = cursor.acked?.max(shared.marks.first());
    if from >= end {
        return Some(0);
    }
    if *budget == 0 {
        return None;
    }
    let filters = FilterSet::new(&cursor.filters, cursor.identities.as_deref()).ok()?;
    let counted = Scanner::new(from).count(shared, end, &filters, u64::MAX);
    let lag = counted.ok()?;
    *budget = budget.saturating_sub(lag.max(1));
    Some(lag)
}

/// Ends a cursor; returns when that is on disk.
pub(crate) fn delete(shared: &Arc<Shared>, name: &str) -> Result<(), CursorError> {
    check_name(name).map_err(CursorError::Name)?;
    let cursors = shared.cursors.as_ref().ok_or(CursorError::ReadOnly)?;
    let naming = shared.fences.naming();
    drop(shared.hold_open().map_err(closed_or_poisoned)?);
    let unknown = || CursorError::Unknown { name: name.into() };
    let slot = cursors.slot_of(name).ok_or_else(unknown)?;
    shared.fences.expel(slot);
    shared.await_acks();
    let open = shared.hold_open().map_err(closed_or_poisoned)?;
    cursors.retire(name)?;
    drop(open);
    drop(naming);
    shared.ack_waits.changed(slot);
    let synced = DurableFuture::everything(Arc::clone(shared)).wait();
    synced.map_err(|error| match error {
        SyncError::Closed => CursorError::Closed,
        SyncError::ReadOnly => CursorError::ReadOnly,
        SyncError::Poisoned(_) | SyncError::Lost => CursorError::Poisoned,
    })
}

/// Puts a cursor to another place, without reading; returns the offset.
pub(crate) fn put(shared: &Shared, name: &str, start: Start) -> Result<u64, CursorError> {
    check_name(name).map_err(CursorError::Name)?;
    let cursors = shared.cursors.as_ref().ok_or(CursorError::ReadOnly)?;
    let _naming = shared.fences.naming();
    drop(shared.hold_open().map_err(closed_or_poisoned)?);
    let unknown = || CursorError::Unknown { name: name.into() };
    let found = cursors.find(name).map_err(CursorError::Corrupt)?;
    let slot = found.ok_or_else(unknown)?;
    let stored = slot.definition();
    let stored = stored
        .map_err(|error| CursorError::from_io(shared.dir.path(), "read a cursor in", error))?;
    let filters = FilterSet::new(&stored.filters, stored.identities.as_deref())?;
    let offset = loop {
        let generation = shared.marks.generation();
        let (offset, gap) =
            start_at(shared, start, ReadLevel::Visible, &filters).map_err(reading_failed)?;
        shared.fences.expel(slot.number());
        shared.await_acks();
        let _open = shared.hold_open().map_err(closed_or_poisoned)?;
        // After a reopen the start may be another place.
        if generation == shared.marks.generation() {
            slot.put(offset, gap, shared.clock.now());
            break offset;
        }
    };
    shared.ack_waits.reached(slot.number(), || offset);
    shared.wake_sync();
    Ok(offset)
}
