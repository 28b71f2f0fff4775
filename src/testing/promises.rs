//! Promises, one by one, with exact numbers: P5, P6, P9, and recovery that is itself cut short.

use crate::dir::MemoryDir;
use crate::{
    AckError, AppendError, Cursor, CursorError, Event, Gap, GapReason, Log, Opened, Options,
    Position, ReadError, Reader, Start, SyncError, SyncPolicy,
};
use rustix::io::Errno;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

fn open(dir: &MemoryDir) -> Log {
    let options = Options::new()
        .segment_bytes(16 << 10)
        .sync(SyncPolicy::Manual);
    options.open_in(Arc::new(dir.clone())).unwrap()
}

fn append(log: &Log, offsets: std::ops::Range<u64>, word: &str) {
    for offset in offsets {
        assert_eq!(
            log.append("a.b", format!("{word} {offset}")).unwrap(),
            offset
        );
    }
}

/// What would be on the disk if the power went now. The log's process is dead afterwards.
fn cut_power(log: &Log, dir: &MemoryDir, seed: u64) -> MemoryDir {
    let image = log.abandon(|| dir.image());
    let after = MemoryDir::from_image(&image);
    after.power_loss(seed);
    after
}

fn diverged(from: u64, to: u64) -> Gap {
    Gap {
        from,
        to,
        reason: GapReason::Diverged,
    }
}

fn at(log: &Log, position: Position) -> Reader {
    log.reader()
        .start(Start::Position(position))
        .open()
        .unwrap()
}

fn payloads(mut next: impl FnMut() -> Result<Option<Event>, ReadError>) -> Vec<String> {
    let text = |event: Event| String::from_utf8(event.payload().to_vec()).unwrap();
    std::iter::from_fn(|| next().unwrap().map(text)).collect()
}

fn is_gap<T>(read: &Result<Option<T>, ReadError>, gap: Gap) -> bool {
    matches!(read, Err(ReadError::Gap(told)) if *told == gap)
}

/// P5: ten events are durable, five more are lost. Whoever stood in the lost tail is told how far
/// it was, once, and goes on at the end of what was left.
#[test]
fn a_position_beyond_the_end_of_its_epoch_diverges_with_exact_numbers() {
    let dir = MemoryDir::new();
    let log = open(&dir);
    append(&log, 0..10, "old");
    log.sync().unwrap();
    append(&log, 10..15, "old");
    let end = log.position();
    let dir = cut_power(&log, &dir, 0);
    let log = open(&dir);
    assert_eq!((log.next_offset(), log.durable_offset()), (10, 10));
    append(&log, 10..20, "new");
    let new: Vec<String> = (10..20).map(|offset| format!("new {offset}")).collect();
    for offset in 11..=15 {
        let mut reader = at(&log, Position { offset, ..end });
        assert!(is_gap(&reader.next(), diverged(10, offset)));
        assert_eq!(payloads(|| reader.next()), new);
    }
    for offset in [0, 9, 10] {
        let mut reader = at(&log, Position { offset, ..end });
        assert_eq!(
            payloads(|| reader.next()).len(),
            20 - usize::try_from(offset).unwrap()
        );
    }
    // Two epochs on, the numbers are still those of the first loss.
    log.close().unwrap();
    let log = open(&dir);
    assert!(is_gap(&at(&log, end).next(), diverged(10, 15)));
}

/// P5: the bound is the smallest end since, not that of the epoch that came next.
#[test]
fn a_later_loss_that_is_deeper_counts_for_all_epochs_before_it() {
    let dir = MemoryDir::new();
    let log = open(&dir);
    append(&log, 0..10, "one");
    log.sync().unwrap();
    log.close().unwrap();
    let log = open(&dir);
    let first = log.position();
    append(&log, 10..20, "two");
    let second = log.position();
    let dir = cut_power(&log, &dir, 0);
    let log = open(&dir);
    assert!(is_gap(&at(&log, second).next(), diverged(10, 20)));
    assert!(at(&log, first).next().unwrap().is_none());
    let third = log.position();
    assert_eq!((first.offset, third.offset), (10, 10));
    append(&log, 10..12, "three");
    let mut reader = at(&log, third);
    assert_eq!(payloads(|| reader.next()), ["three 10", "three 11"]);
    assert!(is_gap(&at(&log, second).next(), diverged(10, 20)));
}

