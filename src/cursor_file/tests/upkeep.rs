//! What keeps the cursors in order: who sleeps, who is named, which ids and files there are.

use super::damage::{SLOTS, damage, two_cursors};
use super::*;
use crate::format::{DefinitionRef, definition_length, definition_padded, slot_at};
use crate::types::to_u64;
use std::collections::HashSet;

const DEFINITIONS: &str = "cursors.defs";

#[test]
fn nobody_sleeps_while_there_is_something_to_save() {
    let dir = MemoryDir::new();
    let cursors = open(&dir);
    assert!(cursors.fall_asleep());
    let alice = cursors.make("alice", &wants(&["a"]), 0).unwrap();
    assert!(cursors.must_wake(), "the one that sleeps");
    assert!(!cursors.must_wake(), "which is awake");
    assert!(!cursors.fall_asleep(), "a new cursor is not saved");
    cursors.save().unwrap();
    assert!(cursors.fall_asleep());
    alice.ack(5);
    assert!(cursors.must_wake() && !cursors.must_wake());
    assert!(!cursors.fall_asleep(), "an ack is not saved");
    cursors.save().unwrap();
    assert!(cursors.fall_asleep());
}

#[test]
fn each_cursor_is_named_once_however_often_it_was_redefined() {
    let dir = MemoryDir::new();
    let cursors = open(&dir);
    let mut expected = Vec::new();
    for number in 0..200 {
        let name = format!("cursor {number:03}");
        let cursor = cursors.make(&name, &wants(&["a"]), 0).unwrap();
        cursors.refilter(&cursor, &name, &wants(&["b"])).unwrap();
        expected.push(name);
    }
    let mut named = Vec::new();
    cursors
        .names(&YOUNG, |name| named.push(String::from(name)))
        .unwrap();
    assert_eq!(named, expected);
}

#[test]
fn as_many_tombstones_as_are_looked_for_at_a_time_make_room_the_oldest_first() {
    let nobody = |_| false;
    let at = |now| Age {
        now: Some(now),
        is_held: &nobody,
    };
    for count in [1_023, 1_024, 1_025, 1_100] {
        let dir = Arc::new(MemoryDir::new());
        let (cursors, _) = CursorFile::open(dir, &meta(), 1_000, count).unwrap();
        let make = |name: &str, now| cursors.create(name, &wants(&["a"]), 1_000_000, 0, &at(now));
        // Their ages are not in the order of their slots.
        let age = |number: u32| u64::from(number * 7 % count);
        for number in 0..count {
            make(&format!("{number}"), 1_000 + age(number)).unwrap();
        }
        for more in 0..20 {
            cursors.save().unwrap();
            make(&format!("more {more}"), 10_000_000).unwrap();
        }
        for number in 0..count {
            let there = cursors.find(&format!("{number}")).unwrap().is_some();
            assert_eq!(there, age(number) >= 20, "{number} of {count}");
        }
    }
}

/// The ids in the file, in its order.
fn ids(dir: &MemoryDir) -> Vec<u32> {
    let file = dir.read(DEFINITIONS);
    let (mut at, mut ids) = (0, Vec::new());
    while at < file.len() {
        let length = definition_length(&file[at..]).unwrap();
        let definition = DefinitionRef::parse(&file[at..], LogId([7; 16])).unwrap();
        ids.push(definition.head.id);
        at += definition_padded(length);
    }
    ids
}

#[test]
fn ids_of_definitions_rise_over_opens_and_a_file_on_its_way_is_in_nobodys_way() {
    let dir = MemoryDir::new();
    {
        let cursors = open(&dir);
        let alice = cursors.make("alice", &wants(&["a"]), 0).unwrap();
        cursors.refilter(&alice, "alice", &wants(&["b"])).unwrap();
        cursors.save().unwrap();
    }
    assert_eq!(ids(&dir), [1, 2]);
    dir.write("cursors.defs.new", b"cut short");
    let cursors = open(&dir);
    let names = || dir.list().unwrap().into_iter().map(|entry| entry.name);
    assert!(names().all(|name| name != "cursors.defs.new"));
    cursors.make("bob", &wants(&["a"]), 0).unwrap();
    assert_eq!(ids(&dir), [1, 2, 3]);
    dir.write("cursors.defs.new", b"cut short");
    let compact = || {
        cursors
            .inner
            .compact(&mut cursors.inner.state.lock())
            .unwrap();
    };
    compact();
    assert_eq!(ids(&dir), [2, 3]);
}

