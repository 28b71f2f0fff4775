//! The ids thread: finds the ids of the log after an open, and writes them down at each roll and at
//! an orderly close, so that the next open finds them soon. Nobody fails because it does.

use super::append::Status;
use super::once::Remembered;
use super::{Located, Shared, unpark};
use crate::dedup::{self, Draft, Window};
use crate::error::IoFailure;
use crate::format::{IdEntry, RecordRef, id_hash};
use crate::history::{History, Verdict};
use crate::segment::{Frame, Place, Segment, Step};
use crate::sync::Parker;
use crate::sync::{Condvar, Mutex};
use crate::types::{Epoch, Position, to_usize};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// Ids copied under one hold of the append lock.
const COPIED_AT_ONCE: usize = 512;

/// What was asked for: the ids below `end`, of this history.
struct Wish {
    end: u64,
    generation: u64,
    history: Arc<History>,
}

/// Found so far: all ids of [since, end), the newest first.
struct Found {
    entries: Vec<IdEntry>,
    since: u64,
    /// The offset up to which the file holds.
    saved: u64,
}

/// How far the file of ids holds.
#[derive(Debug, Default)]
pub(super) struct IdsSaved {
    state: Mutex<Saving>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Saving {
    /// The offset up to which the file holds.
    until: u64,
    /// The offset up to which it was last tried to have it hold.
    tried: u64,
    /// The offset up to which somebody waits for it, until it was tried.
    asked: Option<u64>,
    /// The ids thread has left.
    ended: bool,
}

impl IdsSaved {
    /// What is to be tried now, if the log has synced all below `base`.
    fn due(&self, base: u64) -> Option<u64> {
        let state = self.state.lock();
        state
            .asked
            .or((base > state.tried.max(state.until)).then_some(base))
    }

    /// The file was found to hold up to `until`.
    fn found(&self, until: u64) {
        let mut state = self.state.lock();
        (state.until, state.tried) = (until, until);
        self.settle(&mut state, until);
    }

    fn tried(&self, until: u64, holds: bool) {
        let mut state = self.state.lock();
        state.tried = until;
        if holds {
            state.until = until;
        }
        self.settle(&mut state, until);
    }

    /// Whoever waits for no more than `until` need not wait any more.
    fn settle(&self, state: &mut Saving, until: u64) {
        state.asked = state.asked.filter(|asked| *asked > until);
        self.changed.notify_all();
    }

    /// Whether it has to be waited for.
    fn ask(&self, until: u64) -> bool {
        let mut state = self.state.lock();
        let due = state.until < until && !state.ended;
        if due {
            state.asked = state.asked.max(Some(until));
        }
        due
    }

    /// Waits until it was tried.
    fn wait(&self) {
        let mut state = self.state.lock();
        while state.asked.is_some() && !state.ended {
            self.changed.wait(&mut state);
        }
    }
}

/// Nobody waits for a thread that has left.
struct EndOfSaving<'a>(&'a IdsSaved);

