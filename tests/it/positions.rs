//! Positions: the same place after a restart, a gap with exact numbers after a loss, a reset where
//! no number can be given.

use std::fs;
use std::path::Path;
use wakelog::{
    CursorError, Epoch, Gap, GapReason, Log, LogId, Opened, Options, Position, ReadError, Reader,
    Start, SyncError, SyncPolicy,
};

fn options() -> Options {
    Options::new()
        .segment_bytes(16 << 10)
        .sync(SyncPolicy::Manual)
}

fn append(log: &Log, count: u64) {
    for _ in 0..count {
        let payload = format!("{:-<900}", log.next_offset());
        log.append("a", payload).unwrap();
    }
}

fn from(log: &Log, position: Position) -> Reader {
    let start = Start::Position(position);
    log.reader().start(start).open().unwrap()
}

fn assert_reset(log: &Log, position: Position) {
    let reader = log.reader().start(Start::Position(position)).open();
    assert!(
        matches!(reader, Err(ReadError::Reset)),
        "{position}: {reader:?}"
    );
    let cursor = log.cursor("nobody").start(Start::Position(position)).open();
    assert!(
        matches!(cursor, Err(CursorError::Reset)),
        "{position}: {cursor:?}"
    );
}

fn assert_gap<T: std::fmt::Debug>(result: Result<T, ReadError>, expected: Gap) {
    match result {
        Err(ReadError::Gap(gap)) => assert_eq!(gap, expected),
        other => panic!("expected {expected}, got {other:?}"),
    }
}

fn diverged(from: u64, to: u64) -> Gap {
    Gap {
        from,
        to,
        reason: GapReason::Diverged,
    }
}

/// Copies the files of a log whose writer is idle. Its threads may still be at work on files that
/// can be made again (`*.new`, on their way to a rename).
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.path().extension().is_none_or(|end| end != "new") {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn a_restart_that_lost_nothing_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut told: Vec<Position> = Vec::new();
    for round in 0..6 {
        let log = options().open(dir.path()).unwrap();
        assert_eq!(log.next_offset(), round * 40);
        for position in &told {
            let mut reader = from(&log, *position);
            let next = reader.next().unwrap().map(|event| event.offset());
            let exists = position.offset < log.next_offset();
            assert_eq!(next, exists.then_some(position.offset), "{position}");
        }
        let mut reader = log.reader().open().unwrap();
        told.push(log.position());
        append(&log, 40);
        while let Some(event) = reader.next().unwrap() {
            assert_eq!(event.position().offset, event.offset() + 1);
            told.push(event.position());
        }
        told.push(reader.position());
    }
}

#[test]
fn beyond_the_end_the_gap_has_exact_numbers() {
    let log = options().in_memory().unwrap();
    append(&log, 10);
    let mut beyond = log.position();
    beyond.offset = 25;
    let mut reader = from(&log, beyond);
    assert_gap(reader.next(), diverged(10, 25));
    // Once on a reader, which goes on at the end of what is left.
    assert!(reader.next().unwrap().is_none());
    append(&log, 1);
    assert_eq!(reader.next().unwrap().unwrap().offset(), 10);
}

#[test]
fn a_restored_backup_tells_what_is_not_in_it() {
    let (dir, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = options().open(dir.path()).unwrap();
    append(&log, 60);
    log.sync().unwrap();
    copy(dir.path(), backup.path());
    append(&log, 40);
    let seen = log.position();
    assert_eq!(seen.offset, 100);
    drop(log);

    let restored = options().open(backup.path()).unwrap();
    append(&restored, 5);
    let mut reader = from(&restored, seen);
    assert_gap(reader.next(), diverged(60, 100));
    for offset in 60..65 {
        assert_eq!(reader.next().unwrap().unwrap().offset(), offset);
    }
    // The numbers stay what they are, however far the new epoch comes.
    append(&restored, 100);
    assert_gap(from(&restored, seen).next(), diverged(60, 100));
    let before = Position { offset: 60, ..seen };
    assert_eq!(
        from(&restored, before).next().unwrap().unwrap().offset(),
        60
    );

    // Both have begun an epoch since: neither knows the other's.
    let original = options().open(dir.path()).unwrap();
    assert_eq!(original.id(), restored.id());
    assert_reset(&original, restored.position());
    assert_reset(&restored, original.position());
}

#[test]
fn a_cursor_is_told_a_gap_until_it_is_acked() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    append(&log, 10);
    let mut beyond = log.position();
    beyond.offset = 25;
    let start = Start::Position(beyond);
    let mut cursor = log.cursor("alice").start(start).open().unwrap();
    for _ in 0..3 {
        assert_gap(cursor.next(), diverged(10, 25));
        assert_gap(cursor.page(1 << 10), diverged(10, 25));
        assert_gap(cursor.recv(), diverged(10, 25));
    }
    // Events that come meanwhile do not hide it, nor does a new handle, nor a restart.
    append(&log, 20);
    drop((cursor, log));
    let log = options().open(dir.path()).unwrap();
    let mut cursor = log.cursor("alice").open().unwrap();
    assert_eq!((cursor.opened(), cursor.acked()), (Opened::Resumed, 10));
    assert_gap(cursor.next(), diverged(10, 25));
    // Another gap is not this one.
    cursor.ack_gap(&diverged(10, 24)).unwrap();
    assert_gap(cursor.next(), diverged(10, 25));
    cursor.ack_gap(&diverged(10, 25)).unwrap();
    assert_eq!(cursor.next().unwrap().unwrap().offset(), 10);
    drop((cursor, log));
    let log = options().open(dir.path()).unwrap();
    let mut cursor = log.cursor("alice").open().unwrap();
    assert_eq!(cursor.next().unwrap().unwrap().offset(), 10);
}

