//! One handle at a time may write, in all processes; the end of its process frees the log.

use crate::child::{self, Child};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use wakelog::{AppendError, Log, OpenError, Options, ReadError, Start, SyncPolicy};

fn assert_locked(dir: &Path) {
    match Log::open(dir) {
        Err(OpenError::Locked { path }) => assert_eq!(path, dir),
        other => panic!("expected Locked, got {other:?}"),
    }
}

fn payloads(log: &Log) -> Vec<String> {
    let mut reader = log.reader().open().unwrap();
    let mut all = Vec::new();
    while let Some(event) = reader.next().unwrap() {
        assert_eq!(event.offset(), u64::try_from(all.len()).unwrap());
        all.push(String::from_utf8(event.payload().to_vec()).unwrap());
    }
    all
}

#[test]
fn a_second_open_in_the_same_process_is_locked_out() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path()).unwrap();
    log.append("a", "one").unwrap();
    assert_locked(dir.path());
    // The refusal has changed nothing for the handle that holds the log, nor for its clones.
    let other = log.clone();
    drop(log);
    assert_locked(dir.path());
    other.append("a", "two").unwrap();
    drop(other);
    let log = Log::open(dir.path()).unwrap();
    assert_eq!(payloads(&log), ["one", "two"]);
}

#[test]
fn readers_and_cursors_hold_the_log_open() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path()).unwrap();
    log.append("a", "one").unwrap();
    let mut reader = log.reader().open().unwrap();
    drop(log);
    assert_locked(dir.path());
    assert_eq!(reader.next().unwrap().unwrap().payload(), b"one");
    drop(reader);
    Log::open(dir.path()).unwrap();
}

#[test]
fn close_frees_the_log_whoever_still_has_a_handle() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path()).unwrap();
    log.append("a", "one").unwrap();
    let mut reader = log.reader().start(Start::Latest).open().unwrap();
    log.close().unwrap();
    assert!(matches!(log.append("a", "no"), Err(AppendError::Closed)));
    assert!(matches!(reader.recv(), Err(ReadError::Closed)));
    // The second close finds nothing to do.
    log.close().unwrap();
    let again = Log::open(dir.path()).unwrap();
    again.append("a", "two").unwrap();
    // The old handle does not reach into the log of the new one.
    assert!(matches!(log.append("a", "no"), Err(AppendError::Closed)));
    drop(log);
    assert_locked(dir.path());
    assert_eq!(payloads(&again), ["one", "two"]);
}

#[test]
fn a_refused_log_can_still_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path()).unwrap();
    log.append("a", "one").unwrap();
    let beside = Log::open_read_only(dir.path()).unwrap();
    assert_eq!(payloads(&beside), ["one"]);
    // Reading holds no lock: the writer may leave and come back.
    drop(log);
    let log = Log::open(dir.path()).unwrap();
    log.append("a", "two").unwrap();
    child::until("the second event", || payloads(&beside) == ["one", "two"]);
}

#[test]
fn another_process_is_locked_out_until_the_holder_dies() {
    if let Some(dir) = child::task() {
        let log = Log::open(&dir).unwrap();
        log.append("a", "from the child").unwrap();
        child::tell("open");
        // Held until the parent kills this process.
        while child::hear().is_some() {}
        drop(log);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let test = "locking::another_process_is_locked_out_until_the_holder_dies";
    let mut holder = Child::start(test, dir.path().to_str().unwrap());
    assert_eq!(holder.hear().as_deref(), Some("open"));
    assert_locked(dir.path());
    holder.kill();
    let log = Log::open(dir.path()).unwrap();
    log.append("a", "from the parent").unwrap();
    assert_eq!(payloads(&log), ["from the child", "from the parent"]);
}

#[test]
fn a_child_is_locked_out_too() {
    if let Some(dir) = child::task() {
        match Log::open(&dir) {
            Err(OpenError::Locked { .. }) => child::tell("locked"),
            other => child::tell(&format!("{other:?}")),
        }
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path()).unwrap();
    let test = "locking::a_child_is_locked_out_too";
    let mut child = Child::start(test, dir.path().to_str().unwrap());
    assert_eq!(child.hear().as_deref(), Some("locked"));
    child.finish();
    log.append("a", "undisturbed").unwrap();
    assert_eq!(payloads(&log), ["undisturbed"]);
}

#[test]
fn a_log_is_free_after_close_though_other_threads_start_processes() {
    let dir = tempfile::tempdir().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // A process on its way to its program has copies of all descriptors of this one.
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert!(Command::new("true").status().unwrap().success());
            }
        });
        for round in 0..60 {
            let opened = Log::open(dir.path()).map(|log| log.append("a", "x").unwrap());
            let end = opened.as_ref().is_err() || round == 59;
            done.store(end, Ordering::Relaxed);
            assert_eq!(opened.unwrap(), round);
        }
    });
}

#[test]
fn whoever_closes_finds_it_closed() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::new().sync(SyncPolicy::Manual);
    for round in 1..=5 {
        let log = options.open(dir.path()).unwrap();
        // Enough to be on its way to the disk for a while.
        for _ in 0..200 {
            log.append("a", [1; 10_000]).unwrap();
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    log.close().unwrap();
                    assert_eq!(log.durable_offset(), round * 200);
                    assert_eq!(log.next_offset(), round * 200);
                });
            }
        });
    }
}
