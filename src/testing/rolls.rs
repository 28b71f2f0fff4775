//! Rolls at awkward moments: out of a segment without an event, and by many threads at once.

use crate::dir::{Directory, MemoryDir};
use crate::{AppendError, Log, NewEvent, Options, SyncPolicy};
use std::sync::Arc;

const LARGE: usize = 2 << 20;

fn open(dir: &MemoryDir) -> Log {
    let options = Options::new().sync(SyncPolicy::Every(std::time::Duration::from_secs(60)));
    let options = options.segment_bytes(8 << 20).max_event_bytes(3 << 20);
    options.open_in(Arc::new(dir.clone())).unwrap()
}

fn read_all(log: &Log) -> Vec<usize> {
    let mut reader = log.reader().open().unwrap();
    std::iter::from_fn(|| reader.next().unwrap())
        .map(|event| event.payload().len())
        .collect()
}

/// The first event of a log does not fit the first segment, which is replaced by one that takes it.
/// Whenever the process dies, what `append` returned is there.
#[test]
fn a_segment_without_an_event_is_replaced_and_nothing_is_lost() {
    for sessions in [0, 1, 3] {
        for wait in [false, true] {
            let mut dir = MemoryDir::new();
            for _ in 0..sessions {
                // Each leaves an epoch frame in the first segment, and no event.
                let log = open(&dir);
                dir = MemoryDir::from_image(&log.abandon(|| dir.image()));
            }
            let log = open(&dir);
            assert_eq!(log.append("a", vec![7; LARGE]).unwrap(), 0);
            if wait {
                log.sync().unwrap();
            }
            assert_eq!(log.append("a", b"next").unwrap(), 1);
            assert_eq!(read_all(&log), [LARGE, 4]);
            let after = MemoryDir::from_image(&log.abandon(|| dir.image()));
            let log = open(&after);
            let case = format!("{sessions} sessions, synced: {wait}");
            assert_eq!(log.next_offset(), 2, "{case}");
            assert_eq!(read_all(&log), [LARGE, 4], "{case}");
            assert!(log.recovery().damaged.is_empty(), "{case}");
            drop(log);
            assert_eq!(read_all(&open(&after)), [LARGE, 4], "{case}");
        }
    }
}

/// Many threads wait for the same roll: one of them makes it, the others go on in its segment.
#[test]
fn a_roll_that_many_wait_for_is_made_once() {
    const THREADS: usize = 8;
    const EACH: usize = 40;
    let dir = MemoryDir::new();
    let log = Options::new()
        .segment_bytes(64 << 10)
        .open_in(Arc::new(dir.clone()))
        .unwrap();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    log.append("a", [1; 10 << 10]).unwrap();
                }
            });
        }
    });
    // Five such events fit a segment of 64 KiB; one that was rolled out of early has fewer.
    let fewest = THREADS * EACH / 5;
    assert!(
        log.segments() <= fewest + 1,
        "{} segments for {fewest}",
        log.segments()
    );
    assert_eq!(log.next_offset(), u64::try_from(THREADS * EACH).unwrap());
}

/// A full disk is told by `try_append` too, once for each attempt that failed.
#[test]
fn try_append_tells_a_full_disk() {
    let dir = MemoryDir::new();
    let log = Options::new()
        .segment_bytes(16 << 10)
        .open_in(Arc::new(dir.clone()))
        .unwrap();
    let taken: u64 = dir.list().unwrap().iter().map(|entry| entry.bytes).sum();
    dir.set_capacity(taken);
    let mut told = false;
    for _ in 0..100_000 {
        match log.try_append(NewEvent::new("a", &[1; 1 << 10])) {
            Ok(_) => {}
            Err(AppendError::WouldBlock) => std::thread::yield_now(),
            Err(AppendError::DiskFull(_)) => {
                told = true;
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(told);
    dir.set_capacity(u64::MAX);
    log.append("a", [1; 1 << 10]).unwrap();
}
