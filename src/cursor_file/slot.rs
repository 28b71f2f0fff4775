//! The words of one cursor, and the handle on them.

use super::Inner;
use super::chunk::{Chunk, Slot};
use super::{definitions, saving};
use crate::format::{SlotKey, SlotWord};
use crate::types::{Gap, MAX_OFFSET};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The progress of one cursor, read and written through the key of its words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress<'a> {
    slot: Slot<'a>,
    key: SlotKey,
}

impl<'a> Progress<'a> {
    pub(super) fn new(slot: Slot<'a>, key: SlotKey) -> Progress<'a> {
        Progress { slot, key }
    }

    /// The value of a word, if it verifies.
    pub(super) fn get(&self, word: SlotWord) -> Option<u64> {
        self.key.unpack(word, self.slot.load(word.number()))
    }

    pub(super) fn set(&self, word: SlotWord, value: u64) {
        self.slot.store(word.number(), self.key.pack(word, value));
    }

    /// Makes a word say nothing.
    pub(super) fn unset(&self, word: SlotWord) {
        self.slot.store(word.number(), 0);
    }

    /// The cursor is in use now; without a time, *now* is what a word without a value says.
    pub(super) fn used(&self, now: Option<u64>) {
        match now {
            Some(now) => self.set(SlotWord::Used, now.min(MAX_OFFSET)),
            None => self.unset(SlotWord::Used),
        }
    }

    /// Stores how long the cursor lives unused, in microseconds; 0 is for ever.
    pub(super) fn live_for(&self, time_to_live: u64) {
        match time_to_live {
            0 => self.unset(SlotWord::TimeToLive),
            some => self.set(SlotWord::TimeToLive, some.min(MAX_OFFSET)),
        }
    }

    pub(super) fn time_to_live(&self) -> u64 {
        self.get(SlotWord::TimeToLive).unwrap_or(0)
    }

    /// Whether nobody has used the cursor for as long as it lives.
    pub(super) fn is_old(&self, now: Option<u64>) -> bool {
        let (lives, used) = (self.time_to_live(), self.get(SlotWord::Used));
        let times = now.zip(used).filter(|_| lives > 0);
        times.is_some_and(|(now, used)| used.saturating_add(lives) < now)
    }

    /// Raises a word; says whether that changed it. Words compare as their values do.
    pub(super) fn raise(&self, word: SlotWord, value: u64) -> bool {
        let packed = self.key.pack(word, value);
        self.raise_packed(word, packed) < packed
    }

    #[inline]
    fn raise_packed(&self, word: SlotWord, packed: u64) -> u64 {
        let word = self.slot.word(word.number());
        word.fetch_max(packed, Ordering::AcqRel)
    }
}

/// What is stored of a cursor besides its progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) filters: Vec<String>,
    /// `None`: they follow from the filters.
    pub(crate) identities: Option<Vec<String>>,
    /// Microseconds; 0 is for ever.
    pub(crate) time_to_live: u64,
}

/// A cursor of the file. Clones are the same cursor.
#[derive(Clone)]
pub(crate) struct SlotHandle {
    inner: Arc<Inner>,
    chunk: Arc<Chunk>,
    index: u32,
    number: u32,
    generation: u32,
    hash: u64,
    key: SlotKey,
}

impl SlotHandle {
    pub(super) fn new(
        inner: &Arc<Inner>,
        chunk: Arc<Chunk>,
        index: u32,
        number: u32,
        generation: u32,
        hash: u64,
    ) -> SlotHandle {
        let inner = Arc::clone(inner);
        let key = SlotKey::new(number, generation);
        SlotHandle {
            inner,
            chunk,
            index,
            number,
            generation,
            hash,
            key,
        }
    }

    /// The number of the slot over all chunks: the same cursor has the same one as long as it is.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Which use of the slot the cursor is.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// Filters and identities, from the disk.
    ///
    /// # Errors
    /// What the file system says; `InvalidData` if the definition does not verify any more.
    pub(crate) fn definition(&self) -> io::Result<Definition> {
        let state = self.inner.state.lock();
        let entry = state.table.get(self.hash);
        let position = entry.map_or(u32::MAX, |entry| entry.position);
        let definition = state.definitions.read(position, self.inner.log, |found| {
            let filters = found.filters.map(String::from).collect();
            let identities = found
                .identities
                .map(|names| names.map(String::from).collect());
            Definition {
                filters,
                identities,
                time_to_live: found.head.time_to_live,
            }
        })?;
        let damaged = || {
            io::Error::new(
                io::ErrorKind::InvalidData,
                definitions::corruption(position),
            )
        };
        definition.ok_or_else(damaged)
    }

