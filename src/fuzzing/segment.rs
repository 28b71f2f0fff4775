//! The image of one segment: recovery's scan and the readers' walk must see the same.

use super::input::Input;
use super::sealing::{EPOCH, LOG, SALT, seal};
use crate::dir::{Directory, MemoryDir};
use crate::format::{
    Activation, FRAME_HEADER, FrameKind, HEADER_BYTES, Making, SegmentHeader, activation_words,
    decode_epoch, decode_head, padded, records_are_whole,
};
use crate::history::History;
use crate::segment::{self, Place, Segment, Step, scan};
use crate::types::MAX_OFFSET;
use std::ops::Range;

const BASE: u64 = 17;

/// Any bytes as a segment. The first one says how: whether the log is a mirror, whether frames get
/// their checksums, whether they get dense offsets, and whether a header stands before them.
///
/// # Panics
/// When the walk leaves the segment or does not end, goes back, or ends elsewhere than the scan
/// without a reason.
pub fn segment(data: &[u8]) {
    let mut input = Input::new(data);
    let how = input.byte();
    let bit = |number: u8| how & 1 << number != 0;
    let mut bytes = if bit(0) { Vec::new() } else { header(bit(1)) };
    let from = bytes.len();
    bytes.extend_from_slice(input.rest());
    bytes.resize(bytes.len().next_multiple_of(8).max(HEADER_BYTES), 0);
    if bit(2) {
        seal_all(&mut bytes, from.max(HEADER_BYTES), bit(3));
    }
    let Ok(header) = SegmentHeader::parse(&bytes) else {
        return;
    };
    let dir = MemoryDir::new();
    dir.write("image", &bytes);
    let Ok(mut follower) = dir.follow_region("image", HEADER_BYTES) else {
        panic!("an image of {} bytes is not mapped", bytes.len());
    };
    follower.publish(bytes.len());
    let region = follower.region().clone();
    if let Ok(header) = segment::read_header(&region, LOG, Some(BASE)) {
        assert!(usize::try_from(header.making.bytes).is_ok_and(|length| length <= bytes.len()));
    }
    // A segment is read up to the end of its file.
    let Some(segment) = Segment::new(&header, region) else {
        return;
    };
    examine(&segment, &bytes);
}

fn header(mirror: bool) -> Vec<u8> {
    let making = Making {
        log: LOG,
        salt: SALT,
        bytes: 1 << 20,
        made: 5,
    };
    let activation = Activation {
        base: BASE,
        epoch: EPOCH,
        previous: None,
        cut: false,
        mirror,
        time: 6,
    };
    let mut page = making.page().to_vec();
    for (at, word) in activation_words(&making, &activation) {
        page[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    page
}

/// Makes a frame of whatever has the length of one, so that what lies behind the checksum is met.
fn seal_all(bytes: &mut [u8], from: usize, dense: bool) {
    let mut at = from;
    let mut epoch = EPOCH;
    let mut next = BASE;
    while at + FRAME_HEADER <= bytes.len() {
        let rest = &mut bytes[at..];
        if dense {
            rest[8..16].copy_from_slice(&next.to_le_bytes());
        }
        let head = decode_head(rest).filter(|head| padded(head.bytes()) <= rest.len());
        let Some(head) = head else {
            at += 8;
            continue;
        };
        epoch = decode_epoch(rest, &head).unwrap_or(epoch);
        seal(&mut rest[..head.bytes()], epoch, at);
        rest[head.bytes()..padded(head.bytes())].fill(0);
        next = (head.offset + u64::from(head.count)).min(MAX_OFFSET);
        at += padded(head.bytes());
    }
}

fn examine(segment: &Segment, bytes: &[u8]) {
    let scanned = scan(bytes, 0, segment.start(), segment.keys());
    assert!(scanned.end.at <= bytes.len() && scanned.end.offset >= segment.base());

    let mut place = segment.start();
    let mut walked = walk(segment, &mut place);
    agree(segment, bytes, &place, &scanned.end);
    // Behind damage, up to the end of the file.
    let history = History::new(vec![(segment.start().epoch, segment.base())]);
    while place.at < bytes.len() {
        let before = place;
        if !segment.resume(&mut place, u64::MAX, &history) {
            break;
        }
        assert!(place.at > before.at && place.offset >= before.offset);
        let more = walk(segment, &mut place);
        let last = walked.last().map_or(segment.base(), |last| last.end);
        assert!(more.first().is_none_or(|first| first.start >= last));
        walked.extend(more);
    }
    // A second walk takes what the first one has verified.
    let mut again = segment.start();
    let repeated = walk(segment, &mut again);
    assert!(walked.starts_with(&repeated));
    for offsets in &walked {
        let near = segment.place_below(offsets.start);
        assert!(near.offset <= offsets.start && near.at <= bytes.len());
    }
}

/// The offsets of the frames from `place` on, up to what does not verify.
fn walk(segment: &Segment, place: &mut Place) -> Vec<Range<u64>> {
    let mut frames: Vec<Range<u64>> = Vec::new();
    loop {
        let before = *place;
        let Step::Frame(frame) = segment.step(place) else {
            return frames;
        };
        let offsets = frame.head.offset..frame.end();
        assert!(place.at > before.at && frame.at >= before.at && place.offset == offsets.end);
        assert!(segment.region().bytes(frame.records()).is_some());
        assert!(frames.last().is_none_or(|last| last.end <= offsets.start));
        frames.push(offsets);
    }
}

/// Whoever stops first has a reason: the scan looks at the padding, the walk at the records.
fn agree(segment: &Segment, bytes: &[u8], walked: &Place, scanned: &Place) {
    if walked.at == scanned.at {
        assert_eq!(walked, scanned);
        return;
    }
    let first = &bytes[walked.at.min(scanned.at)..];
    let Some(head) = decode_head(first) else {
        panic!("{walked:?} and {scanned:?} part at no frame");
    };
    let whole = padded(head.bytes()).min(first.len());
    if walked.at < scanned.at {
        assert!(!records_are_whole(&first[..head.bytes()], &head));
    } else {
        let padding = &first[head.bytes()..whole];
        let short = whole < padded(head.bytes());
        assert!(short || padding.iter().any(|byte| *byte != 0));
    }
    assert!(segment.keys().mirror || head.kind != FrameKind::Skip);
}
