//! Chunks: the mapped files in which slots stand.

use crate::dir::Directory;
use crate::error::Corruption;
use crate::format::{
    CHUNK_PAGE_BYTES, ChunkPage, MAX_CHUNKS, SLOT_BYTES, chunk_bytes, chunk_slots, place_of,
    slot_at, slot_number,
};
use crate::map::{RegionWriter, Word};
// Fourteen cells that are looked through each time: a model would spend its schedules on them.
#[cfg(not(any(loom, shuttle)))]
use crate::sync::OnceLock;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::types::{LogId, to_u64, to_usize};
use std::io;
use std::sync::Arc;
#[cfg(any(loom, shuttle))]
use std::sync::OnceLock;

/// Words of a slot.
pub(super) const SLOT_WORDS: usize = SLOT_BYTES / 8;
const _: () = assert!(SLOT_WORDS == 8);
/// Slots for which one word of flags stands: exactly a page of them.
const SLOTS_A_FLAG_WORD: u32 = 64;
const PAGE: usize = 4_096;
const _: () = assert!(SLOT_BYTES * 64 == PAGE && CHUNK_PAGE_BYTES % PAGE == 0);

/// `cursors-<nn>.slots`.
pub(super) fn name_of(chunk: u16) -> String {
    format!("cursors-{chunk:02}.slots")
}

/// Damage of the slot with this number over all chunks.
pub(super) fn corruption(slot: u32, expected: &'static str) -> Corruption {
    let (chunk, index) = place_of(slot).unwrap_or_default();
    Corruption {
        file: name_of(chunk),
        offset: None,
        position: to_u64(slot_at(index)),
        expected,
    }
}

/// One mapped file.
#[derive(Debug)]
pub(super) struct Chunk {
    number: u16,
    /// All of it is words. The writer half is kept for what has to be written again after a
    /// failed sync.
    map: RegionWriter,
    /// A bit for each slot whose `acked` was stored since it was last brought to the disk.
    flags: Box<[AtomicU64]>,
    dirty: AtomicBool,
}

/// The words of one slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot<'a> {
    map: &'a RegionWriter,
    at: usize,
}

impl Slot<'_> {
    pub(super) fn word(&self, number: u8) -> &Word {
        self.map.region().word(self.at + 8 * usize::from(number))
    }

    pub(super) fn load(&self, number: u8) -> u64 {
        self.word(number).load(Ordering::Acquire)
    }

    pub(super) fn store(&self, number: u8, value: u64) {
        self.word(number).store(value, Ordering::Release);
    }

    /// Makes the slot a free one.
    pub(super) fn clear(&self) {
        (0u8..)
            .take(SLOT_WORDS)
            .for_each(|number| self.store(number, 0));
    }

    pub(super) fn is_zero(&self) -> bool {
        (0u8..)
            .take(SLOT_WORDS)
            .all(|number| self.load(number) == 0)
    }
}

impl Chunk {
    pub(super) fn new(number: u16, map: RegionWriter) -> Chunk {
        let words = chunk_slots(number) / SLOTS_A_FLAG_WORD;
        let flags = (0..words).map(|_| AtomicU64::new(0)).collect();
        Chunk {
            number,
            map,
            flags,
            dirty: AtomicBool::new(false),
        }
    }

    pub(super) fn slot(&self, index: u32) -> Slot<'_> {
        Slot {
            map: &self.map,
            at: slot_at(index),
        }
    }

    /// The page that the file begins with.
    pub(super) fn page(&self) -> Vec<u8> {
        let words = (0..CHUNK_PAGE_BYTES).step_by(8);
        let load = |at| {
            self.map
                .region()
                .load_word(at, Ordering::Acquire)
                .to_le_bytes()
        };
        words.flat_map(load).collect()
    }

    /// The number over all chunks of a slot here.
    pub(super) fn slot_number(&self, index: u32) -> u32 {
        slot_number(self.number, index)
    }

    pub(super) fn slots(&self) -> u32 {
        chunk_slots(self.number)
    }

    /// Marks a slot whose words were stored.
    #[inline]
    pub(super) fn touch(&self, index: u32) {
        let flag = 1 << (index % SLOTS_A_FLAG_WORD);
        // Who takes the flag sees the words. It is set again even if it is set, so that a flag that
        // is being taken now is not missed.
        self.flags[to_usize(index / SLOTS_A_FLAG_WORD)].fetch_or(flag, Ordering::SeqCst);
        // Not stored for each ack, since all acks of the chunk meet here. If it shows as set, it is
        // taken later in the order of all SeqCst operations, and the flag is looked at after that.
        if !self.dirty.load(Ordering::SeqCst) {
            self.dirty.store(true, Ordering::SeqCst);
        }
    }

    /// Whether a slot was touched since this was last asked.
    pub(super) fn take_dirty(&self) -> bool {
        self.dirty.swap(false, Ordering::SeqCst)
    }

    /// Takes the flags of a group of 64 slots; `None` behind the last group.
    pub(super) fn take_group(&self, group: usize) -> Option<impl Iterator<Item = u32> + use<>> {
        let flags = self.flags.get(group)?;
        // A flag that was set before the chunk was marked is seen here: `take_dirty` acquired it.
        let some = flags.load(Ordering::SeqCst) != 0;
        let taken = if some {
            flags.swap(0, Ordering::SeqCst)
        } else {
            0
        };
        let first = u32::try_from(group).ok()? * SLOTS_A_FLAG_WORD;
        let bits = (0..SLOTS_A_FLAG_WORD).filter(move |bit| taken >> bit & 1 == 1);
        Some(bits.map(move |bit| first + bit))
    }

    /// Brings the slots `first..=last` to the disk.
    pub(super) fn sync(&self, first: u32, last: u32) -> io::Result<()> {
        self.map
            .region()
            .sync(slot_at(first)..slot_at(last) + SLOT_BYTES)
    }

    pub(super) fn sync_all(&self) -> io::Result<()> {
        self.map.region().sync(0..self.map.region().len())
    }

    /// Makes the pages of these slots dirty for the kernel, whatever it believes of them.
    pub(super) fn rewrite(&self, first: u32, last: u32) -> io::Result<()> {
        self.map.rewrite(slot_at(first)..slot_at(last) + SLOT_BYTES)
    }
}

