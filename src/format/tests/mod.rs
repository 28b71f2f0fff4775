//! Every structure: there and back, damaged in each bit, and read from arbitrary bytes.

mod bounds;
mod cursors;
mod files;
mod frames;
mod golden;

use super::skip::decode_skip;
use super::*;
use crate::options::Options;
use crate::types::{Epoch, LogId};
use proptest::prelude::*;

const LOG: LogId = LogId([7; 16]);

const OTHER: LogId = LogId([8; 16]);

const EPOCH: Epoch = Epoch {
    counter: 3,
    tag: 0x9c1e_22b7,
};

fn limits() -> Limits {
    Limits::new(&Options::new())
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[bit / 8] ^= 1 << (bit % 8);
    flipped
}

/// Calls `check` with the bytes once for each bit, that bit flipped.
fn for_each_flip(bytes: &[u8], mut check: impl FnMut(usize, &[u8])) {
    for bit in 0..bytes.len() * 8 {
        check(bit, &flipped(bytes, bit));
    }
}

/// A frame position.
const PLACE: usize = 4_104;

fn keys() -> Bound {
    context(&[3; 16], LOG, EPOCH).at(PLACE)
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..1_300)) {
        // As they are, and with the beginnings that lead deeper in.
        let magics: [&[u8]; 5] = [b"", b"WAKELOG\0", b"WAKESEG\0", b"WAKECUR\0", b"WDEF"];
        for magic in magics {
            let magic = &magic[..magic.len().min(bytes.len())];
            bytes[..magic.len()].copy_from_slice(magic);
            let _ = Meta::parse(&bytes);
            let _ = EpochRecord::parse(&bytes, LOG);
            let _ = Mark::parse_newest(&bytes, LOG);
            let _ = SegmentHeader::parse(&bytes);
            let _ = ChunkPage::parse(&bytes);
            let _ = DefinitionRef::parse(&bytes, LOG);
            if let Some(head) = decode_head(&bytes) {
                let _ = verify(&bytes, &head, keys());
                let _ = decode_epoch(&bytes, &head);
                let _ = decode_skip(&bytes, &head);
            }
        }
    }
}
