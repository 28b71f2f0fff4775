//! The directory of a log: its names, its files, its lock, and what of them is on the disk.
//!
//! The rooms above see a directory through two small traits, so that the same code runs on a real
//! one ([`DiskDir`]) and on the heap ([`MemoryDir`]). The heap one serves logs that need no disk;
//! in tests and under the fuzzers it also plays the disk's part: it loses power, tears sectors,
//! fails syncs and fills up (see `simulate`).
//!
//! Nothing here syncs a directory by itself: after a create, a rename or an unlink the name is
//! only as durable as the next [`Directory::sync`].

mod copy;
mod disk;
mod fresh;
mod memory;
#[cfg(not(any(test, fuzzing)))]
mod plain;
#[cfg(any(test, fuzzing))]
#[cfg_attr(
    fuzzing,
    allow(dead_code, reason = "the fuzzers do not ask for all of it")
)]
mod simulate;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::{fmt, io};

use crate::map::{RegionFollower, RegionWriter};

pub(crate) use copy::copy;
pub(crate) use disk::DiskDir;
pub(crate) use fresh::FreshDir;
pub(crate) use memory::MemoryDir;
#[cfg(any(test, fuzzing))]
pub(crate) use simulate::Image;
#[cfg(test)]
pub(crate) use simulate::{Fault, Faults};

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The name, without a path.
    pub(crate) name: String,
    /// The length of the file in bytes.
    pub(crate) bytes: u64,
    /// Whether it is a regular file (a symbolic link is not).
    pub(crate) file: bool,
}

/// A directory that holds one log.
///
/// Every `name` is a single name: one with a `/` or a NUL, `.`, `..` and the empty one are
/// `InvalidInput`. Symbolic links are never followed, and a file that is opened or created is a
/// regular one or an error.
pub(crate) trait Directory: Send + Sync + fmt::Debug {
    /// Where it is, for messages alone.
    fn path(&self) -> &Path;

    /// All names, sorted. Names that are not UTF-8 are none of ours and are left out.
    ///
    /// # Errors
    /// When the directory cannot be read.
    fn list(&self) -> io::Result<Vec<Entry>>;

    /// Creates a file of `len` bytes, `head` first and zeros after it, all of it allocated and
    /// synced (its name is not), and maps it with nothing frozen: `end` is `words`.
    ///
    /// # Errors
    /// `AlreadyExists`; `StorageFull` and whatever else the file system says. Then there is no
    /// such file.
    ///
    /// # Panics
    /// When `words` is not a multiple of 8, or `words` or `head` do not fit into `len`.
    fn create_region(
        &self,
        name: &str,
        len: usize,
        words: usize,
        head: &[u8],
    ) -> io::Result<RegionWriter>;

    /// Maps a file for writing, with nothing frozen: `end` is `words`. Its blocks are allocated
    /// first where they are not, so that a store can never meet a full disk.
    ///
    /// Only the holder of the log's lock may call it, and not while the file has another writer
    /// (on the heap that is `ResourceBusy`).
    ///
    /// # Errors
    /// `NotFound`; `InvalidData` when it is no regular file or shorter than `words`;
    /// `StorageFull`; and whatever else the file system says.
    ///
    /// # Panics
    /// When `words` is not a multiple of 8.
    fn open_region(&self, name: &str, words: usize) -> io::Result<RegionWriter>;

    /// Maps a file for reading, with nothing frozen: `end` is `words`. Somebody else may write it.
    ///
    /// # Errors
    /// `NotFound`; `InvalidData` when it is no regular file or shorter than `words`; and whatever
    /// else the file system says.
    ///
    /// # Panics
    /// When `words` is not a multiple of 8.
    fn follow_region(&self, name: &str, words: usize) -> io::Result<RegionFollower>;

    /// Creates an empty file.
    ///
    /// # Errors
    /// `AlreadyExists`, and whatever else the file system says.
    fn create_file(&self, name: &str) -> io::Result<Box<dyn RawFile>>;

    /// Opens a file, for writing too when `write` is set.
    ///
    /// # Errors
    /// `NotFound`; `InvalidData` when it is no regular file; and whatever else the file system
    /// says.
    fn open_file(&self, name: &str, write: bool) -> io::Result<Box<dyn RawFile>>;

    /// Gives the file `from` the name `to`, in the place of any file that had it.
    ///
    /// # Errors
    /// `NotFound`, and whatever else the file system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name. Whoever has the file open or mapped keeps it.
    ///
    /// # Errors
    /// `NotFound`, and whatever else the file system says.
    fn unlink(&self, name: &str) -> io::Result<()>;

    /// Brings all creates, renames and unlinks so far to the disk.
    ///
    /// # Errors
    /// What the file system says.
    fn sync(&self) -> io::Result<()>;

    /// Takes the exclusive lock on the file `name`, which is created when it is missing. Dropping
    /// the [`Lock`] gives it back, and so does the death of the process.
    ///
    /// # Errors
    /// `WouldBlock` when it is held, by this process or by another one; `InvalidData` when it is
    /// no regular file; and whatever else the file system says.
    fn lock(&self, name: &str) -> io::Result<Lock>;
}

/// A file that is read and written by calls, not mapped.
pub(crate) trait RawFile: Send + Sync + fmt::Debug {
    /// The length in bytes.
    ///
    /// # Errors
    /// What the file system says.
    fn len(&self) -> io::Result<u64>;

    /// Fills `buf` from byte `at` and says how many bytes that were: fewer than asked for only at
    /// the end of the file.
    ///
    /// # Errors
    /// What the file system says.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at byte `at`; the file grows as it must, with zeros between.
    ///
    /// # Errors
    /// `StorageFull`, and whatever else the file system says; a part may be written then.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// The file of the system that it is, if it is one: what the kernel can copy by itself.
    fn file(&self) -> Option<&std::fs::File> {
        None
    }

    /// Brings the file's bytes and length to the disk.
    ///
    /// # Errors
    /// What the file system says. After an error what was not synced counts as clean although it
    /// is not on the disk: only writing it again helps, syncing again does not.
    fn sync(&self) -> io::Result<()>;
}

/// The hold on a lock file, given back on drop.
#[derive(Debug)]
pub(crate) struct Lock {
    _held: Held,
}

/// Either way nothing is ever read: what counts is the drop.
#[derive(Debug)]
#[expect(dead_code, reason = "held for their drop")]
enum Held {
    Disk(disk::LockedFile),
    Memory(memory::HeldName),
}

/// Checks that `name` is a single name and cannot lead out of the directory.
fn check_name(name: &str) -> io::Result<()> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not the name of a file",
        ));
    }
    Ok(())
}

/// Checks that a new region can be made.
fn check_head(len: usize, words: usize, head: &[u8]) {
    crate::map::check_geometry(len, words);
    assert!(
        head.len() <= len,
        "a head of {} bytes does not fit into {len}",
        head.len()
    );
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a regular file")
}

fn too_short(len: u64, words: usize) -> io::Error {
    let text = format!("{len} bytes, and {words} are the least");
    io::Error::new(io::ErrorKind::InvalidData, text)
}
