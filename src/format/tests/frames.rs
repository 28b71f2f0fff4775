//! Frames and the records in them.

use super::{EPOCH, LOG, OTHER, PLACE, for_each_flip, keys, limits};
use crate::error::AppendError;
use crate::format::skip::{Skip, SkipReason, decode_skip};
use crate::format::*;
use crate::types::{Epoch, MAX_OFFSET, NewEvent, TopicError};
use proptest::prelude::*;

fn rich() -> NewEvent<'static> {
    let event = NewEvent::new("room.42", b"payload")
        .also_to("room.43")
        .not_to("user.7");
    event
        .not_to("user.8")
        .name("joined")
        .id("a1f3")
        .from("alice")
        .attribute(200, b"\0\xff")
}

/// All kinds of frames, sealed and padded, with zeros behind them.
fn frames() -> Vec<Vec<u8>> {
    let mut buffer = FrameBuffer::new();
    let mut frames = Vec::new();
    let mut sealed = |buffer: &mut FrameBuffer| {
        let mut frame = buffer.seal(1_000, 1_700_000_000_000_000, keys());
        frame.resize(padded(frame.len()) + 128, 0);
        frames.push(frame);
    };
    buffer.event(&NewEvent::new("a", b""), &limits()).unwrap();
    sealed(&mut buffer);
    buffer.event(&rich(), &limits()).unwrap();
    sealed(&mut buffer);
    buffer
        .batch([rich(), NewEvent::new("b", b"second")], &limits())
        .unwrap();
    sealed(&mut buffer);
    buffer.epoch(EPOCH, 1_700_000_000_000_000);
    sealed(&mut buffer);
    buffer.skip(Skip {
        to: 2_000,
        reason: SkipReason::Trimmed,
    });
    sealed(&mut buffer);
    frames
}

fn verified(bytes: &[u8], bound: Bound) -> Option<FrameHead> {
    let head = decode_head(bytes)?;
    let frame = bytes.get(..head.bytes())?;
    verify(frame, &head, bound).then_some(head)
}

#[test]
fn any_flip_in_a_frame_is_seen() {
    for frame in frames() {
        let head = verified(&frame, keys()).unwrap();
        for_each_flip(&frame, |bit, bytes| {
            let expected = (bit / 8 >= head.bytes()).then_some(head);
            assert_eq!(verified(bytes, keys()), expected, "bit {bit} of {head:?}");
        });
        for other in [
            context(&[4; 16], LOG, EPOCH).at(PLACE),
            context(&[3; 16], OTHER, EPOCH).at(PLACE),
            context(
                &[3; 16],
                LOG,
                Epoch {
                    counter: 4,
                    ..EPOCH
                },
            )
            .at(PLACE),
            context(&[3; 16], LOG, Epoch { tag: 0, ..EPOCH }).at(PLACE),
            context(&[3; 16], LOG, EPOCH).at(PLACE + 512),
        ] {
            assert_eq!(verified(&frame, other), None);
        }
        assert_eq!(verified(&frame[..head.bytes() - 1], keys()), None);
        assert!(!verify(&[], &head, keys()));
    }
}

