//! Checksums of frames, computed as docs/format.md has them and not by the code under test.

use crate::format::FRAME_HEADER;
use crate::types::{Epoch, LogId};

pub(super) const LOG: LogId = LogId([7; 16]);

pub(super) const SALT: [u8; 16] = [3; 16];

pub(super) const EPOCH: Epoch = Epoch {
    counter: 3,
    tag: 0x9c1e_22b7,
};

const LENGTH: usize = 4;
const CHECKSUM: std::ops::Range<usize> = 4..8;
const PLACE: std::ops::Range<usize> = 8..24;
const BODY_AT: usize = 24;

/// Writes length and checksum of a frame that fills `frame` and stands at the frame position `at`.
pub(super) fn seal(frame: &mut [u8], epoch: Epoch, at: usize) {
    assert!(frame.len() >= FRAME_HEADER);
    let mut context = crc32fast::Hasher::new();
    context.update(&SALT);
    context.update(&LOG.0);
    context.update(&epoch.counter.to_le_bytes());
    context.update(&epoch.tag.to_le_bytes());
    let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    frame[..LENGTH].copy_from_slice(&length.to_le_bytes());
    let body = crc32fast::hash(&frame[BODY_AT..]) ^ length ^ context.finalize();
    let body = body ^ u32::try_from(at).unwrap_or(u32::MAX);
    let mut whole = crc32fast::Hasher::new_with_initial(body);
    whole.update(&frame[PLACE]);
    frame[CHECKSUM].copy_from_slice(&whole.finalize().to_le_bytes());
}
