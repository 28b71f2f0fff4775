//! A disk that behaves as badly as disks do, under every [`MemoryDir`] in tests and fuzzers.
//!
//! Memory holds what the processes see; the disk holds what survives. They meet only here:
//!
//! - **Syncs.** A file's pages of 4 KiB reach its platter when they are synced. A loss of power
//!   lets any set of the other changed sectors (512 bytes) survive too, whole or torn.
//! - **Failed syncs.** The pages of a sync that fails count as clean from then on, without being
//!   on the platter, as on Linux: later syncs say `Ok` and pass them over, until they are written
//!   again. A page counts as written when its visible bytes differ from those at the failure, or
//!   when it is rewritten.
//! - **Names.** Creates, renames and unlinks wait for a sync of the directory. A loss of power
//!   keeps a prefix of them, or any subset in any order.
//! - **Writeback.** The kernel may write a sector at any moment, and commit names: see
//!   `writeback`.
//! - **Faults.** Creates and syncs fail on demand, the disk fills up, and the machine can stop at
//!   any operation.
//!
//! Every choice comes from one seed. Bytes that a living writer has not published cannot be read
//! without a race: for the disk they stay as they were before. Drop all handles first where a
//! torn append matters.
//!
//! An edit of a mapped file ([`MemoryDir::flip_bit`] and its kin) and a loss of power put new
//! files in the place of the old ones. Handles from before keep the old bytes, and what they do
//! later reaches nothing: they belong to a process that is dead.

mod disk;
mod fate;
mod journal;
mod platter;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod writeback;

use std::collections::BTreeMap;
use std::sync::Arc;

use rustix::io::Errno;

use super::memory::{Body, Content, File, MemoryDir, Names, to_u64};
use crate::map::PAGE_BYTES;

pub(super) use disk::Disk;
pub(crate) use disk::Fault;
#[cfg(test)]
pub(crate) use disk::Faults;
use fate::Fate;
pub(super) use journal::Journal;
pub(super) use platter::Platter;

/// What a drive writes as one, in bytes.
const SECTOR_BYTES: usize = 512;

/// A directory as it was at one moment, with what of it was on the disk.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    dir: MemoryDir,
}

impl MemoryDir {
    /// Takes the power away and brings it back. What was not synced survives in part, as `seed`
    /// says: 0 keeps nothing of it, 1 keeps all, the others keep prefixes, single sectors, all but
    /// one, or a random set with torn sectors. Afterwards everything is on the disk, all locks are
    /// free, and no fault is planned; the capacity stays.
    pub(crate) fn power_loss(&self, seed: u64) {
        self.lose(Fate::new(seed));
    }

    fn lose(&self, mut fate: Fate) {
        let mut names = self.inner.names.lock();
        let survivors = names.journal.after_power_loss(&mut fate);
        let mut dirty = 0;
        for file in survivors.values() {
            let body = file.body.lock();
            dirty += body.platter.dirty_sectors(&body.content).len();
        }
        fate.decide(dirty);
        names.files.clear();
        for (name, file) in survivors {
            let bytes = {
                let body = file.body.lock();
                body.platter.after_power_loss(&body.content, &mut fate)
            };
            let platter = Platter::holding(Arc::clone(&bytes));
            let content = Content::Raw(bytes);
            self.inner.disk.occupy(to_u64(content.len()));
            let file = File::new(content, platter, &self.inner.disk);
            names.files.insert(name, file);
        }
        names.journal = Journal::settled(&names.files);
        names.locks.clear();
        self.inner.disk.restart();
    }

    /// Lets the `kth` sync from now fail (1 is the next one), and with `forever` all later ones.
    /// Syncs of regions, files and the directory count alike, and so does the one inside
    /// `create_region`.
    pub(crate) fn fail_syncs(&self, kth: u64, error: Errno, forever: bool) {
        self.inner.disk.fail(Fault::Sync, kth, error, forever);
    }

    /// Lets the `kth` create of a file from now fail (1 is the next one), and with `forever` all
    /// later ones.
    pub(crate) fn fail_creates(&self, kth: u64, error: Errno, forever: bool) {
        self.inner.disk.fail(Fault::Create, kth, error, forever);
    }

    /// Lets the `kth` unlink of a file that is there fail (1 is the next one), and with `forever`
    /// all later ones.
    #[cfg(test)]
    pub(crate) fn fail_unlinks(&self, kth: u64, error: Errno, forever: bool) {
        self.inner.disk.fail(Fault::Unlink, kth, error, forever);
    }

    /// Lets the `kth` of a kind from now fail (1 is the next one), and with `forever` all later
    /// ones.
    #[cfg(test)]
    pub(crate) fn fail(&self, fault: Fault, kth: u64, error: Errno, forever: bool) {
        self.inner.disk.fail(fault, kth, error, forever);
    }

    /// What is planned to fail from now on.
    #[cfg(test)]
    pub(crate) fn faults(&self) -> Faults {
        self.inner.disk.faults()
    }

    #[cfg(test)]
    pub(crate) fn set_faults(&self, faults: Faults) {
        self.inner.disk.set_faults(faults);
    }

    /// Stops the machine before the `kth` operation from now (1 is the next one): it and all later
    /// ones fail with `EIO` and change nothing, until [`MemoryDir::power_loss`].
    pub(crate) fn stop_at(&self, kth: u64) {
        self.inner.disk.stop_at(kth);
    }