#[test]
fn a_frame_says_what_was_encoded() {
    let frames = frames();
    let heads: Vec<_> = frames
        .iter()
        .map(|frame| verified(frame, keys()).unwrap())
        .collect();
    let kinds: Vec<_> = heads.iter().map(|head| (head.kind, head.count)).collect();
    let expected = [
        (FrameKind::Event, 1),
        (FrameKind::Event, 1),
        (FrameKind::Batch, 2),
        (FrameKind::Epoch, 0),
        (FrameKind::Skip, 0),
    ];
    assert_eq!(kinds, expected);
    for head in &heads {
        assert_eq!((head.offset, head.time), (1_000, 1_700_000_000_000_000));
    }
    let body = |index: usize| &frames[index][FRAME_HEADER..heads[index].bytes()];
    let (record, length) = RecordRef::parse(body(1)).unwrap();
    assert_eq!(length, body(1).len());
    assert_eq!(record.topics().collect::<Vec<_>>(), ["room.42", "room.43"]);
    assert_eq!(record.not_to().collect::<Vec<_>>(), ["user.7", "user.8"]);
    assert_eq!(record.name(), Some("joined"));
    assert_eq!((record.id(), record.from()), (Some("a1f3"), Some("alice")));
    assert_eq!(record.attribute(200), Some(&b"\0\xff"[..]));
    assert_eq!(record.attribute(201), None);
    assert_eq!(record.attributes().count(), 4);
    assert_eq!(record.payload(), b"payload");
    let (first, length) = RecordRef::parse(body(2)).unwrap();
    let (second, rest) = RecordRef::parse(&body(2)[length..]).unwrap();
    assert_eq!(length + rest, body(2).len());
    let payloads = [first.payload(), second.payload()];
    assert_eq!(payloads, [&b"payload"[..], b"second"]);
    let epochs: Vec<_> = frames
        .iter()
        .zip(&heads)
        .map(|(frame, head)| decode_epoch(frame, head))
        .collect();
    assert_eq!(epochs, [None, None, None, Some(EPOCH), None]);
    let skip = Some(Skip {
        to: 2_000,
        reason: SkipReason::Trimmed,
    });
    assert_eq!(decode_skip(&frames[4], &heads[4]), skip);
    assert_eq!(decode_skip(&frames[3], &heads[3]), None);
}

#[test]
fn a_head_that_cannot_be_is_none() {
    let frames = frames();
    let with = |index: usize, at: usize, field: &[u8]| {
        let mut frame: Vec<u8> = frames[index].clone();
        frame[at..at + field.len()].copy_from_slice(field);
        decode_head(&frame)
    };
    assert!(
        with(0, 0, &44u32.to_le_bytes()).is_some(),
        "the shortest event"
    );
    assert_eq!(with(0, 0, &43u32.to_le_bytes()), None);
    assert_eq!(with(0, 0, &[0; 4]), None, "no frame here");
    assert_eq!(
        with(0, 24, &2u32.to_le_bytes()),
        None,
        "an event is one event"
    );
    assert_eq!(with(2, 24, &[0; 4]), None, "a batch has an event");
    assert_eq!(
        with(2, 24, &u32::MAX.to_le_bytes()),
        None,
        "so many do not fit"
    );
    let rest = u32::try_from(frames[2].len()).unwrap();
    assert_eq!(with(2, 24, &rest.to_le_bytes()), None, "nor so many");
    for control in [3, 4] {
        assert_eq!(with(control, 24, &1u32.to_le_bytes()), None);
        assert_eq!(with(control, 0, &56u32.to_le_bytes()), None);
    }
    assert_eq!(with(0, 28, &[0]), None);
    assert_eq!(with(0, 28, &[5]), None);
    assert!(with(0, 8, &(MAX_OFFSET - 1).to_le_bytes()).is_some());
    assert_eq!(with(0, 8, &MAX_OFFSET.to_le_bytes()), None);
    assert_eq!(with(0, 8, &u64::MAX.to_le_bytes()), None);
    assert_eq!(decode_head(&frames[0][..31]), None);
    for (at, field) in [(32, 1_000u64.to_le_bytes()), (40, [3; 8])] {
        let mut frame = frames[4].clone();
        frame[at..at + 8].copy_from_slice(&field);
        let head = decode_head(&frame).unwrap();
        assert_eq!(
            decode_skip(&frame, &head),
            None,
            "a skip that is none, at {at}"
        );
    }
}

