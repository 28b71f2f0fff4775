//! What verifying a log has found.

use crate::error::Corruption;
use crate::segment;
use std::fmt;

/// What [`verify`](crate::verify) has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// Nothing is lost and nothing is damaged. A torn tail alone is neither.
    pub ok: bool,
    /// Events that are whole.
    pub events: u64,
    /// Bytes of segments that were read.
    pub bytes: u64,
    /// Segments of the log.
    pub segments: u64,
    /// Offset of the oldest event that is kept.
    pub first: u64,
    /// The next offset: where an open would go on.
    pub next: u64,
    /// Bytes above the durable mark that are not part of the log: in the last segment, from behind
    /// its last valid frame up to the last byte that is not zero; and all such bytes behind the
    /// header of a segment that an open would drop, because it was begun and never durable. With a
    /// live writer this may be an append under way. What lies behind the valid end of an older
    /// segment was cut long ago and is not counted.
    pub torn_tail_bytes: u64,
    /// Ranges of offsets that are lost, in order.
    pub corrupt: Vec<CorruptRange>,
    /// Damage that costs no event: copies of what stands twice, cursors, epochs.
    pub damaged: Vec<Corruption>,
}

/// Events below the end of the log that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CorruptRange {
    /// Name of the file in which they stood.
    pub segment: String,
    /// Offset of the first one.
    pub from: u64,
    /// The first offset behind them.
    pub to: u64,
    /// What is wrong there.
    pub why: CorruptReason,
}

/// Why events cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CorruptReason {
    /// The file is not there.
    Missing,
    /// The file has no good header.
    Header,
    /// The file is a segment of another log.
    Foreign,
    /// The file ends before its events do.
    CutShort,
    /// Bytes do not verify as a frame.
    Checksum,
    /// A frame verifies, but its records are not what its head says.
    Records,
}

impl fmt::Display for CorruptReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CorruptReason::Missing => "the segment is missing",
            CorruptReason::Header => "the segment has no good header",
            CorruptReason::Foreign => "the segment belongs to another log",
            CorruptReason::CutShort => "the segment ends too early",
            CorruptReason::Checksum => "bytes that do not verify",
            CorruptReason::Records => "a frame whose records are not whole",
        })
    }
}

impl Verification {
    /// The range [from, to) is lost. Ranges of one cause that touch are one.
    pub(super) fn add_range(&mut self, segment: String, from: u64, to: u64, why: CorruptReason) {
        if from >= to {
            return;
        }
        match self.corrupt.last_mut() {
            Some(last) if last.segment == segment && last.to == from && last.why == why => {
                last.to = to;
            }
            _ => self.corrupt.push(CorruptRange {
                segment,
                from,
                to,
                why,
            }),
        }
    }

    /// Damage that costs no event. What does is told as a range.
    pub(super) fn add_damage(&mut self, fault: Corruption) {
        let costs_events = fault.offset.is_some_and(|offset| {
            let told = |range: &CorruptRange| {
                range.segment == fault.file || (range.from..range.to).contains(&offset)
            };
            segment::parse_name(&fault.file).is_some() && self.corrupt.iter().any(told)
        });
        let known =
            |other: &Corruption| other.file == fault.file && other.position == fault.position;
        if !costs_events && !self.damaged.iter().any(known) {
            self.damaged.push(fault);
        }
    }
}
