//! The table of segments: which one holds an offset. Appends never take its lock; a roll's new
//! segment is found through the link of the one before until the sync thread has entered it here.

use super::Shared;
use crate::format::HEADER_BYTES;
use crate::map::Region;
use crate::segment::{self, Segment};
use crate::types::{to_u64, to_usize};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Weak};

/// Segments by base, oldest first.
#[derive(Debug)]
pub(super) struct Table {
    bases: Vec<u64>,
    /// The newest one entered; older ones are opened when somebody reads them.
    last: Arc<Segment>,
    opened: HashMap<u64, Weak<Segment>>,
    /// Bytes of files by base, as far as somebody has asked or they were made since.
    bytes: HashMap<u64, u64>,
    /// Sealed segments that stay mapped though nobody reads them, oldest use first.
    kept: VecDeque<Arc<Segment>>,
    kept_max: usize,
}

/// Where an offset stands.
#[derive(Debug)]
pub(crate) enum Located {
    /// In this segment, if anywhere. It ends before `below`, as far as is known.
    Segment { segment: Arc<Segment>, below: u64 },
    /// In a file that cannot be read as a segment: everything up to `to` is lost.
    Damaged { to: u64 },
    /// Below the oldest segment.
    Trimmed { first: u64 },
}

impl Table {
    pub(super) fn new(bases: Vec<u64>, last: Arc<Segment>, kept_max: u32) -> Self {
        let kept_max = to_usize(kept_max);
        let bytes = HashMap::from([(last.base(), to_u64(last.region().len()))]);
        Self {
            bases,
            last,
            opened: HashMap::new(),
            bytes,
            kept: VecDeque::new(),
            kept_max,
        }
    }

    /// Enters the segment that follows the last one.
    pub(super) fn push(&mut self, segment: Arc<Segment>) {
        self.bytes
            .insert(segment.base(), to_u64(segment.region().len()));
        if segment.base() == self.last.base() {
            // The last one had no event and is replaced.
            self.last = segment;
            return;
        }
        let before = std::mem::replace(&mut self.last, segment);
        self.opened.insert(before.base(), Arc::downgrade(&before));
        self.keep(before);
        self.bases.push(self.last.base());
    }

    fn keep(&mut self, segment: Arc<Segment>) {
        self.kept.retain(|other| !Arc::ptr_eq(other, &segment));
        self.kept.push_back(segment);
        while self.kept.len() > self.kept_max {
            self.kept.pop_front();
        }
        if self.opened.len() > 2 * self.kept_max + 64 {
            self.opened.retain(|_, weak| weak.strong_count() > 0);
        }
    }

    /// Forgets the segments below `first`, and says which they were.
    pub(super) fn drop_below(&mut self, first: u64) -> Vec<Left> {
        let gone = self.bases.partition_point(|base| *base < first);
        let left = |base: u64| Left {
            bytes: self.bytes.remove(&base).unwrap_or(0),
            mapped: self.opened.remove(&base),
            kept: None,
        };
        let bases: Vec<u64> = self.bases.drain(..gone).collect();
        let mut all: Vec<Left> = bases.iter().copied().map(left).collect();
        for index in (0..self.kept.len()).rev() {
            let base = self.kept.get(index).map(|segment| segment.base());
            let place = base.and_then(|base| bases.binary_search(&base).ok());
            if let Some(left) = place.and_then(|place| all.get_mut(place)) {
                left.kept = self.kept.remove(index);
            }
        }
        all
    }

    /// Bytes of a segment's file; 0 if nobody knows.
    pub(super) fn bytes_of(&self, base: u64) -> u64 {
        self.bytes.get(&base).copied().unwrap_or(0)
    }

    pub(super) fn bases(&self) -> &[u64] {
        &self.bases
    }

    fn look_up(&mut self, offset: u64) -> LookedUp {
        if offset >= self.last.base() {
            return LookedUp::Open(Arc::clone(&self.last), u64::MAX);
        }
        let after = self.bases.partition_point(|base| *base <= offset);
        let Some(base) = after
            .checked_sub(1)
            .and_then(|index| self.bases.get(index))
            .copied()
        else {
            return LookedUp::Below(self.bases.first().copied().unwrap_or(self.last.base()));
        };
        let below = self.bases.get(after).copied().unwrap_or(self.last.base());
        match self.opened.get(&base).and_then(Weak::upgrade) {
            Some(segment) => {
                self.keep(Arc::clone(&segment));
                LookedUp::Open(segment, below)
            }
            None => LookedUp::Closed(base, below),
        }
    }
}

/// A segment that has left the log.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) bytes: u64,
    /// If it was mapped lately.
    pub(super) mapped: Option<Weak<Segment>>,
    /// The table's own hold on it.
    pub(super) kept: Option<Arc<Segment>>,
}

/// How many segments there are, and how large.
#[derive(Debug)]
pub(super) struct Sizes {
    pub(super) segments: usize,
    pub(super) mapped: usize,
    /// Of all files together.
    pub(super) bytes: u64,
    /// The newest one that is entered.
    pub(super) last: Arc<Segment>,
}

enum LookedUp {
    Open(Arc<Segment>, u64),
    Closed(u64, u64),
    Below(u64),
}