/// P5: restarts that lost nothing cost nobody anything.
#[test]
fn a_restart_that_lost_nothing_is_no_gap() {
    let mut dir = MemoryDir::new();
    let mut positions = Vec::new();
    for epoch in 0..6 {
        let log = open(&dir);
        for position in &positions {
            let mut reader = at(&log, *position);
            let expected = epoch * 10 - position.offset;
            assert_eq!(
                payloads(|| reader.next()).len(),
                usize::try_from(expected).unwrap()
            );
        }
        append(&log, epoch * 10..epoch * 10 + 10, "event");
        positions.push(log.position());
        positions.push(Position {
            offset: epoch * 10 + 5,
            ..log.position()
        });
        if epoch % 2 == 0 {
            log.close().unwrap();
        } else {
            // The death of the process loses nothing that was appended.
            dir = MemoryDir::from_image(&log.abandon(|| dir.image()));
        }
    }
}

/// P6, with all that is asked of the log in between.
#[test]
fn a_failed_sync_poisons_and_reopen_heals() {
    let dir = MemoryDir::new();
    let log = open(&dir);
    append(&log, 0..10, "event");
    log.sync().unwrap();
    append(&log, 10..15, "event");
    let mut reader = log.reader().open().unwrap();
    assert_eq!(payloads(|| reader.next()).len(), 15);
    dir.fail_syncs(1, Errno::IO, false);
    assert!(matches!(log.sync(), Err(SyncError::Poisoned(_))));
    let before = dir.operations();
    for _ in 0..3 {
        assert!(matches!(log.append("a.b", b""), Err(AppendError::Poisoned)));
        assert!(matches!(log.sync(), Err(SyncError::Poisoned(_))));
    }
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(dir.operations(), before, "nothing is retried");
    assert_eq!((log.next_offset(), log.durable_offset()), (10, 10));
    let mut other = log.reader().open().unwrap();
    assert_eq!(payloads(|| other.next()).len(), 10);
    assert!(log.wait_durable(9).is_ok() && log.wait_durable(10).is_err());

    let epoch = log.position().epoch;
    log.reopen().unwrap();
    assert_eq!((log.next_offset(), log.durable_offset()), (15, 15));
    assert_eq!(log.position().epoch.counter, epoch.counter + 1);
    append(&log, 15..16, "event");
    assert_eq!(payloads(|| reader.next()), ["event 15"]);
    assert_eq!(payloads(|| other.next()).len(), 6);
    // What the failed sync left dirty was written again: now it survives.
    log.sync().unwrap();
    let dir = cut_power(&log, &dir, 0);
    assert_eq!(open(&dir).next_offset(), 16);
}

/// P6 under `Always`, where appenders sync: when it fails for one of them, no other one tries
/// again, and what was answered is on the disk.
#[test]
fn appenders_do_not_try_the_failed_sync_of_another_again() {
    for kth in 1..40 {
        let dir = MemoryDir::new();
        let log = Options::new().sync(SyncPolicy::Always);
        let log = log.open_in(Arc::new(dir.clone())).unwrap();
        dir.fail_syncs(kth, Errno::IO, false);
        let answered = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let error = loop {
                        match log.append("a.b", b"event") {
                            Ok(offset) => answered.fetch_max(offset + 1, Ordering::Relaxed),
                            Err(error) => break error,
                        };
                    };
                    assert!(matches!(error, AppendError::Poisoned), "{error:?}");
                });
            }
        });
        let answered = answered.into_inner();
        assert_eq!(log.next_offset(), log.durable_offset());
        assert!(answered <= log.durable_offset());
        let dir = cut_power(&log, &dir, kth);
        assert!(open(&dir).next_offset() >= answered, "sync {kth}");
    }
}

