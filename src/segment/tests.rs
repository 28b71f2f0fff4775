//! The quick walk over what has verified, and the search behind damage, step by step.

use super::*;
use crate::Options;
use crate::dir::{Directory, MemoryDir};
use crate::format::{Activation, FrameBuffer, HEADER_BYTES, Limits, padded};
use crate::history::History;
use crate::types::{Epoch, LogId, NewEvent};

const LOG: LogId = LogId([7; 16]);
const FIRST: Epoch = Epoch { counter: 1, tag: 7 };

/// Six events of one size, the epoch `then` before the fourth; where each frame begins, and the
/// end.
fn written(then: Option<Epoch>) -> (MemoryDir, String, Vec<usize>) {
    let dir = MemoryDir::new();
    let spare = make(&dir, LOG, 1 << 16).unwrap();
    let name = spare.name.clone();
    let activation = Activation {
        base: 0,
        epoch: FIRST,
        previous: None,
        cut: false,
        mirror: false,
        time: 0,
    };
    let (segment, mut writer) = activate(spare, activation);
    let mut frame = FrameBuffer::new();
    let mut places = Vec::new();
    for n in 0..6_u64 {
        if let Some(epoch) = then.filter(|_| n == 3) {
            places.push(writer.place().at);
            writer.enter(&segment, epoch);
            frame.epoch(epoch, 5);
            writer.append(&mut frame, n);
        }
        places.push(writer.place().at);
        let event = NewEvent::new("a", b"some payload");
        frame.batch([event], &Limits::new(&Options::new())).unwrap();
        writer.append(&mut frame, n);
    }
    places.push(writer.place().at);
    (dir, name, places)
}

/// The segment as a process finds it that has verified nothing yet.
fn opened(dir: &MemoryDir, name: &str, end: usize) -> Segment {
    let mut region = dir.follow_region(name, HEADER_BYTES).unwrap();
    region.publish(end);
    let header = read_header(region.region(), LOG, Some(0)).unwrap();
    Segment::new(&header, region.region().clone()).unwrap()
}

fn flip(dir: &MemoryDir, name: &str, at: usize) {
    let mut bytes = dir.read(name);
    bytes[at] ^= 1;
    dir.write(name, &bytes);
}

/// Nothing that does not verify is among what was verified, and nothing that does is left out.
#[test]
fn the_quick_walk_ends_where_a_frame_does_not_verify() {
    for damaged in 0..6 {
        let (dir, name, places) = written(None);
        let end = places[6];
        // The last byte of the payload.
        let frame = opened(&dir, &name, end).step(&mut opened(&dir, &name, end).start());
        let Step::Frame(frame) = frame else {
            panic!("{frame:?}");
        };
        flip(&dir, &name, places[damaged] + frame.bytes() - 1);
        let segment = opened(&dir, &name, end);
        let mut place = segment.start();
        let bytes = segment.verified_from(&place, usize::MAX >> 1);
        assert_eq!(bytes.len(), places[damaged] - places[0], "{damaged}");
        for at in &places[..damaged] {
            let frame = segment.step_in(&mut place, &bytes[*at - places[0]..]);
            assert_eq!(frame.map(|frame| frame.at), Some(*at));
        }
        assert!(matches!(segment.step(&mut place), Step::Damaged));
    }
}

/// What moves the epoch is for the plain walk, though it has verified.
#[test]
fn the_quick_walk_leaves_frames_without_events_to_the_plain_one() {
    let second = Epoch { counter: 2, tag: 8 };
    let (dir, name, places) = written(Some(second));
    let segment = opened(&dir, &name, places[7]);
    let mut place = segment.start();
    while let Step::Frame(_) = segment.step(&mut place) {}
    assert_eq!((place.at, place.epoch), (places[7], second));
    let mut place = segment.start();
    let bytes = segment.verified_from(&place, 1);
    assert_eq!(bytes.len(), places[7] - places[0], "all that did");
    for n in 0..3 {
        let rest = &bytes[places[n] - places[0]..];
        assert!(segment.step_in(&mut place, rest).is_some());
    }
    let rest = &bytes[places[3] - places[0]..];
    assert!(segment.step_in(&mut place, rest).is_none());
    assert_eq!((place.at, place.offset), (places[3], 3));
    // A frame that stands elsewhere than the place says.
    let mut wrong = segment.start();
    wrong.offset = 1;
    assert!(segment.step_in(&mut wrong, bytes).is_none());
}

/// Behind damage the next frame in the range is found, and none of an epoch that is over.
#[test]
fn behind_damage_goes_on_what_the_log_still_has() {
    let (dir, name, places) = written(None);
    flip(&dir, &name, places[1] + 40);
    let segment = opened(&dir, &name, places[6]);
    let second = Epoch { counter: 2, tag: 8 };
    let own = History::new(vec![(FIRST, 0)]);
    let cut = History::new(vec![(FIRST, 0), (second, 3)]);
    let found = |offset, below, history: &History| {
        let mut place = segment.start();
        (place.at, place.offset) = (places[1], offset);
        let found = segment.resume(&mut place, below, history);
        found.then_some((place.at, place.offset))
    };
    assert_eq!(found(1, 6, &own), Some((places[2], 2)));
    assert_eq!(found(4, 6, &own), Some((places[4], 4)));
    assert_eq!(found(5, 6, &own), Some((places[5], 5)));
    assert_eq!(found(1, 2, &own), None);
    assert_eq!(found(1, 6, &cut), Some((places[2], 2)));
    assert_eq!(found(3, 6, &cut), None, "what was cut away");
    assert_eq!(places[1], padded(places[1]));
}
