//! The log in numbers. Whatever an append would have to count is derived from what is there.

use super::append::Status;
use super::table::Sizes;
use super::{Level, Shared};
use crate::cursor_file::CursorFile;
use crate::format::HEADER_BYTES;
use crate::host;
use crate::recovery::DurablePlace;
use crate::segment::{Place, Segment, Step};
use crate::sync::Mutex;
use crate::types::{Stats, to_u64};
use std::sync::Arc;
use std::time::Duration;

/// Where the log stood when it was opened, and what rolls have added up since. Guarded by the
/// append lock, changed by rolls alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) rolls: u64,
    /// Offset of the first event since the open.
    from: u64,
    /// Bytes of frames in segments that were sealed since.
    sealed: u64,
    /// Where counting begins in the active segment.
    at: usize,
}

impl Counted {
    pub(super) fn new(from: u64, at: usize) -> Self {
        Self {
            rolls: 0,
            from,
            sealed: 0,
            at,
        }
    }

    /// The active segment was sealed, with its last frame ending at `end`.
    pub(super) fn roll(&mut self, end: usize) {
        self.rolls += 1;
        self.sealed += to_u64(end.saturating_sub(self.at));
        self.at = HEADER_BYTES;
    }
}

/// What the sync thread leaves for those who ask: under a lock that is never held during a sync.
#[derive(Debug)]
pub(super) struct Synced(Mutex<Syncs>);

#[derive(Clone, Debug)]
struct Syncs {
    place: DurablePlace,
    /// What the writing process has noted, on a log that follows it.
    noted: (u64, u64),
    count: u64,
    last: Duration,
    longest: Duration,
}

impl Synced {
    pub(super) fn new(place: DurablePlace) -> Self {
        Self(Mutex::new(Syncs {
            place,
            noted: (0, 0),
            count: 0,
            last: Duration::ZERO,
            longest: Duration::ZERO,
        }))
    }

    /// The durable mark has moved.
    pub(super) fn reach(&self, place: &DurablePlace) {
        self.0.lock().place = place.clone();
    }

    /// The writing process has noted that it is durable up to here: base of a segment, and frame
    /// position in it.
    pub(super) fn noted(&self, place: Option<(u64, u64)>) {
        if let Some(place) = place {
            self.0.lock().noted = place;
        }
    }

    /// Base of the segment in which the durable mark stands.
    pub(super) fn base(&self) -> u64 {
        self.0.lock().place.segment.base()
    }

    /// A sync round is done.
    pub(super) fn took(&self, time: Duration) {
        let mut syncs = self.0.lock();
        syncs.count += 1;
        syncs.last = time;
        syncs.longest = syncs.longest.max(time);
    }
}

/// What the append lock guards, as numbers.
struct Appended {
    events: u64,
    bytes: u64,
    rolls: u64,
    poisoned: bool,
    newest: Option<u64>,
}

