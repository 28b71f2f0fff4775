//! A read-only log whose writer loses what was shown.

use crate::dir::MemoryDir;
use crate::{Gap, GapReason, Log, Options, ReadError, Start, SyncPolicy};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn write(dir: &MemoryDir) -> Log {
    let options = Options::new()
        .segment_bytes(16 << 10)
        .sync(SyncPolicy::Manual);
    options.open_in(Arc::new(dir.clone())).unwrap()
}

fn append(log: &Log, count: usize, word: &str) {
    for _ in 0..count {
        log.append("a", word).unwrap();
    }
}

fn until(what: &str, reached: impl Fn() -> bool) {
    let began = Instant::now();
    while !reached() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The follower has shown ten events more than are on disk when the power goes. The next writer
/// goes on below them: the follower notices, tells it, and shows what stands there now.
#[test]
fn a_follower_notices_that_the_log_was_cut_below_what_it_has_shown() {
    // In one segment, and after some rolls.
    for kept in [10, 600] {
        let dir = MemoryDir::new();
        let writer = write(&dir);
        append(&writer, kept, "kept");
        writer.sync().unwrap();
        let follower = Options::new().follow_in(Arc::new(dir.clone())).unwrap();
        let mut reader = follower.reader().start(Start::Earliest).open().unwrap();
        append(&writer, 10, "lost");
        let first = u64::try_from(kept).unwrap();
        let end = first + 10;
        until("the first events", || follower.next_offset() == end);
        let seen = std::iter::from_fn(|| reader.next().unwrap()).count();
        assert_eq!(seen, kept + 10);
        let lost_place = follower.position();
        assert_eq!(
            writer.durable_offset(),
            first,
            "the last ten wait for a sync"
        );

        writer.abandon(|| ());
        drop(writer);
        // Seed 0: nothing that was not synced is kept.
        dir.power_loss(0);
        let writer = write(&dir);
        assert_eq!(writer.next_offset(), first);
        append(&writer, 3, "new");

        until("the new end", || follower.next_offset() == first + 3);
        let gap = Gap {
            from: first,
            to: end,
            reason: GapReason::Diverged,
        };
        assert!(matches!(reader.next(), Err(ReadError::Gap(told)) if told == gap));
        let new: Vec<_> = std::iter::from_fn(|| reader.next().unwrap())
            .map(|event| (event.offset(), event.payload().to_vec()))
            .collect();
        let expected: Vec<_> = (first..first + 3).map(|at| (at, b"new".to_vec())).collect();
        assert_eq!(new, expected);
        let mut late = follower
            .reader()
            .start(Start::Position(lost_place))
            .open()
            .unwrap();
        assert!(matches!(late.next(), Err(ReadError::Gap(told)) if told == gap));
        assert_eq!(writer.position(), follower.position());
    }
}

/// The writer goes on in the same file, in which other events stand now where the index of the
/// follower has some.
#[test]
fn a_follower_does_not_use_an_index_of_what_was_cut() {
    let dir = MemoryDir::new();
    let writer = write(&dir);
    append(&writer, 10, "kept");
    writer.sync().unwrap();
    let options = Options::new().index_everything();
    let follower = options.follow_in(Arc::new(dir.clone())).unwrap();
    for n in 0..20 {
        writer
            .append(if n % 4 == 0 { "b" } else { "c" }, b"lost")
            .unwrap();
    }
    until("the first events", || follower.next_offset() == 30);
    let read = || {
        let reader = follower.reader().topics(["b"]);
        let mut reader = reader.start(Start::Earliest).open().unwrap();
        let next = || reader.next().unwrap();
        let offsets: Vec<_> = std::iter::from_fn(next)
            .map(|event| event.offset())
            .collect();
        offsets
    };
    assert_eq!(read(), [10, 14, 18, 22, 26]);
    writer.abandon(|| ());
    drop(writer);
    dir.power_loss(0);
    let writer = write(&dir);
    assert_eq!((writer.next_offset(), writer.segments()), (10, 1));
    for n in 0..40 {
        writer
            .append(if n % 3 == 0 { "b" } else { "c" }, b"new")
            .unwrap();
    }
    until("the new end", || follower.next_offset() == 50);
    let due: Vec<u64> = (10..50).step_by(3).collect();
    assert_eq!(read(), due);
}

/// A position that the writer gave a moment ago is good on a follower that has not looked since.
#[test]
fn a_follower_looks_again_before_it_calls_a_position_wrong() {
    let dir = MemoryDir::new();
    let writer = write(&dir);
    let lazy = Options::new().poll_interval(Duration::from_millis(10));
    let follower = lazy.follow_in(Arc::new(dir.clone())).unwrap();
    for round in 0..50 {
        append(&writer, 1, "x");
        let start = Start::Position(writer.position());
        let mut reader = follower.reader().start(start).open().unwrap();
        assert!(reader.next().unwrap().is_none(), "round {round}");
    }
}

/// The name of a spare stands before its bytes do; whoever follows has nothing to read there yet.
#[test]
fn a_spare_that_is_being_made_stops_nobody() {
    let dir = MemoryDir::new();
    let writer = write(&dir);
    append(&writer, 10, "x");
    let follower = Options::new().follow_in(Arc::new(dir.clone())).unwrap();
    dir.write("spare-00000000000000ff.log", b"short");
    append(&writer, 2_000, "x");
    assert!(writer.segments() > 1);
    until("the end", || follower.next_offset() == 2_010);
}
