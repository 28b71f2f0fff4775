//! The file backing: a shared mapping, and the few calls on the file behind it.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use memmap2::{MmapOptions, MmapRaw};

use super::{PAGE_BYTES, Region, WORD_BYTES};

/// How many bytes [`rewrite`] copies at a time.
const REWRITE_BYTES: usize = 64 << 10;

/// Fewer bytes than this are synced as they are: to map them again would cost more.
const RELEASED_LEAST: usize = 16 * PAGE_BYTES;

/// A mapping, which is undone when this is dropped. It hands out no reference into the memory.
pub(super) struct Mapping {
    raw: MmapRaw,
}

impl Mapping {
    /// Maps the first `len` bytes of `file`, shared, for reading and writing.
    pub(super) fn writable(file: &File, len: usize) -> io::Result<(Mapping, NonNull<u8>)> {
        Mapping::over(MmapOptions::new().len(len).map_raw(file)?)
    }

    /// Maps the first `len` bytes of `file`, shared, for reading.
    pub(super) fn read_only(file: &File, len: usize) -> io::Result<(Mapping, NonNull<u8>)> {
        Mapping::over(MmapOptions::new().len(len).map_raw_read_only(file)?)
    }

    /// Maps `len` zeros that no file is behind.
    pub(super) fn anonymous(len: usize) -> io::Result<(Mapping, NonNull<u8>)> {
        Mapping::over(MmapOptions::new().len(len).map_anon()?.into())
    }

    fn over(raw: MmapRaw) -> io::Result<(Mapping, NonNull<u8>)> {
        let base = NonNull::new(raw.as_mut_ptr()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok((Mapping { raw }, base))
    }

    /// `msync(MS_SYNC)` of the pages that cover `range`.
    pub(super) fn sync(&self, range: Range<usize>) -> io::Result<()> {
        self.release(&range);
        self.raw.flush_range(range.start, range.end - range.start)
    }

    /// Takes the pages inside `range` out of the page table, if it is long. They stay in the page
    /// cache, and whoever reads them next maps them again, many at a time.
    ///
    /// To sync a page, the kernel makes it read-only first, and interrupts each processor of the
    /// process to say so: page by page for those that are mapped, once for all that are released.
    pub(super) fn release(&self, range: &Range<usize>) {
        let pages = range.start.next_multiple_of(PAGE_BYTES)..range.end / PAGE_BYTES * PAGE_BYTES;
        if pages.len() < RELEASED_LEAST {
            return;
        }
        #[cfg(target_os = "linux")]
        {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: on a shared mapping of a file no byte changes: what was stored is in the page
            // cache, and a load from the same address finds it there (M15).
            // Failure only means that the sync takes longer.
            let _ = unsafe {
                self.raw
                    .unchecked_advise_range(advice, pages.start, pages.len())
            };
        }
    }

    /// Populates the pages that cover `range` for reading, where the system can.
    pub(super) fn populate(&self, range: Range<usize>) {
        // Failure only means that a load faults later, as it would have without this call.
        #[cfg(target_os = "linux")]
        let _ = self.raw.advise_range(
            memmap2::Advice::PopulateRead,
            range.start,
            range.end - range.start,
        );
        #[cfg(not(target_os = "linux"))]
        let _ = range;
    }

    /// Begins to read the pages that cover `range`.
    pub(super) fn will_need(&self, range: Range<usize>) {
        // Failure only means that they are read when somebody comes to them.
        let advice = memmap2::Advice::WillNeed;
        let _ = self
            .raw
            .advise_range(advice, range.start, range.end - range.start);
    }

    /// Whoever loads from a page needs that page alone.
    pub(super) fn scattered(&self) {
        // Failure only means that the system reads on around each page, as it would have.
        let _ = self.raw.advise(memmap2::Advice::Random);
    }

    /// Populates the pages that cover `range` for writing, where the system can.
    pub(super) fn arm(&self, range: Range<usize>) {
        // Failure (an old kernel, a full disk, memory pressure) only means that a store faults
        // later, as it would have without this call.
        #[cfg(target_os = "linux")]
        let _ = self.raw.advise_range(
            memmap2::Advice::PopulateWrite,
            range.start,
            range.end - range.start,
        );
        #[cfg(not(target_os = "linux"))]
        let _ = range;
    }
}

/// Stores one word of each page of `range` again, with the value that it has.
///
/// A compare-and-swap of a value with itself: it can lose no concurrent store, and unlike an
/// `or` with zero the compiler does not turn it into a load. When it fails, somebody else has
/// just stored, which serves as well.
pub(super) fn touch_words(region: &Region, range: Range<usize>) {
    let mut at = range.start - range.start % WORD_BYTES;
    while at < range.end {
        let word = region.word(at);
        let value = word.load(Ordering::Relaxed);
        let _ = word.compare_exchange(value, value, Ordering::Relaxed, Ordering::Relaxed);
        at = (at / PAGE_BYTES + 1) * PAGE_BYTES;
    }
}

/// Writes `frozen`, the bytes that stand at `start`, to `file` at the same place.
///
/// They go through a private buffer: the kernel must not read pages of the very file that it is
/// writing, where a fault could wait for a lock that the write holds.
pub(super) fn rewrite(file: &File, start: usize, frozen: &[u8]) -> io::Result<()> {
    let mut at = to_u64(start)?;
    let mut buffer = Vec::with_capacity(REWRITE_BYTES.min(frozen.len()));
    for piece in frozen.chunks(REWRITE_BYTES) {
        buffer.clear();
        buffer.extend_from_slice(piece);
        file.write_all_at(&buffer, at)?;
        at += to_u64(piece.len())?;
    }
    Ok(())
}

/// Fills `buf` from `at`, as far as the file goes.
pub(super) fn read_at(file: &File, at: usize, buf: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match file.read_at(&mut buf[done..], to_u64(at + done)?) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

fn to_u64(value: usize) -> io::Result<u64> {
    u64::try_from(value).map_err(|_| io::ErrorKind::InvalidInput.into())
}
