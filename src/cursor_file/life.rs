//! How cursors end: deleted by name, or because nobody has used them for as long as they live.
//!
//! An expired cursor stays in its slot as a *tombstone*, which still knows its place, until
//! somebody opens the name again or its room is needed. Whether one has expired is nowhere stored:
//! it follows from two words of the slot, and a clock.

use super::chunk::{Chunk, Chunks};
use super::definitions::{Definitions, Seen};
use super::saving::{acked_of, progress_of};
use super::slot::Progress;
use super::table::{Entry, NOWHERE};
use super::{CursorFile, Inner, Retiring, State, chunk, definitions};
use crate::error::CursorError;
use crate::format::{DefinitionHead, DefinitionKind, SlotHeader, SlotWord, name_hash};
use crate::types::{FilterSet, to_usize};
use std::cmp::Reverse;
use std::collections::HashSet;
use std::fmt;
use std::io;
use std::sync::Arc;

/// How many tombstones are looked for at a time, so that a log full of them is not searched for
/// each new cursor.
const TOMBS: usize = 1_024;

/// What says whether a cursor has expired.
pub(crate) struct Age<'a> {
    /// UTC microseconds; `None` as long as the time is not known: nothing expires then.
    pub(crate) now: Option<u64>,
    /// Whether a handle of the cursor in this slot is open.
    pub(crate) is_held: &'a dyn Fn(u32) -> bool,
}

impl Age<'_> {
    fn is_over(&self, slot: u32, progress: Progress<'_>) -> bool {
        let is_old = || progress.is_old(self.now);
        // Again at last: a handle that is dropped says first that it was used until now.
        is_old() && !(self.is_held)(slot) && is_old()
    }
}

impl fmt::Debug for Age<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Age")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl CursorFile {
    /// The lowest offset that a cursor wants next; 0 if one is damaged, `None` without a cursor
    /// that lives.
    pub(crate) fn lowest_acked(&self, age: &Age<'_>) -> Option<u64> {
        let inner = &self.inner;
        let acked = self.entries().into_iter().filter_map(|entry| {
            let Some((chunk, index)) = inner.place_of(entry).filter(|_| !entry.corrupt) else {
                return Some(0);
            };
            let over = age.is_over(entry.slot, progress_of(chunk, index));
            (!over).then(|| acked_of(chunk, index).unwrap_or(0))
        });
        acked.min()
    }

    /// Visits the name of each cursor that has not expired, in no order, and of damaged ones too.
    /// Read from the file, with one bit a slot of memory; what changes meanwhile may be missed.
    pub(crate) fn names(&self, age: &Age<'_>, mut visit: impl FnMut(&str)) -> io::Result<()> {
        let inner = &self.inner;
        let mut seen: Vec<u64> = Vec::new();
        Definitions::open_to_read(&*inner.dir)?.search(inner.log, |found| {
            let Seen::Definition(_, definition) = found else {
                return;
            };
            let hash = name_hash(&inner.secret, definition.name);
            let entry = inner.state.lock().table.get(hash);
            let Some(entry) = entry.filter(|entry| entry.slot == definition.head.slot) else {
                return;
            };
            let (word, bit) = (to_usize(entry.slot / 64), 1 << (entry.slot % 64));
            if seen.len() <= word {
                seen.resize(word + 1, 0);
            }
            // A cursor that was redefined stands in the file more than once.
            if seen[word] & bit == 0 && !inner.is_over(entry, age) {
                visit(definition.name);
            }
            seen[word] |= bit;
        })
    }

    fn entries(&self) -> Vec<Entry> {
        let state = self.inner.state.lock();
        state.table.iter().map(|(_, entry)| entry).collect()
    }

    /// The slot of a name, be it damaged or not; `None` if there is no such cursor.
    pub(crate) fn slot_of(&self, name: &str) -> Option<u32> {
        let hash = name_hash(&self.inner.secret, name);
        self.inner
            .state
            .lock()
            .table
            .get(hash)
            .map(|entry| entry.slot)
    }

    /// Deletes a cursor: nobody finds it any more, and for ever once the next sync is done, which
    /// frees its slot. No handle of it may change it from now on. `false`: there is none.
    ///
    /// # Errors
    /// What the file system says; the cursor is then as before.
    pub(crate) fn retire(&self, name: &str) -> Result<bool, CursorError> {
        let inner = &self.inner;
        let hash = name_hash(&inner.secret, name);
        let mut state = inner.state.lock();
        let Some(entry) = state.table.get(hash) else {
            return Ok(false);
        };
        let generation = inner
            .generation(&state, entry)
            .ok_or_else(|| CursorError::Corrupt(chunk::corruption(entry.slot, "a cursor")))?;
        inner
            .retire(&mut state, hash, entry, generation, name)
            .map_err(|error| CursorError::from_io(inner.dir.path(), "delete a cursor in", error))?;
        Ok(true)
    }

    /// Now and then: cursors that are open were used now, and so were those of which it is not
    /// known. What is acked needs no mark of its own: only an open handle acks, and it leaves one
    /// when it is dropped.
    pub(crate) fn tick(&self, now: u64, held: &HashSet<u32>) {
        let inner = &self.inner;
        // No slot is cleared meanwhile.
        let _saving = inner.saving.lock();
        let mut ticked = Vec::new();
        for entry in self.entries() {
            let Some((chunk, index)) = inner.place_of(entry).filter(|_| !entry.corrupt) else {
                continue;
            };
            let progress = progress_of(chunk, index);
            let known = progress.get(SlotWord::Used).is_some_and(|used| used <= now);
            if !known || held.contains(&entry.slot) {
                progress.used(Some(now));
                ticked.push(entry.slot);
            }
        }
        if !ticked.is_empty() {
            inner.state.lock().ticked = ticked;
            inner.dirty.mark();
        }
    }
}

