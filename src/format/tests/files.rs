//! The records that stand by themselves: meta, epochs, mark, segment header.

use super::{EPOCH, LOG, OTHER, for_each_flip};
use crate::format::bytes::SECTOR;
use crate::format::segment_header::{MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES};
use crate::format::*;
use crate::types::MAX_OFFSET;

fn meta() -> Meta {
    let secret = [9; 16];
    Meta {
        version: VERSION,
        kind: MetaKind::Own,
        log: LOG,
        secret,
        created: 1_700_000_000_000_000,
    }
}

#[test]
fn meta_survives_any_flip_and_the_loss_of_a_sector() {
    for kind in [MetaKind::Own, MetaKind::Mirror] {
        let meta = Meta { kind, ..meta() };
        assert_eq!(Meta::parse(&meta.to_bytes()), Ok(meta));
    }
    for_each_flip(&meta().to_bytes(), |_, bytes| {
        assert_eq!(Meta::parse(bytes), Ok(meta()))
    });
    for at in [0, SECTOR] {
        let mut bytes = meta().to_bytes();
        bytes[at..at + SECTOR].fill(0xff);
        assert_eq!(Meta::parse(&bytes), Ok(meta()));
        // With one copy left each flip in it is seen, and one elsewhere does not matter.
        for_each_flip(&bytes, |bit, bytes| {
            let in_record = (SECTOR - at..SECTOR - at + 64).contains(&(bit / 8));
            assert_eq!(
                Meta::parse(bytes).ok(),
                (!in_record).then(meta),
                "bit {bit}"
            );
        });
    }
    let shown = format!("{:?}", meta());
    assert!(shown.contains("created") && !shown.contains('9'), "{shown}");
}

#[test]
fn meta_says_why_there_is_none() {
    assert_eq!(Meta::parse(&[]), Err(MetaFault::NotOurs));
    assert_eq!(Meta::parse(&[0; META_BYTES]), Err(MetaFault::NotOurs));
    let newer = Meta {
        version: 7,
        ..meta()
    };
    assert_eq!(Meta::parse(&newer.to_bytes()), Err(MetaFault::Newer(7)));
    let older = Meta {
        version: 0,
        ..meta()
    };
    assert_eq!(Meta::parse(&older.to_bytes()), Err(MetaFault::Older(0)));
    let mut damaged = meta().to_bytes();
    damaged[20] ^= 1;
    damaged[SECTOR + 30] ^= 1;
    assert_eq!(Meta::parse(&damaged), Err(MetaFault::Damaged));
    assert_eq!(
        Meta::parse(&meta().to_bytes()[..64]),
        Ok(meta()),
        "a short file has one copy"
    );
}

#[test]
fn epoch_records_are_bound_to_their_log() {
    let record = EpochRecord {
        epoch: EPOCH,
        first: MAX_OFFSET,
        began: u64::MAX,
    };
    let bytes = record.to_bytes(LOG);
    assert_eq!(EpochRecord::parse(&bytes, LOG), Some(record));
    assert_eq!(EpochRecord::parse(&bytes, OTHER), None);
    assert_eq!(EpochRecord::parse(&bytes[..63], LOG), None);
    for_each_flip(&bytes, |_, bytes| {
        assert_eq!(EpochRecord::parse(bytes, LOG), None)
    });
    let beyond = EpochRecord {
        first: MAX_OFFSET + 1,
        ..record
    };
    assert_eq!(EpochRecord::parse(&beyond.to_bytes(LOG), LOG), None);
}

fn mark(sequence: u64) -> Mark {
    let (offset, position, time) = (5_000 + sequence, 65_536, 1_700_000_000_000_000);
    Mark {
        sequence,
        offset,
        base: 4_000,
        position,
        epoch: EPOCH,
        time,
        closed: sequence == 8,
    }
}

fn mark_file(sequences: [u64; 2]) -> Vec<u8> {
    let mut file = vec![0; MARK_FILE_BYTES];
    for sequence in sequences {
        let at = usize::try_from(Mark::slot_at(sequence)).unwrap();
        file[at..at + 64].copy_from_slice(&mark(sequence).slot_bytes(LOG));
    }
    file
}

#[test]
fn the_newest_mark_that_verifies_holds() {
    for newest in [7, 8] {
        let file = mark_file([newest - 1, newest]);
        assert_eq!(Mark::parse_newest(&file, LOG), Some(mark(newest)));
        assert_eq!(Mark::parse_newest(&file, OTHER), None);
        let newest_at = usize::try_from(Mark::slot_at(newest)).unwrap();
        for_each_flip(&file, |bit, bytes| {
            let hit = (newest_at..newest_at + 64).contains(&(bit / 8));
            let expected = if hit { mark(newest - 1) } else { mark(newest) };
            assert_eq!(Mark::parse_newest(bytes, LOG), Some(expected), "bit {bit}");
        });
    }
    assert_eq!(
        Mark::parse_newest(&mark_file([6, 7])[..64], LOG),
        Some(mark(6))
    );
    assert_eq!(Mark::parse_newest(&[0; MARK_FILE_BYTES], LOG), None);
    assert_eq!(Mark::parse_newest(&[], LOG), None);
}

