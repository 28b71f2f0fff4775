//! Reading beside a process that writes: it sees what comes, changes nothing, and stays when the
//! writer goes and comes back.

use crate::child::{self, Child};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use wakelog::{
    AckError, AppendError, CursorError, Log, OpenError, Options, ReadError, ReadLevel, Reader,
    Start, SyncError, SyncPolicy,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Small segments, so that a few dozen events make a roll.
fn options() -> Options {
    Options::new()
        .segment_bytes(16 << 10)
        .sync(SyncPolicy::Manual)
}

fn payload(number: u64) -> Vec<u8> {
    format!("{number:->1000}").into_bytes()
}

/// The writing process: does what it is told, line by line.
fn write(dir: &str) {
    let log = options().open(dir).unwrap();
    child::tell("open");
    while let Some(line) = child::hear() {
        let (verb, number) = line.split_once(' ').unwrap_or((&line, "0"));
        match verb {
            "append" => {
                for _ in 0..number.parse::<u64>().unwrap() {
                    log.append("a.b", payload(log.next_offset())).unwrap();
                }
            }
            "sync" => log.sync().unwrap(),
            other => panic!("an unknown verb: {other}"),
        }
        child::tell(&log.next_offset().to_string());
    }
}

fn start_writer(test: &str, dir: &Path) -> Child {
    let mut writer = Child::start(test, dir.to_str().unwrap());
    assert_eq!(writer.hear().as_deref(), Some("open"));
    writer
}

fn expect(reader: &mut Reader, offsets: std::ops::Range<u64>) {
    for offset in offsets {
        let event = reader.recv_timeout(PATIENCE).unwrap().unwrap();
        assert_eq!(event.offset(), offset);
        assert_eq!(event.payload(), payload(offset), "event {offset}");
    }
    assert!(reader.next().unwrap().is_none());
}

/// Every file with its bytes and the time of its last change, and the directory's own.
fn snapshot(dir: &Path) -> BTreeMap<String, (SystemTime, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        // The writer has renamed it since.
        let (Ok(about), Ok(bytes)) = (path.metadata(), std::fs::read(&path)) else {
            continue;
        };
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        found.insert(name, (about.modified().unwrap(), bytes));
    }
    let changed = dir.metadata().unwrap().modified().unwrap();
    found.insert(".".into(), (changed, Vec::new()));
    found
}

/// A snapshot that stays the same for a while: the writer readies pages after its last sync.
fn still(dir: &Path) -> BTreeMap<String, (SystemTime, Vec<u8>)> {
    let mut last = snapshot(dir);
    child::until("stillness", || {
        std::thread::sleep(Duration::from_millis(30));
        let now = snapshot(dir);
        let same = now == last;
        last = now;
        same
    });
    last
}

#[test]
fn new_events_are_seen_across_rolls_and_restarts_of_the_writer() {
    if let Some(dir) = child::task() {
        return write(&dir);
    }
    let test = "read_only::new_events_are_seen_across_rolls_and_restarts_of_the_writer";
    let dir = tempfile::tempdir().unwrap();
    let mut writer = start_writer(test, dir.path());
    assert_eq!(writer.ask("append 20"), "20");
    let log = Log::open_read_only(dir.path()).unwrap();
    let mut reader = log.reader().open().unwrap();
    expect(&mut reader, 0..20);
    // Twenty rolls under the reader's eyes.
    assert_eq!(writer.ask("append 220"), "240");
    expect(&mut reader, 20..240);
    assert!(log.segments() > 15, "{} segments", log.segments());
    let before = reader.position();

    writer.kill();
    let mut writer = start_writer(test, dir.path());
    assert_eq!(writer.ask("append 30"), "270");
    expect(&mut reader, 240..270);
    let after = reader.position();
    assert_ne!(
        before.epoch, after.epoch,
        "the second writer began an epoch"
    );

    // In order this time.
    writer.finish();
    let mut writer = start_writer(test, dir.path());
    assert_eq!(writer.ask("append 30"), "300");
    expect(&mut reader, 270..300);
    // A position from before both restarts is still good: nothing was lost.
    let mut late = log.reader().start(Start::Position(before)).open().unwrap();
    expect(&mut late, 240..300);
}

