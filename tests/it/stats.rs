//! `Log::stats`: every number against what the test has done.

use super::child::until;
use std::time::Duration;
use wakelog::{Log, Options, ReadLevel, Start, Stats, SyncPolicy};

fn manual() -> Options {
    Options::new()
        .segment_bytes(16 << 10)
        .sync(SyncPolicy::Manual)
}

/// What the directory says of segments: how many, and bytes.
fn on_disk(dir: &std::path::Path) -> (u64, u64) {
    let mut found = (0, 0);
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.ends_with(".log") && !name.starts_with("spare-") {
            found.0 += 1;
            found.1 += entry.metadata().unwrap().len();
        }
    }
    found
}

#[test]
fn an_empty_log_has_a_place_and_nothing_else() {
    let log = manual().in_memory().unwrap();
    let stats = log.stats();
    assert_eq!((stats.first_offset, stats.next_offset), (0, 0));
    assert_eq!((stats.durable_offset, stats.durable_base), (0, 0));
    assert_eq!(stats.durable_file(), "00000000000000000000.log");
    assert!(stats.durable_position >= 4_096 && stats.durable_position == stats.used_bytes);
    assert_eq!((stats.segments, stats.segment_bytes), (1, 16 << 10));
    assert_eq!((stats.appended_events, stats.appended_bytes), (0, 0));
    assert_eq!((stats.unsynced_events, stats.unsynced_bytes), (0, 0));
    assert_eq!((stats.sync_lag, stats.rolls, stats.held_bytes), (0, 0, 0));
    assert_eq!((stats.oldest_time, stats.newest_time), (None, None));
    assert_eq!(stats.epoch, log.position().epoch);
    assert_eq!(
        (stats.handles, stats.cursors, stats.poisoned),
        (1, 0, false)
    );
}

#[test]
fn appends_show_as_unsynced_until_a_sync() {
    let log = manual().in_memory().unwrap();
    let empty = log.stats();
    log.append("a", [7; 100]).unwrap();
    log.append("a", [7; 100]).unwrap();
    // Longer than a tick of the coarse clock.
    std::thread::sleep(Duration::from_millis(30));
    let before = log.stats();
    assert_eq!((before.unsynced_events, before.appended_events), (2, 2));
    assert_eq!(before.unsynced_bytes, before.appended_bytes);
    assert_eq!(before.used_bytes - empty.used_bytes, before.appended_bytes);
    assert!((200..400).contains(&before.appended_bytes));
    assert!(before.sync_lag >= 10_000, "{before:?}");
    let mut reader = log.reader().open().unwrap();
    let times = [(); 2].map(|()| reader.next().unwrap().unwrap().time());
    assert_eq!(before.oldest_time.unwrap(), times[0]);
    assert_eq!(before.newest_time.unwrap(), times[1]);

    log.sync().unwrap();
    let after = log.stats();
    assert_eq!((after.unsynced_events, after.unsynced_bytes), (0, 0));
    assert_eq!((after.sync_lag, after.durable_offset), (0, 2));
    assert!(after.syncs > empty.syncs && after.longest_sync >= after.last_sync);
    assert_eq!(after.durable_position, after.used_bytes);
    assert_eq!(after.appended_bytes, before.appended_bytes);
}

#[test]
fn rolls_add_up_and_segments_are_what_the_directory_holds() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("log");
    let write = |events: u64| -> (Stats, u64) {
        let log = manual().open(&path).unwrap();
        let first = log.next_offset();
        for _ in 0..events {
            log.append("a", [1; 1_000]).unwrap();
        }
        let unsynced = log.stats();
        assert!(unsynced.unsynced_bytes > 0 && unsynced.unsynced_bytes <= unsynced.appended_bytes);
        log.sync().unwrap();
        let stats = log.stats();
        assert_eq!(stats.appended_events, events);
        assert_eq!(stats.next_offset, first + events);
        assert!((1_000..1_100).contains(&(stats.appended_bytes / events)));
        assert_eq!((stats.segments, stats.segment_bytes), on_disk(&path));
        assert!(stats.used_bytes > stats.segment_bytes - (16 << 10));
        (stats, log.segments().try_into().unwrap())
    };
    let (first, segments) = write(40);
    assert!(first.rolls >= 3 && first.rolls + 1 == segments);
    let (second, more) = write(30);
    assert_eq!(second.rolls, more - segments);
    assert_eq!(second.oldest_time, first.oldest_time);

    // The segments from before are not known before somebody asks, nor to another process.
    let reading = Log::open_read_only(&path).unwrap().stats();
    assert_eq!((reading.segments, reading.segment_bytes), on_disk(&path));
    assert_eq!((reading.next_offset, reading.durable_offset), (70, 70));
    assert_eq!(reading.durable_file(), second.durable_file());
    assert_eq!(reading.durable_position, second.durable_position);
    assert_eq!(reading.oldest_time, first.oldest_time);
    assert_eq!((reading.appended_events, reading.unsynced_events), (0, 0));
}

#[test]
fn who_waits_and_who_holds_a_handle_is_counted() {
    let log = manual().in_memory().unwrap();
    let cursor = log.cursor("alice").open().unwrap();
    let mut reader = log.reader().start(Start::Latest).open().unwrap();
    let durable = log.reader().level(ReadLevel::Durable).start(Start::Latest);
    let mut durable = durable.open().unwrap();
    let stats = log.stats();
    assert_eq!((stats.handles, stats.cursors), (4, 1));
    assert_eq!((stats.visible_waiters, stats.durable_waiters), (0, 0));
    std::thread::scope(|scope| {
        scope.spawn(|| reader.recv().unwrap());
        scope.spawn(|| durable.recv().unwrap());
        scope.spawn(|| log.wait_durable(5));
        until("all three wait", || {
            let stats = log.stats();
            let waiting = (stats.visible_waiters, stats.durable_waiters);
            waiting == (1, 1) && stats.sync_waiters == 1
        });
        for _ in 0..6 {
            log.append("a", b"").unwrap();
        }
        log.sync().unwrap();
    });
    drop((cursor, reader, durable));
    let stats = log.stats();
    assert_eq!((stats.handles, stats.cursors), (1, 1));
    assert_eq!((stats.visible_waiters, stats.durable_waiters), (0, 0));
}
