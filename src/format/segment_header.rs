//! The header page of a segment: the making, the activation, the shared end.

use super::bytes::{SECTOR, array, copies, crc, crc_after, put, u16_at, u32_at, u64_at};
use super::frame::FRAME_ALIGNMENT;
use crate::types::{Epoch, LogId, MAX_OFFSET, to_usize};

const MAGIC: [u8; 8] = *b"WAKESEG\0";

const MAGIC_AT: usize = 0;
const VERSION_AT: usize = MAGIC_AT + 8;
const LENGTH_AT: usize = VERSION_AT + 2 + 2;
const LOG_AT: usize = LENGTH_AT + 4;
const SALT_AT: usize = LOG_AT + 16;
const MADE_AT: usize = SALT_AT + 16;
const MAKING_CRC_AT: usize = MADE_AT + 8 + 4;
const ACTIVATION_AT: usize = MAKING_CRC_AT + 4;
const BASE_AT: usize = ACTIVATION_AT;
const COUNTER_AT: usize = BASE_AT + 8;
const TAG_AT: usize = COUNTER_AT + 4;
const PREVIOUS_AT: usize = TAG_AT + 4;
const PREVIOUS_END_AT: usize = PREVIOUS_AT + 8;
const FLAGS_AT: usize = PREVIOUS_END_AT + 4;
const TIME_AT: usize = FLAGS_AT + 4;
const ACTIVATION_CRC_AT: usize = TIME_AT + 8 + 8;
const ON_AT: usize = ACTIVATION_CRC_AT + 4;
const RECORD: usize = ON_AT + 4;
const _: () = assert!(ACTIVATION_AT == 64 && RECORD == 120 && ACTIVATION_CRC_AT == 112);
const _: () = assert!(RECORD <= SECTOR && ACTIVATION_AT % 8 == 0 && RECORD % 8 == 0);

const NO_PREVIOUS: u64 = u64::MAX;
const CUT: u32 = 1;
const MIRROR: u32 = 2;
const ON: u32 = 1;

/// Where the shared end stands, in bytes.
pub(crate) const SHARED_END_AT: usize = 2 * SECTOR;
/// Bytes of the header page; the first frame stands behind it.
pub(crate) const HEADER_BYTES: usize = 4_096;
/// The shortest segment there may be, in bytes.
pub(crate) const MIN_SEGMENT_BYTES: u32 = 16 << 10;
/// The longest segment there may be, in bytes.
pub(crate) const MAX_SEGMENT_BYTES: u32 = 1 << 30;
const _: () = assert!(SHARED_END_AT % 8 == 0 && SHARED_END_AT + 8 <= HEADER_BYTES);

/// What is known of a segment when its file is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Making {
    pub(crate) log: LogId,
    /// Random, and folded into the checksum of each frame.
    pub(crate) salt: [u8; 16],
    /// Length of the file.
    pub(crate) bytes: u32,
    /// UTC microseconds.
    pub(crate) made: u64,
}

/// What is added when the segment becomes the active one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Activation {
    /// Offset of the first event that will stand here.
    pub(crate) base: u64,
    /// The epoch in force at the base.
    pub(crate) epoch: Epoch,
    /// Base of the segment before and the frame position where its last valid frame ends, 0 if
    /// that is not known.
    pub(crate) previous: Option<(u64, u32)>,
    /// A torn tail was left behind the valid end of the segment before.
    pub(crate) cut: bool,
    /// The log is a mirror: skip frames may stand here.
    pub(crate) mirror: bool,
    /// No event here has an earlier time, UTC microseconds.
    pub(crate) time: u64,
}

/// A good header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) making: Making,
    /// `None`: a spare, or an activation that did not reach the disk.
    pub(crate) activation: Option<Activation>,
}

/// Why a page is not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// There are only zeros where the header should stand.
    Zero,
    /// It does not begin as a segment does.
    NotOurs,
    /// It is whole, and of a version that this release does not know.
    Newer(u16),
    /// Neither copy of the making verifies.
    Damaged,
}

impl Making {
    /// The whole page of a segment that is not activated.
    pub(crate) fn page(&self) -> [u8; HEADER_BYTES] {
        let mut page = [0; HEADER_BYTES];
        let mut record = [0; ACTIVATION_AT];
        put(&mut record, MAGIC_AT, MAGIC);
        put(&mut record, VERSION_AT, super::VERSION.to_le_bytes());
        put(&mut record, LENGTH_AT, self.bytes.to_le_bytes());
        put(&mut record, LOG_AT, self.log.0);
        put(&mut record, SALT_AT, self.salt);
        put(&mut record, MADE_AT, self.made.to_le_bytes());
        let checksum = crc(&record[..MAKING_CRC_AT]);
        put(&mut record, MAKING_CRC_AT, checksum.to_le_bytes());
        for at in [0, SECTOR] {
            put(&mut page, at, record);
        }
        page
    }

    fn activation_crc(&self, fields: &[u8]) -> u32 {
        crc_after(crc_after(crc(&self.log.0), &self.salt), fields)
    }
}

