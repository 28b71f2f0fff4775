//! The two halves that move the end of a region: the writer of this process, and the follower of
//! a writer in another one.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
use std::fs::File;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;
use std::{fmt, io, ptr};

use super::{Backing, Region, Shared, WORD_BYTES, file};

/// Bytes that the processor fetches at once.
#[cfg(target_arch = "x86_64")]
pub(super) const CACHE_LINE: usize = 64;

/// The writer half of a region: the only one that may write bytes, and only at or above the end.
/// There is one for a region (M7), and it is not `Clone`.
pub(crate) struct RegionWriter {
    region: Region,
    /// Copies of what is in `region`, so that a write follows no further pointer.
    base: NonNull<u8>,
    len: usize,
    end: usize,
    /// Writes begin here or above: at `end`, or higher on the heap while an older handle of the
    /// same block may still read what was frozen before (M6).
    floor: usize,
    /// The file behind a mapping, for [`RegionWriter::rewrite`]. `None` on the heap. It belongs to
    /// the writer and not to the region, so that a sealed segment costs no file descriptor.
    file: Option<File>,
}

// SAFETY: `base` points into the memory that `region` keeps (M1), and the right to write moves
// with the writer: there is no second one (M5, M7).
unsafe impl Send for RegionWriter {}

// SAFETY: a shared reference only reads: the region, which is `Sync`, and bytes at or above the
// end, which change through `&mut self` alone (M5).
unsafe impl Sync for RegionWriter {}

impl RegionWriter {
    /// Maps all `len` bytes of `file`, shared and writable. Nothing is frozen: `end` is `words`.
    ///
    /// The caller answers for the contract: the file is a regular one of at least `len` bytes, it
    /// is never shrunk (M1), this is its only writer (M7), and only wakelog writes it (M8).
    ///
    /// # Errors
    /// When the kernel does not map it.
    ///
    /// # Panics
    /// When the geometry is impossible.
    pub(crate) fn map_file(file: File, len: usize, words: usize) -> io::Result<RegionWriter> {
        super::check_geometry(len, words);
        let (mapping, base) = file::Mapping::writable(&file, len)?;
        let shared = Shared::new(base, len, words, true, Backing::File(mapping));
        Ok(RegionWriter::new(shared, words, Some(file)))
    }

    /// A writer over `shared` that may not write below `floor`.
    pub(super) fn new(shared: Shared, floor: usize, file: Option<File>) -> RegionWriter {
        let (base, len, end) = (shared.base, shared.len, shared.words);
        let region = Region {
            shared: Arc::new(shared),
        };
        RegionWriter {
            region,
            base,
            len,
            end,
            floor: floor.max(end),
            file,
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.region.shared
    }

    /// The reader half.
    #[inline]
    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    /// Copies `bytes` to `at`. Nobody else sees them before [`RegionWriter::publish`].
    ///
    /// # Panics
    /// Unless `end <= at` and `at + bytes.len() <= len`.
    #[inline]
    pub(crate) fn write(&mut self, at: usize, bytes: &[u8]) {
        self.check_writable(at, bytes.len());
        // SAFETY: `at` lies inside the memory or just behind it (M1).
        let target = unsafe { self.base.add(at) };
        // SAFETY: the target is inside the memory (M1) and at or above the end, where only this
        // writer reads or writes, and it is borrowed mutably (M5). `bytes` does not overlap it: a
        // slice of this memory is either frozen, below the end, or borrows the writer.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), target.as_ptr(), bytes.len()) }
    }

    /// As [`RegionWriter::write`] of the words of `head`, in little-endian order, and then `rest`.
    ///
    /// # Panics
    /// Unless both lie between the end and the length of the region.
    #[inline]
    pub(crate) fn write_with_head<const N: usize>(
        &mut self,
        at: usize,
        head: [u64; N],
        rest: &[u8],
    ) {
        let head_bytes = N * WORD_BYTES;
        self.check_writable(at, head_bytes + rest.len());
        // SAFETY: `at` lies inside the memory or just behind it (M1).
        let target = unsafe { self.base.add(at) };
        // SAFETY: the head lies inside the memory (M1) and at or above the end, where only this
        // writer reads or writes, and it is borrowed mutably (M5).
        unsafe { target.cast::<[u64; N]>().write_unaligned(head) };
        // SAFETY: the end of the head lies inside the memory or just behind it (M1).
        let target = unsafe { target.add(head_bytes) };
        // SAFETY: as for the head; and `rest` does not overlap the target: a slice of this memory
        // is either frozen, below the end, or borrows the writer.
        unsafe { ptr::copy_nonoverlapping(rest.as_ptr(), target.as_ptr(), rest.len()) }
    }

    #[inline]
    fn check_writable(&self, at: usize, count: usize) {
        if at < self.floor || at > self.len || count > self.len - at {
            not_writable(at, count, self.floor, self.len);
        }
        self.region.shared.watched.write(at..at + count);
    }

    /// The bytes from the end to the length of the region: what recovery scans.
    pub(crate) fn unpublished(&self) -> &[u8] {
        // SAFETY: the range is [end, len), which is above the words; only this writer changes it,
        // through `&mut self`, while the slice borrows `self` (M5).
        unsafe { self.region.shared.slice(self.end..self.len) }
    }

    /// Asks for the cache lines of `range` to be fetched, as far as it lies in the region, so that
    /// stores that follow soon do not wait for the memory. Nobody can see that anything was done.
    #[inline]
    pub(crate) fn fetch(&self, range: Range<usize>) {
        #[cfg(target_arch = "x86_64")]
        {
            let mut at = range.start;
            while at < range.end.min(self.len) {
                // SAFETY: `at` lies inside the memory (M1).
                let line = unsafe { self.base.add(at) };
                // SAFETY: a prefetch reads no value and faults on no address.
                unsafe { _mm_prefetch::<_MM_HINT_ET0>(line.as_ptr().cast()) };
                at += CACHE_LINE;
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = range;
    }

    /// Freezes the bytes below `end` and shows them to all readers.
    ///
    /// # Panics
    /// When `end` lies below the present end or behind the region.
    #[inline]
    pub(crate) fn publish(&mut self, end: usize) {
        if end < self.end || end > self.len {
            not_an_end(end, self.end, self.len);
        }
        self.end = end;
        self.floor = self.floor.max(end);
        self.region.shared.publish(end);
    }

    /// Writes the frozen bytes of `range` to the file once more, unchanged, and touches its words:
    /// after a failed sync the kernel holds these pages for clean, and this makes them dirty again.
    /// It covers exactly `range`: rounded to pages it would overwrite a concurrent append.
    ///
    /// # Errors
    /// When the file does not take the bytes.
    ///
    /// # Panics
    /// When `range` is not inside `0..end`.
    pub(crate) fn rewrite(&self, range: Range<usize>) -> io::Result<()> {
        let inside = range.start <= range.end && range.end <= self.end;
        assert!(inside, "{range:?} is not below the end, {}", self.end);
        match (&self.region.shared.backing, &self.file) {
            (Backing::Heap(tenancy), _) => tenancy.rewritten(range),
            (Backing::File(_), None) => return Err(io::ErrorKind::Unsupported.into()),
            (Backing::File(_), Some(file)) => {
                let words = self.region.words();
                file::touch_words(&self.region, range.start..range.end.min(words));
                let start = range.start.max(words);
                if let Some(frozen) = self.region.bytes(start..range.end) {
                    file::rewrite(file, start, frozen)?;
                }
            }
        }
        Ok(())
    }
}

impl Drop for RegionWriter {
    fn drop(&mut self) {
        if let Backing::Heap(tenancy) = &self.region.shared.backing {
            tenancy.writer_left(self.end);
        }
    }
}

impl fmt::Debug for RegionWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RegionWriter").field(&self.region).finish()
    }
}

/// A region whose writer is in another process (or, on the heap, in another log of this one).
pub(crate) struct RegionFollower {
    region: Region,
    /// The file behind a mapping. `None` on the heap.
    file: Option<File>,
}

impl RegionFollower {
    /// Maps all `len` bytes of `file` for reading. Nothing is frozen: `end` is `words`.
    ///
    /// The caller answers for the contract: the file is a regular one of at least `len` bytes, it
    /// is never shrunk (M1), and only wakelog writes it (M8).
    ///
    /// # Errors
    /// When the kernel does not map it.
    ///
    /// # Panics
    /// When the geometry is impossible.
    pub(crate) fn map_file(file: File, len: usize, words: usize) -> io::Result<RegionFollower> {
        super::check_geometry(len, words);
        let (mapping, base) = file::Mapping::read_only(&file, len)?;
        let shared = Shared::new(base, len, words, false, Backing::File(mapping));
        Ok(RegionFollower::new(shared, Some(file)))
    }

