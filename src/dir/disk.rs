//! A directory of a file system.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{
    Directory, Entry, Held, Lock, RawFile, check_head, check_name, not_regular, too_short,
};
use crate::map::{RegionFollower, RegionWriter};

/// New files belong to the user alone, as the directory does.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// The bits of a directory that we make.
pub(super) const DIRECTORY_MODE: u32 = 0o700;

/// How many zeros a new region is given at a time, where the file system cannot allocate. Larger
/// writes fill the page cache with large folios, and then one dirty byte costs a sync of the whole
/// folio: 2 MiB have been measured for 4 KiB. One page at a time leaves single pages.
const FILL_BYTES: usize = 4096;

/// A directory that was opened once: all names are looked up in it, wherever it is moved.
#[derive(Debug)]
pub(crate) struct DiskDir {
    path: PathBuf,
    fd: File,
}

impl DiskDir {
    /// Opens the directory at `path`, which is made (with mode 0700, and its parents too) and
    /// synced into its parent when it is missing.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn create(path: &Path) -> io::Result<DiskDir> {
        make(path)?;
        DiskDir::open(path)
    }

    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, and whatever else the file system says.
    pub(crate) fn open(path: &Path) -> io::Result<DiskDir> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(DiskDir {
            path: path.to_path_buf(),
            fd: File::from(fd),
        })
    }

    /// Opens a regular file of this directory.
    fn open_at(&self, name: &str, flags: OFlags) -> io::Result<File> {
        check_name(name)?;
        // Without NONBLOCK a named pipe in the place of a file would hang us; a regular file does
        // not mind it.
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = File::from(rustix::fs::openat(&self.fd, name, flags, FILE_MODE)?);
        if !file.metadata()?.is_file() {
            return Err(not_regular());
        }
        Ok(file)
    }

    /// Opens an existing file that is to be mapped, and says how long it is.
    fn open_mappable(&self, name: &str, words: usize, flags: OFlags) -> io::Result<(File, usize)> {
        let file = self.open_at(name, flags)?;
        let bytes = file.metadata()?.len();
        match usize::try_from(bytes) {
            Ok(len) if len >= words && isize::try_from(len).is_ok() => Ok((file, len)),
            _ => Err(too_short(bytes, words)),
        }
    }
}

impl Directory for DiskDir {
    fn path(&self) -> &Path {
        &self.path
    }

