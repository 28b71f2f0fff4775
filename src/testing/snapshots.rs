//! Copies that are made while the log is written, and copies that fail.

use crate::dir::{Directory, MemoryDir};
use crate::{Log, Options, Snapshot, SnapshotError, Start, SyncPolicy};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn options() -> Options {
    Options::new().segment_bytes(16 << 10)
}

fn open(dir: &MemoryDir) -> Log {
    options().open_in(Arc::new(dir.clone())).unwrap()
}

/// The payload says the offset.
fn append(log: &Log, count: u64) {
    for _ in 0..count {
        let offset = log.next_offset();
        let payload = [&offset.to_le_bytes()[..], &[7; 90]].concat();
        assert_eq!(log.append("a", payload).unwrap(), offset);
    }
}

/// Everything is there, from its first event to its end.
fn check(copy: &Log, taken: &Snapshot) {
    assert_eq!(copy.recovery().damaged, []);
    assert_eq!(copy.recovery().torn, None);
    assert_eq!(copy.next_offset(), taken.next_offset);
    assert_eq!(copy.first_offset(), taken.first_offset);
    let mut reader = copy.reader().open().unwrap();
    for offset in taken.first_offset..taken.next_offset {
        let event = reader.next().unwrap().unwrap();
        assert_eq!(event.offset(), offset);
        assert_eq!(event.payload()[..8], offset.to_le_bytes());
    }
    assert!(reader.next().unwrap().is_none());
}

#[test]
fn copies_made_under_writers_are_prefixes_with_their_cursors() {
    let log = open(&MemoryDir::new());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                append(&log, 5);
                std::thread::sleep(Duration::from_micros(500));
            }
        });
        let consumers: Vec<_> = (0..3)
            .map(|number| {
                let (log, stop) = (&log, &stop);
                scope.spawn(move || {
                    let cursor = log.cursor(format!("c{number}")).start(Start::Earliest);
                    let mut cursor = cursor.open().unwrap();
                    while !stop.load(Ordering::Relaxed) {
                        let pause = Duration::from_millis(5);
                        if let Some(event) = cursor.recv_timeout(pause).unwrap() {
                            cursor.ack(&event).unwrap();
                        }
                    }
                    // Cursors come and go too.
                    log.cursor(format!("late{number}")).open().unwrap();
                })
            })
            .collect();
        let mut acked: BTreeMap<u64, u64> = BTreeMap::new();
        for round in 0..25_u64 {
            let before = log.next_offset();
            log.cursor(format!("made{round}")).open().unwrap();
            let dir = MemoryDir::new();
            let taken = log.snapshot_into(&dir).unwrap();
            dir.power_loss(0);
            assert!((before..=log.next_offset()).contains(&taken.next_offset));
            let copy = open(&dir);
            check(&copy, &taken);
            assert_eq!(copy.id(), log.id());
            for number in 0..3 {
                let cursor = copy.cursor(format!("c{number}")).open().unwrap();
                let last = acked.entry(number).or_default();
                assert!((*last..=taken.next_offset).contains(&cursor.acked()));
                *last = cursor.acked();
            }
            // Made before the copy: it is there.
            let made = copy.cursor(format!("made{round}")).open().unwrap();
            assert_eq!(made.opened(), crate::Opened::Resumed);
            std::thread::sleep(Duration::from_millis(1));
        }
        stop.store(true, Ordering::Relaxed);
        drop(consumers);
    });
}

#[test]
fn a_copy_goes_its_own_way_and_positions_tell() {
    let (dir, other) = (MemoryDir::new(), MemoryDir::new());
    let log = open(&dir);
    append(&log, 100);
    let at_50 = crate::Position {
        offset: 50,
        ..log.position()
    };
    let taken = log.snapshot_into(&other).unwrap();
    append(&log, 10);
    let beyond = log.position();
    log.close().unwrap();
    drop(log);
    let log = open(&dir);
    let later = log.position();

    let copy = open(&other);
    check(&copy, &taken);
    append(&copy, 60);
    let start = |position| copy.reader().start(Start::Position(position)).open();
    let mut valid = start(at_50).unwrap();
    assert_eq!(valid.next().unwrap().unwrap().offset(), 50);
    let mut end = start(taken.position).unwrap();
    assert_eq!(end.next().unwrap().unwrap().offset(), 100);
    let told = start(beyond).unwrap().next().unwrap_err();
    let crate::ReadError::Gap(gap) = told else {
        panic!("{told}")
    };
    assert_eq!((gap.from, gap.to), (100, 110));
    assert_eq!(gap.reason, crate::GapReason::Diverged);
    // An epoch that began after the copy was made.
    assert!(matches!(start(later), Err(crate::ReadError::Reset)));
    // And the other way round: the copy's own epoch is none of the log's.
    let foreign = log.reader().start(Start::Position(copy.position())).open();
    assert!(matches!(foreign, Err(crate::ReadError::Reset)));
}

#[test]
fn a_full_or_failing_disk_is_told_and_the_log_goes_on() {
    let log = open(&MemoryDir::new());
    append(&log, 300);
    for bytes in [0, 100, 4_096, 20_000, 40_000] {
        let full = MemoryDir::new();
        full.set_capacity(bytes);
        let failed = log.snapshot_into(&full);
        assert!(
            matches!(failed, Err(SnapshotError::DiskFull(_))),
            "{failed:?}"
        );
    }
    let counted = MemoryDir::new();
    let taken = log.snapshot_into(&counted).unwrap();
    let files = counted.list().unwrap();
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    assert_eq!(taken.bytes, bytes);
    for kth in 1.. {
        let failing = MemoryDir::new();
        failing.fail_syncs(kth, Errno::IO, false);
        match log.snapshot_into(&failing) {
            Err(SnapshotError::Io(_)) => {}
            Ok(_) if kth > 5 => break,
            other => panic!("{kth}: {other:?}"),
        }
    }
    append(&log, 10);
    log.sync().unwrap();
}

#[test]
fn a_poisoned_log_is_not_copied_and_a_reopened_one_is() {
    let dir = MemoryDir::new();
    let policy = options().sync(SyncPolicy::Manual);
    let log = policy.open_in(Arc::new(dir.clone())).unwrap();
    append(&log, 20);
    dir.fail_syncs(1, Errno::IO, false);
    assert!(log.sync().is_err());
    let refused = log.snapshot_into(&MemoryDir::new());
    assert!(matches!(refused, Err(SnapshotError::Poisoned(_))));
    log.reopen().unwrap();
    let other = MemoryDir::new();
    let taken = log.snapshot_into(&other).unwrap();
    check(&open(&other), &taken);
    log.close().unwrap();
    let refused = log.snapshot_into(&MemoryDir::new());
    assert!(matches!(refused, Err(SnapshotError::Closed)));
}

#[test]
fn a_reader_beside_the_writer_can_copy_too() {
    let dir = MemoryDir::new();
    let log = open(&dir);
    let mut cursor = log.cursor("alice").start(Start::Earliest).open().unwrap();
    append(&log, 333);
    for _ in 0..200 {
        let event = cursor.next().unwrap().unwrap();
        cursor.ack(&event).unwrap();
    }
    let reading = options().follow_in(Arc::new(dir.clone())).unwrap();
    append(&log, 111);
    let other = MemoryDir::new();
    let taken = reading.snapshot_into(&other).unwrap();
    assert_eq!(taken.next_offset, 444);
    assert_eq!(taken.position, log.position());
    other.power_loss(0);
    let copy = open(&other);
    check(&copy, &taken);
    assert_eq!(copy.cursor("alice").open().unwrap().acked(), 200);
}