    pub(super) fn new(shared: Shared, file: Option<File>) -> RegionFollower {
        RegionFollower {
            region: Region {
                shared: Arc::new(shared),
            },
            file,
        }
    }

    /// The reader half. Its words can be loaded, not stored.
    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    /// Copies bytes from `at` into `buf`, published or not, and says how many: fewer than asked
    /// for only at the end of the region. What the writer has not published may be half written,
    /// and on the heap reads as zeros.
    ///
    /// # Errors
    /// What the kernel says. Unlike a load from the map, a bad sector is an error here.
    pub(crate) fn read_at(&self, at: usize, buf: &mut [u8]) -> io::Result<usize> {
        let wanted = buf.len().min(self.region.len().saturating_sub(at));
        let buf = &mut buf[..wanted];
        match (&self.region.shared.backing, &self.file) {
            (Backing::Heap(tenancy), _) => tenancy.read_at(at, buf),
            (Backing::File(_), None) => return Err(io::ErrorKind::Unsupported.into()),
            (Backing::File(_), Some(file)) => return file::read_at(file, at, buf),
        }
        Ok(wanted)
    }

    /// Freezes the bytes below `end` for the readers of this process.
    ///
    /// The caller answers for M9: the writer never stores to these bytes again, which the follower
    /// knows from a word that the writer stored, or from a frame that verified in a private copy.
    ///
    /// # Panics
    /// When `end` lies below the present end or behind the region. On the heap also when the
    /// writer has not published that far: there M9 is checked.
    pub(crate) fn publish(&mut self, end: usize) {
        let shared = &self.region.shared;
        let present = self.region.end();
        if end < present || end > shared.len {
            not_an_end(end, present, shared.len);
        }
        if let Backing::Heap(tenancy) = &shared.backing {
            tenancy.freeze(end);
        }
        shared.publish(end);
    }
}

impl fmt::Debug for RegionFollower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RegionFollower").field(&self.region).finish()
    }
}

#[cold]
#[inline(never)]
fn not_writable(at: usize, count: usize, floor: usize, len: usize) -> ! {
    panic!("{count} bytes at {at} are not inside the writer's bytes, {floor}..{len}")
}

#[cold]
#[inline(never)]
fn not_an_end(end: usize, present: usize, len: usize) -> ! {
    panic!("an end moves forward inside the region: {end} is not inside {present}..={len}")
}
