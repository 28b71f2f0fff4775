//! What an append, a read and a wake-up cost, each beside a baseline of the same run: the copy and
//! the checksum of the same bytes, or a bounded channel between the same threads. The ratio says
//! more than the nanoseconds, which are those of one machine on one day.
//!
//! `cargo bench` runs it and prints a table; without `--bench` on its command line it runs briefly,
//! to see that it works.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on panics")]

use crossbeam_channel::bounded;
use std::hint::black_box;
use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};
use wakelog::{Log, NewEvent, Start, SyncPolicy};

const TOPIC: &str = "bench";
const PAYLOAD: [u8; 100] = [0x5a; 100];
const BATCH: u32 = 100;
const PAGE_BYTES: usize = 64 << 10;

/// How much is done: everything is repeated, and the median counts.
struct Size {
    repeats: usize,
    /// Events of one append measurement. They fit into one segment of the default size, so that
    /// no roll is measured with them.
    appends: u32,
    /// Events of the log that is read, and of the one that rolls.
    events: u32,
    wakes: u32,
}

const FULL: Size = Size {
    repeats: 5,
    appends: 300_000,
    events: 1_000_000,
    wakes: 4_000,
};

const BRIEF: Size = Size {
    repeats: 1,
    appends: 1_000,
    events: 10_000,
    wakes: 20,
};

fn main() {
    let full = std::env::args().any(|argument| argument == "--bench");
    let size = if full { &FULL } else { &BRIEF };
    let start = Instant::now();
    let copy = median(size.repeats, || copy_and_checksum(size.appends));
    header("events of 100 B, default options", "copy + crc32");
    let memory = || append_in_memory(size);
    row(
        "append, 1 thread, in memory",
        median(size.repeats, memory),
        copy,
    );
    let one = || append(size, 1, single);
    row("append, 1 thread", median(size.repeats, one), copy);
    let four = || append(size, 4, single);
    row("append, 4 threads", median(size.repeats, four), copy);
    let batch = || append(size, 1, batched);
    row("append, batches of 100", median(size.repeats, batch), copy);
    row(
        "append, 1 thread, rolls and disk",
        append_and_roll(size),
        copy,
    );
    for (what, cost) in reads(size) {
        row(what, cost, copy);
    }

    let (log, channel) = (wakes_of_log(size), wakes_of_channel(size));
    header("append to wake-up of another thread", "bounded channel");
    for (what, percent) in [("p50", 50), ("p99", 99)] {
        row(
            what,
            percentile(&log, percent),
            percentile(&channel, percent),
        );
    }
    println!("\n{:.1} s in all", start.elapsed().as_secs_f64());
}

fn header(what: &str, baseline: &str) {
    println!("\n{what:<36} {:>10} {baseline:>17} {:>7}", "time", "ratio");
}

fn row(what: &str, cost: Duration, baseline: Duration) {
    let ratio = cost.as_secs_f64() / baseline.as_secs_f64();
    println!(
        "{what:<36} {:>10} {:>17} {ratio:>7.1}",
        text(cost),
        text(baseline)
    );
}

/// Nanoseconds up to ten microseconds, then microseconds.
fn text(time: Duration) -> String {
    let nanos = time.as_secs_f64() * 1e9;
    if nanos < 10_000.0 {
        format!("{nanos:.0} ns")
    } else {
        format!("{:.1} us", nanos / 1e3)
    }
}

fn median(repeats: usize, mut measure: impl FnMut() -> f64) -> Duration {
    let mut costs: Vec<f64> = (0..repeats).map(|_| measure()).collect();
    costs.sort_by(f64::total_cmp);
    Duration::from_secs_f64(costs[repeats / 2])
}

/// Seconds for each of `count` events since `start`.
fn each(start: Instant, count: u32) -> f64 {
    start.elapsed().as_secs_f64() / f64::from(count)
}

/// The least that a log can do for an event: copy its frame into memory that is there, and compute
/// its checksum.
fn copy_and_checksum(count: u32) -> f64 {
    const RING: usize = 64 << 20;
    /// Header of the frame, header of the record, counts, topic, payload.
    const FRAME: usize = 32 + 8 + 3 + TOPIC.len() + PAYLOAD.len();
    let frame = [0x5a_u8; FRAME];
    let mut ring = vec![1_u8; RING];
    let mut at = 0;
    let start = Instant::now();
    for _ in 0..count {
        if at + FRAME > RING {
            at = 0;
        }
        let place = &mut ring[at..at + FRAME];
        place.copy_from_slice(black_box(&frame));
        black_box(crc32fast::hash(place));
        at += FRAME.next_multiple_of(8);
    }
    each(start, count)
}

fn single(log: &Log, count: u32) {
    for _ in 0..count {
        log.append(TOPIC, black_box(PAYLOAD)).unwrap();
    }
}

