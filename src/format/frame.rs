//! Frames: the header, the checksum, and the bodies of control frames.

use super::bytes::{crc, crc_after, crc_of_word_after, put, u32_at, u64_at};
use super::record::LEAST_RECORD;
use crate::types::{Epoch, LogId, MAX_OFFSET, to_usize};

pub(super) const LENGTH_AT: usize = 0;
pub(super) const CHECKSUM_AT: usize = LENGTH_AT + 4;
pub(super) const OFFSET_AT: usize = CHECKSUM_AT + 4;
pub(super) const TIME_AT: usize = OFFSET_AT + 8;
/// From here to the end of the frame everything is known before the offset is assigned.
pub(super) const COUNT_AT: usize = TIME_AT + 8;
pub(super) const KIND_AT: usize = COUNT_AT + 4;

/// Bytes of a frame's header.
pub(crate) const FRAME_HEADER: usize = KIND_AT + 1 + 1 + 2;
/// A frame begins at a multiple of this.
pub(crate) const FRAME_ALIGNMENT: usize = 8;
const _: () = assert!(FRAME_HEADER == 32 && FRAME_HEADER % FRAME_ALIGNMENT == 0);
/// A header is four words: length and checksum, offset, time, count and kind.
pub(crate) const HEAD_WORDS: usize = FRAME_HEADER / 8;
const _: () = assert!(LENGTH_AT == 0 && OFFSET_AT == 8 && TIME_AT == 16 && COUNT_AT == 24);

const EPOCH_COUNTER_AT: usize = FRAME_HEADER;
const EPOCH_TAG_AT: usize = EPOCH_COUNTER_AT + 4;
const EPOCH_BEGAN_AT: usize = EPOCH_TAG_AT + 4;
pub(super) const EPOCH_FRAME: usize = EPOCH_BEGAN_AT + 8;

/// Bytes of a skip frame, whose body `skip` knows.
pub(super) const SKIP_FRAME: usize = FRAME_HEADER + 16;
const _: () = assert!(EPOCH_FRAME == 48);

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// One event.
    Event,
    /// Several events that are visible together or not at all.
    Batch,
    /// An epoch begins.
    Epoch,
    /// A mirror has no events for a range of offsets.
    Skip,
}

impl FrameKind {
    pub(super) fn code(self) -> u8 {
        match self {
            FrameKind::Event => 1,
            FrameKind::Batch => 2,
            FrameKind::Epoch => 3,
            FrameKind::Skip => 4,
        }
    }

    fn from_code(code: u8) -> Option<FrameKind> {
        match code {
            1 => Some(FrameKind::Event),
            2 => Some(FrameKind::Batch),
            3 => Some(FrameKind::Epoch),
            4 => Some(FrameKind::Skip),
            _ => None,
        }
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    /// Header and body, without padding.
    pub(crate) length: u32,
    pub(crate) checksum: u32,
    /// Offset of the first event; for control frames, the next offset.
    pub(crate) offset: u64,
    /// UTC microseconds.
    pub(crate) time: u64,
    /// How many events.
    pub(crate) count: u32,
    pub(crate) kind: FrameKind,
}

impl FrameHead {
    /// Header and body in bytes, without padding.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        to_usize(self.length)
    }
}

/// What the checksum of a frame is bound to besides its own bytes: segment, log and epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Context(u32);

/// A [`Context`] and the byte place of a frame. What a frame's checksum is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound(u32);

impl Context {
    /// For a frame that begins at this frame position. A frame elsewhere in its segment, moved with
    /// its sector or planted in a payload, does not verify there. Two places never give one
    /// checksum to the same frame, as two contexts do not.
    #[inline]
    pub(crate) fn at(self, at: usize) -> Bound {
        if sabotaged!("checksum-without-place") {
            return Bound(self.0);
        }
        // A segment has 1 GiB at most: nothing is cut off.
        Bound(self.0 ^ u32::try_from(at).unwrap_or(u32::MAX))
    }
}

/// The context of the frames of one epoch in one segment.
pub(crate) fn context(salt: &[u8; 16], log: LogId, epoch: Epoch) -> Context {
    let no_salt = sabotaged!("checksum-without-salt");
    let bound = if no_salt { 0 } else { crc(salt) };
    let bound = crc_after(bound, &log.0);
    if sabotaged!("checksum-without-epoch") {
        return Context(bound);
    }
    let bound = crc_after(bound, &epoch.counter.to_le_bytes());
    Context(crc_after(bound, &epoch.tag.to_le_bytes()))
}

