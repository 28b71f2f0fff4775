//! `wakelog.ids`: the ids that the log remembers, up to one of its offsets.

use super::bytes::{array, crc, crc_after, crc_in_log, put, u16_at, u32_at, u64_at};
use crate::types::{Epoch, LogId, MAX_OFFSET};
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

const MAGIC: [u8; 8] = *b"WAKEIDS\0";

const MAGIC_AT: usize = 0;
const VERSION_AT: usize = MAGIC_AT + 8;
const COUNT_AT: usize = VERSION_AT + 2 + 2;
const LOG_AT: usize = COUNT_AT + 4;
const SINCE_AT: usize = LOG_AT + 16;
const UNTIL_AT: usize = SINCE_AT + 8;
const COUNTER_AT: usize = UNTIL_AT + 8;
const TAG_AT: usize = COUNTER_AT + 4;
const ENTRIES_CRC_AT: usize = TAG_AT + 4;
const CRC_AT: usize = ENTRIES_CRC_AT + 4;
/// Bytes of the header.
pub(crate) const IDS_HEADER: usize = CRC_AT + 4;
const _: () = assert!(IDS_HEADER == 64 && LOG_AT == 16);

/// Bytes of an entry.
pub(crate) const ID_ENTRY_BYTES: usize = 8 + 8;
const _: () = assert!(ID_ENTRY_BYTES == 16);

/// An id that is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdEntry {
    pub(crate) hash: u64,
    /// Offset of the event that has it.
    pub(crate) offset: u64,
}

/// What the entries of a file are: the ids of all events in [since, until), the newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdsHead {
    pub(crate) count: u32,
    pub(crate) since: u64,
    pub(crate) until: u64,
    /// The epoch in which `until` was an offset of the log.
    pub(crate) epoch: Epoch,
    /// The checksum over the entries.
    pub(crate) entries: EntriesCrc,
}

/// The checksum over the entries so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntriesCrc(u32);

impl EntriesCrc {
    pub(crate) fn new(log: LogId) -> Self {
        Self(crc_in_log(log, &[]))
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0 = crc_after(self.0, bytes);
    }
}

impl IdEntry {
    pub(crate) fn to_bytes(self) -> [u8; ID_ENTRY_BYTES] {
        let mut bytes = [0; ID_ENTRY_BYTES];
        put(&mut bytes, 0, self.hash.to_le_bytes());
        put(&mut bytes, 8, self.offset.to_le_bytes());
        bytes
    }

    pub(crate) fn parse(bytes: &[u8; ID_ENTRY_BYTES]) -> Self {
        Self {
            hash: u64_at(bytes, 0),
            offset: u64_at(bytes, 8),
        }
    }
}

impl IdsHead {
    pub(crate) fn to_bytes(self, log: LogId) -> [u8; IDS_HEADER] {
        let mut bytes = [0; IDS_HEADER];
        put(&mut bytes, MAGIC_AT, MAGIC);
        put(&mut bytes, VERSION_AT, super::VERSION.to_le_bytes());
        put(&mut bytes, COUNT_AT, self.count.to_le_bytes());
        put(&mut bytes, LOG_AT, log.0);
        put(&mut bytes, SINCE_AT, self.since.to_le_bytes());
        put(&mut bytes, UNTIL_AT, self.until.to_le_bytes());
        put(&mut bytes, COUNTER_AT, self.epoch.counter.to_le_bytes());
        put(&mut bytes, TAG_AT, self.epoch.tag.to_le_bytes());
        put(&mut bytes, ENTRIES_CRC_AT, self.entries.0.to_le_bytes());
        let checksum = crc(&bytes[..CRC_AT]);
        put(&mut bytes, CRC_AT, checksum.to_le_bytes());
        bytes
    }

    /// `None` for what is damaged, of another log or of a later version: the ids are found again in
    /// the log.
    pub(crate) fn parse(bytes: &[u8; IDS_HEADER], log: LogId) -> Option<Self> {
        let good = array(bytes, MAGIC_AT) == MAGIC
            && u32_at(bytes, CRC_AT) == crc(&bytes[..CRC_AT])
            && u16_at(bytes, VERSION_AT) == super::VERSION
            && LogId(array(bytes, LOG_AT)) == log;
        let head = Self {
            count: u32_at(bytes, COUNT_AT),
            since: u64_at(bytes, SINCE_AT),
            until: u64_at(bytes, UNTIL_AT),
            epoch: Epoch {
                counter: u32_at(bytes, COUNTER_AT),
                tag: u32_at(bytes, TAG_AT),
            },
            entries: EntriesCrc(u32_at(bytes, ENTRIES_CRC_AT)),
        };
        (good && head.since <= head.until && head.until <= MAX_OFFSET).then_some(head)
    }
}

/// SipHash-1-3 under the secret of the log over who an event comes from and its id, so that nobody
/// outside can choose ids that collide.
pub(crate) fn id_hash(secret: &[u8; 16], from: Option<&str>, id: &str) -> u64 {
    let mut hasher = SipHasher13::new_with_key(secret);
    // No `from` and an empty one are two senders, and no two pairs have one text. An attribute has
    // at most 65,535 bytes.
    let length = from.map_or(0, |from| u32::try_from(from.len()).unwrap_or(u32::MAX) + 1);
    hasher.write(&length.to_le_bytes());
    hasher.write(from.unwrap_or_default().as_bytes());
    hasher.write(id.as_bytes());
    hasher.finish()
}
