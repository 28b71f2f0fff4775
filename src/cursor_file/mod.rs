//! The durable cursors of a log: slots with their progress, and definitions with their names.
//!
//! The table of `docs/format.md`, section 6, says what each state on disk means; [`meaning`] is
//! that table. What makes it hold after a loss of power is an order that [`CursorFile::sync`]
//! keeps:
//!
//! 1. a definition is on disk before the words of its slot say anything about it: word 2, which
//!    says *in use*, is not stored before both are;
//! 2. `saved` gets a value only after `acked` with that value is on disk.
//!
//! So a slot in use whose words are both bad, or whose definition is missing, is damage, never the
//! mere trace of a creation that did not finish.

mod check;
mod chunk;
mod copy;
mod definitions;
mod dirty;
mod life;
mod listing;
mod load;
mod meaning;
mod saving;
mod slot;
mod table;
#[cfg(test)]
mod tests;

use crate::sync::{Mutex, MutexGuard};
use chunk::{Chunk, Chunks};
use definitions::Definitions;
use dirty::Dirty;
use slot::Progress;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use table::{Entry, Table};

use crate::dir::Directory;
use crate::error::{Corruption, CursorError};
use crate::format::{DefinitionHead, DefinitionKind, SlotHeader, SlotKey, SlotWord, name_hash};
use crate::host;
use crate::types::{FilterSet, LogId, to_usize};

pub(crate) use check::check;
pub(crate) use copy::copy;
pub(crate) use life::Age;
pub(crate) use listing::{Listed, list};
pub(crate) use slot::SlotHandle;

/// The cursors of a log that is open for writing.
#[derive(Clone, Debug)]
pub(crate) struct CursorFile {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: Arc<dyn Directory>,
    log: LogId,
    secret: [u8; 16],
    max_cursors: u32,
    chunks: Chunks,
    state: Mutex<State>,
    /// Held by whoever brings the cursors to the disk.
    saving: Mutex<()>,
    dirty: Dirty,
}

/// What changes when cursors are made or redefined. Acks do not come here.
#[derive(Debug)]
struct State {
    table: Table,
    definitions: Definitions,
    /// Slots below this are not free.
    next_slot: u32,
    /// Generations that free slots had in definitions that are still in the file.
    stale: HashMap<u32, u32>,
    /// Slots below `next_slot` that are free, on disk too.
    free: Vec<u32>,
    /// Slots whose word 2 is still to be stored.
    unfinished: Vec<u32>,
    /// Deleted cursors whose slots are not free yet.
    retiring: Vec<Retiring>,
    /// Names, as hashes, of cursors that had expired when they were looked for; the oldest last.
    tombs: Vec<u64>,
    /// Slots whose time of use was stored since the last sync, and nothing else.
    ticked: Vec<u32>,
}

/// A cursor that a definition says is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Retiring {
    slot: u32,
    generation: u32,
    /// Place of that definition.
    position: u32,
}

impl CursorFile {
    /// How many cursors there are, damaged ones too.
    pub(crate) fn count(&self) -> usize {
        self.inner.state.lock().table.len()
    }

    /// The most cursors that there may be.
    pub(crate) fn most(&self) -> u32 {
        self.inner.max_cursors
    }

    /// The cursor of that name.
    ///
    /// # Errors
    /// The cursor is there, but its place is lost or its definition cannot be read.
    pub(crate) fn find(&self, name: &str) -> Result<Option<SlotHandle>, Corruption> {
        let inner = &self.inner;
        let hash = name_hash(&inner.secret, name);
        let state = inner.state.lock();
        let Some(entry) = state.table.get(hash) else {
            return Ok(None);
        };
        if entry.corrupt {
            return Err(chunk::corruption(entry.slot, "a cursor whose words verify"));
        }
        let read = state
            .definitions
            .read(entry.position, inner.log, |definition| {
                (definition.name == name).then_some(definition.head.generation)
            });
        let (Ok(Some(Some(generation))), Some((chunk, at))) =
            (read, inner.chunks.place_of(entry.slot))
        else {
            return Err(definitions::corruption(entry.position));
        };
        let chunk = Arc::clone(chunk);
        Ok(Some(SlotHandle::new(
            inner, chunk, at, entry.slot, generation, hash,
        )))
    }

    /// Makes a cursor that stands at `start`. The name was checked, and it is not known. At the
    /// limit, the one that expired first makes room: `lives` says for a slot whether it has.
    ///
    /// # Errors
    /// [`CursorError::TooMany`]; [`CursorError::DiskFull`] and [`CursorError::Io`] with nothing
    /// made; [`CursorError::Corrupt`] if the name is known after all.
    pub(crate) fn create(
        &self,
        name: &str,
        filters: &FilterSet,
        time_to_live: u64,
        start: u64,
        age: &Age<'_>,
    ) -> Result<SlotHandle, CursorError> {
        let inner = &self.inner;
        let hash = name_hash(&inner.secret, name);
        let mut state = inner.state.lock();
        if let Some(entry) = state.table.get(hash) {
            let corruption = chunk::corruption(entry.slot, "a cursor of another name");
            return Err(CursorError::Corrupt(corruption));
        }
        let limit = inner.max_cursors;
        let failed = |error| CursorError::from_io(inner.dir.path(), "make a cursor in", error);
        if state.table.len() >= to_usize(limit) && !inner.evict(&mut state, age).map_err(failed)? {
            return Err(CursorError::TooMany { limit });
        }
        inner.make(state, name, filters, time_to_live, start, age.now)
    }

