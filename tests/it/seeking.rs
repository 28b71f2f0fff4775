//! Going to another place: the one way in which a cursor goes back.

use crate::cursors::{advance, append, manual, next, open};
use wakelog::{
    AckError, CursorError, Gap, GapReason, Log, Opened, Position, ReadError, Reader, Start,
};

fn log_of(count: u64) -> Log {
    let log = manual().in_memory().unwrap();
    append(&log, "a", count);
    log
}

fn next_of(reader: &mut Reader) -> Option<u64> {
    reader.next().unwrap().map(|event| event.offset())
}

/// Places that no log of ten events has.
fn bad_starts(log: &Log) -> [(Start, &'static str); 3] {
    let other = log_of(1);
    let mut unknown = log.position();
    unknown.epoch.tag = !unknown.epoch.tag;
    [
        (Start::Offset(11), "offset"),
        (Start::Position(other.position()), "reset"),
        (Start::Position(unknown), "reset"),
    ]
}

fn is(error: &ReadError, expected: &str) -> bool {
    match error {
        ReadError::Offset {
            asked: 11,
            next: 10,
        } => expected == "offset",
        ReadError::Reset => expected == "reset",
        _ => false,
    }
}

#[test]
fn a_reader_goes_where_it_is_told() {
    let log = log_of(10);
    let mut reader = log.reader().open().unwrap();
    assert_eq!(next_of(&mut reader), Some(0));
    let position = reader.position();
    for (start, expected) in [
        (Start::Offset(7), Some(7)),
        (Start::Earliest, Some(0)),
        (Start::Latest, None),
        (Start::Position(position), Some(1)),
        (Start::Offset(10), None),
        (Start::Offset(3), Some(3)),
    ] {
        reader.seek(start).unwrap();
        assert_eq!(next_of(&mut reader), expected, "{start:?}");
    }
    for (start, expected) in bad_starts(&log) {
        let error = reader.seek(start).unwrap_err();
        assert!(is(&error, expected), "{start:?}: {error:?}");
    }
    assert_eq!(next_of(&mut reader), Some(4), "it stays where it was");
}

#[test]
fn a_cursor_goes_back_when_told_and_stays_there() {
    let dir = tempfile::tempdir().unwrap();
    let log = manual().open(dir.path()).unwrap();
    append(&log, "a", 10);
    let mut cursor = open(&log, "alice", "a");
    advance(&mut cursor, 8);
    cursor.wait_saved().unwrap();
    cursor.seek(Start::Offset(3)).unwrap();
    assert_eq!((cursor.acked(), next(&mut cursor)), (3, Some(3)));
    drop((cursor, log));

    let log = manual().open(dir.path()).unwrap();
    let mut cursor = open(&log, "alice", "a");
    let resumed = (cursor.opened(), cursor.acked(), next(&mut cursor));
    assert_eq!(resumed, (Opened::Resumed, 3, Some(3)));
    // From here on it is as if it had never been further.
    advance(&mut cursor, 2);
    assert_eq!(cursor.acked(), 6);
    cursor.seek(Start::Latest).unwrap();
    assert_eq!((cursor.acked(), next(&mut cursor)), (10, None));
}

#[test]
fn a_refused_seek_moves_nothing() {
    let log = log_of(10);
    let mut cursor = open(&log, "alice", "a");
    advance(&mut cursor, 4);
    for (start, expected) in bad_starts(&log) {
        let error = cursor.seek(start).unwrap_err();
        assert!(is(&error, expected), "{start:?}: {error:?}");
        assert_eq!(cursor.acked(), 4);
    }
    assert_eq!(next(&mut cursor), Some(4));
    let newer = open(&log, "alice", "a");
    let fenced = cursor.seek(Start::Earliest);
    assert!(matches!(fenced, Err(ReadError::Fenced)), "{fenced:?}");
    assert_eq!(newer.acked(), 4);
}

#[test]
fn a_seek_to_what_was_lost_is_told_until_acked() {
    let log = log_of(10);
    let mut cursor = open(&log, "alice", "a");
    for to in [25, 15] {
        let beyond = Position {
            offset: to,
            ..log.position()
        };
        cursor.seek(Start::Position(beyond)).unwrap();
        let expected = Gap {
            from: 10,
            to,
            reason: GapReason::Diverged,
        };
        for _ in 0..2 {
            let told = cursor.next();
            assert!(
                matches!(&told, Err(ReadError::Gap(gap)) if *gap == expected),
                "{told:?}"
            );
        }
    }
    // Another place is another question.
    cursor.seek(Start::Offset(2)).unwrap();
    assert_eq!(next(&mut cursor), Some(2));
}

#[test]
fn a_closed_log_is_not_moved_in() {
    let dir = tempfile::tempdir().unwrap();
    let log = manual().open(dir.path()).unwrap();
    append(&log, "a", 10);
    let mut cursor = open(&log, "alice", "a");
    let event = cursor.next().unwrap().unwrap();
    log.close().unwrap();

    // Somebody else has it open by now.
    let theirs = manual().open(dir.path()).unwrap();
    let mut their_cursor = open(&theirs, "alice", "a");
    advance(&mut their_cursor, 5);
    let seek = cursor.seek(Start::Earliest);
    assert!(matches!(seek, Err(ReadError::Closed)), "{seek:?}");
    let ack = cursor.ack(&event);
    assert!(matches!(ack, Err(AckError::Closed)), "{ack:?}");
    for name in ["alice", "bob"] {
        let late = log.cursor(name).open().map(|cursor| cursor.acked());
        assert!(matches!(late, Err(CursorError::Closed)), "{name}: {late:?}");
    }
    drop((cursor, log));
    assert_eq!(their_cursor.acked(), 5);
    drop((their_cursor, theirs));
    let log = manual().open(dir.path()).unwrap();
    assert_eq!(open(&log, "alice", "a").acked(), 5);
    assert_eq!(log.cursor("bob").open().unwrap().opened(), Opened::New);
}