fn batched(log: &Log, count: u32) {
    for _ in 0..count / BATCH {
        let events = (0..BATCH).map(|_| NewEvent::new(TOPIC, black_box(&PAYLOAD)));
        log.append_batch(events).unwrap();
    }
}

/// Lets a log grow until its active segment has the default size: segments begin small and double.
fn grown(log: Log, size: &Size) -> Log {
    while size.repeats > 1 && log.segments() < 7 {
        batched(&log, BATCH);
    }
    log.sync().unwrap();
    log
}

/// Appends with some threads, while the log syncs every 10 milliseconds.
fn append(size: &Size, threads: u32, work: impl Fn(&Log, u32) + Sync) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let log = grown(Log::open(dir.path()).unwrap(), size);
    let begin = Barrier::new(usize::try_from(threads).unwrap() + 1);
    let mut start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                begin.wait();
                work(&log, size.appends / threads);
            });
        }
        begin.wait();
        start = Instant::now();
    });
    each(start, size.appends)
}

/// Without a disk: what the log itself takes.
fn append_in_memory(size: &Size) -> f64 {
    let log = grown(Log::in_memory().unwrap(), size);
    let start = Instant::now();
    single(&log, size.appends);
    each(start, size.appends)
}

/// From an empty directory on: small segments, rolls, and what the disk takes.
fn append_and_roll(size: &Size) -> Duration {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path()).unwrap();
    let start = Instant::now();
    single(&log, size.events);
    log.sync().unwrap();
    Duration::from_secs_f64(each(start, size.events))
}

/// The first and second read of a log that was just opened, event by event and in pages.
fn reads(size: &Size) -> [(&'static str, Duration); 4] {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path()).unwrap();
    batched(&log, size.events);
    drop(log);
    let [first, second] = reads_by(by_event, dir.path(), size);
    let [first_page, second_page] = reads_by(by_page, dir.path(), size);
    [
        ("read by event, first", first),
        ("read by event, second", second),
        ("read by page of 64 KiB, first", first_page),
        ("read by page of 64 KiB, second", second_page),
    ]
}

fn reads_by(read: impl Fn(&Log) -> u32, dir: &Path, size: &Size) -> [Duration; 2] {
    let mut costs = [Vec::new(), Vec::new()];
    for _ in 0..size.repeats {
        // A new handle has mapped nothing yet.
        let log = Log::open(dir).unwrap();
        for costs in &mut costs {
            let start = Instant::now();
            assert_eq!(read(&log), size.events);
            costs.push(each(start, size.events));
        }
    }
    costs.map(|mut costs| median(size.repeats, || costs.pop().unwrap()))
}

fn by_event(log: &Log) -> u32 {
    let mut reader = log.reader().open().unwrap();
    let mut count = 0;
    while let Some(event) = reader.next().unwrap() {
        black_box(event.payload());
        count += 1;
    }
    count
}

fn by_page(log: &Log) -> u32 {
    let mut reader = log.reader().open().unwrap();
    let mut count = 0;
    while let Some(page) = reader.page(PAGE_BYTES).unwrap() {
        for event in page.iter() {
            black_box(event.payload());
            count += 1;
        }
    }
    count
}

/// Long enough for the other thread to fall asleep.
const PAUSE: Duration = Duration::from_micros(200);

/// The time from before an append until another thread has the event, sorted.
fn wakes_of_log(size: &Size) -> Vec<Duration> {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path()).unwrap();
    assert_eq!(
        log.sync_policy(),
        SyncPolicy::Every(Duration::from_millis(10))
    );
    let mut reader = log.reader().start(Start::Latest).open().unwrap();
    let base = Instant::now();
    wakes(
        size.wakes,
        || {
            let sent = u64::try_from(base.elapsed().as_nanos()).unwrap();
            log.append(TOPIC, sent.to_le_bytes()).unwrap();
        },
        move || {
            let event = reader.recv().unwrap();
            let sent = u64::from_le_bytes(event.payload().try_into().unwrap());
            base.elapsed() - Duration::from_nanos(sent)
        },
    )
}

fn wakes_of_channel(size: &Size) -> Vec<Duration> {
    let (sender, receiver) = bounded(1_024);
    wakes(
        size.wakes,
        || sender.send(Instant::now()).unwrap(),
        move || receiver.recv().unwrap().elapsed(),
    )
}

fn wakes(
    count: u32,
    send: impl Fn(),
    mut receive: impl FnMut() -> Duration + Send,
) -> Vec<Duration> {
    let mut times = std::thread::scope(|scope| {
        let receiver = scope.spawn(move || (0..count).map(|_| receive()).collect::<Vec<_>>());
        for _ in 0..count {
            std::thread::sleep(PAUSE);
            send();
        }
        receiver.join().unwrap()
    });
    times.sort_unstable();
    times
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}
