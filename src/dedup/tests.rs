//! The window beside a plain list, and the file with every bit flipped and at every length.

use super::{Draft, NAME, Window, read};
use crate::dir::{Directory, MemoryDir};
use crate::format::{ID_ENTRY_BYTES, IDS_HEADER, IdEntry, id_hash};
use crate::types::{Epoch, LogId};
use proptest::prelude::*;

const LOG: LogId = LogId([7; 16]);
const EPOCH: Epoch = Epoch {
    counter: 3,
    tag: 0x9c1e_22b7,
};

fn entry(hash: u64, offset: u64) -> IdEntry {
    IdEntry { hash, offset }
}

/// Hashes that crowd in a few places of the table, its end among them, and repeat.
fn crowded() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..6_u64,
        (u64::MAX - 4)..=u64::MAX,
        (0..4_u64).prop_map(|part| part << 62),
        any::<u64>(),
    ]
}

proptest! {
    #[test]
    fn a_window_is_the_end_of_a_list(
        most in 1..12_u32,
        hashes in proptest::collection::vec((crowded(), 1..3_u64), 0..80),
    ) {
        let mut window = Window::new(most, 0);
        let mut list: Vec<IdEntry> = Vec::new();
        let mut offset = 0;
        for (hash, step) in hashes {
            offset += step;
            window.insert(entry(hash, offset));
            list.push(entry(hash, offset));
            let kept = list.len().saturating_sub(usize::try_from(most).unwrap());
            let since = kept.checked_sub(1).map_or(0, |last| list[last].offset + 1);
            for known in &list {
                let mut found: Vec<u64> = window.find(known.hash).collect();
                found.sort_unstable();
                let last = list[kept..].iter().filter(|other| other.hash == known.hash);
                prop_assert_eq!(found, last.map(|other| other.offset).collect::<Vec<_>>());
            }
            let mut below = offset + 1;
            let mut copied = Vec::new();
            loop {
                let (part, next) = window.below(below, 3);
                copied.extend_from_slice(&part);
                below = next;
                if part.len() < 3 {
                    break;
                }
            }
            copied.reverse();
            prop_assert_eq!((&copied[..], below), (&list[kept..], since));
        }
    }
}

fn write(dir: &MemoryDir, entries: &[IdEntry], since: u64, until: u64) {
    let mut draft = Draft::begin(dir, LOG).unwrap();
    entries.chunks(2).for_each(|part| draft.add(part).unwrap());
    draft.finish(since, until, EPOCH).unwrap();
}

fn five() -> Vec<IdEntry> {
    let hash = |offset: u64| id_hash(&[9; 16], Some("alice"), &offset.to_string());
    [21, 20, 14, 9, 4]
        .map(|offset| entry(hash(offset), offset))
        .into()
}

fn bytes(dir: &MemoryDir) -> Vec<u8> {
    let file = dir.open_file(NAME, false).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn a_file_says_what_was_written_and_a_smaller_window_takes_the_newest() {
    let dir = MemoryDir::new();
    assert_eq!(read(&dir, LOG, 8).unwrap(), None);
    write(&dir, &five(), 2, 30);
    assert_eq!(bytes(&dir).len(), IDS_HEADER + 5 * ID_ENTRY_BYTES);
    for most in [5, 8, 1 << 24] {
        let saved = read(&dir, LOG, most).unwrap().unwrap();
        assert_eq!(saved.entries, five());
        assert_eq!((saved.since, saved.until, saved.epoch), (2, 30, EPOCH));
    }
    let saved = read(&dir, LOG, 2).unwrap().unwrap();
    assert_eq!((&saved.entries[..], saved.since), (&five()[..2], 15));
    assert_eq!(read(&dir, LogId([8; 16]), 8).unwrap(), None);
    write(&dir, &[], 40, 40);
    let saved = read(&dir, LOG, 8).unwrap().unwrap();
    assert_eq!((saved.entries, saved.since, saved.until), (vec![], 40, 40));
}

/// It is read in parts of 4,096 entries.
#[test]
fn a_file_of_several_parts_comes_back_whole() {
    let dir = MemoryDir::new();
    for count in [4_095, 4_096, 4_097, 10_000] {
        let entries: Vec<_> = (0..count).rev().map(|n| entry(n * 77, n)).collect();
        let mut draft = Draft::begin(&dir, LOG).unwrap();
        draft.add(&entries).unwrap();
        draft.finish(0, count, EPOCH).unwrap();
        let saved = read(&dir, LOG, u32::MAX).unwrap().unwrap();
        assert_eq!(saved.entries, entries);
    }
}

#[test]
fn no_flipped_bit_and_no_cut_is_believed() {
    let dir = MemoryDir::new();
    write(&dir, &five(), 2, 30);
    let good = bytes(&dir);
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        dir.write(NAME, &bad);
        assert_eq!(read(&dir, LOG, 8).unwrap(), None, "bit {bit}");
    }
    for length in 0..good.len() {
        dir.unlink(NAME).unwrap();
        dir.write(NAME, &good[..length]);
        assert_eq!(read(&dir, LOG, 8).unwrap(), None, "{length} bytes");
    }
    dir.write(NAME, &[&good[..], &[0]].concat());
    assert_eq!(read(&dir, LOG, 8).unwrap(), None);
}

#[test]
fn entries_out_of_order_or_of_bounds_are_not_believed() {
    let dir = MemoryDir::new();
    let e = entry;
    for (entries, since, until) in [
        (vec![e(1, 4), e(2, 5)], 0, 9),
        (vec![e(1, 4), e(2, 4)], 0, 9),
        (vec![e(1, 9)], 0, 9),
        (vec![e(1, 4)], 5, 9),
        (vec![], 10, 9),
        (vec![], 0, u64::MAX),
    ] {
        write(&dir, &entries, since, until);
        assert_eq!(read(&dir, LOG, 8).unwrap(), None, "{entries:?}");
    }
}

#[test]
fn a_write_that_fails_leaves_the_file_from_before() {
    let dir = MemoryDir::new();
    write(&dir, &five(), 2, 30);
    let good = bytes(&dir);
    dir.fail_syncs(1, rustix::io::Errno::IO, false);
    let mut draft = Draft::begin(&dir, LOG).unwrap();
    draft.add(&five()[..1]).unwrap();
    assert!(draft.finish(2, 40, EPOCH).is_err());
    assert_eq!(bytes(&dir), good);
    write(&dir, &five()[..1], 2, 40);
    assert_eq!(read(&dir, LOG, 8).unwrap().unwrap().until, 40);
}

#[test]
fn sender_and_id_are_apart() {
    let hash = |from, id| id_hash(&[9; 16], from, id);
    let all = [
        hash(None, "ab"),
        hash(Some(""), "ab"),
        hash(Some("a"), "b"),
        hash(Some("ab"), ""),
        hash(Some("b"), "a"),
        id_hash(&[8; 16], None, "ab"),
    ];
    let mut apart = all.to_vec();
    apart.sort_unstable();
    apart.dedup();
    assert_eq!(apart.len(), all.len());
}
