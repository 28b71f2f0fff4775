//! The end of cursors: deleted, expired, their slots used again.

use super::*;
use std::collections::HashSet;

const MINUTE: u64 = 60_000_000;
const NOW: u64 = 1_000_000 * MINUTE;

fn at<'a>(now: u64, is_held: &'a dyn Fn(u32) -> bool) -> Age<'a> {
    Age {
        now: Some(now),
        is_held,
    }
}

fn names(dir: &MemoryDir) -> Vec<String> {
    let all = list(dir, &meta()).unwrap();
    all.into_iter().map(|listed| listed.name).collect()
}

#[test]
fn a_deleted_cursor_is_new_again_and_its_slot_is_used_again() {
    let dir = MemoryDir::new();
    let cursors = open(&dir);
    for name in ["alice", "bob", "carol"] {
        cursors.make(name, &wants(&["a"]), 5).unwrap();
    }
    cursors.save().unwrap();
    assert!(cursors.retire("bob").unwrap() && !cursors.retire("bob").unwrap());
    assert!(cursors.find("bob").unwrap().is_none());
    assert_eq!(names(&dir), ["alice", "carol"]);
    // Not before it is on disk that the slot is free.
    assert_eq!(cursors.make("dave", &wants(&["a"]), 7).unwrap().number(), 3);
    cursors.save().unwrap();
    let bob = cursors.make("bob", &wants(&["b"]), 9).unwrap();
    assert_eq!((bob.number(), bob.generation()), (1, 2));
    bob.ack(11);
    cursors.save().unwrap();
    drop((bob, cursors));
    dir.power_loss(0);
    let cursors = open(&dir);
    assert_eq!(cursors.count(), 4);
    assert_eq!(found(&cursors, "bob").acked(), 11);
    assert_eq!(found(&cursors, "dave").acked(), 7);
    assert_eq!(names(&dir), ["alice", "bob", "carol", "dave"]);
}

/// Delete and make again, with the power gone at any operation: each name is there with a place it
/// had, or it is not, and nothing is called damage.
#[test]
fn the_power_may_go_at_any_step_of_a_delete() {
    for kth in 1.. {
        let mut more = false;
        for seed in 0..40 {
            let dir = MemoryDir::new();
            let cursors = open(&dir);
            for name in ["alice", "bob"] {
                cursors.make(name, &wants(&["a"]), 5).unwrap();
            }
            cursors.save().unwrap();
            dir.stop_at(kth);
            let run = || -> Result<u32, u32> {
                cursors.retire("bob").map_err(|_| 0_u32)?;
                if seed % 2 == 0 {
                    cursors.save().map_err(|_| 1_u32)?;
                }
                cursors.make("bob", &wants(&["b"]), 20).map_err(|_| 2_u32)?;
                cursors
                    .make("carol", &wants(&["b"]), 30)
                    .map_err(|_| 2_u32)?;
                cursors.save().map_err(|_| 2_u32)?;
                Ok(3)
            };
            let done = run();
            more |= done.is_err();
            drop(cursors);
            dir.power_loss(seed / 2);
            let what = format!("stop {kth}, seed {seed}, {done:?}");
            for again in 0..2 {
                let (cursors, faults) = open_at(&dir, 1_000);
                let torn = |fault: &&Corruption| fault.file != "cursors.defs";
                assert_eq!(faults.iter().filter(torn).count(), 0, "{what}: {faults:?}");
                assert_eq!(found(&cursors, "alice").acked(), 5, "{what}");
                let bob = cursors.find("bob").unwrap().map(|bob| bob.acked());
                let carol = cursors.find("carol").unwrap().map(|carol| carol.acked());
                let deleted = seed % 2 == 0 && done != Err(0) && done != Err(1);
                assert!([None, Some(5), Some(20)].contains(&bob), "{what}: {bob:?}");
                assert!(
                    !deleted || bob != Some(5),
                    "{what}: a deleted one came back"
                );
                assert!([None, Some(30)].contains(&carol), "{what}");
                if done == Ok(3) {
                    assert_eq!((bob, carol), (Some(20), Some(30)), "{what}");
                }
                if again == 0 {
                    cursors.make("dave", &wants(&["a"]), 3).unwrap();
                    cursors.save().unwrap();
                } else {
                    assert_eq!(found(&cursors, "dave").acked(), 3, "{what}");
                }
                drop(cursors);
                dir.power_loss(0);
            }
        }
        if !more {
            break;
        }
    }
}

#[test]
fn after_a_failed_sync_deleted_cursors_stay_deleted() {
    let dir = MemoryDir::new();
    let cursors = open(&dir);
    for name in ["alice", "bob", "carol"] {
        cursors.make(name, &wants(&["a"]), 5).unwrap();
    }
    cursors.save().unwrap();
    for kth in 1..5 {
        cursors.retire("bob").unwrap();
        dir.fail_syncs(kth, rustix::io::Errno::IO, false);
        let _ = cursors.save();
        dir.fail_syncs(u64::MAX, rustix::io::Errno::IO, false);
        cursors.lower(1_000).unwrap();
        assert!(cursors.find("bob").unwrap().is_none());
        let copy = MemoryDir::from_image(&dir.image());
        copy.power_loss(0);
        assert_eq!(open(&copy).count(), 2, "{kth}");
        cursors.make("bob", &wants(&["b"]), kth).unwrap();
        cursors.save().unwrap();
        assert_eq!(found(&cursors, "bob").acked(), kth);
    }
}

