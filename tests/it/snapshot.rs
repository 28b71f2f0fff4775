//! `Log::snapshot`: what a user gets, and what is left when it fails.

use crate::child::{self, Child};
use crate::host::{SmallDisk, cannot};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use wakelog::{Log, Opened, Options, SnapshotError, Start};

fn options() -> Options {
    Options::new().segment_bytes(64 << 10)
}

fn payload(offset: u64) -> Vec<u8> {
    format!("{offset:_>1000}").into_bytes()
}

fn fill(log: &Log, events: u64) {
    for _ in 0..events {
        log.append("a", payload(log.next_offset())).unwrap();
    }
}

fn check(path: &Path, events: u64) -> Log {
    let log = options().open(path).unwrap();
    assert_eq!(log.next_offset(), events);
    let mut reader = log.reader().open().unwrap();
    for offset in 0..events {
        assert_eq!(
            reader.next().unwrap().unwrap().payload(),
            payload(offset),
            "event {offset}"
        );
    }
    log
}

/// The names in a directory.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_copy_is_the_log_with_its_cursors() {
    let temporary = tempfile::tempdir().unwrap();
    let (path, copy) = (temporary.path().join("log"), temporary.path().join("copy"));
    let log = options().open(&path).unwrap();
    fill(&log, 200);
    let mut cursor = log.cursor("alice").start(Start::Earliest).open().unwrap();
    for _ in 0..70 {
        let event = cursor.next().unwrap().unwrap();
        cursor.ack(&event).unwrap();
    }
    let taken = log.snapshot(&copy).unwrap();
    assert_eq!((taken.first_offset, taken.next_offset), (0, 200));
    assert_eq!(taken.position, log.position());
    let files = names(&copy).into_iter();
    let bytes: u64 = files
        .map(|name| copy.join(name).metadata().unwrap().len())
        .sum();
    assert_eq!(taken.bytes, bytes);
    let mode = copy.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(names(temporary.path()), ["copy", "log"]);

    // Both are open at once, and go their own ways.
    let twin = check(&copy, 200);
    assert_eq!(twin.id(), log.id());
    let resumed = twin.cursor("alice").open().unwrap();
    assert_eq!((resumed.opened(), resumed.acked()), (Opened::Resumed, 70));
    fill(&log, 10);
    fill(&twin, 20);
    assert_eq!((log.next_offset(), twin.next_offset()), (210, 220));
}

#[test]
fn an_empty_directory_is_taken_and_anything_else_is_not() {
    let temporary = tempfile::tempdir().unwrap();
    let at = |name: &str| temporary.path().join(name);
    let log = Log::in_memory().unwrap();
    fill(&log, 5);
    fs::create_dir(at("empty")).unwrap();
    log.snapshot(at("empty")).unwrap();
    drop(check(&at("empty"), 5));

    fs::write(at("file"), b"mine").unwrap();
    fs::create_dir(at("full")).unwrap();
    fs::write(at("full").join("mine"), b"").unwrap();
    std::os::unix::fs::symlink(at("nowhere"), at("link")).unwrap();
    for taken in ["file", "full", "link", "empty"] {
        let refused = log.snapshot(at(taken));
        assert!(
            matches!(refused, Err(SnapshotError::Exists { .. })),
            "{taken}: {refused:?}"
        );
    }
    for odd in [at("no/parent"), "/".into(), "".into(), "..".into()] {
        let refused = log.snapshot(&odd);
        assert!(
            matches!(refused, Err(SnapshotError::Io(_))),
            "{odd:?}: {refused:?}"
        );
    }
    assert_eq!(names(temporary.path()), ["empty", "file", "full", "link"]);
    assert_eq!(names(&at("full")), ["mine"]);
    assert_eq!(fs::read(at("file")).unwrap(), b"mine");
}

#[test]
fn a_full_disk_leaves_nothing() {
    let disk = match SmallDisk::mount(1_024) {
        Ok(disk) => disk,
        Err(why) => return cannot("snapshot::a_full_disk_leaves_nothing", &why),
    };
    let temporary = tempfile::tempdir().unwrap();
    let log = options().open(temporary.path().join("log")).unwrap();
    let before = names(disk.path());
    fill(&log, 1_500);
    let failed = log.snapshot(disk.path().join("copy"));
    assert!(
        matches!(failed, Err(SnapshotError::DiskFull(_))),
        "{failed:?}"
    );
    assert_eq!(names(disk.path()), before);
    fill(&log, 10);
    let copy = temporary.path().join("copy");
    log.snapshot(&copy).unwrap();
    check(&copy, 1_510);
}

/// The writing process: appends until it is killed.
fn write(dir: &str) {
    let log = options().open(dir).unwrap();
    child::tell("open");
    loop {
        fill(&log, 1);
        std::thread::sleep(Duration::from_micros(100));
    }
}

#[test]
fn a_reader_in_another_process_copies_beside_the_writer() {
    if let Some(dir) = child::task() {
        return write(&dir);
    }
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("log");
    let test = "snapshot::a_reader_in_another_process_copies_beside_the_writer";
    let mut writer = Child::start(test, path.to_str().unwrap());
    assert_eq!(writer.hear().as_deref(), Some("open"));
    let log = options().open_read_only(&path).unwrap();
    let mut last = 0;
    for round in 0..8 {
        let copy = temporary.path().join(format!("copy{round}"));
        let taken = log.snapshot(&copy).unwrap();
        assert!(taken.next_offset >= last);
        last = taken.next_offset;
        drop(check(&copy, last));
        std::thread::sleep(Duration::from_millis(20));
    }
    writer.kill();
}

/// The copying process: makes copies until it is killed.
fn copy_on(dir: &str) {
    let dir = Path::new(dir);
    let log = options().open(dir.join("log")).unwrap();
    fill(&log, 500);
    child::tell("begin");
    for round in 0.. {
        log.snapshot(dir.join(format!("copy{round}"))).unwrap();
        child::tell(&round.to_string());
    }
}

#[test]
fn a_kill_leaves_whole_copies_and_a_name_to_remove() {
    if let Some(dir) = child::task() {
        return copy_on(&dir);
    }
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    let test = "snapshot::a_kill_leaves_whole_copies_and_a_name_to_remove";
    let mut copying = Child::start(test, dir.to_str().unwrap());
    assert_eq!(copying.hear().as_deref(), Some("begin"));
    let told = copying.kill_after(Duration::from_millis(60));
    let copies = told.len();
    let mut whole = 0;
    for name in names(dir) {
        match name.strip_prefix("copy") {
            Some(_) => {
                drop(check(&dir.join(&name), 500));
                whole += 1;
            }
            None => assert!(name == "log" || (name.starts_with(".copy") && name.ends_with(".new"))),
        }
    }
    assert!((copies..=copies + 1).contains(&whole), "{copies}, {whole}");
    drop(check(&dir.join("log"), 500));
}