#[test]
fn what_may_not_be_appended_is_told_before_anything_is_sealed() {
    let mut buffer = FrameBuffer::new();
    let mut told = |event: NewEvent<'_>| buffer.event(&event, &limits()).unwrap_err();
    let wrong = told(NewEvent::new("a..b", b""));
    assert!(matches!(
        wrong,
        AppendError::Topic(TopicError::EmptyToken { at: 2 })
    ));
    let wrong = told(NewEvent::new("a", b"").also_to("*"));
    assert!(matches!(
        wrong,
        AppendError::Topic(TopicError::Wildcard { at: 0 })
    ));
    let wrong = told(NewEvent::new("a", b"").not_to(""));
    assert!(matches!(wrong, AppendError::Topic(TopicError::Empty)));
    let many = (0..16).fold(NewEvent::new("a", b""), |event, _| event.also_to("b"));
    assert!(matches!(
        told(many),
        AppendError::Audience {
            what: "topics",
            count: 17,
            limit: 16
        }
    ));
    let many = (0..17).fold(NewEvent::new("a", b""), |event, _| event.not_to("b"));
    assert!(matches!(
        told(many),
        AppendError::Audience {
            what: "identities",
            count: 17,
            ..
        }
    ));
    let wrong = told(NewEvent::new("a", b"").attribute(127, b""));
    assert!(matches!(wrong, AppendError::ReservedTag { tag: 127 }));
    let long = vec![0; 65_533];
    let wrong = told(NewEvent::new("a", b"").attribute(128, &long));
    assert!(matches!(
        wrong,
        AppendError::Attributes {
            bytes: 65_536,
            limit: 65_535
        }
    ));
    buffer
        .event(
            &NewEvent::new("a", b"").attribute(128, &long[1..]),
            &limits(),
        )
        .unwrap();

    let payload = vec![0; (1 << 20) - 4];
    buffer
        .event(&NewEvent::new("a", &payload), &limits())
        .unwrap();
    assert_eq!(buffer.bytes(), FRAME_HEADER + 8 + (1 << 20));
    let payload = vec![0; (1 << 20) - 3];
    let wrong = buffer
        .event(&NewEvent::new("a", &payload), &limits())
        .unwrap_err();
    assert!(matches!(
        wrong,
        AppendError::TooLarge {
            bytes: 1_048_577,
            limit: 1_048_576
        }
    ));
    assert_eq!(buffer.bytes(), 0);
}

#[test]
fn a_batch_is_taken_whole_or_not_at_all() {
    let mut buffer = FrameBuffer::new();
    let limits = Limits {
        event_bytes: 1_000,
        frame_bytes: 2_000,
        batch_events: 3,
    };
    let small = || NewEvent::new("a", b"x");
    let large = vec![0; 900];
    let large = || NewEvent::new("a", &large);
    assert!(matches!(
        buffer.batch([], &limits),
        Err(AppendError::EmptyBatch)
    ));
    buffer.batch([small(), small(), small()], &limits).unwrap();
    assert_eq!((buffer.count(), buffer.bytes()), (3, 32 + 3 * 13));
    let wrong = buffer.batch(std::iter::repeat_with(small), &limits);
    assert!(
        matches!(wrong, Err(AppendError::TooMany { limit: 3 })),
        "and it ends"
    );
    assert_eq!(buffer.bytes(), 0);
    buffer.batch([large(), large()], &limits).unwrap();
    let rest = vec![0; 132];
    let rest = NewEvent::new("a", &rest);
    buffer.batch([large(), large(), rest], &limits).unwrap();
    assert_eq!(buffer.bytes(), 2_000, "as large as a frame may be");
    let wrong = buffer.batch([large(), large(), large()], &limits);
    assert!(matches!(
        wrong,
        Err(AppendError::TooLarge {
            bytes: 2_768,
            limit: 2_000
        })
    ));
    let wrong = buffer.batch([small(), NewEvent::new("", b"")], &limits);
    assert!(matches!(wrong, Err(AppendError::Topic(TopicError::Empty))));
}

#[test]
#[should_panic(expected = "nothing was encoded")]
fn nothing_cannot_be_sealed() {
    FrameBuffer::new().seal(0, 0, keys());
}

#[test]
fn records_that_cannot_be_are_none() {
    let mut buffer = FrameBuffer::new();
    buffer.event(&rich(), &limits()).unwrap();
    let good = buffer.seal(0, 0, keys())[FRAME_HEADER..].to_vec();
    assert!(RecordRef::parse(&good).is_some());
    for length in 0..good.len() {
        assert_eq!(RecordRef::parse(&good[..length]), None, "{length} bytes");
    }
    let with = |at: usize, byte: u8| {
        let mut record = good.clone();
        record[at] = byte;
        RecordRef::parse(&record).is_some()
    };
    assert!(!with(8, 0), "no topic");
    assert!(!with(8, 17), "too many topics");
    assert!(!with(9, 17), "too many identities");
    assert!(!with(9, 1), "an audience longer than what stands in it");
    assert!(!with(10, 0), "an empty topic");
    assert!(!with(11, 0xff), "a topic that is not UTF-8");
    let audience = 10 + 8 + 8 + 7 + 7;
    assert!(!with(audience, 2), "a tag twice");
    assert!(with(audience, 77), "an unknown tag is kept");
    assert!(!with(audience + 3, 0xff), "a name that is not UTF-8");
    assert!(!with(6, 0xff), "an audience beyond the end");
    assert!(!with(3, 0xff), "a payload beyond the end");
}

