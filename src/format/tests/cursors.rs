//! Cursor slots and definitions.

use super::{LOG, OTHER, flipped, for_each_flip};
use crate::format::bytes::SECTOR;
use crate::format::*;
use crate::types::{FilterSet, MAX_OFFSET};
use proptest::prelude::*;

#[test]
fn slots_and_chunks_count_up_without_holes() {
    let mut slot = 0;
    for chunk in 0..MAX_CHUNKS {
        assert_eq!(slot_number(chunk, 0), slot);
        assert_eq!(place_of(slot), Some((chunk, 0)));
        slot += chunk_slots(chunk);
        assert_eq!(place_of(slot - 1), Some((chunk, chunk_slots(chunk) - 1)));
        assert_eq!(chunk_bytes(chunk), slot_at(chunk_slots(chunk)));
    }
    assert_eq!(
        (chunk_slots(0), chunk_slots(3), chunk_bytes(0)),
        (1_024, 8_192, 4_096 + 65_536)
    );
    for beyond in [slot, u32::MAX] {
        assert_eq!(place_of(beyond), None);
    }
}

#[test]
fn a_chunk_page_survives_any_flip_and_says_why_there_is_none() {
    let good = ChunkPage { log: LOG, chunk: 3 };
    for_each_flip(&good.page()[..1_024], |_, bytes| {
        assert_eq!(ChunkPage::parse(bytes), Ok(good))
    });
    for_each_flip(&good.page()[..64], |_, bytes| {
        assert!(ChunkPage::parse(bytes).is_err())
    });
    assert_eq!(
        ChunkPage::parse(&[0; CHUNK_PAGE_BYTES]),
        Err(ChunkFault::NotOurs)
    );
    assert_eq!(
        ChunkPage::parse(&flipped(&good.page()[..64], 100)),
        Err(ChunkFault::Damaged)
    );
    let mut newer = good.page();
    newer[8] = 9;
    let checksum = crc32fast::hash(&newer[..60]);
    newer[60..64].copy_from_slice(&checksum.to_le_bytes());
    newer[SECTOR] = 0;
    assert_eq!(ChunkPage::parse(&newer), Err(ChunkFault::Newer(9)));
}

const WORDS: [SlotWord; 5] = [
    SlotWord::Acked,
    SlotWord::Saved,
    SlotWord::Kept,
    SlotWord::Used,
    SlotWord::TimeToLive,
];

#[test]
fn a_slot_word_is_bound_to_its_place_and_a_zero_never_verifies() {
    for slot in 0..10_000 {
        for generation in [1, 2, 3_000_000_000] {
            let key = SlotKey::new(slot, generation);
            for word in WORDS {
                assert_eq!(
                    key.unpack(word, 0),
                    None,
                    "slot {slot}, {generation}, {word:?}"
                );
                for value in [0, 1, MAX_OFFSET] {
                    assert_eq!(key.unpack(word, key.pack(word, value)), Some(value));
                }
            }
        }
    }
    // Eleven bits: words of other places verify about once in 2,048 tries.
    let packed = SlotKey::new(1, 1).pack(SlotWord::Acked, 1_042);
    let keys = (2..20_002).map(|slot| SlotKey::new(slot, 1));
    let strangers = keys
        .filter(|key| key.unpack(SlotWord::Acked, packed).is_some())
        .count();
    assert!(
        strangers < 40,
        "{strangers} of 20,000 took a stranger's word"
    );
}

#[test]
fn a_slot_header_is_bound_to_its_place() {
    let header = SlotHeader {
        hash: 0x1234_5678_9abc_def0,
        generation: 3,
    };
    let words = header.words(LOG, 9);
    assert_eq!(SlotHeader::parse(words, LOG, 9), Some(header));
    assert_eq!(SlotHeader::parse(words, LOG, 8), None);
    assert_eq!(SlotHeader::parse(words, OTHER, 9), None);
    assert_eq!(SlotHeader::parse([0; 3], LOG, 9), None);
    for bit in 0..192 {
        let mut words = words;
        words[bit / 64] ^= 1 << (bit % 64);
        assert_eq!(SlotHeader::parse(words, LOG, 9), None, "bit {bit}");
    }
}

fn definition(wants: &FilterSet, name: &str) -> (DefinitionHead, Vec<u8>) {
    let kind = DefinitionKind::InUse;
    let head = DefinitionHead {
        id: 5,
        slot: 1_042,
        generation: 2,
        time: 7,
        time_to_live: 9,
        kind,
    };
    let mut bytes = Vec::new();
    head.encode(name, wants, LOG, &mut bytes);
    (head, bytes)
}

fn set_of(definition: &DefinitionRef<'_>) -> FilterSet {
    let identities = definition
        .identities
        .map(|names| names.map(String::from).collect::<Vec<_>>());
    FilterSet::new(definition.filters, identities.as_deref()).unwrap()
}

#[test]
fn any_flip_in_a_definition_is_seen() {
    let identities = [String::from("alice"), String::from("tab 2")];
    let wants = FilterSet::new(["room.*", "user.7"], Some(&identities)).unwrap();
    let (head, bytes) = definition(&wants, "alice");
    let parsed = DefinitionRef::parse(&bytes, LOG).unwrap();
    assert_eq!((parsed.head, parsed.name), (head, "alice"));
    assert_eq!(set_of(&parsed), wants);
    assert_eq!(DefinitionRef::parse(&bytes, OTHER), None);
    let length = definition_length(&bytes).unwrap();
    assert_eq!((length, bytes.len()), (48 + 5 + 7 + 7 + 6 + 6, 128));
    for_each_flip(&bytes, |bit, bytes| {
        let found = DefinitionRef::parse(bytes, LOG);
        assert_eq!(found, (bit / 8 >= length).then_some(parsed), "bit {bit}");
    });
}

#[test]
fn the_largest_definition_fits() {
    let names: Vec<String> = (0..1_024).map(|n| format!("{n:0>255}")).collect();
    let wants = FilterSet::new(&names, Some(&names[..64])).unwrap();
    let (_, bytes) = definition(&wants, &names[0]);
    assert_eq!(definition_length(&bytes), Some(MAX_DEFINITION_BYTES));
    assert_eq!(set_of(&DefinitionRef::parse(&bytes, LOG).unwrap()), wants);
    let none = FilterSet::new::<[&str; 0], _>([], None).unwrap();
    assert_eq!(definition(&none, "x").1.len(), DEFINITION_ALIGNMENT);
}

proptest! {
    #[test]
    fn a_flip_in_a_slot_word_is_seen(slot: u32, generation: u32, value in 0..=MAX_OFFSET) {
        let key = SlotKey::new(slot, generation);
        for word in WORDS {
            let packed = key.pack(word, value);
            prop_assert_eq!(key.unpack(word, packed), Some(value));
            prop_assert_eq!(packed >> 11, value);
            for bit in 0..64 {
                prop_assert_eq!(key.unpack(word, packed ^ (1 << bit)), None);
            }
        }
    }

    #[test]
    fn slot_numbers_round_trip(slot in 0..crate::options::MOST_CURSORS) {
        let (chunk, index) = place_of(slot).unwrap();
        prop_assert!(index < chunk_slots(chunk));
        prop_assert_eq!(slot_number(chunk, index), slot);
    }
}
