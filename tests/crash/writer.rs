//! The process that is killed.

use crate::child;
use crate::content::{Content, Random, topic};
use std::sync::atomic::{AtomicU64, Ordering};
use wakelog::{Log, NewEvent, Start};

/// Appends and acks until it is killed. Each answer of the log is told after it was given.
pub(crate) fn run(task: &str) {
    let mut parts = task.splitn(3, ' ');
    let mut part = || parts.next().unwrap();
    let round: u64 = part().parse().unwrap();
    let seed: u64 = part().parse().unwrap();
    let log = crate::options(round).open(part()).unwrap();
    child::tell(&format!("open {}", log.next_offset()));
    let newest = AtomicU64::new(log.next_offset());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let appender = Appender {
                log: &log,
                newest: &newest,
                round,
                thread,
            };
            let random = Random::new(seed ^ thread);
            scope.spawn(move || appender.run(random));
        }
        scope.spawn(|| consume(&log, "alice", "many.*"));
        scope.spawn(|| consume(&log, "bob", "rare"));
    });
}

struct Appender<'a> {
    log: &'a Log,
    /// One above the newest offset that some append has returned.
    newest: &'a AtomicU64,
    round: u64,
    thread: u64,
}

impl Appender<'_> {
    fn run(&self, mut random: Random) {
        for turn in 0.. {
            let count = match random.below(8) {
                0 => 1 + random.below(20),
                _ => 1,
            };
            let contents: Vec<Content> = (0..count)
                .map(|index| self.content(turn, index, count, &mut random))
                .collect();
            let first = self.append(&contents);
            // AcqRel: who reads the newest offset began its append after this one had returned.
            self.newest.fetch_max(first + count, Ordering::AcqRel);
            let Appender { thread, .. } = self;
            child::tell(&format!("append {thread} {turn} {first} {count}"));
        }
    }

    fn content(&self, turn: u64, index: u64, count: u64, random: &mut Random) -> Content {
        let filler = match random.below(40) {
            0 if count == 1 => random.below(25_000),
            1 => 0,
            _ => random.below(300),
        };
        Content {
            round: self.round,
            thread: self.thread,
            turn,
            index,
            count,
            after: self.newest.load(Ordering::Acquire),
            filler,
        }
    }

    fn append(&self, contents: &[Content]) -> u64 {
        let payloads: Vec<_> = contents.iter().map(Content::payload).collect();
        let topics = contents.iter().map(topic);
        if let [payload] = &payloads[..] {
            return self.log.append(topic(&contents[0]), payload).unwrap();
        }
        let events = topics
            .zip(&payloads)
            .map(|(topic, payload)| NewEvent::new(topic, payload).name("batched"));
        let offsets = self.log.append_batch(events).unwrap().offsets;
        assert_eq!(offsets.end - offsets.start, contents[0].count);
        offsets.start
    }
}

/// Acks what it reads: tells what it is about to ack, and then what it has acked.
fn consume(log: &Log, name: &str, filter: &str) {
    let builder = log.cursor(name).topics([filter]).start(Start::Earliest);
    let mut cursor = builder.open().unwrap();
    child::tell(&format!(
        "cursor {name} {:?} {}",
        cursor.opened(),
        cursor.acked()
    ));
    loop {
        let event = cursor.recv().unwrap();
        let acked = event.offset() + 1;
        child::tell(&format!("try {name} {acked}"));
        cursor.ack(&event).unwrap();
        child::tell(&format!("acked {name} {acked}"));
    }
}
