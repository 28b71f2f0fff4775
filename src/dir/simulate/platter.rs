//! What of one file is on the disk.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::super::memory::Content;
use super::fate::{Fate, Survival};
use super::{PAGE_BYTES, SECTOR_BYTES};

/// The bytes of one file that are on the disk, and the pages that the kernel wrongly holds for
/// clean.
#[derive(Clone)]
pub(in crate::dir) struct Platter {
    /// Shared between images, and copied when it changes.
    bytes: Arc<Vec<u8>>,
    /// The pages of failed syncs, by number, with what they held then.
    clean: BTreeMap<usize, Vec<u8>>,
}

impl Platter {
    /// The platter of a file of `len` zeros.
    pub(in crate::dir) fn zeroed(len: usize) -> Platter {
        Platter::holding(vec![0; len])
    }

    /// The platter of a file that is wholly synced.
    pub(super) fn holding(bytes: Vec<u8>) -> Platter {
        Platter {
            bytes: Arc::new(bytes),
            clean: BTreeMap::new(),
        }
    }

    /// What is on the disk.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Changes what is on the disk, and forgets which pages count as clean.
    pub(super) fn edit(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        change(Arc::make_mut(&mut self.bytes));
        self.clean.clear();
    }

    /// The pages that cover `range` are dirty.
    pub(in crate::dir) fn written(&mut self, range: Range<usize>) {
        self.clean.retain(|page, _| !pages(&range).contains(page));
    }

    /// The pages that cover `range`, those that are dirty, are on the disk now.
    pub(super) fn synced(&mut self, content: &Content, range: Range<usize>) {
        if self.bytes.len() != content.len() {
            Arc::make_mut(&mut self.bytes).resize(content.len(), 0);
        }
        for page in pages(&range) {
            let now = self.visible(content, page);
            match self.clean.get(&page) {
                Some(then) if *then == now => continue,
                Some(_) => drop(self.clean.remove(&page)),
                None => {}
            }
            let at = page * PAGE_BYTES;
            if self.bytes[at..at + now.len()] != now {
                Arc::make_mut(&mut self.bytes)[at..at + now.len()].copy_from_slice(&now);
            }
        }
    }

    /// The pages that cover `range`, those that are dirty, count as clean now, and are not on the
    /// disk.
    pub(super) fn sync_failed(&mut self, content: &Content, range: Range<usize>) {
        for page in pages(&range) {
            let now = self.visible(content, page);
            if self.stored(page, now.len()) != now {
                self.clean.insert(page, now);
            }
        }
    }

    /// The sectors that a loss of power may leave old, new or torn.
    pub(super) fn dirty_sectors(&self, content: &Content) -> Vec<usize> {
        let mut dirty = Vec::new();
        for page in pages(&(0..content.len())) {
            let now = self.visible(content, page);
            if self.clean.get(&page) == Some(&now) {
                continue;
            }
            let stored = self.stored(page, now.len());
            let first = page * (PAGE_BYTES / SECTOR_BYTES);
            let differ = |(old, new): (&[u8], &[u8])| old != new;
            for (index, pair) in sectors(&stored).zip(sectors(&now)).enumerate() {
                if differ(pair) {
                    dirty.push(first + index);
                }
            }
        }
        dirty
    }

    /// The bytes that are left after a loss of power.
    pub(super) fn after_power_loss(&self, content: &Content, fate: &mut Fate) -> Vec<u8> {
        let dirty = self.dirty_sectors(content);
        let mut left = self.bytes.to_vec();
        left.resize(fate.length(left.len(), content.len()), 0);
        for sector in dirty {
            let at = sector * SECTOR_BYTES;
            let survival = fate.of_next_sector();
            let count = SECTOR_BYTES.min(left.len().saturating_sub(at));
            if count == 0 {
                continue;
            }
            let mut now = left[at..at + count].to_vec();
            content.copy(at, &mut now);
            match survival {
                Survival::Old => {}
                Survival::New => left[at..at + count].copy_from_slice(&now),
                Survival::Torn => {
                    for (old, new) in left[at..at + count].chunks_mut(8).zip(now.chunks(8)) {
                        if fate.coin() {
                            old.copy_from_slice(new);
                        }
                    }
                }
            }
        }
        left
    }

    /// The kernel writes by itself: any of the dirty sectors are on the disk as they are now. They
    /// may be changed and be lost later, and this version of them is what is left then.
    pub(super) fn write_back(&mut self, content: &Content, fate: &mut Fate) {
        fate.decide(self.dirty_sectors(content).len());
        self.bytes = Arc::new(self.after_power_loss(content, fate));
    }

    /// A page as it can be read now; what a writer has not published is as on the disk.
    fn visible(&self, content: &Content, page: usize) -> Vec<u8> {
        let at = page * PAGE_BYTES;
        let mut bytes = self.stored(page, PAGE_BYTES.min(content.len().saturating_sub(at)));
        if !bytes.is_empty() {
            content.copy(at, &mut bytes);
        }
        bytes
    }

    /// The first `len` bytes of a page as they are on the disk, with zeros behind its end.
    fn stored(&self, page: usize, len: usize) -> Vec<u8> {
        let rest = self.bytes.get(page * PAGE_BYTES..).unwrap_or_default();
        let mut bytes = rest[..len.min(rest.len())].to_vec();
        bytes.resize(len, 0);
        bytes
    }
}

/// The numbers of the pages that cover `range`.
fn pages(range: &Range<usize>) -> Range<usize> {
    if range.is_empty() {
        return 0..0;
    }
    range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES)
}

fn sectors(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.chunks(SECTOR_BYTES)
}