/// Word 2 of a slot, which says that it is in use.
fn in_use(dir: &MemoryDir, slot: u32) -> u64 {
    let at = slot_at(slot) + 16;
    u64::from_le_bytes(dir.read(SLOTS)[at..at + 8].try_into().unwrap())
}

#[test]
fn a_creation_is_finished_by_the_next_save_or_open() {
    let dir = MemoryDir::new();
    let cursors = open(&dir);
    for name in ["alice", "bob", "carol"] {
        cursors.make(name, &wants(&["a"]), 5).unwrap();
    }
    cursors.retire("bob").unwrap();
    assert_eq!(in_use(&dir, 0), 0, "not before it is on disk");
    cursors.save().unwrap();
    let finished = [0, 1, 2].map(|slot| in_use(&dir, slot));
    assert!(finished[0] != 0 && finished[1] == 0 && finished[2] != 0);
    drop(cursors);
    let mut slots = dir.read(SLOTS);
    slots[slot_at(2) + 16..slot_at(2) + 24].fill(0);
    dir.write(SLOTS, &slots);
    assert_eq!(found(&open(&dir), "carol").acked(), 5);
    assert_eq!([0, 1, 2].map(|slot| in_use(&dir, slot)), finished);
}

#[test]
fn a_deleted_cursor_stays_deleted_in_a_slot_that_was_used_before() {
    let dir = MemoryDir::new();
    {
        let cursors = open(&dir);
        cursors.make("alice", &wants(&["a"]), 5).unwrap();
        cursors.retire("alice").unwrap();
        cursors.save().unwrap();
        let bob = cursors.make("bob", &wants(&["a"]), 5).unwrap();
        assert_eq!((bob.number(), bob.generation()), (0, 2));
        cursors.save().unwrap();
        cursors.retire("bob").unwrap();
    }
    assert!(open(&dir).find("bob").unwrap().is_none());
}

#[test]
fn what_a_tick_stores_is_on_disk_after_the_next_save() {
    let dir = MemoryDir::new();
    let cursors = open(&dir);
    for number in 0..130 {
        let name = format!("{number}");
        let cursor = cursors.make(&name, &wants(&["a"]), 0).unwrap();
        assert_eq!(cursor.number(), number);
    }
    cursors.tick(1_000, &HashSet::new());
    cursors.save().unwrap();
    // Nothing else happens in the page of that one.
    cursors.tick(2_000, &HashSet::from([100]));
    assert!(cursors.dirty());
    cursors.save().unwrap();
    dir.power_loss(0);
    for listed in list(&dir, &meta()).unwrap() {
        let expected = if listed.name == "100" { 2_000 } else { 1_000 };
        assert_eq!(listed.used, Some(expected), "{}", listed.name);
    }
}

#[test]
fn each_ack_that_was_saved_stands_twice() {
    let dir = MemoryDir::new();
    let cursors = open(&dir);
    let both = ["alice", "bob"].map(|name| cursors.make(name, &wants(&["a"]), 60).unwrap());
    cursors.save().unwrap();
    for cursor in &both {
        cursor.ack(70);
    }
    cursors.save().unwrap();
    drop((both, cursors));
    damage(&dir, &[3]);
    let (cursors, faults) = open_at(&dir, 1_000);
    assert_eq!(faults.len(), 1);
    assert_eq!(found(&cursors, "alice").acked(), 70);
}

