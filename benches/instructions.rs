//! How many instructions an append, a read and an ack take: the same on every run, however busy
//! the machine is, so a test can hold them.
//!
//! `cargo bench --bench instructions` runs each operation under `valgrind --tool=callgrind` with
//! two numbers of repetitions; the difference has no set-up in it. It fails when a figure is more
//! than 10% above the one in benches/instructions.txt; `-- --update` writes that file anew. Only
//! the calling thread is counted, not those that sync or make pages ahead.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on panics")]

use std::fmt::Write;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use wakelog::{Log, NewEvent, Options, Start};

const TOPIC: &str = "bench";
const PAYLOAD: [u8; 100] = [0x5a; 100];
const BATCH: u32 = 100;
const PAGE_BYTES: usize = 64 << 10;

/// Few enough that all events stand in the first segment: a roll is not counted.
const REPEATS: [u32; 2] = [1_000, 4_000];

/// A rise by more than this share is a fault.
const RISE_MAX: f64 = 0.10;

/// Name, and what is done `count` times. Set-up stands outside of [`counted`].
type Operation = (&'static str, fn(&Log, u32));

const OPERATIONS: [Operation; 6] = [
    ("append", append),
    ("append-batch", append_batch),
    ("read-first", read_first),
    ("read-again", read_again),
    ("read-one-by-one", read_one_by_one),
    ("ack", ack),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    match arguments.as_slice() {
        [name, count] if count.parse::<u32>().is_ok() => run(name, count.parse().unwrap()),
        _ if has("--bench") => return report(has("--update")),
        // Run by `cargo test`: does it work?
        _ => OPERATIONS.iter().for_each(|(name, _)| run(name, 10)),
    }
    ExitCode::SUCCESS
}

/// The one function that callgrind collects in: it is named on its command line.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
}

fn run(name: &str, count: u32) {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path()).unwrap();
    let known = OPERATIONS.iter().find(|(known, _)| *known == name);
    known.unwrap().1(&log, count);
}

fn append(log: &Log, count: u32) {
    counted(&mut || {
        for _ in 0..count {
            log.append(TOPIC, black_box(PAYLOAD)).unwrap();
        }
    });
    assert_eq!(log.next_offset(), u64::from(count));
}

fn append_batch(log: &Log, count: u32) {
    counted(&mut || fill(log, count));
    assert!(log.next_offset() >= u64::from(count));
}

fn fill(log: &Log, count: u32) {
    for _ in 0..count.div_ceil(BATCH) {
        let events = (0..BATCH).map(|_| NewEvent::new(TOPIC, black_box(&PAYLOAD)));
        log.append_batch(events).unwrap();
    }
}

/// Single frames, opened again, so that the reader finds frames that nobody has verified; not even
/// the thread that looks for ids.
fn filled_before(log: &Log, count: u32) -> Log {
    for _ in 0..count {
        log.append(TOPIC, PAYLOAD).unwrap();
    }
    let path = log.path().to_owned();
    log.close().unwrap();
    Options::new().dedup_ids(0).open(path).unwrap()
}

fn read(log: &Log) -> u32 {
    let mut reader = log.reader().start(Start::Earliest).open().unwrap();
    let mut count = 0;
    while let Some(page) = reader.page(PAGE_BYTES).unwrap() {
        for event in page.iter() {
            black_box(event.payload());
            count += 1;
        }
    }
    count
}

fn read_first(log: &Log, count: u32) {
    let log = filled_before(log, count);
    let mut seen = 0;
    counted(&mut || seen = read(&log));
    assert_eq!(seen, count);
}

fn read_again(log: &Log, count: u32) {
    let log = filled_before(log, count);
    let mut seen = read(&log);
    counted(&mut || seen = read(&log));
    assert_eq!(seen, count);
}

fn read_one_by_one(log: &Log, count: u32) {
    let log = filled_before(log, count);
    let mut reader = log.reader().start(Start::Earliest).open().unwrap();
    let mut seen = 0;
    counted(&mut || {
        while let Some(event) = reader.next().unwrap() {
            black_box(event.payload());
            seen += 1;
        }
    });
    assert_eq!(seen, count);
}

fn ack(log: &Log, count: u32) {
    fill(log, count);
    let cursor = log.cursor("one").start(Start::Earliest);
    let mut cursor = cursor.open().unwrap();
    let mut position = log.position();
    counted(&mut || {
        for offset in 1..=u64::from(count) {
            position.offset = offset;
            cursor.ack_to(position).unwrap();
        }
    });
    assert_eq!(cursor.acked(), u64::from(count));
}

fn figures_file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt")
}

/// Counts, and compares or writes.
fn report(update: bool) -> ExitCode {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("instructions: not counted, there is no valgrind here");
        return match std::env::var_os("WAKELOG_REQUIRE_ALL") {
            Some(_) => ExitCode::FAILURE,
            None => ExitCode::SUCCESS,
        };
    }
    let known = std::fs::read_to_string(figures_file()).unwrap_or_default();
    let mut figures = String::from("# Instructions of one, without rolls and other threads.\n");
    let mut risen = false;
    for (name, _) in OPERATIONS {
        let [few, many] = REPEATS.map(|count| instructions(name, count));
        let repeats = f64::from(REPEATS[1] - REPEATS[0]);
        let each = (many - few) / repeats;
        writeln!(figures, "{name} {each:.0}").unwrap();
        let before = known
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        let change: Option<f64> = before.map(|before: f64| each / before - 1.0);
        match change {
            Some(change) => println!("{name:<16} {each:>7.0} {:>+6.1}%", change * 100.0),
            None => println!("{name:<16} {each:>7.0} no figure to compare with"),
        }
        risen |= change.is_none_or(|change| RISE_MAX < change);
    }
    if update {
        std::fs::write(figures_file(), figures).unwrap();
        return ExitCode::SUCCESS;
    }
    if risen {
        println!("more than 10% above benches/instructions.txt, or not in it");
        println!("if that is meant: cargo xtask instructions --update, and say why");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// What callgrind counts in [`counted`].
fn instructions(name: &str, count: u32) -> f64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=instructions::counted")
        .arg(std::env::current_exe().unwrap())
        .args([name, &count.to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} under valgrind: {said}");
    let line = said.lines().find_map(|line| line.split_once("Collected :"));
    line.unwrap().1.trim().parse().unwrap()
}
