//! Which cursors there are: a table from the hash of a name to where the cursor stands.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

/// Where a cursor stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) slot: u32,
    /// Place of its definition, in units of the alignment.
    pub(super) position: u32,
    /// Its place in the log is lost.
    pub(super) corrupt: bool,
}

/// The place of a definition that is not there.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Slot numbers stay far below this bit.
const CORRUPT: u32 = 1 << 31;
const _: () = assert!(crate::options::MOST_CURSORS < CORRUPT);

/// Packed to 16 bytes a cursor, about 24 with the room that the map keeps free.
#[derive(Default)]
pub(super) struct Table {
    by_hash: HashMap<u64, (u32, u32), BuildHasherDefault<AsItIs>>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// Makes room for so many more at once.
    pub(super) fn reserve(&mut self, more: usize) {
        self.by_hash.reserve(more);
    }

    pub(super) fn get(&self, hash: u64) -> Option<Entry> {
        self.by_hash.get(&hash).map(|(slot, position)| Entry {
            slot: slot & !CORRUPT,
            position: *position,
            corrupt: slot & CORRUPT != 0,
        })
    }

    pub(super) fn insert(&mut self, hash: u64, entry: Entry) {
        let flag = if entry.corrupt { CORRUPT } else { 0 };
        self.by_hash
            .insert(hash, (entry.slot | flag, entry.position));
    }

    pub(super) fn remove(&mut self, hash: u64) {
        self.by_hash.remove(&hash);
    }

    /// Hash and entry of each cursor, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, Entry)> + '_ {
        self.by_hash
            .keys()
            .filter_map(|hash| Some((*hash, self.get(*hash)?)))
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// The keys are hashes under a secret already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        // Only whole numbers are hashed here; this keeps the trait's contract for anything else.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
