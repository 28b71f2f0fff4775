//! All threads of a log on a disk at once, for ThreadSanitizer (`cargo xtask tsan`): appenders,
//! readers of each kind, cursors, a listener, retention, snapshots. A short run is a plain test.
//!
//! `WAKELOG_THREADS_SECONDS` sets another length. Waiting is by the clock here, since what is
//! looked for is what nobody has thought of.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use wakelog::{Event, Log, NewEvent, Options, ReadError, ReadLevel, Retention, Start, SyncPolicy};

/// Offsets, producers and lengths follow from the payload.
fn payload(producer: u64, number: u64) -> Vec<u8> {
    let bytes = usize::try_from(16 + number % 500).unwrap();
    let mut payload = vec![producer.to_le_bytes()[0] ^ number.to_le_bytes()[0]; bytes];
    payload[..8].copy_from_slice(&producer.to_le_bytes());
    payload[8..16].copy_from_slice(&number.to_le_bytes());
    payload
}

fn check(bytes: &[u8]) {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    assert!(bytes == payload(number(0), number(8)), "altered bytes");
}

struct Run<'a> {
    log: &'a Log,
    over: AtomicBool,
    read: AtomicU64,
}

impl Run<'_> {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    fn produce(&self, producer: u64) {
        let topics = ["many.0", "many.1", "rare"];
        let mut number = 0;
        while self.goes_on() {
            let topic = topics[usize::from(number % 50 == 0) * 2];
            let bytes = payload(producer, number);
            if number % 7 == 0 {
                let events = [&bytes, &bytes].map(|bytes| NewEvent::new(topic, bytes));
                self.log.append_batch(events).unwrap();
            } else if number % 11 == 0 {
                let id = format!("{producer}.{number}");
                let event = NewEvent::new("many.1", &bytes).id(&id);
                self.log.append_once(event).unwrap();
            } else {
                self.log.append(topic, &bytes).unwrap();
            }
            number += 1;
            if number % 64 == 0 {
                // Readers are to meet what is new, not a backlog.
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn seen(&self, came: Result<Option<Event>, ReadError>) {
        match came {
            Ok(Some(event)) => {
                check(event.payload());
                self.read.fetch_add(1, Ordering::Relaxed);
            }
            // Retention is ahead of whoever is slow.
            Ok(None) | Err(ReadError::Gap(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }

    fn receive(&self, topics: &[&str], level: ReadLevel) {
        let reader = self.log.reader().topics(topics.iter().copied());
        let mut reader = reader.level(level).open().unwrap();
        while self.goes_on() {
            self.seen(reader.recv_timeout(Duration::from_millis(20)));
        }
    }

    fn turn_pages(&self) {
        let mut reader = self.log.reader().open().unwrap();
        while self.goes_on() {
            match reader.page(16 << 10) {
                Ok(Some(page)) => page.iter().for_each(|event| check(event.payload())),
                Ok(None) => std::thread::yield_now(),
                Err(ReadError::Gap(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    fn consume(&self, name: &str) {
        let cursor = self.log.cursor(name).start(Start::Earliest);
        let mut cursor = cursor.open().unwrap();
        while self.goes_on() {
            let came = cursor.recv_timeout(Duration::from_millis(20));
            match &came {
                Ok(Some(event)) => cursor.ack(event).unwrap(),
                Err(ReadError::Gap(gap)) => cursor.ack_gap(gap).unwrap(),
                _ => {}
            }
            self.seen(came);
        }
        cursor.wait_saved().unwrap();
    }

    fn look_after(&self, dir: &std::path::Path) {
        for turn in 0.. {
            if !self.goes_on() {
                break;
            }
            self.log.sync().unwrap();
            let stats = self.log.stats();
            assert!(stats.segments > 0);
            if turn % 40 == 0 {
                let copy = dir.join(format!("copy-{turn}"));
                self.log.snapshot(&copy).unwrap();
                std::fs::remove_dir_all(copy).unwrap();
            }
            self.log.retain().unwrap();
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn all_threads_at_once() {
    let seconds = std::env::var("WAKELOG_THREADS_SECONDS");
    let seconds = seconds.map_or(2, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let often = SyncPolicy::Every(Duration::from_millis(1));
    let log = Options::new()
        .segment_bytes(64 << 10)
        .open_segments(4)
        .sync(often)
        .retention(Retention::new().max_bytes(1 << 20))
        .open(dir.path().join("log"))
        .unwrap();
    let heard = std::sync::Arc::new(AtomicU64::new(0));
    let count = std::sync::Arc::clone(&heard);
    let listener = log.on("rare", move |event| {
        check(event.payload());
        count.fetch_add(1, Ordering::Relaxed);
    });
    let listener = listener.unwrap();
    let run = Run {
        log: &log,
        over: AtomicBool::new(false),
        read: AtomicU64::new(0),
    };
    std::thread::scope(|scope| {
        for producer in 0..3 {
            let run = &run;
            scope.spawn(move || run.produce(producer));
        }
        scope.spawn(|| run.receive(&[], ReadLevel::Visible));
        scope.spawn(|| run.receive(&["rare"], ReadLevel::Visible));
        scope.spawn(|| run.receive(&["many.*"], ReadLevel::Durable));
        scope.spawn(|| run.turn_pages());
        scope.spawn(|| run.consume("alice"));
        scope.spawn(|| run.look_after(dir.path()));
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(seconds) {
            std::thread::sleep(Duration::from_millis(50));
        }
        run.over.store(true, Ordering::Relaxed);
    });
    drop(listener);
    log.close().unwrap();
    let (read, heard) = (run.read.into_inner(), heard.load(Ordering::Relaxed));
    println!("{} events, {read} read, {heard} heard", log.next_offset());
    assert!(read > 0 && heard > 0);
}