#[test]
fn a_slot_whose_zeros_are_not_on_disk_is_given_to_nobody() {
    let dir = MemoryDir::new();
    {
        let cursors = open(&dir);
        cursors.make("alice", &wants(&["a"]), 5).unwrap();
        cursors.make("bob", &wants(&["a"]), 5).unwrap();
        cursors.save().unwrap();
    }
    let cursors = open(&dir);
    assert_eq!(cursors.most(), 100_000);
    cursors.retire("bob").unwrap();
    // The deletion is on disk, the zeros are not.
    dir.fail_syncs(2, rustix::io::Errno::IO, false);
    cursors.save().unwrap_err();
    assert_eq!(dir.read(SLOTS)[slot_at(1)..slot_at(2)], [0; 64]);
    let carol = cursors.make("carol", &wants(&["a"]), 5).unwrap();
    assert_eq!(carol.number(), 2);
}

#[test]
fn a_list_has_what_is_damaged_and_not_what_was_never_made() {
    let dir = two_cursors();
    let listed = || {
        let all = list(&dir, &meta()).unwrap().into_iter();
        all.map(|listed| (listed.name, listed.acked))
            .collect::<Vec<_>>()
    };
    let bob = (String::from("bob"), Some(50));
    damage(&dir, &[3, 4]);
    assert_eq!(listed(), [("alice".into(), None), bob.clone()]);
    let mut slots = dir.read(SLOTS);
    slots[slot_at(0)..slot_at(1)].fill(0);
    dir.write(SLOTS, &slots);
    assert_eq!(listed(), [bob]);
    // All that their chunk said is lost.
    dir.unlink(SLOTS).unwrap();
    assert_eq!(listed(), [("alice".into(), None), ("bob".into(), None)]);
}

#[test]
fn a_definition_that_is_damaged_while_it_is_used_is_told_with_its_place() {
    let dir = two_cursors();
    let cursors = open(&dir);
    let bob = found(&cursors, "bob");
    let at = definition_padded(definition_length(&dir.read(DEFINITIONS)).unwrap());
    dir.flip_bit(DEFINITIONS, (at + 20) * 8);
    let error = bob.definition().unwrap_err();
    let told = error.get_ref().and_then(|told| told.downcast_ref());
    let told: &Corruption = told.unwrap();
    assert_eq!((&*told.file, told.position), (DEFINITIONS, to_u64(at)));
}

#[test]
fn a_list_has_the_cursors_of_all_slots() {
    let dir = MemoryDir::new();
    let cursors = open(&dir);
    let names: Vec<_> = (0..300).map(|n| format!("cursor {n:03}")).collect();
    for name in &names {
        cursors.make(name, &wants(&["a"]), 0).unwrap();
    }
    cursors.save().unwrap();
    let all = list(&dir, &meta()).unwrap().into_iter();
    assert!(all.map(|listed| listed.name).eq(names));
}

/// Somebody who only looks tells what the next open would.
#[test]
fn each_word_that_is_damaged_is_told_by_a_look() {
    assert_eq!(check(&two_cursors(), &meta()).unwrap(), []);
    for word in 0..6 {
        let dir = two_cursors();
        damage(&dir, &[word]);
        let told = check(&dir, &meta()).unwrap();
        let places: Vec<_> = told.iter().map(|fault| fault.position).collect();
        assert_eq!(places, [to_u64(slot_at(0))], "word {word}");
    }
    // A slot with something in all of its words.
    let dir = MemoryDir::new();
    let cursors = open(&dir);
    let alice = cursors.create("alice", &wants(&["a"]), 9, 60, &YOUNG);
    let alice = alice.unwrap();
    alice.keep(70);
    alice.touch(Some(5));
    cursors.save().unwrap();
    let words = &dir.read(SLOTS)[slot_at(0)..slot_at(1)];
    assert!(words.chunks(8).all(|word| word != [0; 8]));
    damage(&dir, &[3]);
    assert_eq!(check(&dir, &meta()).unwrap().len(), 1);
}