#[test]
fn a_mark_in_the_slot_of_the_other_does_not_count() {
    let mut file = mark_file([6, 7]);
    file.copy_within(0..64, SECTOR);
    assert_eq!(Mark::parse_newest(&file, LOG), Some(mark(6)));
    file[..64].fill(0);
    assert_eq!(Mark::parse_newest(&file, LOG), None);
    let wrong = Mark {
        base: 9_000,
        ..mark(6)
    };
    assert_eq!(Mark::parse_newest(&wrong.slot_bytes(LOG), LOG), None);
}

fn making() -> Making {
    Making {
        log: LOG,
        salt: [3; 16],
        bytes: 1 << 20,
        made: 1_700_000_000_000_000,
    }
}

fn activation() -> Activation {
    let previous = Some((1_000, 8_192));
    Activation {
        base: 2_000,
        epoch: EPOCH,
        previous,
        cut: true,
        mirror: false,
        time: 1_700_000_000_000_001,
    }
}

fn activated(making: &Making, activation: &Activation, words: usize) -> Vec<u8> {
    let mut page = making.page().to_vec();
    for (at, word) in activation_words(making, activation).take(words) {
        page[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    page
}

#[test]
fn a_header_comes_back_whatever_bit_is_flipped() {
    let first = Activation {
        previous: None,
        cut: false,
        mirror: false,
        ..activation()
    };
    for activation in [activation(), first] {
        let page = activated(&making(), &activation, 14);
        let header = SegmentHeader {
            making: making(),
            activation: Some(activation),
        };
        for_each_flip(&page[..2_048], |_, bytes| {
            assert_eq!(SegmentHeader::parse(bytes).as_ref(), Ok(&header));
        });
    }
}

#[test]
fn with_one_copy_left_each_flip_is_seen() {
    let page = activated(&making(), &activation(), 14);
    for lost in [0, SECTOR] {
        let mut bytes = page[..SHARED_END_AT].to_vec();
        bytes[lost..lost + SECTOR].fill(0);
        let good = SegmentHeader {
            making: making(),
            activation: Some(activation()),
        };
        assert_eq!(SegmentHeader::parse(&bytes), Ok(good.clone()));
        for_each_flip(&bytes, |bit, bytes| {
            let found = SegmentHeader::parse(bytes);
            match (bit / 8).checked_sub(SECTOR - lost) {
                Some(0..64) => assert!(found.is_err(), "bit {bit}"),
                Some(64..120) => assert_eq!(found.unwrap().activation, None, "bit {bit}"),
                _ => assert_eq!(found, Ok(good.clone()), "bit {bit}"),
            }
        });
    }
}

#[test]
fn an_activation_counts_when_its_last_word_is_stored() {
    for words in 0..=14 {
        let header = SegmentHeader::parse(&activated(&making(), &activation(), words)).unwrap();
        let expected = (words >= 7).then(activation);
        assert_eq!(header.activation, expected, "after {words} words");
    }
    // The activation of another segment does not fit.
    let mut page = making().page();
    let stranger = Making {
        salt: [4; 16],
        ..making()
    };
    for (at, word) in activation_words(&stranger, &activation()) {
        page[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    assert_eq!(SegmentHeader::parse(&page).unwrap().activation, None);
}

#[test]
fn a_header_says_why_there_is_none() {
    assert_eq!(
        SegmentHeader::parse(&[0; HEADER_BYTES]),
        Err(HeaderFault::Zero)
    );
    assert_eq!(SegmentHeader::parse(&[]), Err(HeaderFault::Zero));
    assert_eq!(
        SegmentHeader::parse(&[1; HEADER_BYTES]),
        Err(HeaderFault::NotOurs)
    );
    let mut page = making().page();
    page[20] ^= 1;
    page[SECTOR + 20] ^= 1;
    assert_eq!(SegmentHeader::parse(&page), Err(HeaderFault::Damaged));
    for bytes in [MIN_SEGMENT_BYTES - 1, MAX_SEGMENT_BYTES + 1, 0, u32::MAX] {
        let page = Making { bytes, ..making() }.page();
        assert_eq!(
            SegmentHeader::parse(&page),
            Err(HeaderFault::Damaged),
            "{bytes} bytes"
        );
    }
    let mut newer = making().page();
    for at in [0, SECTOR] {
        newer[at + 8] = 5;
        let checksum = crc32fast::hash(&newer[at..at + 60]);
        newer[at + 60..at + 64].copy_from_slice(&checksum.to_le_bytes());
    }
    assert_eq!(SegmentHeader::parse(&newer), Err(HeaderFault::Newer(5)));
}

#[test]
fn an_activation_that_cannot_be_is_none() {
    for wrong in [
        Activation {
            base: MAX_OFFSET + 1,
            ..activation()
        },
        Activation {
            previous: Some((2_001, 8_192)),
            ..activation()
        },
        Activation {
            previous: Some((1_000, 4_095)),
            ..activation()
        },
        Activation {
            previous: Some((1_000, 8_193)),
            ..activation()
        },
        Activation {
            previous: Some((1_000, MAX_SEGMENT_BYTES + 8)),
            ..activation()
        },
    ] {
        let page = activated(&making(), &wrong, 14);
        assert_eq!(
            SegmentHeader::parse(&page).unwrap().activation,
            None,
            "{wrong:?}"
        );
    }
}
