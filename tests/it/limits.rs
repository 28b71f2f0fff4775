//! The limits of events and batches: the last size that is taken and the first that is not.

use wakelog::{AppendError, Log, NewEvent, Options};

const SEGMENT: u32 = 64 << 10;

fn log() -> Log {
    Options::new().segment_bytes(SEGMENT).in_memory().unwrap()
}

/// The one event of a log that has one.
fn only(log: &Log) -> wakelog::Event {
    assert_eq!(log.next_offset(), 1);
    log.reader().open().unwrap().next().unwrap().unwrap()
}

fn too_large<T: std::fmt::Debug>(result: Result<T, AppendError>) -> (u64, u64) {
    match result {
        Err(AppendError::TooLarge { bytes, limit }) => (bytes, limit),
        other => panic!("expected TooLarge, got {other:?}"),
    }
}

/// Appends payloads around a limit of `limit` bytes for payload, audience and attributes.
fn check_event_limit(options: &Options, limit: usize) {
    // The audience counts: two counts of one byte, and a length and a byte of the topic.
    let most = limit - 4;
    for (length, fits) in [(most - 1, true), (most, true), (most + 1, false)] {
        let log = options.in_memory().unwrap();
        let payload = vec![7; length];
        let result = log.append("t", &payload);
        if fits {
            assert_eq!(result.unwrap(), 0);
            assert_eq!(only(&log).payload(), payload);
        } else {
            let limit = u64::try_from(limit).unwrap();
            assert_eq!(too_large(result), (limit + 1, limit));
            assert_eq!(log.append("t", "").unwrap(), 0);
        }
    }
}

#[test]
fn an_event_may_have_as_many_bytes_as_the_limit_says() {
    let small = Options::new().segment_bytes(SEGMENT);
    check_event_limit(&small.clone().max_event_bytes(100), 100);
    check_event_limit(&small.clone().max_event_bytes(5), 5);
    // Without a limit of its own: half a segment less the headers, or 1 MiB.
    check_event_limit(&small, (32 << 10) - 40);
    check_event_limit(&Options::new(), 1 << 20);
    let large = Options::new().max_event_bytes((32 << 20) - 40);
    check_event_limit(&large, (32 << 20) - 40);
}

#[test]
fn a_batch_may_have_half_a_segment() {
    let payload = vec![1; 1_000];
    let event = || NewEvent::new("t", &payload);
    // A frame header, and for each event a record header, the audience and the payload.
    let most = (32_768 - 32) / (8 + 4 + 1_000);
    let log = log();
    let batch = log.append_batch((0..most).map(|_| event())).unwrap();
    let offsets = batch.offsets;
    assert_eq!(offsets, 0..u64::try_from(most).unwrap());
    let (bytes, limit) = too_large(log.append_batch((0..=most).map(|_| event())));
    assert_eq!(limit, 32_768);
    assert!(bytes > limit, "{bytes}");
    assert_eq!(log.next_offset(), offsets.end, "nothing of it is there");

    // To the byte: what is left of the half, less one record.
    let left = 32_768 - 32 - (most - 1) * 1_012 - 12;
    for (length, fits) in [(left, true), (left + 1, false)] {
        let rest = vec![2; length];
        let full = (1..most)
            .map(|_| event())
            .chain([NewEvent::new("t", &rest)]);
        match log.append_batch(full) {
            Ok(_) => assert!(fits, "{length}"),
            error => assert_eq!((too_large(error).1, fits), (32_768, false), "{length}"),
        }
    }
    let full = 2 * u64::try_from(most).unwrap();
    assert_eq!(log.append("t", "after").unwrap(), full);
}

#[test]
fn an_event_too_large_spoils_its_batch() {
    let log = Options::new().max_event_bytes(100).in_memory().unwrap();
    let large = vec![1; 97];
    let batch = [NewEvent::new("t", "a"), NewEvent::new("t", &large)];
    assert_eq!(too_large(log.append_batch(batch)), (101, 100));
    assert_eq!(log.next_offset(), 0);
    assert_eq!(log.append("t", "b").unwrap(), 0);
}

