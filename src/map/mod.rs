//! The memory of a segment: words, frozen bytes, and bytes that one writer still owns.
//!
//! This is the only room with `unsafe`. Everything here rests on the numbered contract in
//! `docs/memory.md`; each `SAFETY` comment cites the numbers that it needs.
//!
//! ```text
//! 0            words                end                     len
//! | words      | frozen bytes       | the writer's bytes    |
//! | atomic     | never change       | seen by nobody else   |
//! | 8 bytes at | readable by all,   | written through       |
//! | a time     | `Region::bytes`    | `RegionWriter::write` |
//! ```
//!
//! `end` only grows. The writer stores it with Release after the bytes below it, a reader loads
//! it with Acquire before it looks at them: that pair is the whole protocol. `end` is a number of
//! this process, never a part of the mapped bytes.
//!
//! There are two backings with one face: a shared mapping of a file (`file`) and a block of the
//! heap (`heap`). Loads and stores go through the same pointer either way; only syncing and
//! rewriting ask which it is.

mod file;
mod heap;
#[cfg(test)]
mod tests;
mod writer;

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::{fmt, io, slice};

use crate::sync::atomic::AtomicUsize;
use crate::sync::{self, Plant, Watched};
use crossbeam_utils::CachePadded;

#[cfg(target_arch = "x86_64")]
use writer::CACHE_LINE;

pub(crate) use heap::{Block, BlockDisk};
pub(crate) use writer::{RegionFollower, RegionWriter};

#[cfg(not(target_pointer_width = "64"))]
compile_error!("wakelog maps whole segments: it needs a 64-bit address space");

#[cfg(target_endian = "big")]
compile_error!("wakelog reads mapped words in place, and its files are little-endian");

/// The unit in which [`Region::sync`] and [`Region::arm`] think, in bytes. The kernel's page may
/// be larger; it is never smaller on the systems that we support.
pub(crate) const PAGE_BYTES: usize = 4096;

/// A word in the memory of a region. Never one of a model checker's: it lies where it lies.
pub(crate) type Word = AtomicU64;

/// The width of a word, in bytes.
pub(crate) const WORD_BYTES: usize = 8;

/// The reader half of a region. Clones share the memory and keep it alive.
#[derive(Clone)]
pub(crate) struct Region {
    shared: Arc<Shared>,
}

/// What all halves of one opened region share.
struct Shared {
    /// The first byte, aligned to at least [`WORD_BYTES`].
    base: NonNull<u8>,
    len: usize,
    words: usize,
    /// Whether words may be stored through this region.
    writable: bool,
    /// Padded: an appender stores it for each frame, while readers load the fields above.
    end: CachePadded<AtomicUsize>,
    watched: Watched,
    backing: Backing,
}

/// What keeps the memory alive, and what syncs it.
enum Backing {
    File(file::Mapping),
    Heap(heap::Tenancy),
}

// SAFETY: `base` points at memory that `backing` owns and that moves with it (M1). Both backings
// may be dropped by any thread.
unsafe impl Send for Shared {}

// SAFETY: through a shared reference the memory is reached in three ways only: words as atomics
// (M2), bytes below `end`, which nobody changes (M4), and bytes at or above `end`, by the one
// writer (M5). None of them races with another.
unsafe impl Sync for Shared {}

impl Region {
    /// The length of the region in bytes: words, frozen bytes and the writer's bytes.
    pub(crate) fn len(&self) -> usize {
        self.shared.len
    }

    /// The length of the leading area of words, in bytes.
    pub(crate) fn words(&self) -> usize {
        self.shared.words
    }

    /// Where the frozen bytes end: `words() <= end() <= len()`, and it never falls.
    #[inline]
    pub(crate) fn end(&self) -> usize {
        // Pairs with the Release store in `Shared::publish`.
        self.shared.end.load(Ordering::Acquire)
    }

    /// The word at byte `at`, to be loaded and stored in place, in native order (which is
    /// little-endian wherever this compiles).
    ///
    /// # Panics
    /// When `at` is not a multiple of 8, when the word does not lie inside the words, and when the
    /// region was opened for reading only (there [`Region::load_word`] is the way).
    #[inline]
    pub(crate) fn word(&self, at: usize) -> &Word {
        assert!(
            self.shared.writable,
            "a word of a read-only region may only be loaded"
        );
        self.shared.word(at)
    }