impl Drop for EndOfSaving<'_> {
    fn drop(&mut self) {
        self.0.state.lock().ended = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    pub(super) fn ids_loop(&self, parker: &Parker) {
        let _end = EndOfSaving(&self.ids_saved);
        while !self.marks.closed() {
            if let Some(wish) = self.wanted() {
                if let Some(saved) = self.load(&wish) {
                    self.ids_saved.found(saved);
                }
                continue;
            }
            match self.ids_saved.due(self.synced.base()) {
                Some(until) => self.save_ids(until),
                None => parker.park(),
            }
        }
        let closing = matches!(self.append.lock().status, Status::Closing);
        // Not above what is durable: a file that goes beyond the end that a power loss leaves is
        // worth nothing, and it would take the place of a good one.
        let due = self.ids_saved.due(self.marks.durable());
        if let Some(until) = due.filter(|_| closing) {
            self.save_ids(until);
        }
    }

    /// Has the file hold the ids below `until`, an offset that is durable. A failure is nobody's:
    /// the log says it all, and without the file it only takes longer to find. The next roll tries
    /// again.
    fn save_ids(&self, until: u64) {
        let written = self.write_ids(until);
        self.ids_saved.tried(until, written.unwrap_or(false));
    }

    /// Segments below `until` are about to leave, and the ids of their events outlive them: what a
    /// replay could not find any more is to stand in the file first. Waits until it does, or until
    /// it was tried: where there is no room for it, they leave all the same, to make room.
    pub(super) fn save_ids_of_leaving(&self, until: u64) {
        if self.options.dedup_ids_value() > 0 && self.ids_saved.ask(until) {
            unpark(&self.signals.ids);
            self.ids_saved.wait();
        }
    }

    fn wanted(&self) -> Option<Wish> {
        let state = self.append.lock();
        let end = state.end()?;
        matches!(state.ids, Remembered::Loading).then(|| Wish {
            end,
            generation: self.marks.generation(),
            history: self.history(),
        })
    }

    /// Finds the ids and hands them over. `None`: that was for nothing, or it failed.
    fn load(&self, wish: &Wish) -> Option<u64> {
        let found = self.find(wish);
        let ids = match &found {
            Ok(Some(found)) => {
                let mut window = Window::new(self.options.dedup_ids_value(), found.since);
                let forgotten = sabotaged!("ids-forgotten");
                let entries = found.entries.iter().rev().filter(|_| !forgotten);
                entries.for_each(|entry| window.insert(*entry));
                Remembered::Ready(window)
            }
            Ok(None) => return None,
            Err(_) => Remembered::Failed(self.unreadable(&found)),
        };
        let mut state = self.append.lock();
        if wish.generation == self.marks.generation() && matches!(state.ids, Remembered::Loading) {
            state.ids = ids;
        }
        drop(state);
        self.room.notify_all();
        found.ok().flatten().map(|found| found.saved)
    }

    /// From the newest segment back, until there are enough, or the file says the rest, or the log
    /// begins. `None` if the log is being closed.
    fn find(&self, wish: &Wish) -> io::Result<Option<Found>> {
        let most = self.options.dedup_ids_value();
        let saved = dedup::read(&*self.dir, self.log_id(), most)?;
        let mut saved = saved.filter(|saved| {
            // An id whose event was lost is not there; its offset may be another event's.
            let (epoch, offset, log) = (saved.epoch, saved.until, self.log_id());
            let position = Position { log, epoch, offset };
            wish.history.judge(&position, log, wish.end) == Verdict::Valid
        });
        let until = saved.as_ref().map_or(0, |saved| saved.until);
        let mut found = Found {
            entries: Vec::new(),
            since: wish.end,
            saved: until,
        };
        let bases = self.bases();
        let first = bases.first().copied().unwrap_or(wish.end);
        loop {
            let room = to_usize(most) - found.entries.len();
            if let Some(saved) = saved.take_if(|saved| saved.until >= found.since) {
                found.take(saved.entries, saved.since, room);
                continue;
            }
            if room == 0 {
                return Ok(Some(found));
            }
            if found.since <= first {
                // Of the events between, which have left, nobody can tell any more.
                if let Some(saved) = saved.take() {
                    found.take(saved.entries, saved.since, room);
                }
                return Ok(Some(found));
            }
            let below = bases.partition_point(|base| *base < found.since);
            let base = below.checked_sub(1).and_then(|at| bases.get(at).copied());
            let from = base
                .unwrap_or(first)
                .max(if saved.is_some() { until } else { 0 });
            let Some((entries, since)) = self.ids_between(from, found.since, room, wish)? else {
                return Ok(None);
            };
            found.take(entries, since, room);
        }
    }

    /// The newest ids of [from, to), which stands in one segment, the newest first; and the offset
    /// from which on none is missing. What is damaged is passed over.
    fn ids_between(
        &self,
        from: u64,
        to: u64,
        most: usize,
        wish: &Wish,
    ) -> io::Result<Option<(Vec<IdEntry>, u64)>> {
        let mut newest = VecDeque::new();
        let mut since = from;
        let Located::Segment { mut segment, .. } = self.locate(from)? else {
            return Ok(Some((Vec::new(), since)));
        };
        let mut place = segment.place_below(from);
        while place.offset < to {
            if self.marks.closed() || self.marks.generation() != wish.generation {
                return Ok(None);
            }
            match self.next_frame(&segment, &mut place, to, &wish.history) {
                Some(frame) => self.ids_of(&segment, &frame, &mut |entry| {
                    if (from..to).contains(&entry.offset) {
                        newest.push_front(entry);
                    }
                }),
                // A roll that is not entered yet.
                None => match segment.next().filter(|next| next.base() < to) {
                    Some(next) => {
                        place = next.start();
                        segment = next;
                    }
                    None => break,
                },
            }
            while newest.len() > most {
                since = newest.pop_back().map_or(since, |entry| entry.offset + 1);
            }
        }
        Ok(Some((newest.into(), since)))
    }

    fn next_frame(
        &self,
        segment: &Segment,
        place: &mut Place,
        to: u64,
        history: &History,
    ) -> Option<Frame> {
        loop {
            match segment.step(place) {
                Step::Frame(frame) => return Some(frame),
                Step::Damaged if segment.resume(place, to, history) => {}
                Step::Damaged | Step::End => return None,
            }
        }
    }

    fn ids_of(&self, segment: &Segment, frame: &Frame, each: &mut impl FnMut(IdEntry)) {
        let mut records = segment.region().bytes(frame.records()).unwrap_or_default();
        for offset in frame.head.offset..frame.end() {
            let Some((record, length)) = RecordRef::read(records) else {
                return;
            };
            if let Some(id) = record.id().filter(|id| !id.is_empty()) {
                let hash = id_hash(&self.meta.secret, record.from(), id);
                each(IdEntry { hash, offset });
            }
            records = records.get(length..).unwrap_or_default();
        }
    }

    /// Writes down the ids below `until`. They are copied bit by bit, the newest first: what is
    /// forgotten meanwhile is not needed. `false`: they are not known, or the history has changed.
    fn write_ids(&self, until: u64) -> io::Result<bool> {
        let mut copied: Option<(Draft<'_>, u64, Epoch)> = None;
        let mut below = until;
        loop {
            let state = self.append.lock();
            let (Remembered::Ready(window), Some(writer)) = (&state.ids, &state.writer) else {
                return Ok(false);
            };
            let (generation, epoch) = (self.marks.generation(), writer.place().epoch);
            let (entries, since) = window.below(below, COPIED_AT_ONCE);
            drop(state);
            let draft = match &mut copied {
                None => {
                    let draft = Draft::begin(&*self.dir, self.log_id())?;
                    &mut copied.insert((draft, generation, epoch)).0
                }
                // The ids of another history do not go with those from before.
                Some((_, before, _)) if *before != generation => return Ok(false),
                Some((draft, ..)) => draft,
            };
            draft.add(&entries)?;
            below = since;
            if entries.len() < COPIED_AT_ONCE {
                break;
            }
        }
        let Some((draft, _, epoch)) = copied else {
            return Ok(false);
        };
        draft.finish(below, until, epoch)?;
        Ok(true)
    }

    fn unreadable<T>(&self, found: &io::Result<T>) -> IoFailure {
        let kind = found
            .as_ref()
            .err()
            .map_or(io::ErrorKind::Other, io::Error::kind);
        IoFailure::new(self.dir.path(), "read the ids of", kind.into())
    }
}

impl Found {
    /// Goes on with what stands before.
    fn take(&mut self, entries: Vec<IdEntry>, since: u64, room: usize) {
        let below = self.since;
        let mut older = entries.into_iter().filter(|entry| entry.offset < below);
        self.entries.extend(older.by_ref().take(room));
        self.since = older
            .next()
            .map_or(since.min(below), |left| left.offset + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_let_go_by_a_try_and_by_a_file_that_is_found() {
        let saved = IdsSaved::default();
        assert!(saved.ask(10));
        saved.tried(4, true);
        assert_eq!((saved.due(4), saved.due(5)), (Some(10), Some(10)));
        saved.tried(10, false);
        saved.wait();
        // It holds no more than before, so the next one asks again.
        assert!(saved.ask(10));
        saved.found(12);
        saved.wait();
        assert_eq!(
            (saved.ask(12), saved.due(12), saved.due(13)),
            (false, None, Some(13))
        );
    }
}