#[test]
fn a_durable_reader_sees_what_the_writer_has_synced() {
    if let Some(dir) = child::task() {
        return write(&dir);
    }
    let test = "read_only::a_durable_reader_sees_what_the_writer_has_synced";
    let dir = tempfile::tempdir().unwrap();
    let mut writer = start_writer(test, dir.path());
    let log = Log::open_read_only(dir.path()).unwrap();
    let mut visible = log.reader().open().unwrap();
    let mut durable = log.reader().level(ReadLevel::Durable).open().unwrap();
    assert_eq!(writer.ask("append 5"), "5");
    expect(&mut visible, 0..5);
    assert!(durable.next().unwrap().is_none());
    assert_eq!(log.durable_offset(), 0);
    assert_eq!(writer.ask("sync"), "5");
    expect(&mut durable, 0..5);
    child::until("the durable mark", || log.durable_offset() == 5);
}

#[test]
fn events_are_seen_soon() {
    if let Some(dir) = child::task() {
        return write(&dir);
    }
    let dir = tempfile::tempdir().unwrap();
    let mut writer = start_writer("read_only::events_are_seen_soon", dir.path());
    let log = Log::open_read_only(dir.path()).unwrap();
    let mut reader = log.reader().start(Start::Latest).open().unwrap();
    let mut waits = Vec::new();
    for _ in 0..61 {
        writer.tell("append 1");
        let event = reader.recv_timeout(PATIENCE).unwrap().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        waits.push(now.saturating_sub(Duration::from_micros(event.time())));
        assert!(writer.hear().is_some());
    }
    waits.sort_unstable();
    let median = waits[waits.len() / 2];
    // It takes some milliseconds; the bound is for a machine that is busy with other tests, and
    // still far below what a look once a second would take.
    assert!(median < Duration::from_millis(400), "median {median:?}");
}

#[test]
fn nothing_in_the_directory_is_changed() {
    if let Some(dir) = child::task() {
        return write(&dir);
    }
    let test = "read_only::nothing_in_the_directory_is_changed";
    let dir = tempfile::tempdir().unwrap();
    let mut writer = start_writer(test, dir.path());
    assert_eq!(writer.ask("append 100"), "100");
    assert_eq!(writer.ask("sync"), "100");
    // Once beside an idle writer, once with the torn end that a killed one leaves, once alone.
    for round in 0..3 {
        match round {
            0 => {}
            1 => {
                assert_eq!(writer.ask("append 3"), "103");
                writer.kill();
            }
            _ => start_writer(test, dir.path()).finish(),
        }
        let before = still(dir.path());
        let log = Log::open_read_only(dir.path()).unwrap();
        let mut reader = log.reader().open().unwrap();
        expect(&mut reader, 0..if round == 0 { 100 } else { 103 });
        refuses_to_write(&log);
        // A few looks of the follower.
        std::thread::sleep(Duration::from_millis(30));
        drop((reader, log));
        assert!(
            snapshot(dir.path()) == before,
            "round {round} changed a file"
        );
    }
}

fn refuses_to_write(log: &Log) {
    assert!(matches!(log.append("a", "x"), Err(AppendError::ReadOnly)));
    assert!(matches!(log.sync(), Err(SyncError::ReadOnly)));
    let cursor = log.cursor("alice").open();
    assert!(matches!(cursor, Err(CursorError::ReadOnly)), "{cursor:?}");
}

#[test]
fn there_must_be_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    for path in [dir.path(), &missing] {
        let error = Log::open_read_only(path).unwrap_err();
        assert!(
            matches!(&error, OpenError::NotFound { path: told } if told == path),
            "{error:?}"
        );
    }
    assert!(!missing.exists());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_closed_follower_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Log::open(dir.path()).unwrap();
    writer.append("a", "x").unwrap();
    let log = Log::open_read_only(dir.path()).unwrap();
    let mut reader = log.reader().open().unwrap();
    assert_eq!(reader.recv().unwrap().payload(), b"x");
    let waiting = std::thread::spawn(move || reader.recv());
    log.close().unwrap();
    child::until("the reader's end", || waiting.is_finished());
    assert!(matches!(waiting.join().unwrap(), Err(ReadError::Closed)));
    // A cursor of the writer is not touched by it.
    let mut cursor = writer
        .cursor("alice")
        .start(Start::Earliest)
        .open()
        .unwrap();
    let event = cursor.next().unwrap().unwrap();
    cursor.ack(&event).unwrap();
    let beyond = cursor.ack_to(wakelog::Position {
        offset: 9,
        ..event.position()
    });
    assert!(matches!(
        beyond,
        Err(AckError::Beyond { asked: 9, next: 1 })
    ));
}