    /// How many operations the disk has been asked for: creates, renames, unlinks, writes by call
    /// and syncs. A run that counts `n` has `n` moments for [`MemoryDir::stop_at`].
    pub(crate) fn operations(&self) -> u64 {
        self.inner.disk.operations()
    }

    /// Gives the disk room for `bytes` bytes of files; what needs more fails with `ENOSPC`. Files
    /// take room until nobody has them open and their unlink is synced.
    pub(crate) fn set_capacity(&self, bytes: u64) {
        self.inner.disk.set_capacity(bytes);
    }

    /// All that may be read of a file now.
    ///
    /// # Panics
    /// When there is no such file.
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        let names = self.inner.names.lock();
        let file = &names.files[name];
        let body = file.body.lock();
        body.readable().to_vec()
    }

    /// Puts a file of these bytes, synced with its name, in the place of any that is there.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let mut names = self.inner.names.lock();
        self.inner.disk.occupy(to_u64(bytes.len()));
        let bytes = Arc::new(bytes.to_vec());
        let content = Content::Raw(Arc::clone(&bytes));
        let file = File::new(content, Platter::holding(bytes), &self.inner.disk);
        names.journal.put(name, &file);
        names.files.insert(name.to_owned(), file);
    }

    /// Turns one bit of a file, in memory and on the disk; bit 0 is the lowest of the first byte.
    ///
    /// # Panics
    /// When there is no such file or it has no such bit.
    pub(crate) fn flip_bit(&self, name: &str, bit: usize) {
        let flip = |bytes: &mut [u8]| bytes[bit / 8] ^= 1 << (bit % 8);
        self.edit(name, |body| {
            body.platter.edit(|bytes| flip(bytes));
            match &mut body.content {
                Content::Raw(bytes) => flip(&mut Arc::make_mut(bytes)[..]),
                Content::Block(block) => match Arc::get_mut(block) {
                    Some(block) => flip(block.as_mut_bytes()),
                    None => unreachable!("`edit` copies a file that is mapped"),
                },
            }
        });
    }

    /// Cuts a file to its first `len` bytes, or adds zeros up to there, in memory and on the disk.
    ///
    /// # Panics
    /// When there is no such file.
    pub(crate) fn truncate(&self, name: &str, len: usize) {
        self.edit(name, |body| {
            let old = body.content.len();
            body.platter.edit(|bytes| bytes.resize(len, 0));
            if let Some(bytes) = body.content.as_raw() {
                bytes.resize(len, 0);
            }
            self.inner.disk.occupy(to_u64(len));
            self.inner.disk.free(to_u64(old));
        });
    }

    /// The directory as it is now, its unsynced part included. It is also the way to kill a
    /// process: what old handles do after `image()` never reaches `from_image(..)`. Locks and
    /// planned faults are not part of it.
    pub(crate) fn image(&self) -> Image {
        Image { dir: self.copy() }
    }

    /// A directory of its own that begins as `image`.
    pub(crate) fn from_image(image: &Image) -> MemoryDir {
        image.dir.copy()
    }

    fn copy(&self) -> MemoryDir {
        let names = self.inner.names.lock();
        let copy = MemoryDir::new();
        copy.inner.disk.set_capacity(self.inner.disk.capacity());
        let mut made = Copies {
            dir: &copy,
            done: Vec::new(),
        };
        let files: BTreeMap<_, _> = names
            .files
            .iter()
            .map(|(name, file)| (name.clone(), made.of(file)))
            .collect();
        let journal = names.journal.copy(|file| made.of(file));
        {
            let mut names = copy.inner.names.lock();
            names.files = files;
            names.journal = journal;
        }
        copy
    }

    /// Changes a file under its name, or puts a changed copy in its place when it is mapped.
    fn edit(&self, name: &str, change: impl FnOnce(&mut Body)) {
        let mut names = self.inner.names.lock();
        let Names { files, journal, .. } = &mut *names;
        let Some(file) = files.get_mut(name) else {
            panic!("no file {name}")
        };
        let mapped = match &mut file.body.lock().content {
            Content::Raw(_) => false,
            Content::Block(block) => Arc::get_mut(block).is_none(),
        };
        if mapped {
            let fresh = Copies {
                dir: self,
                done: Vec::new(),
            }
            .of(file);
            journal.replace(file, &fresh);
            *file = fresh;
        }
        change(&mut file.body.lock());
    }
}

impl Body {
    /// The bytes as a reader sees them; what a writer has not published is as on the platter.
    fn readable(&self) -> Arc<Vec<u8>> {
        self.platter.visible(&self.content)
    }

    /// The same body for another directory. Nothing of it is mapped, and most of it not copied:
    /// few of the files of an image are ever opened.
    fn copy(&self) -> Body {
        Body {
            content: Content::Raw(self.readable()),
            platter: self.platter.clone(),
        }
    }
}

/// Copies of files for another directory: one for each file, however many names it has.
struct Copies<'a> {
    dir: &'a MemoryDir,
    done: Vec<(Arc<File>, Arc<File>)>,
}

impl Copies<'_> {
    fn of(&mut self, file: &Arc<File>) -> Arc<File> {
        if let Some((_, copy)) = self.done.iter().find(|(old, _)| Arc::ptr_eq(old, file)) {
            return Arc::clone(copy);
        }
        let Body { content, platter } = file.body.lock().copy();
        self.dir.inner.disk.occupy(to_u64(content.len()));
        let copy = File::new(content, platter, &self.dir.inner.disk);
        self.done.push((Arc::clone(file), Arc::clone(&copy)));
        copy
    }
}