/// The bytes that a frame of `length` bytes takes, with its padding.
#[inline]
pub(crate) const fn padded(length: usize) -> usize {
    length.next_multiple_of(FRAME_ALIGNMENT)
}

/// The header of the frame that these bytes begin with, if they may be a frame at all. That it
/// is one, [`verify`] says.
#[inline]
pub(crate) fn decode_head(bytes: &[u8]) -> Option<FrameHead> {
    let head = read_head(bytes)?;
    let records = head.bytes().checked_sub(FRAME_HEADER)?;
    let plausible = match head.kind {
        FrameKind::Event => head.count == 1 && records >= LEAST_RECORD,
        FrameKind::Batch => head.count >= 1 && records / LEAST_RECORD >= to_usize(head.count),
        FrameKind::Epoch => head.count == 0 && head.bytes() == EPOCH_FRAME,
        FrameKind::Skip => head.count == 0 && head.bytes() == SKIP_FRAME,
    };
    // So the offset behind the frame is one too.
    let end = head.offset.checked_add(u64::from(head.count))?;
    (plausible && end <= MAX_OFFSET).then_some(head)
}

/// As [`decode_head`], for a frame that has verified: what was found then is not looked at again.
#[inline]
pub(crate) fn read_head(bytes: &[u8]) -> Option<FrameHead> {
    let bytes: &[u8; FRAME_HEADER] = bytes.first_chunk()?;
    Some(FrameHead {
        length: u32_at(bytes, LENGTH_AT),
        checksum: u32_at(bytes, CHECKSUM_AT),
        offset: u64_at(bytes, OFFSET_AT),
        time: u64_at(bytes, TIME_AT),
        count: u32_at(bytes, COUNT_AT),
        kind: FrameKind::from_code(bytes[KIND_AT])?,
    })
}

/// Whether the frame is what was written there. `frame` is the whole of it without padding, and
/// `head` was decoded from it.
#[inline]
pub(crate) fn verify(frame: &[u8], head: &FrameHead, bound: Bound) -> bool {
    frame.len() == head.bytes()
        && frame.len() >= FRAME_HEADER
        && (sabotaged!("checksum-believed") && head.checksum != 0
            || head.checksum == finish(body_crc(frame), head.offset, head.time, head.length, bound))
}

/// The part of the checksum that is known before the offset is assigned.
#[inline]
pub(super) fn body_crc(frame: &[u8]) -> u32 {
    crc(&frame[COUNT_AT..])
}

/// The rest of the checksum, folded in last: 16 bytes, one step of the algorithm, because it is
/// computed under the append lock. Length, context and place change the state: a CRC is affine, so
/// two contexts never give one checksum to the same frame.
#[inline]
pub(super) fn finish(body: u32, offset: u64, time: u64, length: u32, to: Bound) -> u32 {
    let bound = !sabotaged!("checksum-without-offset");
    let offset = if bound { offset } else { 0 };
    let place = u128::from(offset) | u128::from(time) << 64;
    crc_of_word_after(body ^ length ^ to.0, place)
}

/// The epoch that begins with this frame, if it is an epoch frame.
pub(crate) fn decode_epoch(frame: &[u8], head: &FrameHead) -> Option<Epoch> {
    if head.kind != FrameKind::Epoch || frame.len() < EPOCH_FRAME {
        return None;
    }
    Some(Epoch {
        counter: u32_at(frame, EPOCH_COUNTER_AT),
        tag: u32_at(frame, EPOCH_TAG_AT),
    })
}

/// The body of an epoch frame.
pub(super) fn epoch_body(epoch: Epoch, began: u64) -> [u8; EPOCH_FRAME - FRAME_HEADER] {
    let mut body = [0; EPOCH_FRAME - FRAME_HEADER];
    put(
        &mut body,
        EPOCH_COUNTER_AT - FRAME_HEADER,
        epoch.counter.to_le_bytes(),
    );
    put(
        &mut body,
        EPOCH_TAG_AT - FRAME_HEADER,
        epoch.tag.to_le_bytes(),
    );
    put(
        &mut body,
        EPOCH_BEGAN_AT - FRAME_HEADER,
        began.to_le_bytes(),
    );
    body
}
