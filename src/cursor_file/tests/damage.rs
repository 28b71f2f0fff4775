//! The table of the format, row by row, and each bit.

use super::*;
use crate::format::{ChunkPage, slot_at};

pub(super) const SLOTS: &str = "cursors-00.slots";
pub(super) const DEFINITIONS: &str = "cursors.defs";

/// A directory with alice at 70 (saved 60) in slot 0 and bob at 50 in slot 1.
pub(super) fn two_cursors() -> MemoryDir {
    let dir = MemoryDir::new();
    let cursors = open(&dir);
    let alice = cursors.make("alice", &wants(&["a.*"]), 60).unwrap();
    cursors.make("bob", &wants(&["b"]), 50).unwrap();
    cursors.save().unwrap();
    alice.ack(70);
    dir
}

fn word(number: usize) -> usize {
    slot_at(0) + 8 * number
}

/// Turns a bit in each of these words of alice's slot.
pub(super) fn damage(dir: &MemoryDir, words: &[usize]) {
    words
        .iter()
        .for_each(|number| dir.flip_bit(SLOTS, word(*number) * 8 + 13));
}

fn zero(dir: &MemoryDir, words: &[usize]) {
    let mut bytes = dir.read(SLOTS);
    words
        .iter()
        .for_each(|number| bytes[word(*number)..word(*number) + 8].fill(0));
    dir.write(SLOTS, &bytes);
}

pub(super) fn without_alices_definition(dir: &MemoryDir) {
    let mut bytes = dir.read(DEFINITIONS);
    bytes[..64].fill(0xff);
    dir.write(DEFINITIONS, &bytes);
}

/// Where alice is, `None` if there is no such cursor, and how many faults were told. Bob is as he
/// was, and a second open finds the same and tells nothing that could be mended.
fn alice(dir: &MemoryDir) -> (Result<Option<u64>, Corruption>, usize) {
    let look = || {
        let (cursors, faults) = open_at(dir, 1_000);
        let bob = found(&cursors, "bob");
        assert_eq!(
            (bob.acked(), bob.definition().unwrap().filters),
            (50, vec!["b".into()])
        );
        let alice = cursors
            .find("alice")
            .map(|alice| alice.map(|alice| alice.acked()));
        (alice, faults)
    };
    let (first, faults) = look();
    dir.power_loss(0);
    let (second, left) = look();
    assert_eq!(second, first);
    assert!(left.is_empty() || first.is_err() || dir.read(DEFINITIONS)[0] != b'W');
    (first, faults.len())
}

#[test]
fn definition_and_acked_good() {
    assert_eq!(alice(&two_cursors()), (Ok(Some(70)), 0));
    // The process ended before the slot was marked as in use.
    let dir = two_cursors();
    zero(&dir, &[2]);
    assert_eq!(alice(&dir), (Ok(Some(70)), 0));
    // And before `saved` and `kept` were on disk.
    let dir = two_cursors();
    zero(&dir, &[0, 1, 2, 4, 5]);
    assert_eq!(alice(&dir), (Ok(Some(70)), 0));
    // A damaged header follows from the definition.
    for number in 0..3 {
        let dir = two_cursors();
        damage(&dir, &[number]);
        assert_eq!(alice(&dir), (Ok(Some(70)), 1), "word {number}");
    }
    for number in [4, 5] {
        let dir = two_cursors();
        damage(&dir, &[number]);
        assert_eq!(alice(&dir), (Ok(Some(70)), 1), "word {number}");
    }
}

#[test]
fn definition_and_saved_good() {
    let dir = two_cursors();
    damage(&dir, &[3]);
    assert_eq!(alice(&dir), (Ok(Some(60)), 1));
}

#[test]
fn a_creation_that_did_not_finish_is_free() {
    let dir = two_cursors();
    zero(&dir, &[2, 3, 4]);
    assert_eq!(alice(&dir), (Ok(None), 0));
    // The slot is used again, and the old definition does not come back with it.
    let cursors = open(&dir);
    let carol = cursors.make("carol", &wants(&["c"]), 9).unwrap();
    assert_eq!((carol.number(), carol.generation()), (0, 2));
    cursors.save().unwrap();
    drop((carol, cursors));
    let cursors = open(&dir);
    assert_eq!(found(&cursors, "carol").acked(), 9);
    assert!(cursors.find("alice").unwrap().is_none());
    let alice = cursors.make("alice", &wants(&["a"]), 1).unwrap();
    assert_eq!(alice.number(), 2);
}

