//! The last ids of the log, in memory: 24 bytes each, 16 in a ring and 8 in the table that finds
//! them.

use crate::format::IdEntry;
use crate::types::to_usize;

/// The last ids in the order of the log. A pure function of the log's events: the newest `most`
/// that have an id, whether or not one of them repeats another.
pub(crate) struct Window {
    most: usize,
    /// Sorted by offset from `head` on; a ring when there are `most`.
    ring: Vec<IdEntry>,
    head: usize,
    /// Twice as many slots as entries, found by linear probing: the place in the ring plus one, or
    /// zero.
    table: Vec<u32>,
    /// The ids of all events from this offset on are here.
    since: u64,
}

impl Window {
    /// Remembers `most` ids, at least one and fewer than 2^31; all from `since` on are to follow.
    pub(crate) fn new(most: u32, since: u64) -> Self {
        let most = to_usize(most).max(1);
        Self {
            most,
            // Memory that is not touched costs nothing.
            ring: Vec::with_capacity(most),
            head: 0,
            table: vec![0; 2 * most],
            since,
        }
    }

    /// The offsets of the events whose ids have this hash, in no order.
    pub(crate) fn find(&self, hash: u64) -> impl Iterator<Item = u64> + '_ {
        self.probe(self.home(hash))
            .filter_map(move |(_, entry)| (entry.hash == hash).then_some(entry.offset))
    }

    /// Enters the id of the newest event, and forgets the oldest one if there are too many.
    pub(crate) fn insert(&mut self, entry: IdEntry) {
        let place = if self.ring.len() < self.most {
            self.ring.push(entry);
            self.ring.len() - 1
        } else {
            let place = self.head;
            self.forget(place);
            self.ring[place] = entry;
            self.head = (place + 1) % self.most;
            place
        };
        let mut slot = self.home(entry.hash);
        while self.table[slot] != 0 {
            slot = self.after(slot);
        }
        // `most` is below 2^31.
        self.table[slot] = u32::try_from(place + 1).unwrap_or(u32::MAX);
    }

    /// At most `count` of the newest entries below `until`, the newest first, and the offset from
    /// which on no id is missing among them: those further down are asked for with that.
    pub(crate) fn below(&self, until: u64, count: usize) -> (Vec<IdEntry>, u64) {
        let (newer, older) = (&self.ring[..self.head], &self.ring[self.head..]);
        let in_older = older.partition_point(|entry| entry.offset < until);
        let in_newer = newer.partition_point(|entry| entry.offset < until);
        let all = newer[..in_newer]
            .iter()
            .rev()
            .chain(older[..in_older].iter().rev());
        let entries: Vec<_> = all.take(count).copied().collect();
        let whole = entries.len() == in_newer + in_older;
        let since = match entries.last() {
            Some(last) if !whole => last.offset,
            _ => self.since.min(until),
        };
        (entries, since)
    }

    /// Takes the entry at this place of the ring out of the table.
    fn forget(&mut self, place: usize) {
        let gone = self.ring[place];
        self.since = gone.offset + 1;
        let slots = self.probe(self.home(gone.hash));
        let offset_of =
            |(slot, entry): (usize, &IdEntry)| (entry.offset == gone.offset).then_some(slot);
        let Some(mut hole) = slots.filter_map(offset_of).next() else {
            return;
        };
        // Whoever was pushed behind by it moves up, so that no search ends early.
        let mut slot = self.after(hole);
        while let Some(place) = to_usize(self.table[slot]).checked_sub(1) {
            let home = self.home(self.ring[place].hash);
            if self.distance(home, slot) >= self.distance(hole, slot) {
                self.table[hole] = self.table[slot];
                hole = slot;
            }
            slot = self.after(slot);
        }
        self.table[hole] = 0;
    }

    /// The entries from `slot` on up to the first free one. One in two is free.
    fn probe(&self, mut slot: usize) -> impl Iterator<Item = (usize, &IdEntry)> + '_ {
        std::iter::from_fn(move || {
            let place = to_usize(self.table[slot]).checked_sub(1)?;
            let found = (slot, &self.ring[place]);
            slot = self.after(slot);
            Some(found)
        })
    }

    fn home(&self, hash: u64) -> usize {
        let slots = u128::try_from(self.table.len()).unwrap_or_default();
        usize::try_from((u128::from(hash) * slots) >> 64).unwrap_or_default()
    }

    fn after(&self, slot: usize) -> usize {
        if slot + 1 == self.table.len() {
            0
        } else {
            slot + 1
        }
    }

    /// How far `to` is behind `from`, going round.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from {
            to - from
        } else {
            to + self.table.len() - from
        }
    }
}

impl std::fmt::Debug for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Window")
            .field("most", &self.most)
            .field("ids", &self.ring.len())
            .field("since", &self.since)
            .finish_non_exhaustive()
    }
}