    fn list(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for found in Dir::read_from(&self.fd)? {
            let found = found?;
            let Ok(name) = found.file_name().to_str() else {
                continue;
            };
            if matches!(name, "." | "..") {
                continue;
            }
            let stat = match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                // It was removed since the directory was read.
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            };
            entries.push(Entry {
                name: name.to_owned(),
                bytes: u64::try_from(stat.st_size).unwrap_or(0),
                file: FileType::from_raw_mode(stat.st_mode).is_file(),
            });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn create_region(
        &self,
        name: &str,
        len: usize,
        words: usize,
        head: &[u8],
    ) -> io::Result<RegionWriter> {
        check_head(len, words, head);
        let file = self.open_at(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?;
        let made = fill(&file, len, head)
            .and_then(|()| file.sync_data())
            .and_then(|()| RegionWriter::map_file(file, len, words));
        if made.is_err() {
            // The first error is the one to tell; what is left over is refused by its content.
            let _ = self.unlink(name);
        }
        made
    }

    fn open_region(&self, name: &str, words: usize) -> io::Result<RegionWriter> {
        let (file, len) = self.open_mappable(name, words, OFlags::RDWR)?;
        // A copy that some tool has made sparse would answer a store on a full disk with SIGBUS.
        let _ = allocate(&file, len)?;
        RegionWriter::map_file(file, len, words)
    }

    fn follow_region(&self, name: &str, words: usize) -> io::Result<RegionFollower> {
        let (file, len) = self.open_mappable(name, words, OFlags::RDONLY)?;
        RegionFollower::map_file(file, len, words)
    }

    fn create_file(&self, name: &str) -> io::Result<Box<dyn RawFile>> {
        let file = self.open_at(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?;
        Ok(Box::new(DiskFile(file)))
    }

    fn open_file(&self, name: &str, write: bool) -> io::Result<Box<dyn RawFile>> {
        let flags = if write { OFlags::RDWR } else { OFlags::RDONLY };
        Ok(Box::new(DiskFile(self.open_at(name, flags)?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?)
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    fn lock(&self, name: &str) -> io::Result<Lock> {
        let file = self.open_at(name, OFlags::RDWR | OFlags::CREATE)?;
        // Not a POSIX record lock: those do not see a second open in the same process.
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Lock {
            _held: Held::Disk(LockedFile {
                file,
                process: std::process::id(),
            }),
        })
    }
}

/// An open file that carries a lock and is closed on exec.
#[derive(Debug)]
pub(super) struct LockedFile {
    file: File,
    /// Who has locked it.
    process: u32,
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        // Unlocked, not only closed: a process that another thread is just starting still has a
        // copy of the descriptor. A forked child must not unlock what its parent still holds.
        if std::process::id() == self.process {
            // If it fails, the close that follows gives the lock back.
            let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
        }
    }
}

#[derive(Debug)]
struct DiskFile(File);

impl RawFile for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let (mut done, mut at) = (0, at);
        while done < buf.len() {
            match self.0.read_at(&mut buf[done..], at) {
                Ok(0) => break,
                Ok(count) => {
                    done += count;
                    at += u64::try_from(count).unwrap_or(u64::MAX);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, at)
    }

    fn file(&self) -> Option<&File> {
        Some(&self.0)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Makes the directory at `path` and those above it that are missing, each synced into its parent:
/// a log that is synced inside a directory that a loss of power takes away is lost.
fn make(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if parent == Path::new("") => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    let build = || DirBuilder::new().mode(DIRECTORY_MODE).create(path);
    let made = build().or_else(|error| match error.kind() {
        io::ErrorKind::NotFound if parent != path => make(parent).and_then(|()| build()),
        _ => Err(error),
    });
    match made {
        Ok(()) => File::open(parent)?.sync_all(),
        // Whether it is a directory, opening it will tell.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Gives an empty file its blocks and its bytes: `head`, then zeros up to `len`.
///
/// Blocks that are allocated read as zeros and are not written, since that would double what a
/// log writes to the disk. The first sync of such a block also has the file system's own record of
/// it to write; an event pays that once in the many that share the block.
fn fill(file: &File, len: usize, head: &[u8]) -> io::Result<()> {
    let written = if allocate(file, len)? {
        head.len()
    } else {
        len
    };
    let mut page = [0; FILL_BYTES];
    let mut at = 0;
    while at < written {
        let count = FILL_BYTES.min(len - at);
        let from_head = head.get(at..).unwrap_or_default();
        let from_head = &from_head[..count.min(from_head.len())];
        page[..from_head.len()].copy_from_slice(from_head);
        page[from_head.len()..].fill(0);
        file.write_all_at(&page[..count], to_u64(at)?)?;
        at += count;
    }
    Ok(())
}

/// Allocates all blocks of the first `len` bytes, as zeros where there was nothing. `false`: this
/// file system cannot do that.
#[cfg(target_os = "linux")]
fn allocate(file: &File, len: usize) -> io::Result<bool> {
    if len == 0 {
        return Ok(true);
    }
    let flags = rustix::fs::FallocateFlags::empty();
    loop {
        match rustix::fs::fallocate(file, flags, 0, to_u64(len)?) {
            Ok(()) => return Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Here zeros are written instead.
#[cfg(not(target_os = "linux"))]
fn allocate(_file: &File, len: usize) -> io::Result<bool> {
    Ok(len == 0)
}

fn to_u64(value: usize) -> io::Result<u64> {
    u64::try_from(value).map_err(|_| io::ErrorKind::InvalidInput.into())
}
