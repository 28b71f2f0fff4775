//! Named cursors: what they remember, whom they obey, and what they do not take.

use crate::child::until;
use std::task::{Context, Waker};
use std::time::Duration;
use wakelog::{AckError, Cursor, CursorError, Log, Opened, Options, ReadError, Start, SyncPolicy};

/// Small segments, and no sync but those that a test asks for.
pub(crate) fn manual() -> Options {
    Options::new()
        .segment_bytes(16 << 10)
        .sync(SyncPolicy::Manual)
}

/// A log in memory with `count` events on a topic.
fn log_of(topic: &str, count: u64) -> Log {
    let log = manual().in_memory().unwrap();
    append(&log, topic, count);
    log
}

/// Appends so many events; the payload of each is its offset.
pub(crate) fn append(log: &Log, topic: &str, count: u64) {
    for _ in 0..count {
        let payload = log.next_offset().to_string();
        log.append(topic, payload).unwrap();
    }
}

/// Opens a cursor that begins at the first event if it is new.
pub(crate) fn open(log: &Log, name: &str, filter: &str) -> Cursor {
    let builder = log.cursor(name).topics([filter]);
    builder.start(Start::Earliest).open().unwrap()
}

/// The offset of the next event.
pub(crate) fn next(cursor: &mut Cursor) -> Option<u64> {
    let event = cursor.next().unwrap()?;
    assert_eq!(event.payload(), event.offset().to_string().as_bytes());
    Some(event.offset())
}

/// Reads and acks so many events.
pub(crate) fn advance(cursor: &mut Cursor, count: u64) {
    for _ in 0..count {
        let event = cursor.next().unwrap().unwrap();
        cursor.ack(&event).unwrap();
    }
}

#[test]
fn a_cursor_is_new_once_and_then_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let log = manual().open(dir.path()).unwrap();
    append(&log, "a", 10);
    let mut cursor = open(&log, "alice", "a");
    assert_eq!((cursor.opened(), cursor.acked()), (Opened::New, 0));
    advance(&mut cursor, 4);
    // Read but not acked: comes again.
    assert_eq!(next(&mut cursor), Some(4));
    drop(cursor);

    let mut cursor = open(&log, "alice", "a");
    assert_eq!((cursor.opened(), cursor.acked()), (Opened::Resumed, 4));
    assert_eq!(next(&mut cursor), Some(4));
    drop((cursor, log));

    for _ in 0..3 {
        let log = manual().open(dir.path()).unwrap();
        let mut cursor = open(&log, "alice", "a");
        assert_eq!((cursor.opened(), cursor.acked()), (Opened::Resumed, 4));
        assert_eq!(next(&mut cursor), Some(4));
        // Another name is another cursor.
        let bob = log.cursor("bob").open().unwrap();
        drop(bob);
    }
}

#[test]
fn a_new_cursor_begins_at_the_end_unless_told() {
    let log = log_of("a", 5);
    let mut latest = log.cursor("latest").open().unwrap();
    let mut offset = log.cursor("offset").start(Start::Offset(3)).open().unwrap();
    assert_eq!(next(&mut latest), None);
    assert_eq!(next(&mut offset), Some(3));
    append(&log, "a", 1);
    assert_eq!(next(&mut latest), Some(5));
    // A start is for new cursors: this one is known.
    let mut again = log.cursor("offset").start(Start::Latest).open().unwrap();
    assert_eq!(
        (again.opened(), next(&mut again)),
        (Opened::Resumed, Some(3))
    );
}

#[test]
fn the_newest_handle_fences_the_older() {
    let log = log_of("a", 10);
    let mut older = open(&log, "alice", "a");
    advance(&mut older, 2);
    let event = older.next().unwrap().unwrap();
    let mut newer = open(&log, "alice", "a");
    assert_eq!(next(&mut newer), Some(2));
    assert!(matches!(older.next(), Err(ReadError::Fenced)));
    assert!(matches!(older.page(1 << 10), Err(ReadError::Fenced)));
    assert!(matches!(older.recv(), Err(ReadError::Fenced)));
    assert!(matches!(older.ack(&event), Err(AckError::Fenced)));
    assert!(matches!(
        older.ack_to(log.position()),
        Err(AckError::Fenced)
    ));
    assert_eq!(newer.acked(), 2, "the fenced handle has moved the cursor");
    // The end of the older handle is nothing to the newer.
    drop(older);
    newer.ack(&event).unwrap();
    assert_eq!((newer.acked(), next(&mut newer)), (3, Some(3)));
    // Other names are not concerned.
    let mut bob = open(&log, "bob", "a");
    drop(open(&log, "alice", "a"));
    assert_eq!(next(&mut bob), Some(0));
    assert!(matches!(newer.next(), Err(ReadError::Fenced)));
}

#[test]
fn a_waiting_handle_is_fenced_at_once() {
    let log = log_of("a", 0);
    let mut older = open(&log, "alice", "a");
    let mut old_but_patient = open(&log, "bob", "a");
    let waiting = std::thread::spawn(move || older.recv());
    let patient =
        std::thread::spawn(move || old_but_patient.recv_timeout(Duration::from_secs(600)));
    // Let them fall asleep; the test holds if they have not.
    std::thread::sleep(Duration::from_millis(20));
    let mut newer = open(&log, "alice", "a");
    let bob = open(&log, "bob", "a");
    until("the end of both", || {
        waiting.is_finished() && patient.is_finished()
    });
    assert!(matches!(waiting.join().unwrap(), Err(ReadError::Fenced)));
    assert!(matches!(patient.join().unwrap(), Err(ReadError::Fenced)));
    append(&log, "a", 1);
    assert_eq!(newer.recv().unwrap().offset(), 0);
    drop(bob);
}

