//! Retention and trims: what goes, what is told, and what is left when the power goes on the way.

use crate::dir::{Directory, MemoryDir};
use crate::{
    Gap, GapReason, Log, Options, ReadError, Reader, Retention, Start, SyncPolicy, TrimError,
};
use rustix::io::Errno;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn options(retention: Retention) -> Options {
    Options::new()
        .segment_bytes(16 << 10)
        .sync(SyncPolicy::Manual)
        .retention(retention)
}

fn open_with(dir: &MemoryDir, retention: Retention) -> Log {
    options(retention).open_in(Arc::new(dir.clone())).unwrap()
}

fn open(dir: &MemoryDir) -> Log {
    open_with(dir, Retention::new())
}

/// Appends up to `end` and syncs. About 14 events fill a segment.
fn fill(log: &Log, end: u64) {
    for offset in log.next_offset()..end {
        assert_eq!(log.append("a", vec![7; 1_000]).unwrap(), offset);
    }
    log.sync().unwrap();
}

fn bases(dir: &MemoryDir) -> Vec<u64> {
    let names = dir.list().unwrap().into_iter().map(|entry| entry.name);
    names
        .filter_map(|name| crate::segment::parse_name(&name))
        .collect()
}

fn earliest(log: &Log) -> Reader {
    log.reader().start(Start::Offset(0)).open().unwrap()
}

/// The gap comes first, with exact numbers, and then every event from `first` on.
fn check_from(log: &Log, first: u64, end: u64) {
    assert_eq!(log.first_offset(), first);
    let mut reader = earliest(log);
    if first > 0 {
        let gap = Gap {
            from: 0,
            to: first,
            reason: GapReason::Trimmed,
        };
        let told = reader.next();
        assert!(
            matches!(told, Err(ReadError::Gap(told)) if told == gap),
            "{told:?}"
        );
    }
    let rest = std::iter::from_fn(|| reader.next().unwrap()).map(|event| event.offset());
    assert!(rest.eq(first..end));
}

#[test]
fn a_trim_takes_whole_segments_below_and_never_the_active_one() {
    let dir = MemoryDir::new();
    let log = open(&dir);
    fill(&log, 60);
    let all = bases(&dir);
    assert!(all.len() > 3, "{all:?}");
    assert_eq!(log.trim(0).unwrap(), 0);
    assert_eq!(log.trim(all[1] - 1).unwrap(), 0);
    assert_eq!(log.trim(all[1]).unwrap(), all[1]);
    assert_eq!(log.trim(all[3] - 1).unwrap(), all[2]);
    check_from(&log, all[2], 60);
    assert_eq!(log.trim(u64::MAX).unwrap(), all[all.len() - 1]);
    check_from(&log, all[all.len() - 1], 60);
    assert_eq!(bases(&dir), all[all.len() - 1..]);
    assert_eq!(
        log.trim(5).unwrap(),
        all[all.len() - 1],
        "more has gone already"
    );
    fill(&log, 70);
    log.close().unwrap();
    assert!(matches!(log.trim(1), Err(TrimError::Closed)));
    assert!(matches!(log.retain(), Err(TrimError::Closed)));
    check_from(&open(&dir), all[all.len() - 1], 70);
}

#[test]
fn held_events_stay_readable_and_are_counted() {
    let dir = MemoryDir::new();
    let log = open(&dir);
    fill(&log, 60);
    let mut reader = earliest(&log);
    let event = reader.next().unwrap().unwrap();
    let first = log.trim(40).unwrap();
    assert!(first > 14);
    // The reader stands in the first segment and the event is of it; the others are not held.
    holds(&log, 16 << 10);
    assert_eq!(event.payload(), vec![7; 1_000]);
    let gap = Gap {
        from: 1,
        to: first,
        reason: GapReason::Trimmed,
    };
    assert!(matches!(reader.next(), Err(ReadError::Gap(told)) if told == gap));
    assert_eq!(reader.next().unwrap().unwrap().offset(), first);
    holds(&log, 16 << 10);
    drop(event);
    holds(&log, 0);
}

