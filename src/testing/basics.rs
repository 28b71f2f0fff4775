//! The plain way: append, read, reopen, on disk and in memory.

use crate::dir::{Directory, DiskDir, MemoryDir};
use crate::{Log, NewEvent, Options, ReadError, Start, SyncPolicy};
use std::sync::Arc;
use std::time::Duration;

fn small() -> Options {
    Options::new()
        .segment_bytes(16 << 10)
        .sync(SyncPolicy::Manual)
}

/// Runs a test on both backings. The directory outlives the logs opened in it.
fn on_both(test: impl Fn(&dyn Fn(&Options) -> Log)) {
    let memory: Arc<dyn Directory> = Arc::new(MemoryDir::new());
    test(&|options| options.open_in(Arc::clone(&memory)).unwrap());
    let place = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Directory> = Arc::new(DiskDir::create(&place.path().join("log")).unwrap());
    test(&|options| options.open_in(Arc::clone(&disk)).unwrap());
}

fn payloads(log: &Log, filter: &str) -> Vec<String> {
    let mut reader = log
        .reader()
        .topics([filter])
        .start(Start::Earliest)
        .open()
        .unwrap();
    let mut all = Vec::new();
    while let Some(event) = reader.next().unwrap() {
        all.push(String::from_utf8(event.payload().to_vec()).unwrap());
    }
    all
}

#[test]
fn what_is_appended_is_read_also_after_a_reopen() {
    on_both(|open| {
        let log = open(&small());
        for number in 0..1_000 {
            let topic = format!("room.{}", number % 3);
            assert_eq!(
                log.append(&topic, format!("event {number}")).unwrap(),
                number
            );
        }
        let expected = |step: usize, first: usize| -> Vec<String> {
            (first..1_000)
                .step_by(step)
                .map(|number| format!("event {number}"))
                .collect()
        };
        assert!(log.segments() > 4);
        assert_eq!(payloads(&log, ">"), expected(1, 0));
        assert_eq!(payloads(&log, "room.1"), expected(3, 1));
        log.close().unwrap();
        let log = open(&small());
        assert_eq!(log.recovery().torn, None);
        assert_eq!(log.next_offset(), 1_000);
        assert_eq!(payloads(&log, ">"), expected(1, 0));
        assert_eq!(log.append("room.1", "more").unwrap(), 1_000);
        assert_eq!(payloads(&log, "room.*").len(), 1_001);
    });
}

#[test]
fn a_batch_has_dense_offsets_and_shares_a_time() {
    on_both(|open| {
        let log = open(&small());
        let events = (0..10).map(|_| NewEvent::new("a.b", b"x").name("n").from("f"));
        assert_eq!(log.append_batch(events).unwrap().offsets, 0..10);
        let mut reader = log.reader().open().unwrap();
        let page = reader.page(1 << 20).unwrap().unwrap();
        assert_eq!(page.len(), 10);
        let times: Vec<u64> = page.iter().map(|event| event.time()).collect();
        assert!(times.windows(2).all(|pair| pair[0] == pair[1]));
        assert!(
            page.iter()
                .all(|event| event.name() == Some("n") && event.from() == Some("f"))
        );
        assert!(reader.page(1).unwrap().is_none());
    });
}

#[test]
fn a_blocked_reader_gets_what_comes_and_nothing_else_wakes_it() {
    let log = Log::in_memory().unwrap();
    let mut reader = log.reader().topics(["wanted.>"]).open().unwrap();
    let waiting = std::thread::spawn(move || reader.recv().unwrap().offset());
    std::thread::sleep(Duration::from_millis(20));
    for _ in 0..10 {
        log.append("other", b"").unwrap();
    }
    let offset = log.append("wanted.a", b"").unwrap();
    assert_eq!(waiting.join().unwrap(), offset);
}

#[test]
fn a_blocked_reader_is_woken_in_time() {
    let log = Log::in_memory().unwrap();
    let mut reader = log.reader().open().unwrap();
    let (woken, waits) = std::sync::mpsc::channel();
    std::thread::spawn(move || woken.send(reader.recv().is_ok()));
    std::thread::sleep(Duration::from_millis(50));
    log.append("a", b"").unwrap();
    let in_time = waits.recv_timeout(Duration::from_secs(20));
    assert_eq!(in_time, Ok(true), "it sleeps through an event");
}

/// What is visible is whole: a reader that comes right behind the appender meets no gap.
#[test]
fn a_reader_right_behind_the_appender_gets_every_event_whole() {
    const EVENTS: u64 = 20_000;
    let log = Log::in_memory().unwrap();
    let payload = |number: u64| number.to_le_bytes().repeat(20);
    std::thread::scope(|scope| {
        let mut reader = log.reader().open().unwrap();
        scope.spawn(move || {
            let mut next = 0;
            while next < EVENTS {
                let Some(event) = reader.next().unwrap() else {
                    std::hint::spin_loop();
                    continue;
                };
                assert_eq!(
                    (event.offset(), event.payload()),
                    (next, &payload(next)[..])
                );
                next += 1;
            }
        });
        for number in 0..EVENTS {
            assert_eq!(log.append("a", payload(number)).unwrap(), number);
        }
    });
}

#[test]
fn close_wakes_who_waits() {
    let log = Log::in_memory().unwrap();
    let mut reader = log.reader().open().unwrap();
    let waiting = std::thread::spawn(move || reader.recv().map(|event| event.offset()));
    std::thread::sleep(Duration::from_millis(20));
    log.close().unwrap();
    assert!(matches!(waiting.join().unwrap(), Err(ReadError::Closed)));
    assert!(matches!(
        log.append("a", b""),
        Err(crate::AppendError::Closed)
    ));
}