#[test]
fn both_words_bad_in_a_slot_in_use_is_corrupt() {
    let dir = two_cursors();
    damage(&dir, &[3, 4]);
    let (found, faults) = alice(&dir);
    let corruption = found.unwrap_err();
    assert_eq!((&*corruption.file, corruption.position), (SLOTS, 4_096));
    assert_eq!(faults, 1);
    let (cursors, _) = open_at(&dir, 1_000);
    let again = cursors.make("alice", &wants(&["a"]), 0);
    assert!(
        matches!(again, Err(CursorError::Corrupt(_))),
        "its name is not given away"
    );
    let carol = cursors.make("carol", &wants(&["a"]), 0).unwrap();
    assert_eq!(carol.number(), 2, "nor is its slot");
}

#[test]
fn a_slot_in_use_without_a_definition_is_corrupt() {
    let dir = two_cursors();
    without_alices_definition(&dir);
    let (found, faults) = alice(&dir);
    assert_eq!(found.unwrap_err().position, 4_096);
    assert_eq!(faults, 2, "the definition and the slot");
    // All definitions lost: each name is corrupt, none is new.
    let dir = two_cursors();
    dir.truncate(DEFINITIONS, 0);
    let (cursors, faults) = open_at(&dir, 1_000);
    assert_eq!((faults.len(), cursors.count()), (2, 2));
    assert!(cursors.find("alice").is_err() && cursors.find("bob").is_err());
}

#[test]
fn a_slot_without_a_definition_that_is_not_in_use_is_free() {
    let dir = two_cursors();
    without_alices_definition(&dir);
    zero(&dir, &[2]);
    assert_eq!(
        alice(&dir),
        (Ok(None), 1),
        "the damage in the definitions is told"
    );
    let (cursors, _) = open_at(&dir, 1_000);
    let carol = cursors.make("carol", &wants(&["c"]), 9).unwrap();
    assert_eq!((carol.number(), carol.acked()), (0, 9));
}

#[test]
fn a_lost_chunk_makes_its_cursors_corrupt_for_ever() {
    for cut in [None, Some(4_096), Some(70)] {
        let dir = two_cursors();
        match cut {
            None => dir.unlink(SLOTS).unwrap(),
            Some(length) => dir.truncate(SLOTS, length),
        }
        for _ in 0..2 {
            let (cursors, faults) = open_at(&dir, 1_000);
            assert!(!faults.is_empty());
            assert!(cursors.find("alice").is_err() && cursors.find("bob").is_err());
            // New cursors go elsewhere.
            let name = format!("new {}", cursors.count());
            let new = cursors.make(&name, &wants(&["a"]), 3).unwrap();
            assert!(new.number() >= 1_024);
            cursors.save().unwrap();
        }
    }
}

#[test]
fn a_chunk_of_another_log_or_release_stops_the_open() {
    let dir = two_cursors();
    let put = |page: &[u8]| {
        let mut bytes = dir.read(SLOTS);
        bytes[..page.len()].copy_from_slice(page);
        dir.write(SLOTS, &bytes);
        CursorFile::open(Arc::new(dir.clone()), &meta(), 1_000, 10).map(|(_, faults)| faults)
    };
    let foreign = put(&ChunkPage {
        log: LogId([1; 16]),
        chunk: 0,
    }
    .page());
    assert!(matches!(foreign, Err(OpenError::Foreign { file }) if file == SLOTS));
    let mut newer = ChunkPage {
        log: meta().log,
        chunk: 0,
    }
    .page();
    newer[8] = 3;
    let checksum = crc32fast::hash(&newer[..60]);
    newer[60..64].copy_from_slice(&checksum.to_le_bytes());
    newer[512] = 0;
    let newer = put(&newer);
    assert!(matches!(
        newer,
        Err(OpenError::Newer {
            found: 3,
            supported: VERSION,
            ..
        })
    ));
    // A damaged page, or that of another chunk, does not stop the slots.
    for page in [
        [0; 4_096],
        ChunkPage {
            log: meta().log,
            chunk: 1,
        }
        .page(),
    ] {
        assert_eq!(put(&page).unwrap().len(), 1);
        assert_eq!(found(&open_at(&dir, 1_000).0, "alice").acked(), 70);
    }
}