/// The log's own threads may have a segment in hand for a moment.
fn holds(log: &Log, bytes: u64) {
    let began = std::time::Instant::now();
    while log.stats().held_bytes != bytes && began.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(log.stats().held_bytes, bytes);
}

#[test]
fn each_rule_lets_go_what_it_says() {
    let minute = Duration::from_secs(60);
    let dir = MemoryDir::new();
    let log = open_with(&dir, Retention::new().max_bytes(40 << 10));
    fill(&log, 100);
    log.retain().unwrap();
    assert_eq!(bases(&dir).len(), 2, "two of 16 KiB fit, three do not");
    log.close().unwrap();

    let log = open_with(&dir, Retention::new().max_events(30));
    fill(&log, 200);
    log.retain().unwrap();
    let left = bases(&dir);
    assert!(left[0] <= 170 && left[1] > 170, "{left:?}");
    log.close().unwrap();

    let log = open_with(&dir, Retention::new().max_age(minute));
    let now = crate::host::now();
    let day = 24 * 60 * 60 * 1_000_000;
    let clock = &log.shared().clock;
    clock.give(Duration::from_secs(59), now + 365 * day);
    assert_eq!(
        log.retain().unwrap(),
        left[0],
        "nothing in the first minute"
    );
    clock.give(Duration::from_secs(61), now);
    assert_eq!(log.retain().unwrap(), left[0], "younger than a minute");
    clock.give(Duration::from_secs(62), now + 365 * day);
    assert_eq!(
        log.retain().unwrap(),
        left[0],
        "a step of the clock makes nothing older"
    );
    clock.give(Duration::from_secs(200), 0);
    assert_eq!(
        log.retain().unwrap(),
        left[left.len() - 1],
        "all but the active one"
    );
}

#[test]
fn acks_let_go_and_the_cap_wins_over_a_consumer_that_is_gone() {
    let dir = MemoryDir::new();
    let log = open_with(&dir, Retention::new().until_acked().max_bytes(64 << 10));
    fill(&log, 40);
    let all = bases(&dir);
    assert_eq!(log.retain().unwrap(), 0, "no cursor: nothing goes by acks");
    let cursor = |name| {
        log.cursor(name)
            .topics(["a"])
            .start(Start::Earliest)
            .open()
            .unwrap()
    };
    let (mut quick, mut gone) = (cursor("quick"), cursor("gone"));
    for _ in 0..35 {
        let event = quick.next().unwrap().unwrap();
        quick.ack(&event).unwrap();
    }
    assert_eq!(log.retain().unwrap(), 0);
    while let Some(event) = gone
        .next()
        .unwrap()
        .filter(|event| event.offset() <= all[1])
    {
        gone.ack(&event).unwrap();
    }
    assert_eq!(log.retain().unwrap(), all[1]);
    fill(&log, 120);
    let first = log.retain().unwrap();
    assert!(bases(&dir).len() == 4 && first > 40);
    let acked = gone.acked();
    let gap = Gap {
        from: acked,
        to: first,
        reason: GapReason::Trimmed,
    };
    drop(gone);
    for _ in 0..2 {
        let mut back = cursor("gone");
        for _ in 0..2 {
            let told = back.next();
            assert!(
                matches!(told, Err(ReadError::Gap(told)) if told == gap),
                "{told:?}"
            );
        }
    }
    let mut back = cursor("gone");
    let _ = back.next();
    back.ack_gap(&gap).unwrap();
    assert_eq!(back.next().unwrap().unwrap().offset(), first);
}

