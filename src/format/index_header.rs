//! The header of a topic index, and the fixed records of its tables.

use super::VERSION;
use super::bytes::{array, crc, put, u16_at, u32_at, u64_at};
use crate::types::{Epoch, LogId};

const MAGIC: [u8; 8] = *b"WAKEIDX\0";
const VERSION_AT: usize = 8;
const LOG_AT: usize = 16;
const SALT_AT: usize = LOG_AT + 16;
const BASE_AT: usize = SALT_AT + 16;
const COVERS_AT: usize = BASE_AT + 8;
const FIRST_CRC_AT: usize = COVERS_AT + 4;
const FROM_AT: usize = FIRST_CRC_AT + 4;
const LAST_AT: usize = FROM_AT + 4;
const CHECKSUM_AT: usize = LAST_AT + 4;
const TABLES_AT: usize = CHECKSUM_AT + 4;
const NEXT_AT: usize = TABLES_AT + 4;
const EVENTS_AT: usize = NEXT_AT + 8;
const TABLES_BYTES_AT: usize = EVENTS_AT + 8;
const TABLES_CRC_AT: usize = TABLES_BYTES_AT + 4;
const EPOCHS_AT: usize = TABLES_CRC_AT + 4;
const PLACES_AT: usize = EPOCHS_AT + 4;
const BLOCKS_AT: usize = PLACES_AT + 4;
const SECOND_CRC_AT: usize = 124;

/// Bytes of the header.
pub(crate) const INDEX_HEADER: usize = SECOND_CRC_AT + 4;
const _: () = assert!(FIRST_CRC_AT == 60 && BLOCKS_AT + 4 <= SECOND_CRC_AT);

/// What an index is of, and where its tables stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexHeader {
    pub(crate) log: LogId,
    /// That of the segment.
    pub(crate) salt: [u8; 16],
    pub(crate) base: u64,
    /// The frame position at which the first frame that is indexed may stand.
    pub(crate) from: u32,
    /// The frame position behind the last frame that is indexed.
    pub(crate) covers: u32,
    /// Frame position and checksum of that last frame: an index fits a segment that has it.
    pub(crate) last: (u32, u32),
    /// The offset that the next event at `covers` has.
    pub(crate) next: u64,
    pub(crate) events: u64,
    /// Where the tables stand, their bytes and their checksum.
    pub(crate) tables: (u32, u32, u32),
    pub(crate) epochs: u32,
    pub(crate) places: u32,
    pub(crate) blocks: u32,
}

impl IndexHeader {
    pub(crate) fn encode(&self) -> [u8; INDEX_HEADER] {
        let mut bytes = [0; INDEX_HEADER];
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, VERSION_AT, VERSION.to_le_bytes());
        put(&mut bytes, LOG_AT, self.log.0);
        put(&mut bytes, SALT_AT, self.salt);
        put(&mut bytes, BASE_AT, self.base.to_le_bytes());
        put(&mut bytes, NEXT_AT, self.next.to_le_bytes());
        put(&mut bytes, EVENTS_AT, self.events.to_le_bytes());
        for (at, value) in [
            (COVERS_AT, self.covers),
            (FROM_AT, self.from),
            (LAST_AT, self.last.0),
            (CHECKSUM_AT, self.last.1),
            (TABLES_AT, self.tables.0),
            (TABLES_BYTES_AT, self.tables.1),
            (TABLES_CRC_AT, self.tables.2),
            (EPOCHS_AT, self.epochs),
            (PLACES_AT, self.places),
            (BLOCKS_AT, self.blocks),
        ] {
            put(&mut bytes, at, value.to_le_bytes());
        }
        let first = crc(&bytes[..FIRST_CRC_AT]);
        put(&mut bytes, FIRST_CRC_AT, first.to_le_bytes());
        let second = crc(&bytes[FIRST_CRC_AT..SECOND_CRC_AT]);
        put(&mut bytes, SECOND_CRC_AT, second.to_le_bytes());
        bytes
    }

    /// The header that these bytes begin with. `None`: there is none that this release reads; an
    /// index is derived, so it does not matter why.
    pub(crate) fn parse(bytes: &[u8]) -> Option<IndexHeader> {
        let bytes: &[u8; INDEX_HEADER] = bytes.first_chunk()?;
        let good = bytes[..8] == MAGIC
            && u16_at(bytes, VERSION_AT) == VERSION
            && u32_at(bytes, FIRST_CRC_AT) == crc(&bytes[..FIRST_CRC_AT])
            && u32_at(bytes, SECOND_CRC_AT) == crc(&bytes[FIRST_CRC_AT..SECOND_CRC_AT]);
        let at = |at| u32_at(bytes, at);
        good.then(|| IndexHeader {
            log: LogId(array(bytes, LOG_AT)),
            salt: array(bytes, SALT_AT),
            base: u64_at(bytes, BASE_AT),
            from: at(FROM_AT),
            covers: at(COVERS_AT),
            last: (at(LAST_AT), at(CHECKSUM_AT)),
            next: u64_at(bytes, NEXT_AT),
            events: u64_at(bytes, EVENTS_AT),
            tables: (at(TABLES_AT), at(TABLES_BYTES_AT), at(TABLES_CRC_AT)),
            epochs: at(EPOCHS_AT),
            places: at(PLACES_AT),
            blocks: at(BLOCKS_AT),
        })
    }
}

/// From the frame position `at` on, frames are of `epoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEpoch {
    pub(crate) at: u32,
    pub(crate) epoch: Epoch,
}

impl IndexEpoch {
    pub(crate) const BYTES: usize = 12;

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for value in [self.at, self.epoch.counter, self.epoch.tag] {
            out.extend_from_slice(&value.to_le_bytes());
        }
    }

    pub(crate) fn parse(bytes: &[u8; Self::BYTES]) -> IndexEpoch {
        let (counter, tag) = (u32_at(bytes, 4), u32_at(bytes, 8));
        let epoch = Epoch { counter, tag };
        IndexEpoch {
            at: u32_at(bytes, 0),
            epoch,
        }
    }
}

/// A frame with events: where it stands, its first offset and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexPlace {
    pub(crate) at: u32,
    pub(crate) offset: u64,
    pub(crate) time: u64,
}

impl IndexPlace {
    pub(crate) const BYTES: usize = 20;

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.at.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.time.to_le_bytes());
    }

    pub(crate) fn parse(bytes: &[u8; Self::BYTES]) -> IndexPlace {
        IndexPlace {
            at: u32_at(bytes, 0),
            offset: u64_at(bytes, 4),
            time: u64_at(bytes, 12),
        }
    }
}
