//! The heap backing: a block of memory that several regions may share, as several mappings share
//! a file.
//!
//! Here the contract is not assumed but held: a block knows its writer, lets in no second one,
//! and lets nobody write what any handle, however old, may still be reading. Safe code cannot
//! break it.

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::{fmt, io, slice};

use crate::sync::Mutex;

use super::file::Mapping;
use super::{Backing, RegionFollower, RegionWriter, Shared, WORD_BYTES};

/// Where a heap region is synced to. A disk that keeps nothing does nothing.
pub(crate) trait BlockDisk: Send + Sync + fmt::Debug {
    /// The pages that cover `range` are to survive a loss of power.
    ///
    /// # Errors
    /// When the disk fails; the pages then count as clean without being on it.
    fn sync(&self, range: Range<usize>) -> io::Result<()>;

    /// The pages that cover `range` are dirty again, with the same bytes.
    fn rewritten(&self, range: Range<usize>);
}

/// A block of the heap, zeroed at first, with words before bytes as in every region.
pub(crate) struct Block {
    memory: Memory,
    words: usize,
    /// Held wherever bytes are copied out or handles come and go; never on a path that appends.
    tenants: Mutex<Tenants>,
}

struct Tenants {
    /// The region of the writer, while there is one.
    writer: Option<Weak<Shared>>,
    /// Bytes below this have been shown to somebody and never change again.
    floor: usize,
}

impl Tenants {
    /// How far bytes can be read without racing with a writer.
    fn readable(&self, len: usize) -> usize {
        match &self.writer {
            None => len,
            Some(writer) => writer.upgrade().map_or(self.floor, |shared| {
                // Pairs with the Release store in `Shared::publish`.
                shared.end.load(Ordering::Acquire).max(self.floor)
            }),
        }
    }
}

impl Block {
    /// A block of `len` zeros.
    ///
    /// # Errors
    /// `OutOfMemory`.
    ///
    /// # Panics
    /// When the geometry is impossible.
    pub(crate) fn zeroed(len: usize, words: usize) -> io::Result<Block> {
        super::check_geometry(len, words);
        let memory = Memory::zeroed(len)?;
        let tenants = Mutex::new(Tenants {
            writer: None,
            floor: words,
        });
        Ok(Block {
            memory,
            words,
            tenants,
        })
    }

