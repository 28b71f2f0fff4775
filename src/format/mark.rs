//! `wakelog.mark`: a lower bound of what is on disk.

use super::bytes::{SECTOR, crc_in_log, put, u32_at, u64_at};
use crate::types::{Epoch, LogId, MAX_OFFSET};

const SEQUENCE_AT: usize = 0;
const OFFSET_AT: usize = SEQUENCE_AT + 8;
const BASE_AT: usize = OFFSET_AT + 8;
const POSITION_AT: usize = BASE_AT + 8;
const COUNTER_AT: usize = POSITION_AT + 8;
const TAG_AT: usize = COUNTER_AT + 4;
const FLAGS_AT: usize = TAG_AT + 4;
const TIME_AT: usize = FLAGS_AT + 4 + 4;
const CRC_AT: usize = TIME_AT + 8 + 4;
const SLOT: usize = CRC_AT + 4;
const _: () = assert!(SLOT == 64 && TIME_AT == 48);

const CLOSED: u32 = 1;

/// Bytes of the file: up to the end of the second slot.
pub(crate) const MARK_FILE_BYTES: usize = SECTOR + SLOT;

/// The durable mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Rises by one with each mark that is written; says which of the two slots it goes to.
    pub(crate) sequence: u64,
    /// Every event below this offset is on disk.
    pub(crate) offset: u64,
    /// Base of the segment in which that offset stands or will stand.
    pub(crate) base: u64,
    /// Frame position in that segment: the bytes below it are on disk.
    pub(crate) position: u64,
    pub(crate) epoch: Epoch,
    /// Time of the last event below the mark, UTC microseconds.
    pub(crate) time: u64,
    /// The log was closed in order.
    pub(crate) closed: bool,
}

impl Mark {
    pub(crate) fn slot_bytes(&self, log: LogId) -> [u8; SLOT] {
        let mut slot = [0; SLOT];
        put(&mut slot, SEQUENCE_AT, self.sequence.to_le_bytes());
        put(&mut slot, OFFSET_AT, self.offset.to_le_bytes());
        put(&mut slot, BASE_AT, self.base.to_le_bytes());
        put(&mut slot, POSITION_AT, self.position.to_le_bytes());
        put(&mut slot, COUNTER_AT, self.epoch.counter.to_le_bytes());
        put(&mut slot, TAG_AT, self.epoch.tag.to_le_bytes());
        let flags = if self.closed { CLOSED } else { 0 };
        put(&mut slot, FLAGS_AT, flags.to_le_bytes());
        put(&mut slot, TIME_AT, self.time.to_le_bytes());
        let checksum = crc_in_log(log, &slot[..CRC_AT]);
        put(&mut slot, CRC_AT, checksum.to_le_bytes());
        slot
    }

    /// Where in the file the slot of this sequence stands, in bytes.
    pub(crate) fn slot_at(sequence: u64) -> u64 {
        if sequence % 2 == 0 {
            0
        } else {
            crate::types::to_u64(SECTOR)
        }
    }

    /// Whether nothing was ever written into these bytes of a slot.
    pub(crate) fn is_empty_slot(slot: &[u8]) -> bool {
        slot.iter().all(|byte| *byte == 0)
    }

    /// The mark with the higher sequence of those that verify.
    pub(crate) fn parse_newest(file: &[u8], log: LogId) -> Option<Mark> {
        let slots = [(0, 0), (1, SECTOR)].into_iter();
        let marks = slots.filter_map(|(parity, at)| {
            let mark = parse_slot(file.get(at..at + SLOT)?, log)?;
            (mark.sequence % 2 == parity).then_some(mark)
        });
        marks.max_by_key(|mark| mark.sequence)
    }
}

fn parse_slot(slot: &[u8], log: LogId) -> Option<Mark> {
    if u32_at(slot, CRC_AT) != crc_in_log(log, &slot[..CRC_AT]) {
        return None;
    }
    let mark = Mark {
        sequence: u64_at(slot, SEQUENCE_AT),
        offset: u64_at(slot, OFFSET_AT),
        base: u64_at(slot, BASE_AT),
        position: u64_at(slot, POSITION_AT),
        epoch: Epoch {
            counter: u32_at(slot, COUNTER_AT),
            tag: u32_at(slot, TAG_AT),
        },
        time: u64_at(slot, TIME_AT),
        closed: u32_at(slot, FLAGS_AT) & CLOSED != 0,
    };
    (mark.base <= mark.offset && mark.offset <= MAX_OFFSET).then_some(mark)
}
