//! An id is stored once: over restarts, over threads, in batches, and as long as it is remembered.

use std::collections::HashSet;
use std::path::Path;
use wakelog::{Appended, Log, NewEvent, Options, Start, SyncPolicy};

fn options() -> Options {
    Options::new().segment_bytes(16 << 10)
}

fn put(log: &Log, from: &str, id: &str) -> (u64, bool) {
    let event = NewEvent::new("a", "x").from(from).id(id);
    let Appended {
        offset, duplicate, ..
    } = log.append_once(event).unwrap();
    (offset, duplicate)
}

/// Closes the log and opens it again.
fn again(log: Log, dir: &Path, options: &Options) -> Log {
    log.close().unwrap();
    drop(log);
    options.open(dir).unwrap()
}

#[test]
fn an_id_is_stored_once_for_each_sender() {
    let log = Log::in_memory().unwrap();
    assert_eq!(put(&log, "alice", "1"), (0, false));
    assert_eq!(put(&log, "alice", "1"), (0, true));
    assert_eq!(put(&log, "bob", "1"), (1, false));
    let nobody = || NewEvent::new("b", "y").id("1");
    assert_eq!(log.append_event(nobody()).unwrap(), 2);
    assert_eq!(log.append_event(nobody()).unwrap(), 2);
    assert_eq!(log.try_append(nobody()).unwrap(), 2);
    // Without an id, and with an empty one, each is one of its own.
    assert_eq!(log.append("a", "x").unwrap(), 3);
    assert_eq!(log.append("a", "x").unwrap(), 4);
    assert_eq!(put(&log, "alice", ""), (5, false));
    assert_eq!(put(&log, "alice", ""), (6, false));
    assert_eq!(log.next_offset(), 7);
}

#[test]
fn it_holds_across_restarts_with_and_without_the_file() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("log");
    let mut log = options().open(&dir).unwrap();
    let count = 400;
    for number in 0..count {
        let id = number.to_string();
        let event = NewEvent::new("a", &[0; 300]).from("alice").id(&id);
        assert_eq!(log.append_event(event).unwrap(), number);
    }
    assert!(log.segments() > 5);
    for file_is_there in [true, false, true] {
        log.close().unwrap();
        drop(log);
        let file = dir.join("wakelog.ids");
        assert!(file.is_file());
        if !file_is_there {
            std::fs::remove_file(file).unwrap();
        }
        log = options().open(&dir).unwrap();
        for number in (0..count).rev() {
            assert_eq!(put(&log, "alice", &number.to_string()), (number, true));
        }
        assert_eq!(log.next_offset(), count);
    }
}

#[test]
fn the_last_ids_are_remembered_and_no_others() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("log");
    let few = options().dedup_ids(3);
    let log = few.open(&dir).unwrap();
    for (number, id) in ["a", "b", "c", "d"].iter().enumerate() {
        assert_eq!(put(&log, "x", id), (u64::try_from(number).unwrap(), false));
    }
    assert_eq!(put(&log, "x", "b"), (1, true));
    let log = again(log, &dir, &few);
    assert_eq!(put(&log, "x", "b"), (1, true));
    assert_eq!(put(&log, "x", "a"), (4, false));
    assert_eq!(put(&log, "x", "b"), (5, false));
    // More are remembered: they are found in the log.
    let log = again(log, &dir, &options().dedup_ids(100));
    assert_eq!(put(&log, "x", "a"), (0, true));
    assert_eq!(put(&log, "x", "c"), (2, true));
    // None are: an id is an attribute like any other.
    let log = again(log, &dir, &options().dedup_ids(0));
    assert_eq!(put(&log, "x", "c"), (6, false));
    assert_eq!(put(&log, "x", "c"), (7, false));
}