fn text() -> impl Strategy<Value = String> {
    "[a-z\u{e9}]{1,9}(\\.[a-z0-9]{1,9}){0,3}"
}

proptest! {
    #[test]
    fn events_come_back(
        topics in proptest::collection::vec(text(), 1..=16),
        not_to in proptest::collection::vec(text(), 0..=16),
        texts: (Option<String>, Option<String>, Option<String>),
        attributes in proptest::collection::btree_map(128u8.., any::<Vec<u8>>(), 0..5),
        payload: Vec<u8>,
        offset in 0..MAX_OFFSET,
        time: u64,
    ) {
        let mut event = NewEvent::new(&topics[0], &payload);
        for topic in &topics[1..] {
            event = event.also_to(topic);
        }
        for identity in &not_to {
            event = event.not_to(identity);
        }
        let (name, id, from) = &texts;
        event = name.iter().fold(event, |event, name| event.name(name));
        event = id.iter().fold(event, |event, id| event.id(id));
        event = from.iter().fold(event, |event, from| event.from(from));
        for (tag, value) in &attributes {
            event = event.attribute(*tag, value);
        }
        let mut buffer = FrameBuffer::new();
        buffer.event(&event, &limits()).unwrap();
        let single = buffer.bytes();
        let frame = &buffer.seal(offset, time, keys());
        let head = verified(frame, keys()).unwrap();
        prop_assert_eq!((head.offset, head.time, head.count), (offset, time, 1));
        let (record, length) = RecordRef::parse(&frame[FRAME_HEADER..]).unwrap();
        prop_assert_eq!(length, frame.len() - FRAME_HEADER);
        prop_assert_eq!(record.topics().collect::<Vec<_>>(), topics.iter().collect::<Vec<_>>());
        prop_assert_eq!(record.not_to().collect::<Vec<_>>(), not_to.iter().collect::<Vec<_>>());
        prop_assert_eq!(record.name(), name.as_deref());
        prop_assert_eq!(record.id(), id.as_deref());
        prop_assert_eq!(record.from(), from.as_deref());
        for (tag, value) in &attributes {
            prop_assert_eq!(record.attribute(*tag), Some(&value[..]));
        }
        prop_assert_eq!(record.payload(), &payload[..]);

        let mut batch = FrameBuffer::new();
        batch.batch([event.clone(), event], &limits()).unwrap();
        prop_assert_eq!(batch.bytes(), 2 * single - FRAME_HEADER);
    }

    #[test]
    fn sealing_again_is_as_good_as_the_first_time(offsets in [0..MAX_OFFSET, 0..MAX_OFFSET]) {
        let mut buffer = FrameBuffer::new();
        buffer.event(&rich(), &limits()).unwrap();
        for offset in offsets {
            let frame = &buffer.seal(offset, offset, keys());
            prop_assert_eq!(verified(frame, keys()).unwrap().offset, offset);
        }
    }

    #[test]
    fn arbitrary_records_do_not_panic(
        lengths in (0u32..40, 0u16..40, 0u16..40),
        body in proptest::collection::vec(0u8..20, 0..120),
    ) {
        // Small numbers, so that many of them get far.
        let mut bytes = lengths.0.to_le_bytes().to_vec();
        bytes.extend(lengths.1.to_le_bytes());
        bytes.extend(lengths.2.to_le_bytes());
        bytes.extend(body);
        if let Some((record, length)) = RecordRef::parse(&bytes) {
            prop_assert!(length <= bytes.len());
            prop_assert!(record.topics().chain(record.not_to()).all(|name| !name.is_empty()));
            prop_assert!(record.attributes().count() <= 40);
        }
    }
}