    /// Loads the word at byte `at`, on any region.
    ///
    /// # Panics
    /// When `at` is not a multiple of 8, when the word does not lie inside the words, and when
    /// `order` is no order for a load.
    #[inline]
    pub(crate) fn load_word(&self, at: usize, order: Ordering) -> u64 {
        let word = self.shared.word(at);
        if self.shared.writable {
            return word.load(order);
        }
        // In memory that is mapped for reading only, Rust promises just Relaxed loads (M3). The
        // fence makes an Acquire of it: it pairs with the other process's Release store.
        let value = word.load(Ordering::Relaxed);
        match order {
            Ordering::Relaxed => {}
            Ordering::Acquire | Ordering::SeqCst => fence(order),
            _ => panic!("{order:?} is no order for a load"),
        }
        value
    }

    /// The frozen bytes of `range`, or `None` unless `words() <= start <= end <= self.end()`.
    #[inline]
    pub(crate) fn bytes(&self, range: Range<usize>) -> Option<&[u8]> {
        let frozen =
            self.shared.words <= range.start && range.start <= range.end && range.end <= self.end();
        // SAFETY: the range lies in [words, end), and `end` was loaded with Acquire (M4).
        frozen.then(|| unsafe { self.shared.slice(range) })
    }

    /// Has the processor fetch the bytes of `range`: whoever loads them soon waits less. Best
    /// effort; they need not lie in the region.
    #[inline]
    pub(crate) fn fetch(&self, range: Range<usize>) {
        #[cfg(target_arch = "x86_64")]
        {
            // From the beginning of a line on: the last byte may stand in one more than the length
            // says.
            let mut at = range.start - range.start % CACHE_LINE;
            while at < range.end {
                let line = self.shared.base.as_ptr().wrapping_add(at);
                // SAFETY: a prefetch reads no value and faults on no address.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
                at += CACHE_LINE;
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = range;
    }

    /// Maps the pages that cover `range`, so that loads from them do not fault one by one. Best
    /// effort: `range` is clipped to what is frozen, and on the heap nothing happens.
    pub(crate) fn populate(&self, range: Range<usize>) {
        let range = range.start..range.end.min(self.end());
        if let (Backing::File(mapping), false) = (&self.shared.backing, range.is_empty()) {
            mapping.populate(range);
        }
    }

    /// Takes the pages inside `range` out of the page table of this process; whoever loads from
    /// them maps them again. Best effort, like [`Region::populate`].
    pub(crate) fn release(&self, range: Range<usize>) {
        let range = range.start..range.end.min(self.end());
        if let (Backing::File(mapping), false) = (&self.shared.backing, range.is_empty()) {
            mapping.release(&range);
        }
    }

    /// Tells the system that the pages that cover `range` are needed soon, so that it reads them
    /// while others are asked for. Best effort, like [`Region::populate`].
    pub(crate) fn will_need(&self, range: Range<usize>) {
        let range = range.start..range.end.min(self.end());
        if let (Backing::File(mapping), false) = (&self.shared.backing, range.is_empty()) {
            mapping.will_need(range);
        }
    }

    /// Tells the system that what is read here stands apart, so that it does not read on around
    /// each page that is missing, which may be megabytes. Whoever reads on says so by
    /// [`Region::will_need`]. Best effort.
    pub(crate) fn scattered(&self) {
        if let Backing::File(mapping) = &self.shared.backing {
            mapping.scattered();
        }
    }

    /// Brings the pages that cover `range` to the disk and waits for it.
    ///
    /// # Errors
    /// What the kernel says. After an error the pages count as clean although they are not on the
    /// disk: syncing again says `Ok` and does nothing. [`RegionWriter::rewrite`] is the way back.
    /// `Unsupported` on a region that was opened for reading only.
    ///
    /// # Panics
    /// When `range` is not inside the region.
    pub(crate) fn sync(&self, range: Range<usize>) -> io::Result<()> {
        self.shared.check_inside(&range);
        if !self.shared.writable {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if range.is_empty() {
            return Ok(());
        }
        match &self.shared.backing {
            Backing::File(mapping) => mapping.sync(range),
            Backing::Heap(tenancy) => tenancy.sync(range),
        }
    }

    /// Makes the pages that cover `range` present and writable, so that stores to them do not
    /// fault. Best effort: `range` is clipped to the region, failure is silent, and on a read-only
    /// region nothing happens.
    pub(crate) fn arm(&self, range: Range<usize>) {
        let range = range.start..range.end.min(self.shared.len);
        if !self.shared.writable || range.is_empty() {
            return;
        }
        match &self.shared.backing {
            Backing::File(mapping) => mapping.arm(range),
            Backing::Heap(tenancy) => tenancy.arm(range),
        }
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region")
            .field("words", &self.words())
            .field("end", &self.end())
            .field("len", &self.len())
            .field("writable", &self.shared.writable)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// A region over the `len` bytes at `base` with nothing frozen yet.
    ///
    /// # Panics
    /// When the geometry is impossible: see [`check_geometry`].
    fn new(base: NonNull<u8>, len: usize, words: usize, writable: bool, backing: Backing) -> Self {
        check_geometry(len, words);
        assert!(
            base.as_ptr().cast::<AtomicU64>().is_aligned(),
            "the memory is not aligned"
        );
        Shared {
            base,
            len,
            words,
            writable,
            end: CachePadded::new(AtomicUsize::new(words)),
            watched: Watched::new(),
            backing,
        }
    }

    #[inline]
    fn word(&self, at: usize) -> &AtomicU64 {
        // The second sum cannot wrap: `words` is at most `len`, and that is at most `isize::MAX`.
        if at % WORD_BYTES != 0 || at >= self.words || at + WORD_BYTES > self.words {
            no_such_word(at, self.words);
        }
        sync::point();
        // SAFETY: `at` lies below `words` and so inside the memory (M1).
        let word = unsafe { self.base.add(at) }.cast::<AtomicU64>();
        // SAFETY: `base` is aligned to a word and `at` is a multiple of one; the whole word lies
        // below `words`, where every access is atomic (M2); the reference borrows `self`, which
        // keeps the memory (M1).
        unsafe { word.as_ref() }
    }

    /// The bytes of `range`.
    ///
    /// # Safety
    /// `words <= range.start <= range.end <= len`, and nobody may change these bytes for as long
    /// as the slice lives: they are frozen and the caller has seen that by an Acquire load (M4),
    /// or they are the caller's own and it is not writing (M5).
    #[inline]
    unsafe fn slice(&self, range: Range<usize>) -> &[u8] {
        debug_assert!(self.words <= range.start && range.end <= self.len);
        self.watched.read(&range);
        // SAFETY: the start lies inside the memory or just behind it (M1).
        let start = unsafe { self.base.add(range.start) };
        // SAFETY: the whole range is inside the memory, which lives as long as `self` (M1), is
        // initialised, since files and heap blocks begin as zeros, and stays unchanged, as the
        // caller promises.
        unsafe { slice::from_raw_parts(start.as_ptr(), range.end - range.start) }
    }

    /// Freezes the bytes below `end`. Only the one who owns the bytes above the old end calls it.
    #[inline]
    fn publish(&self, end: usize) {
        // Pairs with the Acquire load in `Region::end`: whoever sees this end sees the bytes.
        let order = sync::order(Plant::RelaxedPublish, Ordering::Release);
        self.end.store(end, order);
    }

    fn check_inside(&self, range: &Range<usize>) {
        let inside = range.start <= range.end && range.end <= self.len;
        assert!(
            inside,
            "{range:?} is not inside a region of {} bytes",
            self.len
        );
    }
}

/// Checks what every region obeys: words are whole, they fit, and pointers into the region can be
/// compared.
///
/// # Panics
/// When `words` is not a multiple of 8 or is more than `len`, or `len` is more than `isize::MAX`.
pub(crate) fn check_geometry(len: usize, words: usize) {
    assert!(
        words % WORD_BYTES == 0,
        "{words} bytes of words are not whole words"
    );
    assert!(
        words <= len,
        "{words} bytes of words do not fit into {len} bytes"
    );
    assert!(
        isize::try_from(len).is_ok(),
        "{len} bytes are more than an address space"
    );
}

// Apart from the hot path, so that a check costs a compare and a jump that is not taken.
#[cold]
#[inline(never)]
fn no_such_word(at: usize, words: usize) -> ! {
    panic!("no word at byte {at}: the words are the first {words} bytes, 8 bytes each")
}
