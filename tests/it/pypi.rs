//! Lists of packages go in, one event a line, and come out byte for byte: whole and by topic, from
//! the log that took them and from the log opened again.
//!
//! `WAKELOG_PYPI_TSV` names a file to use instead of the sample.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;
use wakelog::{Log, NewEvent, Options, ReadLevel, Topic};

const PAGE_BYTES: usize = 256 << 10;

/// Some lines go in alone, most in batches, as an importer does it.
const BATCH: usize = 64;

fn file() -> PathBuf {
    let sample = || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/packages.tsv");
    std::env::var_os("WAKELOG_PYPI_TSV").map_or_else(sample, PathBuf::from)
}

/// The topic of a line: its first letter or digit. Everything else shares a topic, for not every
/// byte may stand in one.
fn topic(line: &[u8]) -> String {
    match line.first() {
        Some(first) if first.is_ascii_alphanumeric() => {
            format!("pkg.{}", char::from(first.to_ascii_lowercase()))
        }
        _ => "pkg.other".to_owned(),
    }
}

/// The lines with their ends, so that what comes out can be put together without knowing whether
/// the last one had an end.
fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').collect()
}

fn append(log: &Log, lines: &[&[u8]], topics: &[String]) {
    let all: Vec<_> = lines.iter().zip(topics).collect();
    for (number, chunk) in all.chunks(BATCH).enumerate() {
        if number % 8 == 0 {
            for (line, topic) in chunk {
                log.append(topic, line).unwrap();
            }
        } else {
            let events = chunk.iter().map(|(line, topic)| NewEvent::new(topic, line));
            let offsets = log.append_batch(events).unwrap().offsets;
            let count = u64::try_from(chunk.len()).unwrap();
            assert_eq!(offsets.end - offsets.start, count);
        }
    }
    assert_eq!(log.next_offset(), u64::try_from(lines.len()).unwrap());
}

/// All payloads under a filter, put together, and how many there were.
fn read(log: &Log, filter: &str, level: ReadLevel) -> (Vec<u8>, usize) {
    let reader = log.reader().topics([filter]).level(level);
    let mut reader = reader.open().unwrap();
    let (mut bytes, mut count) = (Vec::new(), 0);
    let mut last = None;
    while let Some(page) = reader.page(PAGE_BYTES).unwrap() {
        for event in page.iter() {
            assert!(last < Some(event.offset()));
            last = Some(event.offset());
            bytes.extend_from_slice(event.payload());
            count += 1;
        }
    }
    (bytes, count)
}

/// Compares without printing megabytes.
fn assert_same(what: &str, found: &(Vec<u8>, usize), expected: &(Vec<u8>, usize)) {
    assert_eq!(found.1, expected.1, "{what}: number of lines");
    let differs = found.0.iter().zip(&expected.0).position(|(a, b)| a != b);
    assert_eq!(differs, None, "{what}: first byte that differs");
    assert_eq!(found.0.len(), expected.0.len(), "{what}: bytes");
}

struct Expected {
    whole: (Vec<u8>, usize),
    by_topic: BTreeMap<String, (Vec<u8>, usize)>,
}

impl Expected {
    fn check(&self, log: &Log, level: ReadLevel) {
        for filter in ["pkg.*", "pkg.>", ">"] {
            assert_same(filter, &read(log, filter, level), &self.whole);
        }
        // Each topic is a scan of the whole log: two at a time.
        let topics: Vec<_> = self.by_topic.iter().collect();
        std::thread::scope(|scope| {
            for half in topics.chunks(topics.len().div_ceil(2)) {
                scope.spawn(move || {
                    for (topic, expected) in half {
                        assert_same(topic, &read(log, topic, level), expected);
                    }
                });
            }
        });
        assert_eq!(read(log, "pkg.absent", level), (Vec::new(), 0));
    }
}

fn expected(bytes: &[u8], lines: &[&[u8]], topics: &[String]) -> Expected {
    let mut by_topic: BTreeMap<String, (Vec<u8>, usize)> = BTreeMap::new();
    for (line, topic) in lines.iter().zip(topics) {
        let (bytes, count) = by_topic.entry(topic.clone()).or_default();
        bytes.extend_from_slice(line);
        *count += 1;
    }
    Expected {
        whole: (bytes.to_vec(), lines.len()),
        by_topic,
    }
}

#[test]
fn lists_of_packages_come_out_as_they_went_in() {
    let file = file();
    let bytes = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let lines = lines(&bytes);
    let topics: Vec<String> = lines.iter().map(|line| topic(line)).collect();
    let expected = expected(&bytes, &lines, &topics);
    assert!(
        expected
            .by_topic
            .keys()
            .all(|topic| Topic::check(topic).is_ok())
    );
    assert!(
        expected.by_topic.len() > 20,
        "a file of packages has many first letters"
    );

    let dir = tempfile::tempdir().unwrap();
    // The sample must roll too.
    let segment = if bytes.len() > 8 << 20 {
        16 << 20
    } else {
        64 << 10
    };
    let options = Options::new().segment_bytes(segment);
    let start = Instant::now();
    let log = options.open(dir.path()).unwrap();
    append(&log, &lines, &topics);
    let appended = start.elapsed();
    expected.check(&log, ReadLevel::Visible);
    assert!(log.segments() > 2, "{} segments", log.segments());
    drop(log);

    let log = options.open(dir.path()).unwrap();
    expected.check(&log, ReadLevel::Durable);
    let beside = Log::open_read_only(dir.path()).unwrap();
    assert_same(
        ">",
        &read(&beside, ">", ReadLevel::Durable),
        &expected.whole,
    );
    println!(
        "{} lines, {} bytes, {} topics: appended in {appended:?}, all in {:?}",
        lines.len(),
        bytes.len(),
        expected.by_topic.len(),
        start.elapsed()
    );
}
