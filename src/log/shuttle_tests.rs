//! The whole log in memory, with all of its threads, under schedules that shuttle thinks of:
//! `cargo xtask models`. Each scenario shows that it is there for something: with a bug planted, it
//! fails.
//!
//! `WAKELOG_SCHEDULES` sets another number of schedules (15,000 over all), `SHUTTLE_RANDOM_SEED`
//! repeats a run.

use crate::dir::MemoryDir;
use crate::error::{AckError, AppendError, ReadError, SyncError};
use crate::sync::{Plant, is_found, is_planted, thread};
use crate::{
    Cursor, Event, GapReason, Log, NewEvent, Opened, Options, ReadLevel, Start, SyncPolicy,
};
use rustix::io::Errno;
use shuttle::rand::Rng;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use std::sync::Arc;
use std::time::Duration;

const SCHEDULES: usize = 15_000;
const SCENARIOS: usize = 4;

fn check(scenario: fn()) {
    let all = std::env::var("WAKELOG_SCHEDULES").map_or(SCHEDULES, |all| all.parse().unwrap());
    let half = all / SCENARIOS / 2;
    let run = |scheduler: Box<dyn Scheduler + Send>| {
        let mut config = shuttle::Config::new();
        config.stack_size = 1 << 20;
        config.silence_warnings = true;
        let ran = shuttle::Runner::new(scheduler, config).run(scenario);
        println!("{ran} schedules");
    };
    run(Box::new(RandomScheduler::new(half)));
    run(Box::new(PctScheduler::new(3, half)));
}

/// The scenario holds, and it fails with each of the bugs planted.
fn prove(plants: &[Plant], scenario: fn()) {
    check(scenario);
    // The process that has the bug comes here if it was not found.
    for plant in plants.iter().filter(|_| !is_planted()) {
        assert!(is_found(*plant), "{plant:?} is not found");
    }
}

fn one_of<const N: usize, T: Clone>(all: [T; N]) -> T {
    all[shuttle::rand::thread_rng().gen_range(0..N)].clone()
}

/// Segments so small that a few events roll.
fn options() -> Options {
    let often = SyncPolicy::Every(Duration::from_millis(1));
    let policy = one_of([often, SyncPolicy::Manual, SyncPolicy::Always]);
    Options::new()
        .segment_bytes(16 << 10)
        .open_segments(0)
        .sync(policy)
}

/// `producer.number`, padded.
fn payload(producer: u8, number: u8, bytes: usize) -> Vec<u8> {
    let mut payload = vec![producer ^ number; bytes.max(2)];
    payload[..2].copy_from_slice(&[producer, number]);
    payload
}

fn check_event(event: &Event) -> (u8, u8) {
    let bytes = event.payload();
    let (producer, number) = (bytes[0], bytes[1]);
    assert_eq!(bytes, payload(producer, number, bytes.len()));
    (producer, number)
}

/// How many events each producer appends, and how many there are.
const EACH: u8 = 4;
const PRODUCERS: u8 = 2;
const EVENTS: u64 = 8;

fn produce(log: &Log, producer: u8) {
    let alone = |number, bytes| {
        let offset = log.append("a", payload(producer, number, bytes)).unwrap();
        assert!(log.next_offset() > offset, "not visible");
    };
    alone(0, 5_000);
    let batch = [1, 2].map(|number| payload(producer, number, 600));
    let events = batch.iter().map(|bytes| NewEvent::new("b", bytes));
    let offsets = log.append_batch(events).unwrap().offsets;
    assert!(offsets.end == offsets.start + 2 && log.next_offset() >= offsets.end);
    alone(3, 5_000);
}

/// What comes to a reader of everything: dense offsets and each producer's order, but for what was
/// trimmed before it was read.
#[derive(Default)]
struct Order {
    next: u64,
    numbers: [u8; PRODUCERS as usize],
    trimmed: bool,
}