/// P6 where the kernel has dropped the pages that it could not write: what was read of them
/// diverges, on handles that live on.
#[test]
fn events_that_a_failed_sync_lost_diverge_on_open_handles() {
    let dir = MemoryDir::new();
    let log = open(&dir);
    append(&log, 0..10, "old");
    log.sync().unwrap();
    append(&log, 10..15, "old");
    let mut reader = log.reader().open().unwrap();
    let mut cursor = log
        .cursor("c")
        .topics([">"])
        .start(Start::Earliest)
        .open()
        .unwrap();
    assert_eq!(payloads(|| reader.next()).len(), 15);
    let last = std::iter::from_fn(|| cursor.next().unwrap())
        .last()
        .unwrap();
    cursor.ack(&last).unwrap();
    dir.fail_syncs(1, Errno::IO, false);
    assert!(log.sync().is_err());
    // The disk has what a loss of power would leave of the segment.
    let left = MemoryDir::from_image(&dir.image());
    left.power_loss(0);
    let name = crate::segment::name_of(0);
    dir.write(&name, &left.read(&name));
    log.reopen().unwrap();
    assert_eq!(log.next_offset(), 10);
    append(&log, 10..12, "new");
    assert!(is_gap(&reader.next(), diverged(10, 15)));
    assert_eq!(payloads(|| reader.next()), ["new 10", "new 11"]);
    assert_eq!(cursor.acked(), 10);
    assert!(is_gap(&cursor.next(), diverged(10, 15)) && is_gap(&cursor.next(), diverged(10, 15)));
    assert!(matches!(cursor.ack(&last), Err(AckError::Diverged(gap)) if gap == diverged(10, 15)));
    cursor.ack_gap(&diverged(10, 15)).unwrap();
    assert_eq!(payloads(|| cursor.next()), ["new 10", "new 11"]);
}

/// A thread that waits through a failed sync and the reopen finds the divergence when it wakes, and
/// the cursor has it in its slot: it is told once.
#[test]
fn a_cursor_that_waits_through_a_reopen_tells_a_divergence_once() {
    let dir = MemoryDir::new();
    let log = open(&dir);
    append(&log, 0..10, "old");
    log.sync().unwrap();
    append(&log, 10..15, "old");
    let mut cursor = log.cursor("c").start(Start::Earliest).open().unwrap();
    let last = std::iter::from_fn(|| cursor.next().unwrap()).last();
    cursor.ack(&last.unwrap()).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let waiting = std::thread::spawn(move || {
        for _ in 0..3 {
            let told = cursor.recv().map(|event| event.payload().to_vec());
            if let Err(ReadError::Gap(gap)) = &told {
                cursor.ack_gap(gap).unwrap();
            }
            sender.send(told).unwrap();
        }
    });
    // It is asleep by now, or this test sees nothing.
    std::thread::sleep(Duration::from_millis(50));
    dir.fail_syncs(1, Errno::IO, false);
    assert!(log.sync().is_err());
    let left = MemoryDir::from_image(&dir.image());
    left.power_loss(0);
    let name = crate::segment::name_of(0);
    dir.write(&name, &left.read(&name));
    log.reopen().unwrap();
    append(&log, 10..12, "new");
    let told = || receiver.recv_timeout(Duration::from_secs(30)).unwrap();
    assert!(matches!(told(), Err(ReadError::Gap(gap)) if gap == diverged(10, 15)));
    assert_eq!(told().unwrap(), b"new 10");
    assert_eq!(told().unwrap(), b"new 11");
    waiting.join().unwrap();
}

fn inbox(log: &Log) -> Cursor {
    log.cursor("inbox")
        .topics(["a.*"])
        .start(Start::Earliest)
        .open()
        .unwrap()
}