impl Shared {
    /// The log in numbers; handles and listeners are for the caller to say.
    pub(crate) fn stats(&self, handles: u64, listeners: u64) -> Stats {
        let syncs = self.synced.0.lock().clone();
        let appended = self.appended();
        let Sizes {
            segments,
            mapped,
            bytes,
            last,
        } = self.sizes();
        let newest = newest_of(last);
        let (trimmed_segments, trimmed_bytes) = self.trimmed.totals();
        let (next_offset, durable_offset) = (self.marks.next(), self.marks.durable());
        let unsynced_events = next_offset.saturating_sub(durable_offset);
        let writes = self.cursors.is_some();
        let unsynced = unsynced_events > 0 && writes && !appended.poisoned;
        let end = newest.region().end();
        let (durable_base, durable_position) = if writes {
            (syncs.place.segment.base(), to_u64(syncs.place.at))
        } else {
            syncs.noted
        };
        Stats {
            first_offset: self.marks.first(),
            next_offset,
            durable_offset,
            durable_base,
            durable_position,
            epoch: self.epoch(),
            oldest_time: self.oldest_time(next_offset),
            newest_time: appended.newest,
            segments: to_u64(segments),
            segment_bytes: bytes,
            used_bytes: bytes.saturating_sub(to_u64(newest.region().len().saturating_sub(end))),
            mapped_segments: to_u64(mapped),
            trimmed_segments,
            trimmed_bytes,
            held_bytes: self.trimmed.held_bytes(),
            appended_events: appended.events,
            appended_bytes: appended.bytes,
            rolls: appended.rolls,
            unsynced_events: if writes { unsynced_events } else { 0 },
            unsynced_bytes: if unsynced {
                bytes_behind(&syncs.place)
            } else {
                0
            },
            sync_lag: if unsynced { lag(&syncs.place) } else { 0 },
            syncs: syncs.count,
            last_sync: micros(syncs.last),
            longest_sync: micros(syncs.longest),
            poisoned: appended.poisoned,
            visible_waiters: to_u64(self.waiting(Level::Visible)),
            durable_waiters: to_u64(self.waiting(Level::Durable)),
            sync_waiters: to_u64(self.durable_waits.count()),
            cursors: to_u64(self.cursors.as_ref().map_or(0, CursorFile::count)),
            handles,
            listeners,
        }
    }

    fn appended(&self) -> Appended {
        let state = self.append.lock();
        let counted = state.counted;
        let (next, at) = match &state.writer {
            Some(writer) => (writer.place().offset, writer.place().at),
            None => (counted.from, counted.at),
        };
        let writes = self.cursors.is_some();
        Appended {
            events: next.saturating_sub(counted.from),
            bytes: counted.sealed + to_u64(at.saturating_sub(counted.at)),
            rolls: counted.rolls,
            poisoned: matches!(state.status, Status::Poisoned(_)),
            newest: Some(state.time).filter(|time| writes && *time > 0),
        }
    }

    /// Time of the first event that is kept. It is looked up once for each first offset.
    fn oldest_time(&self, next: u64) -> Option<u64> {
        let first = self.marks.first();
        if first >= next {
            return None;
        }
        let known = *self.oldest.lock();
        if let Some((_, time)) = known.filter(|(offset, _)| *offset == first) {
            return Some(time);
        }
        let super::Located::Segment { segment, .. } = self.locate(first).ok()? else {
            return None;
        };
        let time = time_of_next(&segment, segment.start())?;
        *self.oldest.lock() = Some((first, time));
        Some(time)
    }
}

/// The last segment there is, from the last one that is entered.
fn newest_of(mut segment: Arc<Segment>) -> Arc<Segment> {
    while let Some(next) = segment.next() {
        segment = next;
    }
    segment
}

/// Bytes of frames from `place` to the end of the log.
fn bytes_behind(place: &DurablePlace) -> u64 {
    let mut segment = Arc::clone(&place.segment);
    let mut bytes = segment.region().end().saturating_sub(place.at);
    while let Some(next) = segment.next() {
        segment = next;
        bytes += segment.region().end().saturating_sub(HEADER_BYTES);
    }
    to_u64(bytes)
}

/// Age of the first event behind `place`, by the clock of events.
fn lag(place: &DurablePlace) -> u64 {
    let mut segment = Arc::clone(&place.segment);
    let mut from = Place {
        at: place.at,
        offset: place.offset,
        epoch: place.epoch,
        context: segment.keys().context(place.epoch),
    };
    let time = loop {
        if let Some(time) = time_of_next(&segment, from) {
            break Some(time);
        }
        match segment.next() {
            Some(next) => segment = next,
            None => break None,
        }
        from = segment.start();
    };
    time.map_or(0, |time| host::now().saturating_sub(time))
}

/// Time of the first event in `segment` from `place` on.
fn time_of_next(segment: &Segment, mut place: Place) -> Option<u64> {
    match segment.step(&mut place) {
        Step::Frame(frame) => Some(frame.head.time),
        Step::Damaged | Step::End => None,
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
