//! What cannot be is nothing, though its checksum fits: a checksum says that bytes are as they were
//! written, not that this release writes such bytes.

use super::{EPOCH, LOG, PLACE, for_each_flip, keys, limits};
use crate::format::bytes::{SECTOR, crc_in_log};
use crate::format::*;
use crate::types::{FilterSet, NewEvent};

/// The checksum of the first bytes, behind them.
fn with_checksum(record: &mut [u8], at: usize) {
    let checksum = crc(&record[..at]);
    record[at..at + 4].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn a_frame_of_another_length_is_none_where_place_and_length_make_up_for_each_other() {
    let mut buffer = FrameBuffer::new();
    buffer
        .event(&NewEvent::new("a", b"payload"), &limits())
        .unwrap();
    let frame = buffer.seal(1_000, 7, keys());
    let head = decode_head(&frame).unwrap();
    assert!(verify(&frame, &head, keys()));
    // Length and place are folded into one number, so that one can undo the other.
    let other = FrameHead {
        length: head.length ^ 8,
        ..head
    };
    let elsewhere = context(&[3; 16], LOG, EPOCH).at(PLACE ^ 8);
    assert!(!verify(&frame, &other, elsewhere));
}

/// A record that begins twice, the first copy whole but of version 9, the second damaged.
fn newer_and_damaged(page: &[u8]) -> Vec<u8> {
    let mut page = page.to_vec();
    page[8] = 9;
    with_checksum(&mut page, 60);
    page[SECTOR + 20] ^= 1;
    page
}

#[test]
fn a_newer_copy_is_told_whatever_the_other_one_is() {
    let making = Making {
        log: LOG,
        salt: [3; 16],
        bytes: 1 << 20,
        made: 7,
    };
    let segment = newer_and_damaged(&making.page());
    assert_eq!(SegmentHeader::parse(&segment), Err(HeaderFault::Newer(9)));
    let chunk = ChunkPage { log: LOG, chunk: 3 };
    let chunk = newer_and_damaged(&chunk.page());
    assert_eq!(ChunkPage::parse(&chunk), Err(ChunkFault::Newer(9)));
    let meta = Meta {
        version: VERSION,
        kind: MetaKind::Own,
        log: LOG,
        secret: [9; 16],
        created: 7,
    };
    let meta = newer_and_damaged(&meta.to_bytes());
    assert_eq!(Meta::parse(&meta), Err(MetaFault::Newer(9)));
}

#[test]
fn a_chunk_of_cursors_that_cannot_be_is_none() {
    let last = ChunkPage {
        log: LOG,
        chunk: MAX_CHUNKS - 1,
    };
    assert_eq!(ChunkPage::parse(&last.page()), Ok(last));
    let beyond = ChunkPage {
        log: LOG,
        chunk: MAX_CHUNKS,
    };
    assert_eq!(ChunkPage::parse(&beyond.page()), Err(ChunkFault::Damaged));
}

#[test]
fn a_segment_of_a_mirror_that_begins_behind_a_cut_comes_back() {
    let making = Making {
        log: LOG,
        salt: [3; 16],
        bytes: 1 << 20,
        made: 7,
    };
    let activation = Activation {
        base: 2_000,
        epoch: EPOCH,
        previous: Some((1_000, 8_192)),
        cut: true,
        mirror: true,
        time: 8,
    };
    let mut page = making.page();
    for (at, word) in activation_words(&making, &activation) {
        page[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    let found = SegmentHeader::parse(&page).unwrap();
    assert_eq!(found.activation, Some(activation));
}

#[test]
fn the_header_of_an_index_is_whole_and_of_this_version_or_none() {
    let header = IndexHeader {
        log: LOG,
        salt: [3; 16],
        base: 1_000,
        from: 4_096,
        covers: 65_536,
        last: (65_000, 0x1234_5678),
        next: 2_000,
        events: 900,
        tables: (512, 1_024, 0x9abc_def0),
        epochs: 1,
        places: 2,
        blocks: 3,
    };
    let good = header.encode();
    assert_eq!(IndexHeader::parse(&good), Some(header));
    for_each_flip(&good, |bit, bytes| {
        assert_eq!(IndexHeader::parse(bytes), None, "bit {bit}");
    });
    for (at, what) in [(0, "another magic"), (8, "another version")] {
        let mut other = good;
        other[at] ^= 1;
        with_checksum(&mut other, 60);
        let second = crc(&other[60..124]);
        other[124..].copy_from_slice(&second.to_le_bytes());
        assert_eq!(IndexHeader::parse(&other), None, "{what}");
    }
}

/// A definition named `x` with as many filters and identities, `a` each.
fn definition(filters: u16, identities: u16) -> Vec<u8> {
    let head = DefinitionHead {
        id: 5,
        slot: 1_042,
        generation: 2,
        time: 7,
        time_to_live: 9,
        kind: DefinitionKind::InUse,
    };
    let wants = FilterSet::new(["a"], Some(&[String::from("a")])).unwrap();
    let mut bytes = Vec::new();
    head.encode("x", &wants, LOG, &mut bytes);
    bytes.truncate(DEFINITION_HEADER + 1);
    for _ in 0..filters + identities {
        bytes.extend_from_slice(b"\x01a");
    }
    let length = u32::try_from(bytes.len()).unwrap();
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    bytes[44..46].copy_from_slice(&filters.to_le_bytes());
    bytes[46..48].copy_from_slice(&identities.to_le_bytes());
    let checksum = crc_in_log(LOG, &bytes[12..]);
    bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[test]
fn a_definition_with_too_many_names_is_none() {
    let largest = definition(1_024, 64);
    let parsed = DefinitionRef::parse(&largest, LOG).unwrap();
    assert_eq!(parsed.filters.count(), 1_024);
    assert_eq!(parsed.identities.unwrap().count(), 64);
    assert_eq!(parsed.bytes(), largest.len());
    assert_eq!(DefinitionRef::parse(&definition(1_025, 64), LOG), None);
    assert_eq!(DefinitionRef::parse(&definition(1_024, 65), LOG), None);
}

/// A record of no payload to topics and not to identities, `a` each.
fn record(topics: u8, not_to: u8) -> Vec<u8> {
    let names = usize::from(topics) + usize::from(not_to);
    let audience = u16::try_from(2 + 2 * names).unwrap();
    let mut bytes = vec![0; 6];
    bytes.extend(audience.to_le_bytes());
    bytes.extend([topics, not_to]);
    bytes.extend(b"\x01a".repeat(names));
    bytes
}

#[test]
fn an_audience_has_its_bounds() {
    for (topics, not_to, fine) in [
        (1, 0, true),
        (16, 16, true),
        (0, 1, false),
        (17, 0, false),
        (17, 17, false),
        (1, 17, false),
    ] {
        let bytes = record(topics, not_to);
        let found = RecordRef::parse(&bytes).is_some();
        assert_eq!(found, fine, "{topics} topics, not to {not_to}");
    }
}