/// P9: a consumer that has acked more than was left stands at the end, and is told so at each
/// open until it takes note; nothing below its ack comes again.
#[test]
fn a_cursor_acked_beyond_a_lost_tail_is_lowered_and_told_until_acked() {
    let dir = MemoryDir::new();
    let log = open(&dir);
    append(&log, 0..10, "old");
    let mut cursor = inbox(&log);
    log.sync().unwrap();
    append(&log, 10..15, "old");
    let last = std::iter::from_fn(|| cursor.next().unwrap())
        .last()
        .unwrap();
    cursor.ack(&last).unwrap();
    // The kernel may write the ack and not the events: that is the case here.
    let image = log.abandon(|| dir.image());
    let everything = MemoryDir::from_image(&image);
    everything.power_loss(1);
    let mut dir = MemoryDir::from_image(&image);
    dir.power_loss(0);
    let slots = "cursors-00.slots";
    dir.write(slots, &everything.read(slots));

    for open_number in 0..3 {
        let log = open(&dir);
        assert_eq!(log.next_offset(), 10 + open_number, "one more at each open");
        let mut cursor = inbox(&log);
        assert_eq!((cursor.opened(), cursor.acked()), (Opened::Resumed, 10));
        assert!(is_gap(&cursor.next(), diverged(10, 15)));
        assert!(is_gap(&cursor.next(), diverged(10, 15)));
        assert!(matches!(cursor.page(1), Err(ReadError::Gap(gap)) if gap == diverged(10, 15)));
        assert!(matches!(cursor.ack(&last), Err(AckError::Diverged(_))));
        append(&log, 10 + open_number..11 + open_number, "new");
        log.sync().unwrap();
        dir = cut_power(&log, &dir, open_number);
    }
    let log = open(&dir);
    let mut cursor = inbox(&log);
    assert!(is_gap(&cursor.next(), diverged(10, 15)));
    cursor.ack_gap(&diverged(10, 15)).unwrap();
    assert_eq!(payloads(|| cursor.next()), ["new 10", "new 11", "new 12"]);
    cursor.wait_saved().unwrap();
    let dir = cut_power(&log, &dir, 0);
    let log = open(&dir);
    let mut cursor = inbox(&log);
    assert_eq!((cursor.opened(), cursor.acked()), (Opened::Resumed, 10));
    assert_eq!(payloads(|| cursor.next()), ["new 10", "new 11", "new 12"]);
}

/// A damaged cursor is told, and put where the caller says; until that is on disk it is damaged.
#[test]
fn a_damaged_cursor_begins_anew_where_it_was_told_and_is_never_new() {
    let mut dir = MemoryDir::new();
    let log = open(&dir);
    append(&log, 0..10, "a");
    let mut cursor = log.cursor("c").start(Start::Earliest).open().unwrap();
    let last = std::iter::from_fn(|| cursor.next().unwrap()).last();
    cursor.ack(&last.unwrap()).unwrap();
    cursor.wait_saved().unwrap();
    dir = cut_power(&log, &dir, 0);
    // The two words that say where it stands.
    for word in [3, 4] {
        dir.flip_bit("cursors-00.slots", 8 * (4_096 + 8 * word) + 20);
    }
    for _ in 0..2 {
        let log = open(&dir);
        let plain = log.cursor("c").open().map(drop);
        assert!(matches!(plain, Err(CursorError::Corrupt(_))), "{plain:?}");
        let cursor = log.cursor("c").start_if_corrupt(Start::Offset(4)).open();
        let mut cursor = cursor.unwrap();
        assert_eq!((cursor.opened(), cursor.acked()), (Opened::Corrupt, 4));
        assert_eq!(payloads(|| cursor.next()).len(), 6);
        let again = log.cursor("c").start_if_corrupt(Start::Latest).open();
        assert_eq!(again.unwrap().opened(), Opened::Resumed);
        dir = cut_power(&log, &dir, 0);
    }
    let log = open(&dir);
    let cursor = log.cursor("c").start_if_corrupt(Start::Earliest).open();
    cursor.unwrap().wait_saved().unwrap();
    dir = cut_power(&log, &dir, 0);
    let log = open(&dir);
    let cursor = log.cursor("c").start_if_corrupt(Start::Latest).open();
    let cursor = cursor.unwrap();
    assert_eq!((cursor.opened(), cursor.acked()), (Opened::Resumed, 0));
}
