//! Append of events with ids: an id is stored once.

use super::append::{Appending, Placed};
use super::{Located, Shared, Wait, unpark};
use crate::dedup::Window;
use crate::error::{AppendError, IoFailure};
use crate::format::{FrameBuffer, FrameId, IdEntry, RecordRef};
use crate::host;
use crate::segment::Step;
use crate::sync::MutexGuard;
use std::collections::HashMap;

/// The ids of the log, as far as they are known. Guarded by the append lock.
#[derive(Debug)]
pub(super) enum Remembered {
    /// Ids are attributes like any other.
    Off,
    /// They are being found; no event with an id is appended meanwhile.
    Loading,
    Ready(Window),
    /// They could not be read. Tried again when somebody needs them.
    Failed(IoFailure),
}

/// Where the events with ids of a frame were put.
#[derive(Debug)]
pub(crate) struct Once {
    pub(crate) placed: Placed,
    /// Which of the events given, and the offset of the first one with its id.
    pub(crate) duplicates: Vec<(usize, u64)>,
}

/// An id that may be known: its hash is.
#[derive(Clone, Copy)]
struct Hit {
    id: FrameId,
    /// The event that has that hash.
    offset: u64,
}

enum Attempt {
    Placed(Placed),
    /// Nothing was appended.
    Hits(Vec<Hit>),
}

/// One append on its way, over several attempts.
struct Try {
    wait: Wait,
    asked: bool,
    /// The history under which the first attempt was made.
    generation: Option<u64>,
    /// Events that have the hash of one of our ids, and another id.
    strangers: Vec<u64>,
}

impl From<Placed> for Once {
    #[inline]
    fn from(placed: Placed) -> Self {
        let duplicates = Vec::new();
        Self { placed, duplicates }
    }
}

impl Once {
    /// The offset of the first event given, or of the one of which it is a duplicate.
    #[inline]
    pub(crate) fn first(&self) -> u64 {
        match self.duplicates.first() {
            Some((0, offset)) => *offset,
            _ => self.placed.offsets.start,
        }
    }

    /// The offset behind all events that were appended, and the first ones of all duplicates.
    pub(crate) fn behind(&self) -> u64 {
        let offsets = &self.placed.offsets;
        let appended = (!offsets.is_empty()).then_some(offsets.end);
        let known = self.duplicates.iter().map(|(_, offset)| offset + 1);
        known.chain(appended).max().unwrap_or(offsets.end)
    }
}

impl Remembered {
    /// For a log that ends at `next`.
    pub(super) fn new(ids: u32, next: u64) -> Self {
        match (ids, next) {
            (0, _) => Self::Off,
            (_, 0) => Self::Ready(Window::new(ids, 0)),
            _ => Self::Loading,
        }
    }
}

impl Shared {
    /// As [`Shared::append`], for a frame of which some events have ids: those whose ids are known
    /// are left out.
    ///
    /// Under the append lock only hashes are looked up. Where one is found, the lock is given up,
    /// the two ids are compared, and it is tried again with what has been learned: nothing that
    /// was appended meanwhile is missed.
    #[inline(never)]
    pub(crate) fn append_once(
        &self,
        frame: &mut FrameBuffer,
        wait: Wait,
    ) -> Result<Once, AppendError> {
        if self.options.dedup_ids_value() == 0 {
            return self.append(frame, wait).map(Once::from);
        }
        frame.hash_ids(&self.meta.secret);
        let repeats = leave_out_repeats(frame);
        let mut known: Vec<(u32, u64)> = Vec::new();
        let mut attempt = Try {
            wait,
            asked: false,
            generation: None,
            strangers: Vec::new(),
        };
        let placed = loop {
            match self.attempt(frame, &mut attempt)? {
                Attempt::Placed(placed) => break placed,
                Attempt::Hits(hits) => {
                    let (same, other): (Vec<Hit>, Vec<Hit>) =
                        hits.iter().partition(|hit| self.is_same(frame, hit));
                    attempt.strangers.extend(other.iter().map(|hit| hit.offset));
                    if !same.is_empty() {
                        learn(&mut known, &same);
                        frame.leave_out(|id| find(&known, id.given).is_some());
                    }
                }
            }
        };
        let duplicates = duplicates(&known, &repeats, placed.offsets.start);
        Ok(Once { placed, duplicates })
    }

    /// Appends the frame if none of its ids may be known.
    fn attempt(&self, frame: &mut FrameBuffer, attempt: &mut Try) -> Result<Attempt, AppendError> {
        let now = host::now();
        frame.checksum_body();
        let mut state = self.append.lock();
        loop {
            self.wait_for_ids(&mut state, attempt.wait)?;
            // What was learned under another history may be wrong. A sync has failed meanwhile.
            let generation = self.marks.generation();
            if *attempt.generation.get_or_insert(generation) != generation {
                return Err(AppendError::Poisoned);
            }
            let Remembered::Ready(window) = &state.ids else {
                continue;
            };
            let hits = hits(window, frame.ids(), &attempt.strangers);
            if !hits.is_empty() {
                return Ok(Attempt::Hits(hits));
            }
            if frame.count() == 0 {
                let place = *state.open()?.place();
                return Ok(Attempt::Placed(Placed {
                    offsets: place.offset..place.offset,
                    epoch: place.epoch,
                }));
            }
            if self.has_room(&mut state, frame, attempt.wait, &mut attempt.asked)? {
                break;
            }
        }
        let first = state.open()?.place().offset;
        if let Remembered::Ready(window) = &mut state.ids {
            for id in frame.ids() {
                let (hash, offset) = (id.hash, first + u64::from(id.number));
                window.insert(IdEntry { hash, offset });
            }
        }
        Ok(Attempt::Placed(self.publish(state, frame, now)))
    }