#[test]
fn an_ack_goes_forward_and_not_beyond_the_end() {
    let log = log_of("a", 10);
    let mut cursor = open(&log, "alice", "a");
    let events: Vec<_> = (0..10).map(|_| cursor.next().unwrap().unwrap()).collect();
    cursor.ack(&events[6]).unwrap();
    assert_eq!(cursor.acked(), 7, "all before it are done too");
    cursor.ack(&events[2]).unwrap();
    cursor.ack_to(events[0].position()).unwrap();
    assert_eq!(cursor.acked(), 7, "an ack never goes back");

    let mut beyond = log.position();
    beyond.offset = 12;
    let refused = cursor.ack_to(beyond);
    assert!(
        matches!(
            refused,
            Err(AckError::Beyond {
                asked: 12,
                next: 10
            })
        ),
        "{refused:?}"
    );
    let other = log_of("a", 20);
    let mut elsewhere = other.reader().open().unwrap();
    let stranger = elsewhere.next().unwrap().unwrap();
    assert!(matches!(cursor.ack(&stranger), Err(AckError::Reset)));
    assert_eq!(cursor.acked(), 7);
    cursor.ack_to(log.position()).unwrap();
    assert_eq!((cursor.acked(), next(&mut cursor)), (10, None));
}

#[test]
fn a_cursor_moves_over_events_that_do_not_match() {
    let log = log_of("other", 100);
    let mut cursor = open(&log, "alice", "mine");
    assert_eq!(next(&mut cursor), None);
    assert_eq!(cursor.acked(), 100, "quiet consumers do not fall behind");

    append(&log, "mine", 1);
    append(&log, "other", 50);
    let mine = cursor.next().unwrap().unwrap();
    assert_eq!(next(&mut cursor), None);
    assert_eq!(
        cursor.acked(),
        100,
        "not over what was handed out and not acked"
    );
    cursor.ack(&mine).unwrap();
    assert_eq!(cursor.acked(), 151);

    // A page hands out several at once: the ack of one is not that of the others.
    append(&log, "mine", 3);
    append(&log, "other", 50);
    let page = cursor.page(1 << 20).unwrap().unwrap();
    assert_eq!((page.first(), page.last()), (Some(151), Some(153)));
    let events: Vec<_> = page.events().collect();
    cursor.ack(&events[0]).unwrap();
    assert!(cursor.page(1 << 20).unwrap().is_none());
    assert_eq!(cursor.acked(), 152);
    cursor.ack(&events[2]).unwrap();
    assert_eq!(cursor.acked(), 204);
}

#[test]
fn acks_become_durable() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path()).unwrap();
    append(&log, "a", 10);
    let mut cursor = open(&log, "alice", "a");
    advance(&mut cursor, 5);
    cursor.wait_saved().unwrap();
    until("the events are durable", || log.durable_offset() == 10);
    // What stands on disk now, seen from a copy of the directory.
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        // What is on its way to a rename can be made again, and may be gone by now.
        if entry.path().extension().is_none_or(|end| end != "new") {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    let copied = Log::open(copy.path()).unwrap();
    let mut alice = open(&copied, "alice", "a");
    assert_eq!(
        (alice.opened(), next(&mut alice)),
        (Opened::Resumed, Some(5))
    );
}

#[test]
fn there_may_be_only_so_many_cursors() {
    let options = manual().max_cursors(3);
    let log = options.in_memory().unwrap();
    for name in ["a", "b", "c"] {
        drop(log.cursor(name).open().unwrap());
    }
    let fourth = log.cursor("d").open();
    assert!(matches!(fourth, Err(CursorError::TooMany { limit: 3 })));
    assert_eq!(log.cursor("b").open().unwrap().opened(), Opened::Resumed);
}

#[test]
fn a_cursor_says_how_far_it_is_behind_and_waits_for_what_matches() {
    let log = log_of("a", 5);
    append(&log, "b", 3);
    let mut cursor = open(&log, "alice", "a");
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(cursor.lag().unwrap(), 5);
    assert!(cursor.poll_ready(&mut context).is_ready());
    advance(&mut cursor, 2);
    assert_eq!(cursor.lag().unwrap(), 3);
    assert_eq!(next(&mut cursor), Some(2));
    assert_eq!(cursor.lag().unwrap(), 3, "what was read is not acked yet");
    advance(&mut cursor, 2);
    assert_eq!(next(&mut cursor), None);
    assert_eq!(cursor.lag().unwrap(), 0);
    assert!(cursor.poll_ready(&mut context).is_pending());
    append(&log, "b", 1);
    assert!(cursor.poll_ready(&mut context).is_pending());
    append(&log, "a", 1);
    assert!(cursor.poll_ready(&mut context).is_ready());
    assert_eq!(cursor.lag().unwrap(), 1);
    assert_eq!(next(&mut cursor), Some(9));
}
