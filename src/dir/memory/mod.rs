//! A directory on the heap.
//!
//! A file here is a block of memory that all who open it share. What would reach a disk, and
//! when, is asked of `Disk`, `Platter` and `Journal`: outside tests they do nothing (`plain`), in
//! tests they are a disk that can fail (`simulate`).
//!
//! Locks nest in this order: the names, then the body of a file, then what the disk holds.

mod file;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::{fmt, io};

use crate::sync::Mutex;

#[cfg(not(any(test, fuzzing)))]
use super::plain::{Disk, Journal, Platter};
#[cfg(any(test, fuzzing))]
use super::simulate::{Disk, Journal, Platter};
use super::{Directory, Entry, Held, Lock, RawFile, check_head, check_name};
use crate::map::{Block, RegionFollower, RegionWriter};

#[cfg(any(test, fuzzing))]
pub(super) use file::Body;
use file::MemoryFile;
pub(super) use file::{Content, File, to_u64};

/// What messages call it.
const PATH: &str = "<memory>";

/// A directory on the heap. Clones are the same directory.
#[derive(Clone)]
pub(crate) struct MemoryDir {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) names: Mutex<Names>,
    pub(super) disk: Arc<Disk>,
}

pub(super) struct Names {
    pub(super) files: BTreeMap<String, Arc<File>>,
    /// The names that are locked, each with the number of its holder.
    pub(super) locks: BTreeMap<String, u64>,
    pub(super) locks_given: u64,
    pub(super) journal: Journal,
}

impl MemoryDir {
    /// An empty directory.
    pub(crate) fn new() -> MemoryDir {
        let names = Names {
            files: BTreeMap::new(),
            locks: BTreeMap::new(),
            locks_given: 0,
            journal: Journal::empty(),
        };
        MemoryDir {
            inner: Arc::new(Inner {
                names: Mutex::new(names),
                disk: Arc::default(),
            }),
        }
    }

    fn find(&self, name: &str) -> io::Result<Arc<File>> {
        check_name(name)?;
        self.inner.disk.map()?;
        self.inner
            .names
            .lock()
            .files
            .get(name)
            .cloned()
            .ok_or(io::ErrorKind::NotFound.into())
    }

    /// Adds an empty file.
    fn add(&self, names: &mut Names, name: &str) -> io::Result<Arc<File>> {
        self.inner.disk.create(0)?;
        let file = File::new(
            Content::Raw(Arc::default()),
            Platter::zeroed(0),
            &self.inner.disk,
        );
        names.insert(name, Arc::clone(&file));
        Ok(file)
    }
}

impl Names {
    fn insert(&mut self, name: &str, file: Arc<File>) {
        self.journal.created(name, &file);
        self.files.insert(name.to_owned(), file);
    }
}

impl Directory for MemoryDir {
    fn path(&self) -> &Path {
        Path::new(PATH)
    }

    fn list(&self) -> io::Result<Vec<Entry>> {
        let names = self.inner.names.lock();
        let entry = |(name, file): (&String, &Arc<File>)| Entry {
            name: name.clone(),
            bytes: to_u64(file.body.lock().content.len()),
            file: true,
        };
        Ok(names.files.iter().map(entry).collect())
    }

    fn create_region(
        &self,
        name: &str,
        len: usize,
        words: usize,
        head: &[u8],
    ) -> io::Result<RegionWriter> {
        check_name(name)?;
        check_head(len, words, head);
        let mut names = self.inner.names.lock();
        if names.files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.inner.disk.create(to_u64(len))?;
        let content = Block::zeroed(len, words).map(|mut block| {
            block.as_mut_bytes()[..head.len()].copy_from_slice(head);
            Content::Block(Arc::new(block))
        });
        let content = content.inspect_err(|_| self.inner.disk.free(to_u64(len)))?;
        // Its name comes first, with nothing behind it: that is what a process leaves that dies
        // here.
        let (bare, platter) = (Content::Raw(Arc::default()), Platter::zeroed(0));
        let file = File::new(bare, platter, &self.inner.disk);
        names.insert(name, Arc::clone(&file));
        drop(names);
        match file.fill(content, head.len()) {
            Ok(()) => file.writer(words),
            Err(error) => {
                // The first error is the one to tell, and a machine that has stopped does nothing.
                self.inner.disk.free(to_u64(len));
                let _ = self.unlink(name);
                Err(error)
            }
        }
    }

    fn open_region(&self, name: &str, words: usize) -> io::Result<RegionWriter> {
        self.find(name)?.writer(words)
    }

    fn follow_region(&self, name: &str, words: usize) -> io::Result<RegionFollower> {
        self.find(name)?.follower(words)
    }

    fn create_file(&self, name: &str) -> io::Result<Box<dyn RawFile>> {
        check_name(name)?;
        let mut names = self.inner.names.lock();
        if names.files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = self.add(&mut names, name)?;
        Ok(Box::new(MemoryFile { file, write: true }))
    }

    fn open_file(&self, name: &str, write: bool) -> io::Result<Box<dyn RawFile>> {
        Ok(Box::new(MemoryFile {
            file: self.find(name)?,
            write,
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        let mut names = self.inner.names.lock();
        if !names.files.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.inner.disk.change()?;
        if let Some(file) = names.files.remove(from) {
            names.journal.renamed(from, to, &file);
            names.files.insert(to.to_owned(), file);
        }
        Ok(())
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        let mut names = self.inner.names.lock();
        if !names.files.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.inner.disk.unlink()?;
        names.journal.unlinked(name);
        names.files.remove(name);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut names = self.inner.names.lock();
        let Names { files, journal, .. } = &mut *names;
        self.inner.disk.sync_names(journal, files)
    }

    fn lock(&self, name: &str) -> io::Result<Lock> {
        check_name(name)?;
        let mut names = self.inner.names.lock();
        if names.locks.contains_key(name) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if !names.files.contains_key(name) {
            self.add(&mut names, name)?;
        }
        names.locks_given += 1;
        let number = names.locks_given;
        names.locks.insert(name.to_owned(), number);
        let held = HeldName {
            dir: Arc::clone(&self.inner),
            name: name.to_owned(),
            number,
        };
        Ok(Lock {
            _held: Held::Memory(held),
        })
    }
}

impl fmt::Debug for MemoryDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryDir")
            .field(&self.inner.names.lock().files.keys())
            .finish()
    }
}

/// The hold on one name of a [`MemoryDir`].
pub(super) struct HeldName {
    dir: Arc<Inner>,
    name: String,
    /// Tells this hold from a later one: a loss of power takes all locks, and then a handle from
    /// before it must not give back the lock of one from after it.
    number: u64,
}

impl Drop for HeldName {
    fn drop(&mut self) {
        let mut names = self.dir.names.lock();
        if names.locks.get(&self.name) == Some(&self.number) {
            names.locks.remove(&self.name);
        }
    }
}

impl fmt::Debug for HeldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HeldName").field(&self.name).finish()
    }
}