#[test]
fn the_oldest_tombstone_makes_room_and_expired_cursors_hold_nothing() {
    let dir = MemoryDir::new();
    let (cursors, _) = CursorFile::open(Arc::new(dir.clone()), &meta(), 1_000, 4).unwrap();
    let nobody = |_| false;
    let make = |name: &str, lives: u64, start, age: &Age<'_>| {
        cursors.create(name, &wants(&["a"]), lives, start, age)
    };
    for (number, name) in ["ever", "first", "second", "held"].into_iter().enumerate() {
        let number = u64::try_from(number).unwrap();
        let lives = if number == 0 { 0 } else { 5 * MINUTE };
        let age = at(NOW + number, &nobody);
        make(name, lives, 10 + number, &age).unwrap();
    }
    let slot = found(&cursors, "held").number();
    let held = |number| number == slot;
    let later = at(NOW + 6 * MINUTE, &held);
    assert!(found(&cursors, "first").is_old(later.now));
    assert_eq!(cursors.lowest_acked(&YOUNG), Some(10));
    cursors.retire("ever").unwrap();
    cursors.save().unwrap();
    assert_eq!(cursors.lowest_acked(&later), Some(13));
    let early = at(NOW + MINUTE, &nobody);
    make("new 0", 0, 20, &early).unwrap();
    assert!(matches!(
        make("new 1", 0, 20, &early),
        Err(CursorError::TooMany { limit: 4 })
    ));
    make("new 1", 0, 20, &later).unwrap();
    assert!(cursors.find("first").unwrap().is_none() && cursors.find("second").unwrap().is_some());
    make("new 2", 0, 20, &later).unwrap();
    assert!(cursors.find("second").unwrap().is_none());
    assert!(matches!(
        make("new 3", 0, 20, &later),
        Err(CursorError::TooMany { limit: 4 })
    ));
    assert_eq!(found(&cursors, "held").acked(), 13);
}

#[test]
fn a_use_is_stored_by_a_tick_and_unknown_is_now() {
    let dir = MemoryDir::new();
    let cursors = open(&dir);
    let alice = cursors
        .create("alice", &wants(&["a"]), MINUTE, 0, &YOUNG)
        .unwrap();
    let bob = cursors
        .create("bob", &wants(&["a"]), MINUTE, 0, &YOUNG)
        .unwrap();
    let used = || -> Vec<Option<u64>> {
        let all = list(&dir, &meta()).unwrap();
        all.into_iter().map(|listed| listed.used).collect()
    };
    cursors.save().unwrap();
    assert_eq!(used(), [None, None]);
    assert!(!alice.is_old(Some(NOW)));
    cursors.tick(NOW, &HashSet::new());
    cursors.save().unwrap();
    assert_eq!(used(), [Some(NOW), Some(NOW)]);
    // What is acked is marked by the tick as long as its handle is open, and then by the drop.
    alice.ack(5);
    cursors.save().unwrap();
    assert_eq!(used(), [Some(NOW), Some(NOW)]);
    alice.touch(Some(NOW + 2_000_000));
    assert!(bob.is_old(Some(NOW + MINUTE + 1)) && !alice.is_old(Some(NOW + MINUTE + 1)));
    assert!(!bob.is_old(Some(NOW + MINUTE)), "it lives for all of it");
    cursors.tick(NOW + MINUTE, &HashSet::from([bob.number()]));
    assert_eq!(used(), [Some(NOW + 2_000_000), Some(NOW + MINUTE)]);
    cursors.save().unwrap();
    let copy = MemoryDir::from_image(&dir.image());
    copy.power_loss(0);
    let kept = list(&copy, &meta()).unwrap();
    assert_eq!(
        kept[1].used,
        Some(NOW + MINUTE),
        "a tick is saved by the next sync"
    );
    // A time that has not come yet is one of a clock that was wrong.
    cursors.tick(NOW - MINUTE, &HashSet::new());
    assert_eq!(used(), [Some(NOW - MINUTE), Some(NOW - MINUTE)]);
    drop((alice, bob, cursors));
    let cursors = open(&dir);
    assert!(found(&cursors, "alice").is_old(Some(NOW + MINUTE)));
    cursors
        .redefine(&found(&cursors, "alice"), "alice", &wants(&["a"]), 0)
        .unwrap();
    assert!(!found(&cursors, "alice").is_old(Some(2 * NOW)));
}

#[test]
fn many_cursors_are_listed_from_the_files_alone() {
    let dir = MemoryDir::new();
    let (cursors, _) = CursorFile::open(Arc::new(dir.clone()), &meta(), 1_000, 200_000).unwrap();
    for number in 0..200_000_u64 {
        cursors
            .make(
                &format!("cursor {number:06}"),
                &wants(&["a.*"]),
                number % 900,
            )
            .unwrap();
    }
    let before = dir.operations();
    let all = list(&dir, &meta()).unwrap();
    assert_eq!(dir.operations(), before, "nothing is written");
    assert_eq!(all.len(), 200_000);
    for (number, listed) in (0..).zip(&all) {
        assert_eq!(listed.name, format!("cursor {number:06}"));
        assert_eq!(
            (listed.acked, &listed.filters[..]),
            (Some(number % 900), &["a.*".into()][..])
        );
    }
}