    /// The length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.memory.len
    }

    /// The length of the leading words, in bytes.
    pub(crate) fn words(&self) -> usize {
        self.words
    }

    /// All the bytes, while nobody else holds the block.
    pub(crate) fn as_mut_bytes(&mut self) -> &mut [u8] {
        self.memory.as_mut_bytes()
    }

    /// Copies what may be read now from `at` into `buf` and says how many bytes that were: words
    /// one by one, bytes as far as they are published, or all of them when there is no writer.
    /// The rest of `buf` stays as it is.
    ///
    /// # Panics
    /// When `at + buf.len()` lies behind the block.
    pub(crate) fn copy_readable(&self, at: usize, buf: &mut [u8]) -> usize {
        assert!(
            at <= self.len() && buf.len() <= self.len() - at,
            "behind the block"
        );
        // The lock keeps a writer from coming while bytes above the end are being copied.
        let tenants = self.tenants.lock();
        let limit = tenants.readable(self.len()).clamp(at, at + buf.len());
        let mut done = at;
        while done < limit.min(self.words) {
            let inside = done % WORD_BYTES;
            let word = self
                .memory
                .word(done - inside)
                .load(Ordering::Acquire)
                .to_le_bytes();
            let count = (WORD_BYTES - inside).min(limit - done);
            match buf[done - at..].first_chunk_mut() {
                // Nearly all of them, and without a call in a build that inlines little.
                Some(whole) if count == WORD_BYTES => *whole = word,
                _ => buf[done - at..][..count].copy_from_slice(&word[inside..][..count]),
            }
            done += count;
        }
        if done < limit {
            // SAFETY: [done, limit) is at or above the words, and below what a writer has frozen,
            // or there is no writer and, while the lock is held, none can come (M4, M5).
            let bytes = unsafe { self.memory.bytes(done..limit) };
            buf[done - at..limit - at].copy_from_slice(bytes);
        }
        limit - at
    }

    /// The writer of the block, with nothing frozen: `end` is the length of the words.
    ///
    /// # Errors
    /// `ResourceBusy` while there is another writer.
    pub(crate) fn writer(self: Arc<Self>, disk: Arc<dyn BlockDisk>) -> io::Result<RegionWriter> {
        let block = Arc::clone(&self);
        let mut tenants = block.tenants.lock();
        if tenants.writer.is_some() {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        let shared = Tenancy { block: self, disk }.into_shared(true);
        let writer = RegionWriter::new(shared, tenants.floor, None);
        tenants.writer = Some(Arc::downgrade(writer.shared()));
        Ok(writer)
    }

    /// A follower of the block, with nothing frozen: `end` is the length of the words.
    pub(crate) fn follower(self: Arc<Self>, disk: Arc<dyn BlockDisk>) -> RegionFollower {
        RegionFollower::new(Tenancy { block: self, disk }.into_shared(false), None)
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block")
            .field("words", &self.words)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// One opened region's hold on its block.
pub(super) struct Tenancy {
    block: Arc<Block>,
    disk: Arc<dyn BlockDisk>,
}

impl Tenancy {
    fn into_shared(self, writable: bool) -> Shared {
        let (base, len, words) = (self.block.memory.base, self.block.len(), self.block.words);
        Shared::new(base, len, words, writable, Backing::Heap(self))
    }

    pub(super) fn sync(&self, range: Range<usize>) -> io::Result<()> {
        self.disk.sync(range)
    }

    pub(super) fn rewritten(&self, range: Range<usize>) {
        self.disk.rewritten(range);
    }

    pub(super) fn arm(&self, range: Range<usize>) {
        self.block.memory.mapping.arm(range);
    }

    /// The writer is gone; what it froze stays frozen.
    pub(super) fn writer_left(&self, end: usize) {
        let mut tenants = self.block.tenants.lock();
        tenants.floor = tenants.floor.max(end);
        tenants.writer = None;
    }

    /// A follower has shown the bytes below `end` to its readers.
    ///
    /// # Panics
    /// When the writer has not published that far.
    pub(super) fn freeze(&self, end: usize) {
        let mut tenants = self.block.tenants.lock();
        let published = tenants.readable(self.block.len());
        assert!(
            end <= published,
            "the writer has published {published} bytes, not {end}"
        );
        tenants.floor = tenants.floor.max(end);
    }

    /// Fills `buf` from `at`; what cannot be read yet is zeros.
    pub(super) fn read_at(&self, at: usize, buf: &mut [u8]) {
        if buf.is_empty() {
            return;
        }
        let count = self.block.copy_readable(at, buf);
        buf[count..].fill(0);
    }
}

/// The memory itself: `len` zeros, made by the system page by page when they are touched, so that a
/// big region that stays empty costs nothing.
struct Memory {
    mapping: Mapping,
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: `Memory` owns its mapping, which any thread may undo (M1).
unsafe impl Send for Memory {}

// SAFETY: a shared `Memory` hands out words as atomics (M2); for bytes its caller promises that
// nobody writes them meanwhile (M4, M5).
unsafe impl Sync for Memory {}

impl Memory {
    fn zeroed(len: usize) -> io::Result<Memory> {
        // A word may begin at any multiple of 8 below `len`, and has to be whole.
        let whole = len.max(1).checked_next_multiple_of(WORD_BYTES);
        let (mapping, base) = Mapping::anonymous(whole.ok_or(io::ErrorKind::OutOfMemory)?)?;
        Ok(Memory { mapping, base, len })
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at % WORD_BYTES == 0 && at < self.len, "no word at {at}");
        // SAFETY: `at` lies inside the mapping (M1).
        let word = unsafe { self.base.add(at) }.cast::<AtomicU64>();
        // SAFETY: the mapping is aligned to a page and made of whole words, `at` is a multiple
        // of one, and callers ask only for words, where every access is atomic (M2).
        unsafe { word.as_ref() }
    }

    /// # Safety
    /// `range` is inside the block and above its words, and nobody changes it while the slice
    /// lives (M4, M5).
    unsafe fn bytes(&self, range: Range<usize>) -> &[u8] {
        debug_assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: the start lies inside the mapping or just behind it (M1).
        let start = unsafe { self.base.add(range.start) };
        // SAFETY: the range is inside the mapping, which was zeroed and lives as long as `self`
        // (M1), and nobody changes it, as the caller promises.
        unsafe { slice::from_raw_parts(start.as_ptr(), range.end - range.start) }
    }

    fn as_mut_bytes(&mut self) -> &mut [u8] {
        // SAFETY: the mapping has `len` initialised bytes (M1), and `&mut self` says that no
        // region shares it: a region holds its block.
        unsafe { slice::from_raw_parts_mut(self.base.as_ptr(), self.len) }
    }
}
