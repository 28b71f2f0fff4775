//! One frame: its head, its checksum, its records.

use super::sealing::{EPOCH, LOG, SALT, seal};
use crate::NewEvent;
use crate::format::{
    FRAME_HEADER, FrameBuffer, FrameHead, FrameKind, Limits, RecordRef, context, decode_epoch,
    decode_head, decode_skip, records_are_whole, verify,
};
use crate::options::Options;
use crate::types::MAX_OFFSET;

/// The frame position at which it stands.
const AT: usize = 4_096;

/// Any bytes as a frame, as they are and with the checksum that they ought to have.
///
/// # Panics
/// When a sealed frame does not verify, a changed one does, a record lies about its length, or a
/// record that our encoder takes is not what it writes.
pub fn frame(data: &[u8]) {
    let Some(head) = decode_head(data) else {
        return;
    };
    assert!(head.bytes() >= FRAME_HEADER && head.offset + u64::from(head.count) <= MAX_OFFSET);
    let Some(stands) = data.get(..head.bytes()) else {
        return;
    };
    let keys = context(&SALT, LOG, EPOCH).at(AT);
    let _ = verify(stands, &head, keys);

    let mut frame = stands.to_vec();
    seal(&mut frame, EPOCH, AT);
    let Some(sealed) = decode_head(&frame) else {
        panic!("a sealed frame has no head");
    };
    assert!(verify(&frame, &sealed, keys), "a sealed frame is refused");
    any_change_shows(&frame, &sealed);

    assert!(decode_epoch(&frame, &sealed).is_none() || sealed.kind == FrameKind::Epoch);
    if let Some(skip) = decode_skip(&frame, &sealed) {
        assert!(sealed.kind == FrameKind::Skip && skip.to > sealed.offset && skip.to <= MAX_OFFSET);
    }
    if records_are_whole(&frame, &sealed) {
        records(&frame[FRAME_HEADER..], &sealed);
    }
}

/// One bit of the frame, or of what it is bound to, and it does not verify.
fn any_change_shows(frame: &[u8], head: &FrameHead) {
    let mut changed = frame.to_vec();
    // Which bits: those that the checksum itself chooses, so that all are met in the end.
    for turn in [0, 7, 19, 31] {
        let bit = usize::try_from(head.checksum >> turn).unwrap_or(0) % (frame.len() * 8);
        changed[bit / 8] ^= 1 << (bit % 8);
        let same = decode_head(&changed).is_some_and(|head| {
            let keys = context(&SALT, LOG, EPOCH).at(AT);
            verify(&changed, &head, keys)
        });
        assert!(!same, "bit {bit} is not covered");
        changed[bit / 8] ^= 1 << (bit % 8);
    }
    let mut later = EPOCH;
    later.counter += 1;
    assert!(!verify(frame, head, context(&SALT, LOG, later).at(AT)));
    assert!(!verify(frame, head, context(&SALT, LOG, EPOCH).at(AT + 8)));
}

fn records(mut rest: &[u8], head: &FrameHead) {
    if !matches!(head.kind, FrameKind::Event | FrameKind::Batch) {
        return;
    }
    for _ in 0..head.count {
        let Some((record, length)) = RecordRef::parse(rest) else {
            panic!("a record of a whole frame does not parse");
        };
        assert_eq!(RecordRef::read(rest), Some((record, length)));
        again(&record, length);
        rest = &rest[length..];
    }
    assert!(rest.is_empty());
}

/// The record, appended again as an event. If it is taken, the same comes out.
fn again(record: &RecordRef<'_>, length: usize) {
    let mut topics = record.topics();
    let Some(first) = topics.next() else {
        panic!("a record without a topic");
    };
    let mut event = NewEvent::new(first, record.payload());
    event = topics.fold(event, NewEvent::also_to);
    event = record.not_to().fold(event, NewEvent::not_to);
    event = record.name().into_iter().fold(event, NewEvent::name);
    event = record.id().into_iter().fold(event, NewEvent::id);
    event = record.from().into_iter().fold(event, NewEvent::from);
    let others = record.attributes().filter(|(tag, _)| !matches!(tag, 1..=3));
    event = others.fold(event, |event, (tag, value)| event.attribute(tag, value));
    let mut buffer = FrameBuffer::new();
    if buffer.event(&event, &Limits::new(&Options::new())).is_err() {
        return;
    }
    let Some((made, bytes)) = RecordRef::parse(buffer.records()) else {
        panic!("what was encoded does not parse");
    };
    assert_eq!(bytes, length);
    assert_eq!(buffer.bytes(), FRAME_HEADER + length);
    assert!(made.topics().eq(record.topics()) && made.not_to().eq(record.not_to()));
    assert_eq!(made.payload(), record.payload());
    let sorted = |record: &RecordRef<'_>| {
        let mut all: Vec<_> = record
            .attributes()
            .map(|(tag, value)| (tag, value.to_vec()))
            .collect();
        all.sort();
        all
    };
    assert_eq!(sorted(&made), sorted(record));
}
