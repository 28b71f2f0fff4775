//! Four threads append while four read: everybody sees one order without holes.

use std::collections::HashMap;
use std::time::Duration;
use wakelog::{Log, MirrorSource, NewEvent, Options, ReadLevel, SyncPolicy};

const APPENDERS: u64 = 4;
const TURNS: u64 = 2_000;

/// What each append is, by the offset that it has returned.
type Answers = HashMap<u64, Vec<u8>>;

fn append(log: &Log, thread: u64) -> Answers {
    let mut answers = Answers::new();
    for turn in 0..TURNS {
        let payload = |index: u64| format!("{thread}.{turn}.{index}").into_bytes();
        if turn % 5 == 0 {
            let payloads: Vec<_> = (0..3).map(payload).collect();
            let events = payloads.iter().map(|payload| NewEvent::new("a", payload));
            let offsets = log.append_batch(events).unwrap().offsets;
            answers.extend(offsets.zip(payloads));
        } else {
            let offset = log.append("a", payload(0)).unwrap();
            // Visible when it returns, to everybody.
            assert!(log.next_offset() > offset);
            answers.insert(offset, payload(0));
        }
    }
    answers
}

/// All events in the order in which a reader gets them, by `recv` or by page.
fn read(log: &Log, level: ReadLevel, by_page: bool, count: usize) -> Vec<Vec<u8>> {
    let mut reader = log.reader().level(level).open().unwrap();
    let mut found = Vec::new();
    while found.len() < count {
        let next = u64::try_from(found.len()).unwrap();
        if by_page {
            match reader.page(4 << 10).unwrap() {
                Some(page) => {
                    assert_eq!(page.first(), Some(next));
                    found.extend(page.iter().map(|event| event.payload().to_vec()));
                }
                None => std::thread::yield_now(),
            }
        } else {
            let event = reader.recv_timeout(Duration::from_secs(60)).unwrap();
            let event = event.expect("an event within a minute");
            assert_eq!(event.offset(), next);
            found.push(event.payload().to_vec());
        }
        let end = u64::try_from(found.len()).unwrap();
        if level == ReadLevel::Durable {
            assert!(log.durable_offset() >= end, "an undurable event was read");
        }
    }
    assert!(reader.next().unwrap().is_none());
    found
}

fn run(log: &Log) {
    let batches = TURNS.div_ceil(5);
    let count = APPENDERS * (TURNS - batches + 3 * batches);
    let count = usize::try_from(count).unwrap();
    std::thread::scope(|scope| {
        let kinds = [
            (ReadLevel::Visible, false),
            (ReadLevel::Visible, true),
            (ReadLevel::Durable, false),
            (ReadLevel::Durable, true),
        ];
        let readers: Vec<_> = kinds
            .into_iter()
            .map(|(level, by_page)| scope.spawn(move || read(log, level, by_page, count)))
            .collect();
        let appenders: Vec<_> = (0..APPENDERS)
            .map(|thread| scope.spawn(move || append(log, thread)))
            .collect();
        let mut answers = Answers::new();
        for appender in appenders {
            answers.extend(appender.join().unwrap());
        }
        assert_eq!(answers.len(), count, "an offset was given twice");
        let expected: Vec<_> = (0..u64::try_from(count).unwrap())
            .map(|offset| answers.remove(&offset).expect("offsets are dense"))
            .collect();
        for reader in readers {
            assert!(
                reader.join().unwrap() == expected,
                "a reader saw another order"
            );
        }
    });
}

#[test]
fn everybody_sees_the_same_order() {
    let often = SyncPolicy::Every(Duration::from_millis(1));
    let options = Options::new().segment_bytes(64 << 10).sync(often);
    run(&options.in_memory().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let log = options.open(dir.path()).unwrap();
    run(&log);
    assert!(log.segments() > 4, "{} segments", log.segments());
}

#[test]
fn under_always_an_answer_means_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let log = Options::new()
        .sync(SyncPolicy::Always)
        .open(dir.path())
        .unwrap();
    std::thread::scope(|scope| {
        for _ in 0..APPENDERS {
            scope.spawn(|| {
                for _ in 0..50 {
                    let offset = log.append("a", "x").unwrap();
                    assert!(log.durable_offset() > offset);
                }
            });
        }
    });
    assert_eq!(log.next_offset(), 50 * APPENDERS);
}

/// Nobody waits for the disk with the append itself, and no other append follows.
#[test]
fn under_always_what_does_not_wait_is_on_disk_soon() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::new().sync(SyncPolicy::Always);
    let log = options.open(dir.path().join("own")).unwrap();
    for _ in 0..100 {
        let offset = log.try_append(NewEvent::new("a", b"x")).unwrap();
        log.wait_durable(offset).unwrap();
    }
    let position = log.position();
    let source = MirrorSource {
        log: position.log,
        epoch: position.epoch,
        first: 0,
    };
    let mirror = options.open_mirror(dir.path().join("mirror"), source);
    let mirror = mirror.unwrap();
    for offset in 0..100 {
        let event = NewEvent::new("a", b"x");
        mirror.append_at(offset, 1, &event).unwrap();
        mirror.log().wait_durable(offset).unwrap();
    }
}