    /// Makes a cursor that stands at `start` in the place of one that [`CursorFile::find`] calls
    /// damaged. That one keeps its slot until the next open, which clears it if the new one came to
    /// the disk, and otherwise says again what is lost: at no moment is the name unknown.
    ///
    /// # Errors
    /// As [`CursorFile::create`], with the damaged one as it was.
    pub(crate) fn replace(
        &self,
        name: &str,
        filters: &FilterSet,
        time_to_live: u64,
        start: u64,
        now: Option<u64>,
    ) -> Result<SlotHandle, CursorError> {
        let state = self.inner.state.lock();
        self.inner
            .make(state, name, filters, time_to_live, start, now)
    }

    /// Stores other filters, identities and time to live for a cursor. Its place stays.
    ///
    /// # Errors
    /// What the file system says; the cursor is then as before.
    pub(crate) fn redefine(
        &self,
        slot: &SlotHandle,
        name: &str,
        filters: &FilterSet,
        time_to_live: u64,
    ) -> io::Result<()> {
        let inner = &self.inner;
        let mut state = inner.state.lock();
        let head = inner.head(slot.number(), slot.generation(), time_to_live);
        let position = state
            .definitions
            .append(&*inner.dir, head, name, filters, inner.log)?;
        let entry = Entry {
            slot: slot.number(),
            position,
            corrupt: false,
        };
        state.table.insert(slot.hash(), entry);
        slot.live_for(time_to_live);
        drop(state);
        inner.dirty.mark();
        Ok(())
    }

    /// Whether there is something to bring to the disk.
    pub(crate) fn dirty(&self) -> bool {
        self.inner.dirty.is_marked()
    }

    /// Whoever brings the cursors to the disk is about to sleep. `false`: there is something to
    /// bring.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.inner.dirty.fall_asleep()
    }

    /// Whether the caller, which has stored something, must wake the one that sleeps.
    #[inline]
    pub(crate) fn must_wake(&self) -> bool {
        self.inner.dirty.must_wake()
    }
}

impl Inner {
    /// A cursor in a free slot, under a name that means no other one from now on.
    fn make(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        name: &str,
        filters: &FilterSet,
        time_to_live: u64,
        start: u64,
        now: Option<u64>,
    ) -> Result<SlotHandle, CursorError> {
        let (hash, limit) = (name_hash(&self.secret, name), self.max_cursors);
        let failed = |error| CursorError::from_io(self.dir.path(), "make a cursor in", error);
        let free = self.free_slot(&mut state).map_err(failed)?;
        let (chunk, at, slot) = free.ok_or(CursorError::TooMany { limit })?;
        // A definition of an earlier, unfinished use of the slot must not fit these words.
        let generation = state
            .stale
            .get(&slot)
            .map_or(1, |stale| stale.wrapping_add(1).max(1));
        let head = self.head(slot, generation, time_to_live);
        let position = state
            .definitions
            .append(&*self.dir, head, name, filters, self.log)
            .map_err(failed)?;
        state.stale.remove(&slot);
        state.took(slot);
        state.table.insert(
            hash,
            Entry {
                slot,
                position,
                corrupt: false,
            },
        );

        let words = chunk.slot(at);
        let key = SlotKey::new(slot, generation);
        words.store(SlotWord::Acked.number(), key.pack(SlotWord::Acked, start));
        words.store(SlotWord::Saved.number(), key.pack(SlotWord::Saved, start));
        words.store(SlotWord::Kept.number(), key.pack(SlotWord::Kept, 0));
        let progress = Progress::new(words, key);
        progress.used(now);
        progress.live_for(time_to_live);
        let [first, second, _] = SlotHeader { hash, generation }.words(self.log, slot);
        words.store(0, first);
        words.store(1, second);
        state.unfinished.push(slot);
        self.touched(&chunk, at);
        Ok(SlotHandle::new(self, chunk, at, slot, generation, hash))
    }

    fn head(&self, slot: u32, generation: u32, time_to_live: u64) -> DefinitionHead {
        let (time, kind) = (host::now(), DefinitionKind::InUse);
        // The id is the definitions' to give.
        DefinitionHead {
            id: 0,
            slot,
            generation,
            time,
            time_to_live,
            kind,
        }
    }

    /// A word of progress was stored. The order matters: whoever finds a flag set by this call
    /// finds the ones below it set too.
    fn touched(&self, chunk: &Chunk, index: u32) {
        chunk.touch(index);
        self.dirty.mark();
    }
}