/// The words that activate a segment and their places in the page, in the order in which they are
/// to be stored: one copy after the other, the word that makes a copy good last.
pub(crate) fn activation_words(
    making: &Making,
    activation: &Activation,
) -> impl Iterator<Item = (usize, u64)> + use<> {
    let mut record = [0; RECORD];
    put(&mut record, BASE_AT, activation.base.to_le_bytes());
    put(
        &mut record,
        COUNTER_AT,
        activation.epoch.counter.to_le_bytes(),
    );
    put(&mut record, TAG_AT, activation.epoch.tag.to_le_bytes());
    let (base, end) = activation.previous.unwrap_or((NO_PREVIOUS, 0));
    put(&mut record, PREVIOUS_AT, base.to_le_bytes());
    put(&mut record, PREVIOUS_END_AT, end.to_le_bytes());
    let cut = if activation.cut { CUT } else { 0 };
    let flags = if activation.mirror { cut | MIRROR } else { cut };
    put(&mut record, FLAGS_AT, flags.to_le_bytes());
    put(&mut record, TIME_AT, activation.time.to_le_bytes());
    let checksum = making.activation_crc(&record[ACTIVATION_AT..ACTIVATION_CRC_AT]);
    put(&mut record, ACTIVATION_CRC_AT, checksum.to_le_bytes());
    put(&mut record, ON_AT, ON.to_le_bytes());
    [0, SECTOR].into_iter().flat_map(move |copy| {
        let words = (ACTIVATION_AT..RECORD).step_by(8);
        words.map(move |at| (copy + at, u64_at(&record, at)))
    })
}

impl SegmentHeader {
    /// Whether no activation has been stored into this copy.
    pub(crate) fn is_not_activated(copy: &[u8]) -> bool {
        let activation = copy.get(ACTIVATION_AT..RECORD);
        activation.is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0))
    }

    /// Reads the header from the first bytes of a segment, from whichever copy of each of its two
    /// parts is good.
    pub(crate) fn parse(page: &[u8]) -> Result<SegmentHeader, HeaderFault> {
        let making = parse_making(page)?;
        let records = copies::<RECORD>(page);
        let activation = records
            .filter_map(|record| parse_activation(record, &making))
            .next();
        Ok(SegmentHeader { making, activation })
    }
}

fn parse_making(page: &[u8]) -> Result<Making, HeaderFault> {
    let mut fault = HeaderFault::NotOurs;
    for record in copies::<ACTIVATION_AT>(page) {
        match parse_making_record(record) {
            Ok(making) => return Ok(making),
            // A whole copy says more than a damaged one, and that more than a stranger.
            Err(newer @ HeaderFault::Newer(_)) => fault = newer,
            Err(HeaderFault::Damaged) if fault == HeaderFault::NotOurs => {
                fault = HeaderFault::Damaged;
            }
            Err(_) => {}
        }
    }
    let head = page.get(..SHARED_END_AT).unwrap_or(page);
    if fault == HeaderFault::NotOurs && head.iter().all(|byte| *byte == 0) {
        fault = HeaderFault::Zero;
    }
    Err(fault)
}

fn parse_making_record(record: &[u8; ACTIVATION_AT]) -> Result<Making, HeaderFault> {
    if array(record, MAGIC_AT) != MAGIC {
        return Err(HeaderFault::NotOurs);
    }
    if u32_at(record, MAKING_CRC_AT) != crc(&record[..MAKING_CRC_AT]) {
        return Err(HeaderFault::Damaged);
    }
    let version = u16_at(record, VERSION_AT);
    if version > super::VERSION {
        return Err(HeaderFault::Newer(version));
    }
    // Such a file does not come into a log of a version that is read.
    if version < super::OLDEST {
        return Err(HeaderFault::Damaged);
    }
    let bytes = u32_at(record, LENGTH_AT);
    if !(MIN_SEGMENT_BYTES..=MAX_SEGMENT_BYTES).contains(&bytes) {
        return Err(HeaderFault::Damaged);
    }
    Ok(Making {
        log: LogId(array(record, LOG_AT)),
        salt: array(record, SALT_AT),
        bytes,
        made: u64_at(record, MADE_AT),
    })
}

fn parse_activation(record: &[u8; RECORD], making: &Making) -> Option<Activation> {
    let checksum = making.activation_crc(&record[ACTIVATION_AT..ACTIVATION_CRC_AT]);
    if u32_at(record, ON_AT) != ON || u32_at(record, ACTIVATION_CRC_AT) != checksum {
        return None;
    }
    let base = u64_at(record, BASE_AT);
    let end = u32_at(record, PREVIOUS_END_AT);
    let previous = match u64_at(record, PREVIOUS_AT) {
        NO_PREVIOUS => None,
        previous => Some((previous, end)),
    };
    let frames_end = |end| {
        let at = to_usize(end);
        at >= HEADER_BYTES && at % FRAME_ALIGNMENT == 0 && end <= MAX_SEGMENT_BYTES
    };
    // 0: the end is not known, because the segment before cannot be read.
    let fits =
        previous.is_none_or(|(previous, end)| previous <= base && (end == 0 || frames_end(end)));
    (base <= MAX_OFFSET && fits).then_some(Activation {
        base,
        epoch: Epoch {
            counter: u32_at(record, COUNTER_AT),
            tag: u32_at(record, TAG_AT),
        },
        previous,
        cut: u32_at(record, FLAGS_AT) & CUT != 0,
        mirror: u32_at(record, FLAGS_AT) & MIRROR != 0,
        time: u64_at(record, TIME_AT),
    })
}