    /// The next offset that the consumer wants.
    #[inline]
    pub(crate) fn acked(&self) -> u64 {
        let progress = self.progress();
        // Open has mended both; the second word is for memory that changes under our hands.
        let acked = progress
            .get(SlotWord::Acked)
            .or_else(|| progress.get(SlotWord::Saved));
        acked.unwrap_or(0)
    }

    /// The same for one that has registered with those that acks wake: it sees an ack that does not
    /// see the registration. For it changes the word, to its own value. A change of the word
    /// comes before this one, and is seen; or after it, and what follows *that* sees the
    /// registration (AcqRel, here and where the word is stored).
    pub(crate) fn acked_for_waiter(&self) -> u64 {
        self.progress().raise_packed(SlotWord::Acked, 0);
        self.acked()
    }

    /// Everything below `offset` is done. `false`: that was known.
    #[inline]
    pub(crate) fn ack(&self, offset: u64) -> bool {
        if sabotaged!("cursor-goes-back") {
            self.seek(offset);
            return true;
        }
        let moved = self.progress().raise(SlotWord::Acked, offset);
        if moved {
            self.inner.touched(&self.chunk, self.index);
        }
        moved
    }

    /// Puts the cursor to `offset`, back or forth.
    pub(crate) fn seek(&self, offset: u64) {
        let packed = self.key.pack(SlotWord::Acked, offset);
        let word = SlotWord::Acked.number();
        // Not a mere store, see `acked_for_waiter`.
        self.chunk
            .slot(self.index)
            .word(word)
            .swap(packed, Ordering::AcqRel);
        self.inner.touched(&self.chunk, self.index);
    }

    /// Puts the cursor to `offset`, before which `gap` is still to be told, as used at `now`.
    pub(crate) fn put(&self, offset: u64, gap: Option<Gap>, now: Option<u64>) {
        self.clear_kept();
        if let Some(gap) = gap {
            self.keep(gap.to);
        }
        self.seek(offset);
        self.touch(now);
    }

    /// The end of a divergence that the consumer was not told of or has not acked.
    pub(crate) fn kept(&self) -> Option<u64> {
        self.progress().get(SlotWord::Kept).filter(|to| *to != 0)
    }

    /// Keeps the end of a divergence, the higher one if there is one already.
    pub(crate) fn keep(&self, to: u64) {
        self.progress().raise(SlotWord::Kept, to);
        self.inner.touched(&self.chunk, self.index);
    }

    /// The cursor is being used. `now` is `None` as long as the time is not known.
    pub(crate) fn touch(&self, now: Option<u64>) {
        self.progress().used(now);
        self.inner.touched(&self.chunk, self.index);
    }

    pub(super) fn live_for(&self, time_to_live: u64) {
        self.progress().live_for(time_to_live);
        self.inner.touched(&self.chunk, self.index);
    }

    /// Whether nobody has used it for as long as it lives. Of one that is open this says nothing.
    pub(crate) fn is_old(&self, now: Option<u64>) -> bool {
        self.progress().is_old(now)
    }

    /// Whether the cursor is still there: it was not deleted, and its slot has no other one.
    pub(crate) fn is_there(&self) -> bool {
        let state = self.inner.state.lock();
        let entry = state.table.get(self.hash);
        let same = saving::generation_of(&self.chunk, self.index) == self.generation;
        same && entry.is_some_and(|entry| entry.slot == self.number)
    }

    /// The divergence was acked.
    pub(crate) fn clear_kept(&self) {
        self.progress().set(SlotWord::Kept, 0);
        self.inner.touched(&self.chunk, self.index);
    }

    fn progress(&self) -> Progress<'_> {
        Progress::new(self.chunk.slot(self.index), self.key)
    }
}

impl fmt::Debug for SlotHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotHandle")
            .field("number", &self.number)
            .field("generation", &self.generation)
            .field("acked", &self.acked())
            .field("kept", &self.kept())
            .finish_non_exhaustive()
    }
}