impl Order {
    fn take(&mut self, came: Result<Event, ReadError>) {
        match came {
            Ok(event) => {
                assert_eq!(event.offset(), self.next);
                let (producer, number) = check_event(&event);
                let expected = &mut self.numbers[usize::from(producer)];
                assert!(number == *expected || self.trimmed && number > *expected);
                *expected = number + 1;
                self.next += 1;
            }
            Err(ReadError::Gap(gap)) => {
                assert!(gap.from == self.next && gap.reason == GapReason::Trimmed);
                (self.next, self.trimmed) = (gap.to, true);
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn consume(mut cursor: Cursor) {
    let mut order = Order::default();
    while order.next < EVENTS {
        let came = cursor.recv();
        match &came {
            Ok(event) => cursor.ack(event).unwrap(),
            Err(ReadError::Gap(gap)) => cursor.ack_gap(gap).unwrap(),
            Err(_) => {}
        }
        order.take(came);
        assert_eq!(cursor.acked(), order.next);
    }
    cursor.wait_saved().unwrap();
}

fn everybody() {
    let dir = MemoryDir::new();
    let log = options().open_in(Arc::new(dir.clone())).unwrap();
    let spawn = |work: fn(&Log)| {
        let log = log.clone();
        thread::spawn(move || work(&log))
    };
    let producers = [spawn(|log| produce(log, 0)), spawn(|log| produce(log, 1))];
    let cursor = log.cursor("alice").start(Start::Earliest);
    let cursor = cursor.open().unwrap();
    let consumer = thread::spawn(move || consume(cursor));
    let durable = spawn(|log| {
        let reader = log.reader().level(ReadLevel::Durable);
        let mut reader = reader.open().unwrap();
        let mut order = Order::default();
        while order.next < EVENTS {
            order.take(reader.recv());
            assert!(log.durable_offset() >= order.next, "not durable");
            log.trim(order.next).unwrap();
        }
    });
    let filtered = spawn(|log| {
        let mut reader = log.reader().topics(["never"]).open().unwrap();
        loop {
            match reader.recv() {
                // What was trimmed is told to every filter.
                Err(ReadError::Gap(gap)) => assert_eq!(gap.reason, GapReason::Trimmed),
                Err(ReadError::Closed) => break,
                other => panic!("{other:?}"),
            }
        }
    });
    let waiter = spawn(|log| log.wait_acked("alice", EVENTS - 1).unwrap());
    let _ = producers.map(|producer| producer.join().unwrap());
    if log.sync_policy() == SyncPolicy::Manual {
        log.sync().unwrap();
    }
    let _ = [consumer, durable, waiter].map(|thread| thread.join().unwrap());
    let first = log.first_offset();
    log.close().unwrap();
    filtered.join().unwrap();
    drop(log);

    let log = options().open_in(Arc::new(dir)).unwrap();
    assert_eq!(log.recovery().damaged, []);
    assert_eq!((log.first_offset(), log.next_offset()), (first, EVENTS));
    let mut reader = log.reader().open().unwrap();
    for offset in first..EVENTS {
        let event = reader.next().unwrap().unwrap();
        assert_eq!(event.offset(), offset);
        check_event(&event);
    }
    assert_eq!(log.cursor("alice").open().unwrap().acked(), EVENTS);
    log.close().unwrap();
}

/// Producers, consumers, a trim at each event, a close under a reader that waits.
#[test]
fn everybody_at_once() {
    prove(&[Plant::UnlinkedRoll, Plant::LateClose], everybody);
}

fn waiting() {
    let options = Options::new().sync(SyncPolicy::Manual);
    let log = options.open_in(Arc::new(MemoryDir::new())).unwrap();
    let readers = [log.reader(), log.reader().topics(["a"])].map(|reader| {
        let mut reader = reader.open().unwrap();
        thread::spawn(move || [0, 1].map(|_| reader.recv().unwrap().offset()))
    });
    for number in [0, 1] {
        log.append("a", payload(0, number, 2)).unwrap();
    }
    for reader in readers {
        assert_eq!(reader.join().unwrap(), [0, 1]);
    }
    log.close().unwrap();
}

/// Whoever goes to sleep while an event comes hears it: nothing else would wake them.
#[test]
fn nobody_sleeps_through_an_event() {
    prove(&[Plant::DroppedWakeUp], waiting);
}

fn taking_over() {
    let options = Options::new().sync(SyncPolicy::Manual);
    let log = options.open_in(Arc::new(MemoryDir::new())).unwrap();
    for number in 0..3 {
        log.append("a", payload(0, number, 2)).unwrap();
    }
    let hours = |hours| {
        log.shared()
            .clock
            .give(3_600 * hours, 500_000 * 3_600_000_000)
    };
    hours(Duration::from_secs(1));
    let older = log.cursor("alice").start(Start::Earliest);
    let mut older = older.ttl(Duration::from_secs(60)).open().unwrap();
    // Nobody has looked for so long; but it is held, or was until now.
    hours(Duration::from_secs(3));
    let seeks = one_of([true, false]);
    let older = thread::spawn(move || {
        for offset in 0..3 {
            let event = match older.recv() {
                Ok(event) => event,
                Err(ReadError::Fenced) => return offset,
                Err(error) => panic!("{error:?}"),
            };
            assert_eq!(event.offset(), offset);
            match older.ack(&event) {
                Ok(()) => {}
                Err(AckError::Fenced) => return offset,
                Err(error) => panic!("{error:?}"),
            }
        }
        if !seeks {
            return 3;
        }
        match older.seek(Start::Offset(1)) {
            Ok(()) => 1,
            Err(ReadError::Fenced) => 3,
            Err(error) => panic!("{error:?}"),
        }
    });
    let mut newer = log.cursor("alice").open().unwrap();
    assert_eq!(newer.opened(), Opened::Resumed);
    let place = newer.acked();
    assert_eq!(older.join().unwrap(), place, "stored after it was fenced");
    let next = newer.next().unwrap().map(|event| event.offset());
    assert_eq!(
        next,
        (place < 3).then_some(place),
        "not where the cursor is"
    );
    log.close().unwrap();
}

/// A handle that takes over goes on exactly where the older one was told that it had come, and the
/// older one is told what has happened.
#[test]
fn the_newer_handle_goes_on_where_the_older_one_was() {
    prove(&[Plant::HastyHandover], taking_over);
}

fn failing() {
    let dir = MemoryDir::new();
    let often = SyncPolicy::Every(Duration::from_millis(1));
    let options = options().sync(one_of([often, SyncPolicy::Always]));
    let log = options.open_in(Arc::new(dir.clone())).unwrap();
    let kth = one_of([1, 2, 3, 4, 5, 6, 8, 10, 14]);
    dir.fail_syncs(kth, Errno::IO, false);
    let producers = [0, 1].map(|producer| {
        let log = log.clone();
        thread::spawn(move || told_durable(&log, producer))
    });
    let reader = {
        let log = log.clone();
        thread::spawn(move || read_what_stays(&log))
    };
    let durable: Vec<_> = producers
        .into_iter()
        .flat_map(|producer| producer.join().unwrap())
        .collect();
    match log.close() {
        Ok(()) => {}
        // Nobody has reopened it since.
        Err(error) => assert!(error.to_string().contains("sync"), "{error}"),
    }
    for (offset, payload) in reader.join().unwrap() {
        let other = durable.iter().find(|(durable, _)| *durable == offset);
        assert!(
            other.is_none_or(|(_, told)| *told == payload),
            "at {offset}"
        );
    }
    drop(log);
    dir.power_loss(shuttle::rand::thread_rng().gen_range(0..100));
    let log = options.open_in(Arc::new(dir)).unwrap();
    for (offset, payload) in durable {
        let start = Start::Offset(offset);
        let mut reader = log.reader().start(start).open().unwrap();
        let event = reader.next().unwrap().expect("it was told to be durable");
        assert_eq!((event.offset(), event.payload()), (offset, &payload[..]));
    }
    log.close().unwrap();
}

/// Appends, waits until it is on disk, heals the log when it is poisoned. What was told durable.
fn told_durable(log: &Log, producer: u8) -> Vec<(u64, Vec<u8>)> {
    let mut told = Vec::new();
    for number in 0..EACH {
        let payload = payload(producer, number, 3_000);
        let appended = log.append_once(NewEvent::new("a", &payload));
        let durable = appended.map(|appended| {
            let waited = log.wait_durable_at(appended.position);
            (appended.offset, waited)
        });
        match durable {
            Ok((offset, Ok(()))) => told.push((offset, payload)),
            // A segment that could not be made is a plain error.
            Ok((_, Err(SyncError::Lost))) | Err(AppendError::Io(_)) => {}
            Ok((_, Err(SyncError::Poisoned(_)))) | Err(AppendError::Poisoned) => {
                log.reopen().unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
    told
}

/// Reads durable events until the end of the log: those never change.
fn read_what_stays(log: &Log) -> Vec<(u64, Vec<u8>)> {
    let reader = log.reader().level(ReadLevel::Durable);
    let mut reader = reader.open().unwrap();
    let mut read = Vec::new();
    loop {
        match reader.recv() {
            Ok(event) => {
                check_event(&event);
                read.push((event.offset(), event.payload().to_vec()));
            }
            Err(ReadError::Closed) => return read,
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// A sync fails, whoever meets it heals the log and goes on; then the power goes.
#[test]
fn a_disk_that_fails_once() {
    prove(&[Plant::EarlyMark, Plant::UntoldPoison], failing);
}