/// The order on disk: whatever a trim has unlinked when the machine stops, cursors are found at or
/// above what they freed, and the segments that are left follow one another.
#[test]
fn the_power_may_go_at_any_step_of_a_trim() {
    let prepare = |dir: &MemoryDir| {
        let log = open_with(dir, Retention::new().until_acked().max_events(1 << 20));
        fill(&log, 80);
        let mut cursor = log
            .cursor("c")
            .topics(["a"])
            .start(Start::Earliest)
            .open()
            .unwrap();
        log.sync().unwrap();
        while let Some(event) = cursor.next().unwrap() {
            cursor.ack(&event).unwrap();
        }
        (log, cursor)
    };
    let mut interrupted = 0;
    for kth in 1.. {
        let mut more = false;
        for seed in 0..12 {
            let dir = MemoryDir::new();
            let (log, cursor) = prepare(&dir);
            dir.stop_at(kth);
            let done = log.retain();
            more |= done.is_err();
            let first = log.first_offset();
            let image = log.abandon(|| dir.image());
            drop((cursor, log));
            let dir = MemoryDir::from_image(&image);
            dir.power_loss(seed);
            let log = open(&dir);
            let what = format!("stop {kth}, seed {seed}");
            assert_eq!(log.recovery().damaged, [], "{what}");
            let found = log.first_offset();
            assert!(found <= first || done.is_err(), "{what}");
            assert!(
                done.is_err() || found == first,
                "{what}: the last step is synced"
            );
            check_from(&log, found, 80);
            let mut cursor = log.cursor("c").topics(["a"]).open().unwrap();
            assert!(
                cursor.acked() >= found,
                "{what}: {} < {found}",
                cursor.acked()
            );
            assert!(!matches!(cursor.next(), Err(ReadError::Gap(_))), "{what}");
            interrupted += 1;
        }
        if !more {
            break;
        }
    }
    assert!(interrupted > 100, "{interrupted}");
}

#[test]
fn a_failed_unlink_loses_nothing_and_a_failed_sync_poisons() {
    let dir = MemoryDir::new();
    let log = open(&dir);
    fill(&log, 60);
    let all = bases(&dir);
    let is_index = |name: &str| crate::segment::parse_index_name(name).is_some();
    let indexes = || {
        dir.list()
            .unwrap()
            .iter()
            .filter(|e| is_index(&e.name))
            .count()
    };
    while indexes() + 1 < all.len() {
        std::thread::sleep(Duration::from_millis(1));
    }
    // An index and its segment leave, the next index too, and then its segment does not.
    dir.fail_unlinks(4, Errno::IO, false);
    let failed = log.trim(60);
    assert!(matches!(failed, Err(TrimError::Io(_))), "{failed:?}");
    check_from(&log, all[1], 60);
    assert_eq!(log.trim(60).unwrap(), all[all.len() - 1]);
    fill(&log, 120);
    // The round before the unlink has the mark and nothing else to sync.
    dir.fail_syncs(1, Errno::IO, true);
    assert!(matches!(log.trim(120), Err(TrimError::Poisoned)));
    assert!(matches!(log.trim(120), Err(TrimError::Poisoned)));
    dir.fail_syncs(u64::MAX, Errno::IO, false);
    log.reopen().unwrap();
    check_from(&log, log.first_offset(), 120);
    fill(&log, 130);
    assert!(log.trim(120).unwrap() > all[all.len() - 1]);
    check_from(&log, log.first_offset(), 130);
}

/// An empty active segment is replaced by a larger one while the segment before it leaves, and the
/// process dies before the replacement has its name.
#[test]
fn a_segment_that_replaces_an_empty_one_is_found_without_the_one_before() {
    let dir = MemoryDir::new();
    let options = || {
        let minute = SyncPolicy::Every(Duration::from_secs(60));
        Options::new()
            .sync(minute)
            .segment_bytes(8 << 20)
            .max_event_bytes(3 << 20)
    };
    let log = options().open_in(Arc::new(dir.clone())).unwrap();
    log.append("a", b"one").unwrap();
    log.append("a", vec![7; 1 << 20]).unwrap();
    log.sync().unwrap();
    // A reopen after a failed sync always goes on in a new, empty segment.
    log.append("a", b"two").unwrap();
    dir.fail_syncs(1, Errno::IO, true);
    assert!(log.sync().is_err());
    dir.fail_syncs(u64::MAX, Errno::IO, false);
    log.reopen().unwrap();
    let before = bases(&dir);
    assert_eq!(log.trim(u64::MAX).unwrap(), *before.last().unwrap());
    log.append("a", vec![8; 2 << 20]).unwrap();
    let end = log.next_offset();
    let image = log.abandon(|| dir.image());
    let dir = MemoryDir::from_image(&image);
    let log = options().open_in(Arc::new(dir.clone())).unwrap();
    assert_eq!(log.next_offset(), end);
    check_from(&log, *before.last().unwrap(), end);
}

