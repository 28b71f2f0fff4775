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
        Platter::holding(Arc::new(vec![0; len]))
    }

    /// The platter of a file that is wholly synced.
    pub(super) fn holding(bytes: Arc<Vec<u8>>) -> Platter {
        Platter {
            bytes,
            clean: BTreeMap::new(),
        }
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
            let now = self.page(content, page);
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
            let now = self.page(content, page);
            if !self.holds(page * PAGE_BYTES, &now) {
                self.clean.insert(page, now);
            }
        }
    }

    /// The sectors that a loss of power may leave old, new or torn.
    pub(super) fn dirty_sectors(&self, content: &Content) -> Vec<usize> {
        self.dirty(&self.visible(content))
    }

    /// The sectors of `now` that are not on the disk, but for those of pages that count as clean.
    fn dirty(&self, now: &Arc<Vec<u8>>) -> Vec<usize> {
        if Arc::ptr_eq(now, &self.bytes) {
            return Vec::new();
        }
        let is_clean = |page, bytes: &[u8]| self.clean.get(&page).is_some_and(|then| then == bytes);
        let pages = (0..).zip(now.chunks(PAGE_BYTES));
        let dirty = pages.filter(|(page, bytes)| !is_clean(*page, bytes));
        let sectors = dirty.flat_map(|(page, bytes)| {
            (page * (PAGE_BYTES / SECTOR_BYTES)..).zip(bytes.chunks(SECTOR_BYTES))
        });
        let differing = sectors.filter(|(sector, now)| !self.holds(sector * SECTOR_BYTES, now));
        differing.map(|(sector, _)| sector).collect()
    }

    /// The bytes that are left after a loss of power.
    pub(super) fn after_power_loss(&self, content: &Content, fate: &mut Fate) -> Arc<Vec<u8>> {
        let now = self.visible(content);
        let mut left = Arc::clone(&self.bytes);
        let length = fate.length(left.len(), now.len());
        if length != left.len() {
            Arc::make_mut(&mut left).resize(length, 0);
        }
        for sector in self.dirty(&now) {
            let survival = fate.of_next_sector();
            let at = sector * SECTOR_BYTES;
            let count = SECTOR_BYTES.min(left.len().saturating_sub(at));
            if count == 0 || matches!(survival, Survival::Old) {
                continue;
            }
            let old = &mut Arc::make_mut(&mut left)[at..at + count];
            // What is cut off in memory meanwhile keeps its old bytes.
            let new = now.get(at..).unwrap_or_default();
            for (old, new) in old.chunks_mut(8).zip(new.chunks(8)) {
                let count = old.len().min(new.len());
                if matches!(survival, Survival::New) || fate.coin() {
                    old[..count].copy_from_slice(&new[..count]);
                }
            }
        }
        left
    }

    /// The kernel writes by itself: any of the dirty sectors are on the disk as they are now. They
    /// may be changed and be lost later, and this version of them is what is left then.
    pub(super) fn write_back(&mut self, content: &Content, fate: &mut Fate) {
        fate.decide(self.dirty_sectors(content).len());
        self.bytes = self.after_power_loss(content, fate);
    }

    /// All bytes as they can be read now; what a writer has not published is as on the disk.
    pub(super) fn visible(&self, content: &Content) -> Arc<Vec<u8>> {
        if let Content::Raw(bytes) = content {
            return Arc::clone(bytes);
        }
        let mut bytes = self.bytes.to_vec();
        bytes.resize(content.len(), 0);
        content.copy(0, &mut bytes);
        Arc::new(bytes)
    }

    /// The same of one page.
    fn page(&self, content: &Content, page: usize) -> Vec<u8> {
        let at = page * PAGE_BYTES;
        let len = PAGE_BYTES.min(content.len().saturating_sub(at));
        let stored = self.bytes.get(at..).unwrap_or_default();
        let mut bytes = stored[..len.min(stored.len())].to_vec();
        bytes.resize(len, 0);
        if !bytes.is_empty() {
            content.copy(at, &mut bytes);
        }
        bytes
    }

    /// Whether the disk holds these bytes at `at`; behind its end there are zeros.
    fn holds(&self, at: usize, bytes: &[u8]) -> bool {
        let stored = self.bytes.get(at..).unwrap_or_default();
        let (inside, behind) = bytes.split_at(bytes.len().min(stored.len()));
        stored[..inside.len()] == *inside && behind.iter().all(|byte| *byte == 0)
    }
}

/// The numbers of the pages that cover `range`.
fn pages(range: &Range<usize>) -> Range<usize> {
    if range.is_empty() {
        return 0..0;
    }
    range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES)
}
