//! Bringing cursors to the disk, and back from a failed sync.

use super::chunk::Chunk;
use super::slot::Progress;
use super::table::NOWHERE;
use super::{CursorFile, Inner, State};
use crate::format::{SlotHeader, SlotKey, SlotWord, place_of};
use std::collections::BTreeMap;
use std::io;

/// How many values of `acked` are held between a sync and the stores to `saved`.
const BATCH: usize = 16_384;

impl CursorFile {
    /// Brings everything that was stored before this call to the disk.
    ///
    /// # Errors
    /// What the disk says. What was not synced then counts as clean for the kernel: only
    /// [`CursorFile::lower`], or an open, writes it again.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let inner = &self.inner;
        let _one_at_a_time = inner.saving.lock();
        // Whoever marked before this has its words and its slot's flag seen below, and whoever
        // marks after this comes next time.
        if !inner.dirty.take() {
            return Ok(());
        }
        let (unfinished, definitions, retiring, ticked) = {
            let mut state = inner.state.lock();
            (
                std::mem::take(&mut state.unfinished),
                state.definitions.take_unsynced(),
                state.retiring.clone(),
                std::mem::take(&mut state.ticked),
            )
        };
        if let Some(file) = definitions.filter(|_| !sabotaged!("slot-before-definition")) {
            file.sync()?;
        }
        // Their definitions say that they are deleted, and that is on disk now.
        inner.clear(retiring.iter().map(|gone| gone.slot));
        for chunk in inner.chunks.iter().filter(|chunk| chunk.take_dirty()) {
            save(chunk)?;
        }
        inner.finish(&unfinished)?;
        let retired = retiring.iter().map(|gone| gone.slot);
        inner.sync_slots(retired.chain(ticked))?;
        inner.state.lock().set_free(&retiring);
        Ok(())
    }

    /// After a failed sync, while nobody acks: the log ends at `end` now. Cursors above it are
    /// put there and keep the gap, and all files are written again and synced.
    ///
    /// # Errors
    /// What the file system says. It can be called again.
    pub(crate) fn lower(&self, end: u64) -> io::Result<()> {
        let inner = &self.inner;
        let _one_at_a_time = inner.saving.lock();
        let mut state = inner.state.lock();
        for chunk in inner.chunks.iter() {
            chunk.rewrite(0, chunk.slots() - 1)?;
        }
        inner.compact(&mut state)?;
        let entries = state.table.iter().filter(|(_, entry)| !entry.corrupt);
        let slots: Vec<u32> = entries.map(|(_, entry)| entry.slot).collect();
        state.unfinished.clear();
        let retiring = state.retiring.clone();
        inner.clear(retiring.iter().map(|gone| gone.slot));
        inner.settle(&slots, end)?;
        state.set_free(&retiring);
        Ok(())
    }
}

/// Syncs the touched slots of a chunk; what `acked` said before becomes `saved` after.
fn save(chunk: &Chunk) -> io::Result<()> {
    let mut captured = Vec::new();
    let mut group = 0;
    while let Some(indices) = chunk.take_group(group) {
        captured.extend(indices.filter_map(|index| {
            let progress = progress_of(chunk, index);
            let acked = progress.get(SlotWord::Acked)?;
            Some((index, acked))
        }));
        if captured.len() >= BATCH {
            save_captured(chunk, &captured)?;
            captured.clear();
        }
        group += 1;
    }
    save_captured(chunk, &captured)
}

fn save_captured(chunk: &Chunk, captured: &[(u32, u64)]) -> io::Result<()> {
    let (Some((first, _)), Some((last, _))) = (captured.first(), captured.last()) else {
        return Ok(());
    };
    chunk.sync(*first, *last)?;
    for (index, acked) in captured {
        progress_of(chunk, *index).set(SlotWord::Saved, *acked);
    }
    Ok(())
}

/// The progress of a slot whose word 1 was stored.
pub(super) fn progress_of(chunk: &Chunk, index: u32) -> Progress<'_> {
    let slot = chunk.slot(index);
    Progress::new(
        slot,
        SlotKey::new(chunk.slot_number(index), generation(slot.load(1))),
    )
}

/// The generation in word 1 of a slot.
pub(super) fn generation_of(chunk: &Chunk, index: u32) -> u32 {
    generation(chunk.slot(index).load(1))
}

/// The offset that the cursor in a slot wants next.
pub(super) fn acked_of(chunk: &Chunk, index: u32) -> Option<u64> {
    let progress = progress_of(chunk, index);
    let acked = progress.get(SlotWord::Acked);
    acked.or_else(|| progress.get(SlotWord::Saved))
}

/// The low half of word 1.
fn generation(word: u64) -> u32 {
    u32::try_from(word & u64::from(u32::MAX)).unwrap_or(0)
}