#[test]
fn a_follower_sees_the_trim_also_when_all_that_it_knew_has_left() {
    let dir = MemoryDir::new();
    let log = open(&dir);
    fill(&log, 60);
    let slow = Options::new().poll_interval(Duration::from_millis(10));
    let follower = slow.follow_in(Arc::new(dir.clone())).unwrap();
    assert!(matches!(follower.trim(10), Err(TrimError::ReadOnly)));
    let mut reader = earliest(&follower);
    assert_eq!(reader.next().unwrap().unwrap().offset(), 0);
    for end in (100..400).step_by(37) {
        fill(&log, end);
        let first = log.trim(u64::MAX).unwrap();
        while follower.first_offset() < first || follower.next_offset() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        let from = reader.position().offset;
        let gap = Gap {
            from,
            to: first,
            reason: GapReason::Trimmed,
        };
        let told = reader.next();
        assert!(
            matches!(told, Err(ReadError::Gap(told)) if told == gap),
            "{told:?} not {gap}"
        );
        let rest = std::iter::from_fn(|| reader.next().unwrap()).map(|event| event.offset());
        assert!(rest.eq(first..end));
    }
}

/// Readers, a follower and cursors while segments leave under them: each event comes, or a gap with
/// its numbers, and nothing else.
#[test]
fn readers_race_retention() {
    let dir = MemoryDir::new();
    let log = Options::new()
        .segment_bytes(16 << 10)
        .open_segments(1)
        .retention(Retention::new().max_bytes(48 << 10))
        .open_in(Arc::new(dir.clone()))
        .unwrap();
    let follower = Options::new().follow_in(Arc::new(dir.clone())).unwrap();
    let done = AtomicBool::new(false);
    let walk = |log: &Log, rewind: bool| {
        let mut reader = earliest(log);
        let (mut next, mut gaps, mut rewound) = (0, 0, 0);
        while !done.load(Ordering::Acquire) || next < log.next_offset() {
            match reader.next() {
                Ok(Some(event)) => {
                    assert_eq!(event.offset(), next);
                    assert_eq!(event.payload(), next.to_le_bytes().repeat(50));
                    next += 1;
                    if rewind && next % 200 == 0 && next > rewound {
                        rewound = next;
                        next = next.saturating_sub(150);
                        reader.seek(Start::Offset(next)).unwrap();
                    }
                }
                Ok(None) => std::thread::yield_now(),
                Err(ReadError::Gap(gap)) => {
                    assert_eq!((gap.from, gap.reason), (next, GapReason::Trimmed), "{gap}");
                    next = gap.to;
                    gaps += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(gaps > 0 || next > 0);
    };
    std::thread::scope(|scope| {
        let walkers = [
            scope.spawn(|| walk(&log, false)),
            scope.spawn(|| walk(&log, true)),
            scope.spawn(|| walk(&follower, true)),
        ];
        for offset in 0..20_000_u64 {
            log.append("a", offset.to_le_bytes().repeat(50)).unwrap();
            if offset % 1_000 == 0 {
                log.trim(offset.saturating_sub(20)).unwrap();
            }
        }
        done.store(true, Ordering::Release);
        for walker in walkers {
            walker.join().unwrap();
        }
    });
    log.retain().unwrap();
    assert!(bases(&dir).len() <= 3);
}

/// A consumer that waits for something rare is not told of a gap that it has waited through.
#[test]
fn a_waiting_reader_does_not_fall_behind_retention() {
    let dir = MemoryDir::new();
    let log = open(&dir);
    let mut rare = log.reader().topics(["rare"]).open().unwrap();
    let waiting = std::thread::spawn(move || rare.recv().map(|event| event.offset()));
    while log.stats().visible_waiters == 0 {
        std::thread::yield_now();
    }
    fill(&log, 100);
    // The dispatcher passes them in its own time.
    let mut end = 100;
    while log.shared().visible_waiters.looked_at() < end {
        std::thread::yield_now();
    }
    log.trim(end).unwrap();
    log.append("rare", b"").unwrap();
    end += 1;
    assert_eq!(waiting.join().unwrap().unwrap(), end - 1);
}