#[test]
fn a_batch_leaves_out_what_is_known_and_can_be_appended_again() {
    let log = Log::in_memory().unwrap();
    assert_eq!(put(&log, "x", "old"), (0, false));
    let event = |id: &'static str| NewEvent::new("a", id).from("x").id(id);
    let batch = || {
        let plain = NewEvent::new("a", "plain");
        [
            event("1"),
            event("old"),
            plain,
            event("2"),
            event("1"),
            event("old"),
        ]
    };
    let first = log.append_batch(batch()).unwrap();
    assert_eq!(first.offsets, 1..4);
    assert_eq!(first.duplicates, [(1, 0), (4, 1), (5, 0)]);
    let offsets: Vec<_> = first.iter().map(|event| event.offset).collect();
    assert_eq!(offsets, [1, 0, 2, 3, 1, 0]);

    let mut reader = log.reader().start(Start::Offset(1)).open().unwrap();
    let page = reader.page(1 << 20).unwrap().unwrap();
    let payloads: Vec<_> = page.iter().map(|event| event.payload()).collect();
    assert_eq!(payloads, [&b"1"[..], b"plain", b"2"]);

    // All that has an id gets the same answer.
    let ids = || {
        batch()
            .into_iter()
            .filter(|event| format!("{event:?}").contains("id: Some"))
    };
    let again = log.append_batch(ids()).unwrap();
    assert!(again.offsets.is_empty());
    let offsets: Vec<_> = again.iter().map(|event| event.offset).collect();
    assert_eq!(offsets, [1, 0, 3, 1, 0]);
    assert!(again.iter().all(|event| event.duplicate));
    assert_eq!(again.position.offset, 4);
    assert_eq!(log.next_offset(), 4);
}

#[test]
fn threads_that_race_for_an_id_store_it_once() {
    let log = options().in_memory().unwrap();
    let rounds = 300_u64;
    let answers: Vec<HashSet<(u64, u64)>> = std::thread::scope(|scope| {
        let thread = |seed: u64| {
            let log = &log;
            scope.spawn(move || {
                let mut answers = HashSet::new();
                for round in 0..rounds {
                    // Two ids at a time, in batches that meet in either order.
                    let mut pair = [round.to_string(), (round + 1).to_string()];
                    if seed % 2 == 0 {
                        pair.reverse();
                    }
                    let events = pair.iter().map(|id| NewEvent::new("a", &[1; 200]).id(id));
                    let batch = log.append_batch(events).unwrap();
                    for (id, answer) in pair.iter().zip(batch.iter()) {
                        answers.insert((id.parse().unwrap(), answer.offset));
                    }
                }
                answers
            })
        };
        let threads: Vec<_> = (0..4).map(thread).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(log.next_offset(), rounds + 1);
    assert!(answers.iter().all(|other| *other == answers[0]));
    assert_eq!(answers[0].len(), usize::try_from(rounds + 1).unwrap());
}

#[test]
fn a_duplicate_is_answered_when_the_first_is_on_disk() {
    let log = options().sync(SyncPolicy::Always).in_memory().unwrap();
    let event = || NewEvent::new("a", "x").id("1");
    // Not waited for: the duplicate has to.
    assert_eq!(log.try_append(event()).unwrap(), 0);
    let appended = log.append_once(event()).unwrap();
    assert!(appended.duplicate && log.durable_offset() == 1);
    log.wait_durable_at(appended.position).unwrap();
}

#[test]
fn a_close_does_not_wait_for_the_ids() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("log");
    let log = options().open(&dir).unwrap();
    for number in 0..2_000 {
        log.append("a", [0; 500]).unwrap();
        put(&log, "x", &number.to_string());
    }
    log.close().unwrap();
    drop(log);
    std::fs::remove_file(dir.join("wakelog.ids")).unwrap();
    let log = options().open(&dir).unwrap();
    log.close().unwrap();
    drop(log);
    let log = options().open(&dir).unwrap();
    assert_eq!(put(&log, "x", "1999"), (3_999, true));
}

#[test]
fn an_id_is_known_when_its_event_is_trimmed() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("log");
    let log = options().open(&dir).unwrap();
    assert_eq!(put(&log, "x", "first"), (0, false));
    while log.segments() < 3 {
        log.append("a", [0; 900]).unwrap();
        log.sync().unwrap();
    }
    assert!(log.trim(u64::MAX).unwrap() > 0);
    assert_eq!(put(&log, "x", "first"), (0, true));
    let log = again(log, &dir, &options());
    assert_eq!(put(&log, "x", "first"), (0, true));
}