#[test]
fn no_flip_of_a_bit_is_silent() {
    let good = two_cursors();
    let image = good.image();
    // The two cursors and their definitions; of the page, which stands twice, every seventh bit.
    let places = [
        (SLOTS, 4_096..4_224, 1),
        (DEFINITIONS, 0..128, 1),
        (SLOTS, 0..576, 7),
    ];
    for (file, bytes, step) in places {
        for bit in (bytes.start * 8..bytes.end * 8).step_by(step) {
            let dir = MemoryDir::from_image(&image);
            dir.flip_bit(file, bit);
            let (cursors, faults) = open_at(&dir, 1_000);
            for (name, acked, saved, filter) in [("alice", 70, 60, "a.*"), ("bob", 50, 50, "b")] {
                match cursors.find(name) {
                    Ok(Some(cursor)) => {
                        let at = cursor.acked();
                        let mended = at == saved && !faults.is_empty();
                        assert!(at == acked || mended, "{file} bit {bit}: {name} at {at}");
                        assert_eq!(cursor.definition().unwrap().filters, [filter]);
                        assert_eq!(cursor.kept(), None);
                    }
                    Ok(None) => panic!("{file} bit {bit}: {name} is gone"),
                    Err(_) => assert!(!faults.is_empty(), "{file} bit {bit}"),
                }
            }
        }
    }
}

#[test]
fn arbitrary_files_do_not_panic() {
    use proptest::prelude::*;
    let good = two_cursors();
    let (slots, definitions) = (good.read(SLOTS), good.read(DEFINITIONS));
    let noise = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40);
    let config = ProptestConfig::with_cases(64);
    proptest!(config, |(noise in noise, cut in 0usize..200, words in any::<[u64; 8]>())| {
        let (mut slots, mut definitions) = (slots.clone(), definitions.clone());
        for (at, byte) in &noise {
            definitions[at.index(128)] = *byte;
            slots[4_096 + at.index(192)] = *byte;
        }
        for (number, word) in words.iter().enumerate() {
            slots[4_224 + number * 8..][..8].copy_from_slice(&word.to_le_bytes());
        }
        definitions.truncate(cut);
        let dir = MemoryDir::new();
        dir.write(SLOTS, &slots);
        dir.write(DEFINITIONS, &definitions);
        let (cursors, _) = open_at(&dir, 40);
        for name in ["alice", "bob"] {
            if let Ok(Some(cursor)) = cursors.find(name) {
                prop_assert!(cursor.acked() <= 40);
                prop_assert!(cursor.definition().is_ok());
            }
        }
        cursors.make("carol", &wants(&["c"]), 1).unwrap();
        cursors.save().unwrap();
        drop(cursors);
        dir.power_loss(0);
        prop_assert_eq!(found(&open_at(&dir, 40).0, "carol").acked(), 1);
    });
}

/// What is left of a definition that did not come whole, and a part of the next one, which was
/// written over it, must not be the first one whole. Found by a loss of power
/// (`random-300018 90 - 300005`).
#[test]
fn the_rest_of_a_definition_is_not_completed_by_the_next_one() {
    // Names of eight bytes: the last two bytes of a definition, its filter, are torn by themselves.
    let dir = MemoryDir::new();
    let cursors = open(&dir);
    cursors.make("consumer", &wants(&["a"]), 60).unwrap();
    cursors.save().unwrap();
    drop(cursors);
    dir.truncate(DEFINITIONS, 56);
    zero(&dir, &[0, 1, 2, 3, 4, 5, 6, 7]);

    let cursors = open(&dir);
    assert!(cursors.find("consumer").unwrap().is_none());
    cursors.make("customer", &wants(&["a"]), 9).unwrap();
    let image = dir.image();
    for seed in 0..2_000 {
        let dir = MemoryDir::from_image(&image);
        dir.power_loss(seed);
        let (cursors, _) = open_at(&dir, 1_000);
        let first = cursors.find("consumer");
        assert!(matches!(first, Ok(None)), "seed {seed}: it is back");
    }
}
