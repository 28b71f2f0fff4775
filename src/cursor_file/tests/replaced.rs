//! A cursor in the place of a damaged one: its name is known at every moment.

use super::damage::{DEFINITIONS, SLOTS, damage, two_cursors, without_alices_definition};
use super::*;
use crate::format::slot_at;
use crate::types::to_u64;

/// What is damaged, and whether the damage is told for ever.
type Case = (&'static str, fn(&MemoryDir), bool);

const CASES: [Case; 5] = [
    ("both words", |dir| damage(dir, &[3, 4]), false),
    (
        "all of the slot",
        |dir| damage(dir, &[0, 1, 2, 3, 4]),
        false,
    ),
    ("the definition", without_alices_definition, true),
    (
        "the definition and both words",
        |dir| {
            without_alices_definition(dir);
            damage(dir, &[3, 4]);
        },
        true,
    ),
    ("the chunk", |dir| dir.unlink(SLOTS).unwrap(), true),
];

const PLACE: u64 = 10;

fn replace(cursors: &CursorFile) -> Result<SlotHandle, CursorError> {
    cursors.replace("alice", &wants(&["z"]), 0, PLACE, None)
}

/// Alice is damaged still, or stands at her new place with her new filters; she is not unknown.
fn check(cursors: &CursorFile, must_be_there: bool, what: &str) {
    match cursors.find("alice") {
        Ok(Some(alice)) => {
            assert_eq!(alice.acked(), PLACE, "{what}");
            assert_eq!(alice.definition().unwrap().filters, ["z"], "{what}");
        }
        Ok(None) => panic!("{what}: alice is unknown"),
        Err(damage) => assert!(!must_be_there, "{what}: {damage}"),
    }
}

#[test]
fn a_replaced_cursor_goes_on_and_its_damaged_slot_is_used_again() {
    for (what, hurt, for_ever) in CASES {
        let dir = two_cursors();
        hurt(&dir);
        let (cursors, faults) = open_at(&dir, 1_000);
        assert!(
            !faults.is_empty() && cursors.find("alice").is_err(),
            "{what}"
        );
        let alice = replace(&cursors).unwrap();
        assert_ne!(alice.number(), 0, "{what}: the damaged slot");
        check(&cursors, true, what);
        cursors.save().unwrap();
        drop((alice, cursors));
        dir.power_loss(0);
        let (cursors, faults) = open_at(&dir, 1_000);
        assert!(!faults.is_empty(), "{what}: told once more");
        check(&cursors, true, what);
        drop(cursors);
        dir.power_loss(0);
        let (cursors, faults) = open_at(&dir, 1_000);
        assert!(for_ever || faults.is_empty(), "{what}: {faults:?}");
        check(&cursors, true, what);
        let carol = cursors.make("carol", &wants(&["c"]), 9).unwrap();
        assert!(what == "the chunk" || carol.number() == 0, "{what}");
        cursors.save().unwrap();
        drop((carol, cursors));
        dir.power_loss(0);
        let (cursors, _) = open_at(&dir, 1_000);
        check(&cursors, true, what);
        assert_eq!(found(&cursors, "carol").acked(), 9, "{what}");
    }
}

/// The power goes at any operation of the replacement, or of the open after it.
#[test]
fn the_power_may_go_at_any_step_of_a_replacement() {
    for (case, hurt, _) in CASES {
        for (kth, seed) in (1..40).flat_map(|kth| (0..20).map(move |seed| (kth, seed))) {
            let what = format!("{case}, stop {kth}, seed {seed}");
            let dir = two_cursors();
            hurt(&dir);
            dir.power_loss(1);
            let (cursors, _) = open_at(&dir, 1_000);
            if seed % 2 == 0 {
                dir.stop_at(kth);
            }
            let saved = replace(&cursors).is_ok() && seed % 3 != 0 && cursors.save().is_ok();
            drop(cursors);
            if seed % 2 == 1 {
                // A kill, and an open that sees what is not on the disk; then the power goes.
                dir.stop_at(kth);
                let opened = CursorFile::open(Arc::new(dir.clone()), &meta(), 1_000, 100_000);
                drop(opened);
            }
            dir.power_loss(seed);
            for _ in 0..3 {
                let (cursors, _) = open_at(&dir, 1_000);
                check(&cursors, saved, &what);
                drop(cursors);
                dir.power_loss(seed + 1);
            }
        }
    }
}

/// A definition cannot be read for a while, and can be after the process was killed: both slots of
/// the name are good then, and the later one need not be on disk.
#[test]
fn the_power_may_go_while_two_good_slots_become_one() {
    for (kth, seed) in (1..40).flat_map(|kth| (0..20).map(move |seed| (kth, seed))) {
        let what = format!("stop {kth}, seed {seed}");
        let dir = two_cursors();
        dir.power_loss(1);
        let turn_a_bit = || dir.flip_bit(DEFINITIONS, 99);
        turn_a_bit();
        let (cursors, _) = open_at(&dir, 1_000);
        replace(&cursors).unwrap();
        drop(cursors);
        turn_a_bit();
        dir.stop_at(kth);
        let opened = CursorFile::open(Arc::new(dir.clone()), &meta(), 1_000, 100_000);
        if let Ok((cursors, _)) = opened {
            assert_eq!(cursors.count(), 2, "{what}");
        }
        dir.power_loss(seed);
        for _ in 0..3 {
            let (cursors, _) = open_at(&dir, 1_000);
            let alice = cursors.find("alice").expect("no damage is left");
            let at = alice.expect("alice is known").acked();
            assert!([PLACE, 70].contains(&at), "{what}: {at}");
            drop(cursors);
            dir.power_loss(seed + 1);
        }
    }
}

/// The later one holds, and the other one must not come back when that one is deleted.
#[test]
fn of_two_good_slots_one_is_left_to_be_deleted() {
    let dir = two_cursors();
    let turn_a_bit = || dir.flip_bit(DEFINITIONS, 99);
    turn_a_bit();
    let (cursors, _) = open_at(&dir, 1_000);
    replace(&cursors).unwrap();
    cursors.save().unwrap();
    drop(cursors);
    turn_a_bit();
    let (cursors, _) = open_at(&dir, 1_000);
    assert_eq!(found(&cursors, "alice").acked(), PLACE);
    cursors.retire("alice").unwrap();
    cursors.save().unwrap();
    drop(cursors);
    let cursors = open(&dir);
    assert!(cursors.find("alice").unwrap().is_none());
    assert_eq!(cursors.count(), 1);
}

/// Neither of the two can be used, so neither makes the other one free.
#[test]
fn two_damaged_slots_of_a_name_are_told_at_every_open() {
    let dir = two_cursors();
    damage(&dir, &[3, 4]);
    let (cursors, _) = open_at(&dir, 1_000);
    let second = replace(&cursors).unwrap().number();
    cursors.save().unwrap();
    drop(cursors);
    for word in [3, 4] {
        dir.flip_bit(SLOTS, (slot_at(second) + 8 * word) * 8 + 13);
    }
    for round in 0..3 {
        let (cursors, faults) = open_at(&dir, 1_000);
        let places: Vec<_> = faults.iter().map(|fault| fault.position).collect();
        let (zero, two) = (to_u64(slot_at(0)), to_u64(slot_at(second)));
        assert_eq!(places, [zero, two, zero], "open {round}: {faults:?}");
        assert!(cursors.find("alice").is_err());
        let new = cursors.make(&format!("new {round}"), &wants(&["a"]), 0);
        assert_eq!(new.unwrap().number(), second + 1 + round, "no slot is free");
        cursors.save().unwrap();
    }
}

/// The sync that should bring it to the disk fails, and all is written again.
#[test]
fn the_power_may_go_while_a_failed_sync_of_a_replacement_is_made_up_for() {
    for (case, hurt, _) in CASES {
        for (kth, seed) in (1..40).flat_map(|kth| (0..10).map(move |seed| (kth, seed))) {
            let what = format!("{case}, stop {kth}, seed {seed}");
            let dir = two_cursors();
            hurt(&dir);
            dir.power_loss(1);
            let (cursors, _) = open_at(&dir, 1_000);
            replace(&cursors).unwrap();
            dir.fail_syncs(1 + seed % 4, rustix::io::Errno::IO, false);
            let _ = cursors.save();
            dir.fail_syncs(u64::MAX, rustix::io::Errno::IO, false);
            dir.stop_at(kth);
            let lowered = cursors.lower(1_000).is_ok();
            drop(cursors);
            dir.power_loss(seed);
            for _ in 0..3 {
                let (cursors, _) = open_at(&dir, 1_000);
                check(&cursors, lowered, &what);
                drop(cursors);
                dir.power_loss(seed + 1);
            }
        }
    }
}
