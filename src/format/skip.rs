//! Skip frames: ranges of offsets for which a mirror has no events.

use super::bytes::{put, u64_at};
use super::frame::{FRAME_HEADER, FrameHead, FrameKind, SKIP_FRAME};
use super::frame_buffer::FrameBuffer;
use crate::types::MAX_OFFSET;

pub(crate) use crate::types::SkipReason;

const TO_AT: usize = FRAME_HEADER;
const REASON_AT: usize = TO_AT + 8;
const BODY: usize = SKIP_FRAME - FRAME_HEADER;
const _: () = assert!(REASON_AT + 1 + 7 == SKIP_FRAME);

/// The body of a skip frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Skip {
    /// First offset after the skip.
    pub(crate) to: u64,
    pub(crate) reason: SkipReason,
}

impl SkipReason {
    fn code(self) -> u8 {
        match self {
            SkipReason::Hole => 1,
            SkipReason::Trimmed => 2,
        }
    }
}

/// The skip that this frame says, if it is a skip frame that goes forward.
pub(crate) fn decode_skip(frame: &[u8], head: &FrameHead) -> Option<Skip> {
    if head.kind != FrameKind::Skip || frame.len() < SKIP_FRAME {
        return None;
    }
    let to = u64_at(frame, TO_AT);
    let mut reasons = [SkipReason::Hole, SkipReason::Trimmed].into_iter();
    let reason = reasons.find(|reason| reason.code() == frame[REASON_AT])?;
    (head.offset < to && to <= MAX_OFFSET).then_some(Skip { to, reason })
}

/// The body of a skip frame.
fn skip_body(skip: Skip) -> [u8; BODY] {
    let mut body = [0; BODY];
    put(&mut body, TO_AT - FRAME_HEADER, skip.to.to_le_bytes());
    put(&mut body, REASON_AT - FRAME_HEADER, [skip.reason.code()]);
    body
}

impl FrameBuffer {
    /// Encodes a frame that skips offsets.
    pub(crate) fn skip(&mut self, skip: Skip) {
        self.control(FrameKind::Skip, &skip_body(skip));
        self.skips_to(skip.to);
    }
}
