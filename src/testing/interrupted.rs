//! Recovery that is itself cut short by a loss of power, and that one's recovery too.

use crate::dir::MemoryDir;
use crate::{Gap, GapReason, Log, Options, Position, ReadError, Start, SyncPolicy};
use std::sync::Arc;

/// Seeds of the losses of power: nothing survives, everything, and the sorts between.
const SEEDS: [u64; 6] = [0, 1, 2, 3, 4, 5];

fn options() -> Options {
    Options::new()
        .segment_bytes(16 << 10)
        .sync(SyncPolicy::Manual)
}

/// A log that has lost its tail: what is left of it, what must be found, and who stood where.
struct Lost {
    dir: MemoryDir,
    durable: u64,
    /// Ends of the epochs, the lost one's last.
    positions: Vec<Position>,
    written: u64,
    cursor_saved: u64,
}

fn open(dir: &MemoryDir) -> Log {
    options().open_in(Arc::new(dir.clone())).unwrap()
}

fn payload(offset: u64) -> Vec<u8> {
    vec![u8::try_from(offset % 251).unwrap(); usize::try_from(offset * 37 % 900).unwrap()]
}

fn lose(seed: u64, undurable: u64) -> Lost {
    let dir = MemoryDir::new();
    let mut positions = Vec::new();
    let mut log = open(&dir);
    for offset in 0..40 {
        if offset == 15 || offset == 30 {
            positions.push(log.position());
            log.close().unwrap();
            log = open(&dir);
        }
        assert_eq!(log.append("a", payload(offset)).unwrap(), offset);
    }
    let mut cursor = log
        .cursor("c")
        .topics(["a"])
        .start(Start::Earliest)
        .open()
        .unwrap();
    for _ in 0..20 {
        let event = cursor.next().unwrap().unwrap();
        cursor.ack(&event).unwrap();
    }
    log.sync().unwrap();
    let written = 40 + undurable;
    for offset in 40..written {
        assert_eq!(log.append("a", payload(offset)).unwrap(), offset);
    }
    while let Some(event) = cursor.next().unwrap() {
        cursor.ack(&event).unwrap();
    }
    positions.push(log.position());
    let (image, durable) = log.abandon(|| (dir.image(), log.durable_offset()));
    let dir = MemoryDir::from_image(&image);
    dir.power_loss(seed);
    Lost {
        dir,
        durable,
        positions,
        written,
        cursor_saved: 20,
    }
}

/// What a whole open finds: the end, and everything below as it was.
fn check(lost: &Lost, dir: &MemoryDir, what: &str) -> u64 {
    let log = open(dir);
    let end = log.next_offset();
    assert!(
        (lost.durable..=lost.written).contains(&end),
        "{what}: the end is {end}"
    );
    assert_eq!(log.durable_offset(), end, "{what}");
    assert_eq!(log.recovery().damaged, [], "{what}");
    let mut reader = log.reader().open().unwrap();
    for offset in 0..end {
        let event = reader.next().unwrap().unwrap();
        assert_eq!(
            (event.offset(), event.payload()),
            (offset, &payload(offset)[..]),
            "{what}"
        );
    }
    assert!(reader.next().unwrap().is_none(), "{what}");
    for position in &lost.positions {
        let mut reader = log
            .reader()
            .start(Start::Position(*position))
            .open()
            .unwrap();
        let told = reader.next();
        let gap = Gap {
            from: end,
            to: position.offset,
            reason: GapReason::Diverged,
        };
        let good = if position.offset > end {
            matches!(told, Err(ReadError::Gap(told)) if told == gap)
        } else {
            told.unwrap().map_or(end, |event| event.offset()) == position.offset
        };
        assert!(good, "{what}: {position} in a log of {end}");
    }
    let cursor = log
        .cursor("c")
        .topics(["a"])
        .start(Start::Earliest)
        .open()
        .unwrap();
    let acked = cursor.acked();
    assert!(
        (lost.cursor_saved..=end).contains(&acked),
        "{what}: acked is {acked}"
    );
    drop(cursor);
    assert_eq!(
        log.append("a", payload(end)).unwrap(),
        end,
        "{what}: it goes on"
    );
    log.close().unwrap();
    end
}

/// Opens a copy of `dir` on a machine that stops before its `kth` operation, and takes the power
/// away; `None` if the open needs fewer.
fn interrupt(dir: &MemoryDir, kth: u64, seed: u64) -> Option<MemoryDir> {
    let copy = MemoryDir::from_image(&dir.image());
    copy.stop_at(kth);
    let opened = crate::recovery::open(Arc::new(copy.clone()), &options(), None);
    if opened.is_ok() {
        return None;
    }
    drop(opened);
    let after = MemoryDir::from_image(&copy.image());
    after.power_loss(seed);
    Some(after)
}

/// How an undisturbed open ends.
fn undisturbed(lost: &Lost, what: &str) -> u64 {
    check(lost, &MemoryDir::from_image(&lost.dir.image()), what)
}

/// Every operation of an open, and of the open after it, is the last one before the power goes.
/// What is found at last is what the first open would have found.
#[test]
fn an_interrupted_recovery_finds_the_same_in_the_end() {
    let mut opens = 0;
    for (first, undurable) in [(0, 6), (2, 6), (3, 1), (4, 6), (7, 30), (9, 30), (12, 30)] {
        let lost = lose(first, undurable);
        let what = format!("seed {first}, {undurable} undurable");
        let end = undisturbed(&lost, &what);
        for kth in 1.. {
            let mut more = false;
            for seed in SEEDS {
                let Some(dir) = interrupt(&lost.dir, kth, seed) else {
                    continue;
                };
                more = true;
                let what = format!("{what}, stop {kth}, seed {seed}");
                for again in 1.. {
                    let seed = SEEDS[usize::try_from(again + kth).unwrap() % SEEDS.len()];
                    let what = format!("{what}, stop {again}, seed {seed}");
                    let Some(dir) = interrupt(&dir, again, seed) else {
                        break;
                    };
                    assert_eq!(check(&lost, &dir, &what), end, "{what}");
                    opens += 1;
                }
                assert_eq!(check(&lost, &dir, &what), end, "{what}");
                opens += 1;
            }
            if !more {
                break;
            }
        }
    }
    println!("{opens} interrupted recoveries");
    assert!(opens > 1_000);
}

/// Whatever a first open has left when the power goes, it is no damage.
#[test]
fn an_interrupted_creation_is_not_taken_for_damage() {
    for kth in 1.. {
        let mut more = false;
        for seed in 0..40 {
            let Some(dir) = interrupt(&MemoryDir::new(), kth, seed) else {
                continue;
            };
            more = true;
            let what = format!("stop {kth}, seed {seed}");
            let log = open(&dir);
            assert_eq!(log.recovery().damaged, [], "{what}");
            assert_eq!(log.append("a", b"first").unwrap(), 0, "{what}");
        }
        if !more {
            assert!(kth > 10, "{kth}");
            break;
        }
    }
}
