//! Catching up on a filter costs what was missed on it: frames are counted, not time.

use crate::{Event, Log, Options, Reader, Start, SyncPolicy};
use std::path::Path;

const TOPICS: u64 = 1_000;

/// 60,000 events, or as many as the environment says: ten million take a minute in release.
fn events() -> u64 {
    let given = std::env::var("WAKELOG_INDEXED_EVENTS").ok();
    given.and_then(|count| count.parse().ok()).unwrap_or(60_000)
}

fn open(path: &Path) -> Log {
    let options = Options::new()
        .segment_bytes(4 << 20)
        .sync(SyncPolicy::Manual);
    options.open(path).unwrap()
}

fn reader(log: &Log, filters: &[&str], start: Start) -> Reader {
    let reader = log.reader().topics(filters.iter().copied());
    reader.start(start).open().unwrap()
}

fn drain(reader: &mut Reader) -> Vec<u64> {
    let next = || reader.next().unwrap();
    std::iter::from_fn(next)
        .map(|event: Event| event.offset())
        .collect()
}

/// Reads what a filter missed, and sees that it took no more frames than it may.
fn check(log: &Log, filters: &[&str], topics: &[u64]) {
    let due: Vec<u64> = (0..events())
        .filter(|n| topics.contains(&(n % TOPICS)))
        .collect();
    let segments = u64::try_from(log.segments()).unwrap();
    let mut lagging = reader(log, filters, Start::Earliest);
    let count = u64::try_from(due.len()).unwrap();
    assert_eq!(lagging.lag().unwrap(), count);
    assert_eq!(drain(&mut lagging), due);
    assert_eq!(lagging.lag().unwrap(), 0);
    let most = 2 * count + segments;
    let touched = lagging.touched();
    assert!(
        touched <= most,
        "{touched} frames for {count} matches in {segments} segments"
    );
    for last in [0, 1, 7, count, count + 1] {
        let mut reader = reader(log, filters, Start::Last(last));
        let from = due.len() - usize::try_from(last.min(count)).unwrap();
        assert_eq!(drain(&mut reader), due[from..]);
    }
}

#[test]
fn a_reader_touches_what_it_missed_on_its_filter() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("log");
    let log = open(&path);
    for n in 0..events() {
        let topic = format!("user.{}", n % TOPICS);
        assert_eq!(log.append(&topic, [b'x'; 100]).unwrap(), n);
    }
    for round in 0..3 {
        // The index of the active segment is built by the first, the others find it.
        check(&log, &["user.17"], &[17]);
        check(&log, &["user.17"], &[17]);
        check(&log, &["user.5", "user.*.x", "user.999"], &[5, 999]);
        check(&log, &["nobody", "other.>"], &[]);
        if round == 0 {
            log.sync().unwrap();
        }
    }
    log.close().unwrap();
    drop(log);
    let active = std::fs::read_dir(&path).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_str().unwrap().ends_with(".index")
    });
    let indexes = active.count();
    let log = open(&path);
    assert_eq!(
        indexes,
        log.segments(),
        "each segment has its index, the active one too"
    );
    check(&log, &["user.17"], &[17]);
    check(&log, &["user.5", "user.999"], &[5, 999]);
    let topics = log.topics(["user.1*"; 1]);
    assert!(topics.is_err(), "a wildcard is a whole token");
    let topics = log.topics(["user.*"]).unwrap();
    assert_eq!(topics.len(), usize::try_from(TOPICS).unwrap());
    assert!(topics.iter().all(|info| info.events == events() / TOPICS));
}