impl Inner {
    /// Stores word 2 of slots whose definition and progress are on the disk, and brings it there.
    fn finish(&self, slots: &[u32]) -> io::Result<()> {
        for number in slots {
            let Some((chunk, index)) = self.chunks.place_of(*number) else {
                continue;
            };
            let slot = chunk.slot(index);
            let (hash, generation) = (slot.load(0), generation(slot.load(1)));
            let [_, _, in_use] = SlotHeader { hash, generation }.words(self.log, *number);
            slot.store(2, in_use);
        }
        self.sync_slots(slots.iter().copied())
    }

    /// Makes the slots of cursors that are gone free ones, not on disk yet.
    fn clear(&self, gone: impl Iterator<Item = u32>) {
        for (chunk, index) in gone.filter_map(|slot| self.chunks.place_of(slot)) {
            chunk.slot(index).clear();
        }
    }

    /// Makes slots free ones whose names stand in others that are on disk, and brings that there.
    pub(super) fn free(&self, superseded: &[(u32, u32)]) -> io::Result<()> {
        let slots = || superseded.iter().map(|(slot, _)| *slot);
        self.clear(slots());
        self.sync_slots(slots())
    }

    fn sync_slots(&self, slots: impl Iterator<Item = u32>) -> io::Result<()> {
        let mut ranges: BTreeMap<u16, (u32, u32)> = BTreeMap::new();
        for number in slots {
            let Some((chunk, index)) = place_of(number) else {
                continue;
            };
            let range = ranges.entry(chunk).or_insert((index, index));
            *range = (range.0.min(index), range.1.max(index));
        }
        for (chunk, (first, last)) in ranges {
            self.chunks
                .get(chunk)
                .map_or(Ok(()), |chunk| chunk.sync(first, last))?;
        }
        Ok(())
    }

    /// Lowers the cursors in these slots to `end`, completes what they lack, and syncs. What
    /// their definitions say is on disk, and their words 0 and 1 are stored.
    ///
    /// The end of the gap is on disk before `acked` gives it up.
    pub(super) fn settle(&self, slots: &[u32], end: u64) -> io::Result<()> {
        let places = slots
            .iter()
            .filter_map(|number| self.chunks.place_of(*number));
        let cursors = places.filter_map(|(chunk, index)| {
            let cursor = progress_of(chunk, index);
            let acked = cursor.get(SlotWord::Acked)?;
            // Only where it changes something: a log may have a million cursors.
            let above = acked > end && !sabotaged!("cursor-not-lowered");
            let differs = above || cursor.get(SlotWord::Saved) != Some(acked);
            differs.then_some((cursor, acked))
        });
        let cursors: Vec<_> = cursors.collect();
        for (cursor, acked) in cursors.iter().filter(|(_, acked)| *acked > end) {
            if !sabotaged!("kept-gap-forgotten") {
                cursor.raise(SlotWord::Kept, *acked);
            }
        }
        self.sync_chunks()?;
        for (cursor, acked) in cursors {
            let end = if sabotaged!("cursor-not-lowered") {
                acked
            } else {
                end
            };
            if acked > end {
                cursor.set(SlotWord::Acked, end);
            }
            cursor.set(SlotWord::Saved, acked.min(end));
        }
        self.sync_chunks()?;
        let unfinished = slots.iter().filter(|number| {
            let place = self.chunks.place_of(**number);
            place.is_some_and(|(chunk, index)| chunk.slot(index).load(2) == 0)
        });
        self.finish(&unfinished.copied().collect::<Vec<_>>())
    }

    fn sync_chunks(&self) -> io::Result<()> {
        self.chunks.iter().try_for_each(|chunk| chunk.sync_all())
    }

    /// Leaves the definitions in the file that hold, and no others.
    pub(super) fn compact(&self, state: &mut State) -> io::Result<()> {
        // A slot that was cleared is on disk before the definition goes that says why.
        self.sync_chunks()?;
        let entries = state
            .table
            .iter()
            .filter(|(_, entry)| entry.position != NOWHERE);
        let mut by_place: BTreeMap<u32, Option<u64>> = BTreeMap::new();
        by_place.extend(entries.map(|(hash, entry)| (entry.position, Some(hash))));
        by_place.extend(state.retiring.iter().map(|gone| (gone.position, None)));
        let State {
            table,
            definitions,
            stale,
            ..
        } = state;
        stale.clear();
        definitions.compact(&*self.dir, by_place.keys().copied(), |from, to| {
            let hash = by_place.get(&from).copied().flatten();
            if let Some((hash, entry)) = hash.and_then(|hash| Some((hash, table.get(hash)?))) {
                table.insert(
                    hash,
                    super::Entry {
                        position: to,
                        ..entry
                    },
                );
            }
        })
    }
}