    /// Waits until the ids of the log are known.
    fn wait_for_ids(
        &self,
        state: &mut MutexGuard<'_, Appending>,
        wait: Wait,
    ) -> Result<(), AppendError> {
        loop {
            state.open()?;
            match &state.ids {
                Remembered::Ready(_) | Remembered::Off => return Ok(()),
                Remembered::Loading if wait == Wait::Never => return Err(AppendError::WouldBlock),
                Remembered::Loading => self.room.wait(state),
                Remembered::Failed(failure) => {
                    let failure = failure.clone();
                    state.ids = Remembered::Loading;
                    unpark(&self.signals.ids);
                    return Err(AppendError::from(failure));
                }
            }
        }
    }

    /// Whether the event that was found has the very id and sender. An event that is trimmed or
    /// damaged is believed to: the chance of two ids with one hash is 2^-64 each.
    fn is_same(&self, frame: &FrameBuffer, hit: &Hit) -> bool {
        let (from, id) = frame.id_of(&hit.id);
        let same = self.with_record(hit.offset, |record| {
            record.id() == Some(id) && record.from() == from
        });
        same.unwrap_or(true)
    }

    /// Looks at one published event, if it can be read.
    fn with_record<T>(&self, offset: u64, look: impl FnOnce(&RecordRef<'_>) -> T) -> Option<T> {
        if offset < self.marks.first() {
            return None;
        }
        let Located::Segment { segment, .. } = self.locate(offset).ok()? else {
            return None;
        };
        let mut place = segment.place_below(offset);
        let frame = loop {
            match segment.step(&mut place) {
                Step::Frame(frame) if frame.end() > offset => break frame,
                Step::Frame(_) => {}
                Step::Damaged | Step::End => return None,
            }
        };
        let mut records = segment.region().bytes(frame.records())?;
        for _ in frame.head.offset..offset {
            records = records.get(RecordRef::read(records)?.1..)?;
        }
        let (record, _) = RecordRef::read(records)?;
        (frame.head.offset <= offset).then(|| look(&record))
    }
}

/// The first event of each hash, for those ids that are known by it.
fn hits(window: &Window, ids: &[FrameId], strangers: &[u64]) -> Vec<Hit> {
    let hit = |id: &FrameId| {
        let offsets = window.find(id.hash).filter(|at| !strangers.contains(at));
        offsets.min().map(|offset| Hit { id: *id, offset })
    };
    ids.iter().filter_map(hit).collect()
}

/// Leaves out the events of a batch whose id stands in it before: which, and which was the first.
fn leave_out_repeats(frame: &mut FrameBuffer) -> Vec<(u32, u32)> {
    let mut repeats = Vec::new();
    if frame.ids().len() < 2 {
        return repeats;
    }
    let mut firsts = HashMap::new();
    for id in frame.ids() {
        let first = *firsts.entry(frame.id_of(id)).or_insert(id.given);
        if first != id.given {
            repeats.push((id.given, first));
        }
    }
    drop(firsts);
    if !repeats.is_empty() {
        let gone = |id: &FrameId| repeats.binary_search_by_key(&id.given, |(given, _)| *given);
        frame.leave_out(|id| gone(id).is_ok());
    }
    repeats
}

/// Enters what is known, sorted by which event it is.
fn learn(known: &mut Vec<(u32, u64)>, same: &[Hit]) {
    known.extend(same.iter().map(|hit| (hit.id.given, hit.offset)));
    known.sort_unstable();
}

fn find(known: &[(u32, u64)], given: u32) -> Option<u64> {
    let index = known
        .binary_search_by_key(&given, |(given, _)| *given)
        .ok()?;
    known.get(index).map(|(_, offset)| *offset)
}

/// The events that were left out, with the offsets of the first ones, in the order given. `first`
/// is the offset of the first event that was appended.
fn duplicates(known: &[(u32, u64)], repeats: &[(u32, u32)], first: u64) -> Vec<(usize, u64)> {
    let out = |given: u32| {
        let known = known.partition_point(|(other, _)| *other < given);
        let repeats = repeats.partition_point(|(other, _)| *other < given);
        u64::try_from(known + repeats).unwrap_or(u64::MAX)
    };
    // An event that was appended has the offset that is left when those before it are left out.
    let offset = |given: u32| find(known, given).unwrap_or(first + u64::from(given) - out(given));
    let firsts = repeats.iter().map(|(given, of)| (*given, offset(*of)));
    let mut all: Vec<_> = known.iter().copied().chain(firsts).collect();
    all.sort_unstable();
    let number = |(given, offset)| (usize::try_from(given).unwrap_or(usize::MAX), offset);
    all.into_iter().map(number).collect()
}