#[test]
fn a_cursor_beyond_the_recovered_end_is_set_back_and_told() {
    let (dir, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = options().open(dir.path()).unwrap();
    let alice = log.cursor("alice").start(Start::Earliest).open().unwrap();
    drop(alice);
    append(&log, 60);
    log.sync().unwrap();
    copy(dir.path(), backup.path());
    append(&log, 40);
    let mut alice = log.cursor("alice").open().unwrap();
    while let Some(event) = alice.next().unwrap() {
        alice.ack(&event).unwrap();
    }
    assert_eq!(alice.acked(), 100);
    drop((alice, log));

    // A disk that has kept the acks and lost the last events.
    for entry in fs::read_dir(dir.path()).unwrap() {
        let name = entry.unwrap().file_name();
        if name.to_str().unwrap().starts_with("cursors") {
            fs::copy(dir.path().join(&name), backup.path().join(&name)).unwrap();
        }
    }
    for _ in 0..3 {
        let log = options().open(backup.path()).unwrap();
        let mut alice = log.cursor("alice").open().unwrap();
        assert_eq!(alice.acked(), 60);
        assert_gap(alice.next(), diverged(60, 100));
    }
    let log = options().open(backup.path()).unwrap();
    let mut alice = log.cursor("alice").open().unwrap();
    append(&log, 1);
    assert_gap(alice.next(), diverged(60, 100));
    alice.ack_gap(&diverged(60, 100)).unwrap();
    assert_eq!(alice.next().unwrap().unwrap().offset(), 60);
}

#[test]
fn positions_of_other_logs_and_epochs_are_answered_with_a_reset() {
    let log = options().in_memory().unwrap();
    append(&log, 3);
    let good = log.position();
    let other = options().in_memory().unwrap();
    append(&other, 3);
    assert_reset(&log, other.position());
    let next_epoch = Epoch {
        counter: good.epoch.counter + 1,
        ..good.epoch
    };
    let other_tag = Epoch {
        tag: !good.epoch.tag,
        ..good.epoch
    };
    for epoch in [next_epoch, other_tag, Epoch::default()] {
        assert_reset(&log, Position { epoch, ..good });
    }
    let log_id = LogId([0; 16]);
    assert_reset(
        &log,
        Position {
            log: log_id,
            ..good
        },
    );
    assert!(from(&log, good).next().unwrap().is_none());
}

#[test]
fn a_position_goes_over_any_wire_as_text() {
    let log = options().in_memory().unwrap();
    append(&log, 3);
    let mut reader = log.reader().open().unwrap();
    let event = reader.next().unwrap().unwrap();
    let text = event.position().to_string();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
    assert!(text.chars().all(plain), "{text}");
    assert!(text.len() <= 32 + 1 + 17 + 1 + 16, "{text}");
    let back: Position = text.parse().unwrap();
    assert_eq!(back, event.position());
    assert_eq!(from(&log, back).next().unwrap().unwrap().offset(), 1);

    let (head, _) = text.rsplit_once('.').unwrap();
    let wrong = [
        String::new(),
        head.to_owned(),
        format!("{head}."),
        format!("{head}.-1"),
        format!("{head}.+1"),
        format!("{head}.01"),
        format!("{head}. 1"),
        format!("{head}.9007199254740992"),
        format!("{head}.18446744073709551616"),
        text.to_uppercase() + "A",
        format!("{text}.0"),
        format!(" {text}"),
        text[1..].to_owned(),
        text.replace('-', "_"),
    ];
    for text in wrong {
        assert!(text.parse::<Position>().is_err(), "{text:?} was taken");
    }
}

#[test]
fn what_stood_before_a_position_is_waited_for_and_never_mistaken() {
    let log = Options::new().sync(SyncPolicy::Manual).in_memory().unwrap();
    let start = log.position();
    log.wait_durable_at(start).unwrap();
    log.append("a", b"x").unwrap();
    let position = log.position();
    log.wait_durable_at(position).unwrap();
    assert_eq!(log.durable_offset(), 1);
    let beyond = Position {
        offset: 2,
        ..position
    };
    let stranger = Log::in_memory().unwrap();
    for (log, position) in [(&log, beyond), (&stranger, start)] {
        let lost = log.wait_durable_at(position);
        assert!(matches!(lost, Err(SyncError::Lost)), "{lost:?}");
    }
}
