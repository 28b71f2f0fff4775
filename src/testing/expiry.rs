//! Cursors that expire, by a clock that is given.

use crate::dir::MemoryDir;
use crate::{
    CursorBuilder, CursorError, CursorState, Log, Opened, Options, Retention, Start, SyncPolicy,
};
use std::sync::Arc;
use std::time::Duration;

const HOUR: u64 = 3_600_000_000;
const NOW: u64 = 500_000 * HOUR;

fn open(dir: &MemoryDir) -> Log {
    let options = Options::new()
        .segment_bytes(16 << 10)
        .sync(SyncPolicy::Manual)
        .max_cursors(2)
        .retention(Retention::new().until_acked().max_events(1 << 20));
    options.open_in(Arc::new(dir.clone())).unwrap()
}

/// So many hours after the log was opened. The system's clock is wrong, and does not count.
fn after(log: &Log, hours: u64) {
    let wrong = if hours == 0 { NOW } else { NOW * hours % 7 };
    let elapsed = Duration::from_secs(61 + hours * 3_600);
    log.shared().clock.give(elapsed, wrong);
    log.shared().tick_cursors();
}

fn cursor(log: &Log, name: &str) -> CursorBuilder {
    let hour = Duration::from_micros(HOUR);
    log.cursor(name)
        .topics(["a"])
        .start(Start::Earliest)
        .ttl(hour)
}

fn state(log: &Log, name: &str) -> CursorState {
    let list = log.cursor_list().unwrap();
    list.iter().find(|info| info.name == name).unwrap().state
}

/// Of those that have not expired.
fn names(log: &Log) -> Vec<String> {
    let mut names = Vec::new();
    log.cursor_names(|name| names.push(name.to_owned()))
        .unwrap();
    names.sort_unstable();
    names
}

fn fill(log: &Log) {
    for _ in 0..60 {
        log.append("a", vec![7; 1_000]).unwrap();
    }
}

#[test]
fn a_cursor_that_nobody_uses_expires_and_says_where_it_stood() {
    let dir = MemoryDir::new();
    let log = open(&dir);
    fill(&log);
    after(&log, 0);
    let mut gone = cursor(&log, "gone").open().unwrap();
    let event = gone.next().unwrap().unwrap();
    gone.ack(&event).unwrap();
    after(&log, 5);
    assert_eq!(
        state(&log, "gone"),
        CursorState::Open,
        "one that is open does not expire"
    );
    drop(gone);
    after(&log, 6);
    assert_eq!(
        state(&log, "gone"),
        CursorState::Live,
        "not before the hour is over"
    );
    assert_eq!(log.retain().unwrap(), 0, "it holds what it wants");
    let waiting = log.clone();
    let waits = std::thread::spawn(move || waiting.wait_acked("gone", 40));
    std::thread::sleep(Duration::from_millis(5));
    after(&log, 7);
    assert!(matches!(
        waits.join().unwrap(),
        Err(CursorError::Expired { .. })
    ));
    assert_eq!(state(&log, "gone"), CursorState::Expired);
    log.sync().unwrap();

    // The next process knows it too, a minute after it began.
    let image = log.abandon(|| dir.image());
    let dir = MemoryDir::from_image(&image);
    dir.power_loss(0);
    let log = open(&dir);
    assert_eq!(state(&log, "gone"), CursorState::Live);
    log.shared()
        .clock
        .give(Duration::from_secs(61), NOW + 8 * HOUR);
    assert_eq!(state(&log, "gone"), CursorState::Expired);
    assert_eq!(
        log.retain().unwrap(),
        0,
        "nobody lives: nothing goes by acks"
    );
    let mut other = cursor(&log, "other").open().unwrap();
    while let Some(event) = other.next().unwrap() {
        other.ack(&event).unwrap();
    }
    assert!(log.retain().unwrap() > 30, "and it holds nothing");
    let new = cursor(&log, "gone").open().unwrap();
    assert_eq!(new.opened(), Opened::Expired { acked: 1 });
    assert_eq!(new.acked(), log.first_offset());
    drop(new);
    let again = cursor(&log, "gone").open().unwrap();
    assert_eq!(again.opened(), Opened::Resumed);
}

#[test]
fn tombstones_make_room_and_a_set_brings_one_back() {
    let dir = MemoryDir::new();
    let log = open(&dir);
    fill(&log);
    after(&log, 0);
    for name in ["one", "two"] {
        drop(cursor(&log, name).open().unwrap());
    }
    let full = cursor(&log, "three").open();
    assert!(matches!(full, Err(CursorError::TooMany { limit: 2 })));
    // One that was redefined is one.
    let redefined = cursor(&log, "one").topics(["b"]).refilter().open();
    drop(redefined.unwrap());
    assert_eq!(names(&log), ["one", "two"]);
    after(&log, 2);
    assert!(names(&log).is_empty());
    assert_eq!(log.set_cursor("one", Start::Offset(3)).unwrap(), 3);
    assert_eq!(state(&log, "one"), CursorState::Live);
    drop(cursor(&log, "three").open().unwrap());
    let names: Vec<_> = log
        .cursor_list()
        .unwrap()
        .into_iter()
        .map(|info| info.name)
        .collect();
    assert_eq!(names, ["one", "three"]);
    assert_eq!(self::names(&log), ["one", "three"]);
    assert_eq!(cursor(&log, "one").refilter().open().unwrap().acked(), 3);
}

#[test]
fn an_hour_before_the_clock_was_known_does_not_count() {
    let dir = MemoryDir::new();
    let log = open(&dir);
    // In the first minute the machine believes that it is 1970.
    log.shared().clock.give(Duration::from_secs(30), 0);
    drop(cursor(&log, "early").open().unwrap());
    log.sync().unwrap();
    after(&log, 0);
    assert_eq!(state(&log, "early"), CursorState::Live);
    after(&log, 1);
    assert_eq!(state(&log, "early"), CursorState::Live);
    after(&log, 2);
    assert_eq!(state(&log, "early"), CursorState::Expired);
}

/// Many wait for the acks of one while it acks as fast as it can: nobody is forgotten.
#[test]
fn no_ack_is_missed_by_those_who_wait() {
    let log = Log::in_memory().unwrap();
    for _ in 0..2_000 {
        log.append("a", b"").unwrap();
    }
    let mut cursor = cursor(&log, "c").open().unwrap();
    std::thread::scope(|scope| {
        for part in 0..4 {
            let log = &log;
            scope.spawn(move || {
                for offset in (part..2_000).step_by(4) {
                    log.wait_acked("c", offset).unwrap();
                }
            });
        }
        while let Some(event) = cursor.next().unwrap() {
            cursor.ack(&event).unwrap();
        }
    });
}
