//! A full disk is a plain error at a roll: nothing is lost, nothing is killed, and there is no need
//! to open again when there is room.

use crate::host::{SmallDisk, cannot};
use std::fs;
use std::time::Duration;
use wakelog::{AppendError, CursorError, Log, OpenError, Options, Start, SyncPolicy};

const SEGMENT: u32 = 64 << 10;

fn options() -> Options {
    let often = SyncPolicy::Every(Duration::from_millis(1));
    Options::new().segment_bytes(SEGMENT).sync(often)
}

fn payload(offset: u64) -> Vec<u8> {
    format!("{offset:_>1000}").into_bytes()
}

/// Appends until the disk is full.
fn append_until_full(log: &Log) {
    for _ in 0..100_000 {
        match log.append("a", payload(log.next_offset())) {
            Ok(_) => {}
            Err(AppendError::DiskFull(_)) => return,
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("the disk is never full");
}

fn check(log: &Log, end: u64) {
    let mut reader = log.reader().open().unwrap();
    for offset in 0..end {
        let event = reader.next().unwrap().unwrap();
        assert_eq!(event.offset(), offset);
        assert_eq!(event.payload(), payload(offset));
    }
    assert!(reader.next().unwrap().is_none());
    assert_eq!(log.next_offset(), end);
}

#[test]
fn appends_go_on_when_there_is_room_again() {
    let disk = match SmallDisk::mount(2_048) {
        Ok(disk) => disk,
        Err(why) => return cannot("full_disk::appends_go_on_when_there_is_room_again", &why),
    };
    let dir = disk.path().join("log");
    let log = options().open(&dir).unwrap();
    let mut cursor = log.cursor("alice").start(Start::Earliest).open().unwrap();
    let ballast = disk.fill_all_but(600);
    append_until_full(&log);
    let full = log.next_offset();
    assert!(full > 100, "only {full} events went in");
    check(&log, full);

    // Full is not poisoned: what is there becomes durable, is read and acked, again and again.
    for _ in 0..20 {
        let more = log.append("a", payload(full));
        assert!(matches!(more, Err(AppendError::DiskFull(_))), "{more:?}");
    }
    log.sync().unwrap();
    assert_eq!(log.durable_offset(), full);
    let event = cursor.next().unwrap().unwrap();
    cursor.ack(&event).unwrap();
    cursor.wait_saved().unwrap();

    // Opening needs no room either, beyond what there is.
    drop((cursor, log));
    fs::remove_file(ballast).unwrap();
    let log = options().open(&dir).unwrap();
    check(&log, full);
    append_until_full(&log);
    let fuller = log.next_offset();
    assert!(fuller > full + 100, "{full} events before, {fuller} after");
    check(&log, fuller);
    let cursor = log.cursor("alice").open().unwrap();
    assert_eq!(cursor.acked(), 1);
}

#[test]
fn the_same_handle_goes_on_when_there_is_room_again() {
    let disk = match SmallDisk::mount(2_048) {
        Ok(disk) => disk,
        Err(why) => {
            return cannot(
                "full_disk::the_same_handle_goes_on_when_there_is_room_again",
                &why,
            );
        }
    };
    let log = options().open(disk.path().join("log")).unwrap();
    for _ in 0..4 {
        let ballast = disk.fill_all_but(200);
        append_until_full(&log);
        let full = log.next_offset();
        fs::remove_file(ballast).unwrap();
        assert_eq!(log.append("a", payload(full)).unwrap(), full);
        check(&log, full + 1);
    }
}

#[test]
fn a_log_on_a_full_disk_opens_when_there_is_room() {
    let disk = match SmallDisk::mount(1_024) {
        Ok(disk) => disk,
        Err(why) => {
            return cannot(
                "full_disk::a_log_on_a_full_disk_opens_when_there_is_room",
                &why,
            );
        }
    };
    let dir = disk.path().join("log");
    // None at all, too little for a segment, too little for a second file.
    for kib in [0, 8, 40, 68] {
        let ballast = disk.fill_all_but(kib);
        match options().open(&dir) {
            Ok(log) => drop(log),
            Err(OpenError::DiskFull(_)) => {}
            Err(other) => panic!("with {kib} KiB: {other:?}"),
        }
        fs::remove_file(ballast).unwrap();
        let log = options().open(&dir).unwrap();
        let end = log.next_offset();
        log.append("a", payload(end)).unwrap();
        check(&log, end + 1);
    }
}

#[test]
fn a_full_log_opens_and_is_read_without_any_room() {
    let disk = match SmallDisk::mount(1_024) {
        Ok(disk) => disk,
        Err(why) => {
            return cannot(
                "full_disk::a_full_log_opens_and_is_read_without_any_room",
                &why,
            );
        }
    };
    let dir = disk.path().join("log");
    let log = options().open(&dir).unwrap();
    append_until_full(&log);
    let full = log.next_offset();
    // A cursor needs a file, the first time.
    drop(disk.fill_all_but(0));
    let cursor = log.cursor("late").open();
    assert!(
        matches!(cursor, Err(CursorError::DiskFull(_))),
        "{cursor:?}"
    );
    drop(log);
    let beside = Log::open_read_only(&dir).unwrap();
    check(&beside, full);
    match options().open(&dir) {
        Ok(log) => check(&log, full),
        // The record of the new epoch had no room.
        Err(OpenError::DiskFull(_)) => {}
        Err(other) => panic!("{other:?}"),
    }
    fs::remove_file(disk.path().join("ballast")).unwrap();
    let log = options().open(&dir).unwrap();
    check(&log, full);
}
