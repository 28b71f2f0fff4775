//! `wakelog.epochs`: one record for each open for writing.

use super::bytes::{crc_in_log, put, u32_at, u64_at};
use crate::types::{Epoch, LogId, MAX_OFFSET};

const COUNTER_AT: usize = 0;
const TAG_AT: usize = COUNTER_AT + 4;
const FIRST_AT: usize = TAG_AT + 4;
const BEGAN_AT: usize = FIRST_AT + 8;
const CRC_AT: usize = BEGAN_AT + 8 + 36;

/// Bytes of one record; the first stands at byte 0.
pub(crate) const EPOCH_RECORD_BYTES: usize = CRC_AT + 4;
const _: () = assert!(EPOCH_RECORD_BYTES == 64);

/// An epoch and where it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EpochRecord {
    pub(crate) epoch: Epoch,
    /// First offset of the epoch.
    pub(crate) first: u64,
    /// UTC microseconds.
    pub(crate) began: u64,
}

impl EpochRecord {
    pub(crate) fn to_bytes(self, log: LogId) -> [u8; EPOCH_RECORD_BYTES] {
        let mut record = [0; EPOCH_RECORD_BYTES];
        put(&mut record, COUNTER_AT, self.epoch.counter.to_le_bytes());
        put(&mut record, TAG_AT, self.epoch.tag.to_le_bytes());
        put(&mut record, FIRST_AT, self.first.to_le_bytes());
        put(&mut record, BEGAN_AT, self.began.to_le_bytes());
        let checksum = crc_in_log(log, &record[..CRC_AT]);
        put(&mut record, CRC_AT, checksum.to_le_bytes());
        record
    }

    /// The record in these bytes, if they are one of this log.
    pub(crate) fn parse(bytes: &[u8], log: LogId) -> Option<EpochRecord> {
        let record: &[u8; EPOCH_RECORD_BYTES] = bytes.try_into().ok()?;
        if u32_at(record, CRC_AT) != crc_in_log(log, &record[..CRC_AT]) {
            return None;
        }
        let first = u64_at(record, FIRST_AT);
        let epoch = Epoch {
            counter: u32_at(record, COUNTER_AT),
            tag: u32_at(record, TAG_AT),
        };
        let began = u64_at(record, BEGAN_AT);
        (first <= MAX_OFFSET).then_some(EpochRecord {
            epoch,
            first,
            began,
        })
    }
}