#[test]
fn a_batch_has_at_least_one_event_and_at_most_so_many() {
    let log = Options::new().max_batch_events(10).in_memory().unwrap();
    let empty = log.append_batch([]);
    assert!(matches!(empty, Err(AppendError::EmptyBatch)), "{empty:?}");
    for (count, fits) in [(9, true), (10, true), (11, false)] {
        let before = log.next_offset();
        let batch = log.append_batch((0..count).map(|_| NewEvent::new("t", "x")));
        match batch {
            Ok(batch) if fits => assert_eq!(batch.offsets, before..before + count),
            Err(AppendError::TooMany { limit: 10 }) if !fits => {
                assert_eq!(log.next_offset(), before);
            }
            other => panic!("{count}: {other:?}"),
        }
    }
    // An endless batch is not taken from its iterator for ever.
    let endless = log.append_batch(std::iter::repeat_with(|| NewEvent::new("t", "x")));
    assert!(matches!(endless, Err(AppendError::TooMany { limit: 10 })));
    assert_eq!(log.append("t", "x").unwrap(), 19);
}

#[test]
fn an_audience_has_sixteen_topics_and_sixteen_identities() {
    let names: Vec<String> = (0..17).map(|number| format!("name.{number}")).collect();
    let to = |count: usize| {
        let more = names[..count].iter();
        more.fold(NewEvent::new("first", "x"), |event, topic| {
            event.also_to(topic)
        })
    };
    let not_to = |count: usize| {
        let more = names[..count].iter();
        more.fold(NewEvent::new("first", "x"), |event, name| {
            event.not_to(name)
        })
    };
    let log = log();
    log.append_event(to(15)).unwrap();
    assert_eq!(only(&log).topics().count(), 16);
    let error = log.append_event(to(16));
    assert!(
        matches!(
            error,
            Err(AppendError::Audience {
                what: "topics",
                count: 17,
                limit: 16
            })
        ),
        "{error:?}"
    );
    log.append_event(not_to(16)).unwrap();
    let error = log.append_event(not_to(17));
    assert!(
        matches!(
            error,
            Err(AppendError::Audience {
                what: "identities",
                count: 17,
                limit: 16
            })
        ),
        "{error:?}"
    );
    assert_eq!(log.next_offset(), 2);
}

#[test]
fn attributes_have_tags_from_128_and_64_kib_together() {
    let log = Options::new().in_memory().unwrap();
    for tag in 0..128 {
        let error = log.append_event(NewEvent::new("t", "x").attribute(tag, b"v"));
        assert!(
            matches!(error, Err(AppendError::ReservedTag { tag: told }) if told == tag),
            "{error:?}"
        );
    }
    // A tag and a length of two bytes before each.
    let most = vec![3; 65_535 - 3];
    let over = vec![3; 65_535 - 2];
    let error = log.append_event(NewEvent::new("t", "x").attribute(200, &over));
    assert!(
        matches!(
            error,
            Err(AppendError::Attributes {
                bytes: 65_536,
                limit: 65_535
            })
        ),
        "{error:?}"
    );
    let name = "n".repeat(100);
    let both = NewEvent::new("t", "x").name(&name).attribute(200, &most);
    let error = log.append_event(both);
    assert!(
        matches!(error, Err(AppendError::Attributes { .. })),
        "{error:?}"
    );
    log.append_event(NewEvent::new("t", "x").attribute(200, &most))
        .unwrap();
    assert_eq!(only(&log).attribute(200), Some(&most[..]));
    log.append_event(
        NewEvent::new("t", "x")
            .attribute(128, b"")
            .attribute(255, b"z"),
    )
    .unwrap();
    assert_eq!(log.next_offset(), 2);
}