impl Shared {
    /// Finds the segment of an offset below the end. Opens it if nobody has it open; not under the
    /// table's lock.
    pub(crate) fn locate(&self, offset: u64) -> io::Result<Located> {
        let located = self.locate_once(offset)?;
        if !matches!(located, Located::Damaged { .. }) {
            return Ok(located);
        }
        // A file that cannot be found may have left a moment ago.
        self.await_trim_step();
        if self.marks.first() <= offset && self.follow_once()? {
            return self.locate_once(offset);
        }
        let first = self.marks.first();
        if first > offset {
            return Ok(Located::Trimmed { first });
        }
        Ok(located)
    }

    fn locate_once(&self, offset: u64) -> io::Result<Located> {
        let looked_up = self.table.lock().look_up(offset);
        match looked_up {
            LookedUp::Open(mut segment, below) => {
                // The last one entered may have been rolled since.
                while let Some(next) = segment.next().filter(|next| next.base() <= offset) {
                    segment = next;
                }
                Ok(Located::Segment { segment, below })
            }
            LookedUp::Below(first) => Ok(Located::Trimmed { first }),
            LookedUp::Closed(base, below) => match self.open_sealed(base)? {
                Some(segment) => Ok(Located::Segment { segment, below }),
                None => Ok(Located::Damaged { to: below }),
            },
        }
    }

    fn open_sealed(&self, base: u64) -> io::Result<Option<Arc<Segment>>> {
        let name = segment::name_of(base);
        let region = match self.map_sealed(&name) {
            Ok(region) => region,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
            Err(error) => return Err(error),
        };
        let Ok(header) = segment::read_header(&region, self.log_id(), Some(base)) else {
            return Ok(None);
        };
        if header.making.log != self.log_id() {
            return Ok(None);
        }
        let Some(segment) = Segment::new(&header, region) else {
            return Ok(None);
        };
        if segment.base() != base {
            return Ok(None);
        }
        segment.know(&self.history());
        let segment = Arc::new(segment);
        let mut table = self.table.lock();
        // Two readers may have opened it at once: the first entry stands.
        if let Some(other) = table.opened.get(&base).and_then(Weak::upgrade) {
            return Ok(Some(other));
        }
        if table.bases.binary_search(&base).is_err() {
            // It has left since; whoever asked may still read in it.
            drop(table);
            self.trimmed.hold(&segment);
            return Ok(Some(segment));
        }
        table.opened.insert(base, Arc::downgrade(&segment));
        table.keep(Arc::clone(&segment));
        Ok(Some(segment))
    }

    /// Everything in a sealed file is frozen. What stands behind its valid end has offsets that the
    /// next segment has, so nobody takes it for an event. Read-only, so that a stray store cannot
    /// harm what is sealed.
    fn map_sealed(&self, name: &str) -> io::Result<Region> {
        let mut follower = self.dir.follow_region(name, HEADER_BYTES)?;
        // What an index leads to stands apart; walks ask for what they come to.
        follower.region().scattered();
        follower.publish(follower.region().len());
        Ok(follower.region().clone())
    }

    /// Enters a segment that another process has made (read-only logs).
    pub(crate) fn enter_segment(&self, segment: Arc<Segment>) {
        let mut table = self.table.lock();
        table.last.link(&segment);
        table.push(segment);
    }

    /// Base of the segment after the one with this base; the highest number if it is the last that
    /// is entered.
    pub(crate) fn base_after(&self, base: u64) -> u64 {
        let table = self.table.lock();
        let after = table.bases.partition_point(|other| *other <= base);
        table.bases.get(after).copied().unwrap_or(u64::MAX)
    }

    /// Learns how large the segments are. The directory is looked at once, for those that were
    /// there before the log was opened.
    pub(super) fn know_bytes(&self) {
        let unknown = {
            let table = self.table.lock();
            let known = |base| table.bytes.contains_key(base);
            !table.bases.iter().all(known)
        };
        let listed = if unknown { self.dir.list().ok() } else { None };
        let mut table = self.table.lock();
        for entry in listed.into_iter().flatten() {
            if let Some(base) = segment::parse_name(&entry.name) {
                table.bytes.entry(base).or_insert(entry.bytes);
            }
        }
    }

    /// How large the segments are.
    pub(super) fn sizes(&self) -> Sizes {
        self.know_bytes();
        let table = self.table.lock();
        let Table {
            bases,
            last,
            opened,
            bytes,
            ..
        } = &*table;
        let mapped = opened.values().filter(|weak| weak.strong_count() > 0);
        Sizes {
            segments: bases.len(),
            mapped: mapped.count() + 1,
            bytes: bases.iter().filter_map(|base| bytes.get(base)).sum(),
            last: Arc::clone(last),
        }
    }

    /// Bases of the segments that are entered, oldest first.
    pub(crate) fn bases(&self) -> Vec<u64> {
        self.table.lock().bases.clone()
    }

    /// Base of the segment that holds `offset`, as far as it is entered.
    pub(crate) fn base_of(&self, offset: u64) -> u64 {
        let table = self.table.lock();
        let after = table.bases.partition_point(|base| *base <= offset);
        after.checked_sub(1).map_or(0, |index| table.bases[index])
    }

    /// How many segments there are.
    pub(crate) fn segments(&self) -> usize {
        self.table.lock().bases().len()
    }
}
