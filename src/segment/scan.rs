//! Scanning bytes that nobody vouches for: where do the valid frames end?

use super::{Keys, Place};
use crate::format::{self, FrameHead, FrameKind};
use crate::types::Epoch;

/// What stands behind the last valid frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Zeros: appends can go on here.
    Clean,
    /// Something that does not verify: a frame that was not finished, or did not reach the disk
    /// whole.
    Torn,
}

/// What a scan has found.
#[derive(Clone, Debug)]
pub(crate) struct Scanned {
    /// Behind the last valid frame.
    pub(crate) end: Place,
    /// Time of the last event, if one was seen.
    pub(crate) time: Option<u64>,
    /// Epochs that begin in the scanned range.
    pub(crate) epochs: Vec<(Epoch, u64)>,
    pub(crate) tail: Tail,
}

/// Scans `bytes`, the first of which stands at `origin` in its segment, from `start` on.
pub(crate) fn scan(bytes: &[u8], origin: usize, start: Place, keys: &Keys) -> Scanned {
    let mut place = start;
    let mut time = None;
    let mut epochs = Vec::new();
    while let Some(rest) = place.at.checked_sub(origin).and_then(|at| bytes.get(at..)) {
        let Some((head, epoch)) = valid_frame(rest, &place, keys) else {
            break;
        };
        if let Some(epoch) = epoch {
            epochs.push((epoch, head.offset));
            place.epoch = epoch;
            place.context = keys.context(epoch);
        }
        if matches!(head.kind, FrameKind::Event | FrameKind::Batch) {
            time = Some(head.time);
        }
        place.offset = offset_behind(rest, &head);
        place.at += format::padded(head.bytes());
    }
    let rest = place
        .at
        .checked_sub(origin)
        .and_then(|at| bytes.get(at..))
        .unwrap_or_default();
    let tail = if is_zero(rest) {
        Tail::Clean
    } else {
        Tail::Torn
    };
    Scanned {
        end: place,
        time,
        epochs,
        tail,
    }
}

fn valid_frame(rest: &[u8], place: &Place, keys: &Keys) -> Option<(FrameHead, Option<Epoch>)> {
    let head = format::decode_head(rest)?;
    let bytes = rest.get(..head.bytes())?;
    let epoch = format::decode_epoch(bytes, &head);
    let context = epoch.map_or(place.context, |epoch| keys.context(epoch));
    let bound = context.at(place.at);
    // The padding is part of what a later frame's place rests on: it must be there and zero.
    let padding = rest.get(head.bytes()..format::padded(head.bytes()))?;
    let good = head.offset == place.offset
        && is_zero(padding)
        && format::verify(bytes, &head, bound)
        && may_stand(bytes, &head, keys);
    good.then_some((head, epoch))
}

/// Whether a frame that verifies is of a kind that this log has: a skip frame is a mirror's.
pub(super) fn may_stand(frame: &[u8], head: &FrameHead, keys: &Keys) -> bool {
    head.kind != FrameKind::Skip || keys.mirror && format::decode_skip(frame, head).is_some()
}

/// The next offset behind a frame, which these bytes begin with.
fn offset_behind(frame: &[u8], head: &FrameHead) -> u64 {
    match format::decode_skip(frame, head) {
        Some(skip) => skip.to,
        None => head.offset + u64::from(head.count),
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    // Whole blocks first: this looks at up to a segment's length at open.
    let mut blocks = bytes.chunks_exact(64);
    blocks.all(|block| block.iter().fold(0, |all, byte| all | byte) == 0)
        && blocks.remainder().iter().all(|byte| *byte == 0)
}