impl Inner {
    fn place_of(&self, entry: Entry) -> Option<(&Arc<Chunk>, u32)> {
        self.chunks.place_of(entry.slot)
    }

    /// Which use of its slot a cursor is, damaged or not.
    fn generation(&self, state: &State, entry: Entry) -> Option<u32> {
        if entry.position != NOWHERE {
            let read = state
                .definitions
                .read(entry.position, self.log, |found| found.head.generation);
            if let Ok(Some(generation)) = read {
                return Some(generation);
            }
        }
        let (chunk, index) = self.place_of(entry)?;
        let slot = chunk.slot(index);
        let words = [slot.load(0), slot.load(1), slot.load(2)];
        SlotHeader::parse(words, self.log, entry.slot).map(|header| header.generation)
    }

    fn retire(
        &self,
        state: &mut State,
        hash: u64,
        entry: Entry,
        generation: u32,
        name: &str,
    ) -> io::Result<()> {
        let slot = entry.slot;
        let head = DefinitionHead {
            kind: DefinitionKind::Deleted,
            ..self.head(slot, generation, 0)
        };
        let none = FilterSet::new([""; 0], None).map_err(io::Error::other)?;
        let position = state
            .definitions
            .append(&*self.dir, head, name, &none, self.log)?;
        state.table.remove(hash);
        state.unfinished.retain(|unfinished| *unfinished != slot);
        state.retiring.push(Retiring {
            slot,
            generation,
            position,
        });
        self.dirty.mark();
        Ok(())
    }

    /// Deletes the cursor that expired first; `false` if none has.
    pub(super) fn evict(&self, state: &mut State, age: &Age<'_>) -> io::Result<bool> {
        for search in [false, true] {
            if search {
                state.tombs = self.expired(state, age);
            }
            while let Some(hash) = state.tombs.pop() {
                let Some(entry) = state
                    .table
                    .get(hash)
                    .filter(|entry| self.is_over(*entry, age))
                else {
                    continue;
                };
                let read = state.definitions.read(entry.position, self.log, |found| {
                    (found.head.generation, String::from(found.name))
                })?;
                let Some((generation, name)) = read else {
                    return Err(io::Error::other(definitions::corruption(entry.position)));
                };
                self.retire(state, hash, entry, generation, &name)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_over(&self, entry: Entry, age: &Age<'_>) -> bool {
        let place = self.place_of(entry).filter(|_| !entry.corrupt);
        place.is_some_and(|(chunk, index)| age.is_over(entry.slot, progress_of(chunk, index)))
    }

    /// Names of those that have expired, as hashes, the one that was used longest ago last.
    fn expired(&self, state: &State, age: &Age<'_>) -> Vec<u64> {
        if age.now.is_none() {
            return Vec::new();
        }
        let over = state
            .table
            .iter()
            .filter(|(_, entry)| self.is_over(*entry, age));
        let used = |entry: Entry| {
            let (chunk, index) = self.place_of(entry)?;
            progress_of(chunk, index).get(SlotWord::Used)
        };
        let mut all: Vec<(u64, u64)> = over
            .filter_map(|(hash, entry)| Some((used(entry)?, hash)))
            .collect();
        if all.len() > TOMBS {
            all.select_nth_unstable(TOMBS);
            all.truncate(TOMBS);
        }
        all.sort_unstable_by_key(|(used, _)| Reverse(*used));
        all.into_iter().map(|(_, hash)| hash).collect()
    }

    /// A slot for a new cursor: its chunk, its index there and its number.
    pub(super) fn free_slot(
        &self,
        state: &mut State,
    ) -> io::Result<Option<(Arc<Chunk>, u32, u32)>> {
        while let Some(slot) = state.free.last().copied() {
            match free_place(&self.chunks, slot) {
                Some((chunk, index)) => return Ok(Some((chunk, index, slot))),
                None => state.free.pop(),
            };
        }
        let mut from = state.next_slot;
        loop {
            let free = self.chunks.next_free(&*self.dir, self.log, from)?;
            match free {
                // Zeros that may not be on disk yet.
                Some((_, _, slot)) if state.retiring.iter().any(|gone| gone.slot == slot) => {
                    from = slot + 1;
                }
                free => return Ok(free),
            }
        }
    }
}

fn free_place(chunks: &Chunks, slot: u32) -> Option<(Arc<Chunk>, u32)> {
    let (chunk, index) = chunks.place_of(slot)?;
    chunk
        .slot(index)
        .is_zero()
        .then(|| (Arc::clone(chunk), index))
}

impl State {
    /// A new cursor stands in this slot, which [`Inner::free_slot`] has given.
    pub(super) fn took(&mut self, slot: u32) {
        if self.free.last() == Some(&slot) {
            self.free.pop();
        } else {
            self.next_slot = slot + 1;
        }
    }

    /// The slots of these are zeros, on disk too.
    pub(super) fn set_free(&mut self, gone: &[Retiring]) {
        if gone.is_empty() {
            return;
        }
        let slots: HashSet<u32> = gone.iter().map(|gone| gone.slot).collect();
        self.retiring.retain(|other| !slots.contains(&other.slot));
        for gone in gone {
            self.stale.insert(gone.slot, gone.generation);
            if gone.slot < self.next_slot {
                self.free.push(gone.slot);
            }
        }
    }
}