/// All chunks, those of higher numbers only when they are needed.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    open: [OnceLock<Arc<Chunk>>; CHUNKS],
    /// Set at open for a file that cannot be used; nothing is put into it or in its place.
    unusable: [AtomicBool; CHUNKS],
}

const CHUNKS: usize = 14;
const _: () = assert!(MAX_CHUNKS == 14);

impl Chunks {
    pub(super) fn get(&self, chunk: u16) -> Option<&Arc<Chunk>> {
        self.open.get(usize::from(chunk))?.get()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Chunk>> {
        self.open.iter().filter_map(OnceLock::get)
    }

    /// Where a slot stands, if its chunk is open.
    pub(super) fn place_of(&self, slot: u32) -> Option<(&Arc<Chunk>, u32)> {
        let (chunk, index) = place_of(slot)?;
        Some((self.get(chunk)?, index))
    }

    pub(super) fn add(&self, chunk: Chunk) -> Option<&Arc<Chunk>> {
        let place = self.open.get(usize::from(chunk.number))?;
        Some(place.get_or_init(|| Arc::new(chunk)))
    }

    pub(super) fn set_unusable(&self, chunk: u16) {
        if let Some(unusable) = self.unusable.get(usize::from(chunk)) {
            unusable.store(true, Ordering::Relaxed);
        }
    }

    fn is_unusable(&self, chunk: u16) -> bool {
        let unusable = self.unusable.get(usize::from(chunk));
        unusable.is_none_or(|unusable| unusable.load(Ordering::Relaxed))
    }

    /// The first free slot at or behind `from`: its chunk, which is made if it is missing, its
    /// index there and its number. `None`: there is none left. A free slot is all zeros.
    pub(super) fn next_free(
        &self,
        dir: &dyn Directory,
        log: LogId,
        from: u32,
    ) -> io::Result<Option<(Arc<Chunk>, u32, u32)>> {
        let Some((mut number, mut index)) = place_of(from) else {
            return Ok(None);
        };
        while number < MAX_CHUNKS {
            if !self.is_unusable(number) {
                let chunk = match self.get(number) {
                    Some(chunk) => Some(chunk),
                    None => self.add(make(dir, log, number)?),
                };
                let free = |chunk: &&Arc<Chunk>| {
                    (index..chunk.slots()).find(|index| chunk.slot(*index).is_zero())
                };
                if let Some((chunk, free)) = chunk.and_then(|chunk| Some((chunk, free(&chunk)?))) {
                    return Ok(Some((Arc::clone(chunk), free, chunk.slot_number(free))));
                }
            }
            number += 1;
            index = 0;
        }
        Ok(None)
    }
}

/// Makes the file of a chunk, on disk with its name. It gets that when it is whole: a process that
/// dies in between leaves a file on its way to a rename, not a chunk that is too short.
fn make(dir: &dyn Directory, log: LogId, number: u16) -> io::Result<Chunk> {
    let bytes = chunk_bytes(number);
    let name = name_of(number);
    let temporary = format!("{name}.new");
    let page = ChunkPage { log, chunk: number }.page();
    match dir.unlink(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let map = dir.create_region(&temporary, bytes, bytes, &page)?;
    if let Err(error) = dir.rename(&temporary, &name) {
        // The caller hears of the error; the next open unlinks it if this fails.
        let _ = dir.unlink(&temporary);
        return Err(error);
    }
    if let Err(error) = dir.sync() {
        // The caller hears of the error; an empty chunk that stays is as good as a new one.
        let _ = dir.unlink(&name);
        return Err(error);
    }
    Ok(Chunk::new(number, map))
}
