//! The bytes of every structure, spelled out, so that the format cannot drift unnoticed.
//!
//! The hex was made from `docs/format.md` by other means than this crate. When the format changes
//! on purpose, its version does too, and new bytes go beside these.

use crate::format::skip::{Skip, SkipReason};
use crate::format::*;
use crate::types::{Epoch, FilterSet, LogId, MAX_OFFSET, NewEvent};

const LOG: LogId = LogId([
    16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
]);
const SECRET: [u8; 16] = [
    32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47,
];
const SALT: [u8; 16] = [
    48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63,
];
const EPOCH: Epoch = Epoch {
    counter: 3,
    tag: 0x9c1e_22b7,
};
const TIME: u64 = 1_700_000_000_000_000;

const META: &str = "\
    57414b454c4f47000100010000000000101112131415161718191a1b1c1d1e1f\
    202122232425262728292a2b2c2d2e2f00401e18240a0600000000003b823ae0";
const EPOCH_RECORD: &str = "\
    03000000b7221e9c120400000000000000401e18240a06000000000000000000\
    000000000000000000000000000000000000000000000000000000002e0e22dc";
const MARK: &str = "\
    07000000000000001204000000000000e8030000000000000000010000000000\
    03000000b7221e9c010000000000000000401e18240a0600000000008118f41f";
const SEGMENT: &str = "\
    57414b45534547000100000000001000101112131415161718191a1b1c1d1e1f\
    303132333435363738393a3b3c3d3e3f00401e18240a060000000000d1d4bc55\
    120400000000000003000000b7221e9ce8030000000000000020000001000000\
    00401e18240a06000000000000000000f3fc6b7101000000";
const EVENT: &str = "\
    5f00000034236ba4120400000000000000401e18240a06000100000001000000\
    010000001d001900020107726f6f6d2e343207726f6f6d2e343306757365722e\
    370106006a6f696e656402040061316633030500616c696365c8020000ff78";
const BATCH: &str = "\
    76000000cda74c5f120400000000000000401e18240a06000200000002000000\
    0500000000000a00010007726f6f6d2e343268656c6c6f010000001d00190002\
    0107726f6f6d2e343207726f6f6d2e343306757365722e370106006a6f696e65\
    6402040061316633030500616c696365c8020000ff78";
const EPOCH_FRAME: &str = "\
    30000000c4dcda82120400000000000000401e18240a06000000000003000000\
    03000000b7221e9c00401e18240a0600";
const SKIP_FRAME: &str = "\
    300000008820273a120400000000000000401e18240a06000000000004000000\
    d0070000000000000200000000000000";
const CHUNK: &str = "\
    57414b45435552000100030000200000101112131415161718191a1b1c1d1e1f\
    00000000000000000000000000000000000000000000000000000000920f59e9";
const SLOT: &str = "\
    6e9ca216cee9f50f0200000000000000610c6e0b01000000a8f9ffffffffffff\
    1b92200000000000080000000000000000000000000000000000000000000000";
const DEFINITION: &str = "\
    574445464900000058ae2adb05000000120400000200000000401e18240a0600\
    00879303000000000101050002000100616c69636506757365722e3706726f6f\
    6d2e2a05616c6963650000000000000000000000000000000000000000000000\
    0000000000000000000000000000000000000000000000000000000000000000";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn meta() {
    let meta = Meta {
        version: VERSION,
        kind: MetaKind::Own,
        log: LOG,
        secret: SECRET,
        created: TIME,
    };
    let file = meta.to_bytes();
    assert_eq!(hex(&file[..64]), META);
    assert_eq!(file[..64], file[512..576]);
    assert!(
        file[64..512]
            .iter()
            .chain(&file[576..])
            .all(|byte| *byte == 0)
    );
    assert_eq!(file.len(), 1_024);
}

#[test]
fn epoch_record() {
    let record = EpochRecord {
        epoch: EPOCH,
        first: 1_042,
        began: TIME,
    };
    assert_eq!(hex(&record.to_bytes(LOG)), EPOCH_RECORD);
}

#[test]
fn mark() {
    let (epoch, time) = (EPOCH, TIME);
    let mark = Mark {
        sequence: 7,
        offset: 1_042,
        base: 1_000,
        position: 65_536,
        epoch,
        time,
        closed: true,
    };
    assert_eq!(hex(&mark.slot_bytes(LOG)), MARK);
    assert_eq!((Mark::slot_at(6), Mark::slot_at(7)), (0, 512));
}

#[test]
fn segment_header() {
    let making = Making {
        log: LOG,
        salt: SALT,
        bytes: 1 << 20,
        made: TIME,
    };
    let previous = Some((1_000, 8_192));
    let activation = Activation {
        base: 1_042,
        epoch: EPOCH,
        previous,
        cut: true,
        mirror: false,
        time: TIME,
    };
    let mut page = making.page();
    assert_eq!(hex(&page[..64]), SEGMENT[..128]);
    for (at, word) in activation_words(&making, &activation) {
        page[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    assert_eq!(hex(&page[..120]), SEGMENT);
    assert_eq!(page[..512], page[512..1_024]);
    assert!(
        page[120..512]
            .iter()
            .chain(&page[1_024..])
            .all(|byte| *byte == 0)
    );
    assert_eq!(page.len(), 4_096);

    let first = Activation {
        base: 0,
        previous: None,
        ..activation
    };
    let words: Vec<_> = activation_words(&making, &first).collect();
    assert_eq!(words[2], (80, u64::MAX));
    assert_eq!(words[3], (88, 1 << 32));
}

fn plain() -> NewEvent<'static> {
    NewEvent::new("room.42", b"hello")
}

fn rich() -> NewEvent<'static> {
    let event = NewEvent::new("room.42", b"x")
        .also_to("room.43")
        .not_to("user.7");
    event
        .name("joined")
        .id("a1f3")
        .from("alice")
        .attribute(200, b"\0\xff")
}

#[test]
fn frames() {
    let limits = Limits::new(&crate::options::Options::new());
    let mut buffer = FrameBuffer::new();
    let sealed = |buffer: &mut FrameBuffer| {
        hex(&buffer.seal(1_042, TIME, context(&SALT, LOG, EPOCH).at(4_104)))
    };
    buffer.event(&rich(), &limits).unwrap();
    assert_eq!(sealed(&mut buffer), EVENT);
    buffer.batch([plain(), rich()], &limits).unwrap();
    assert_eq!(sealed(&mut buffer), BATCH);
    buffer.epoch(EPOCH, TIME);
    assert_eq!(sealed(&mut buffer), EPOCH_FRAME);
    buffer.skip(Skip {
        to: 2_000,
        reason: SkipReason::Trimmed,
    });
    assert_eq!(sealed(&mut buffer), SKIP_FRAME);
}

#[test]
fn cursor_slot() {
    let page = ChunkPage { log: LOG, chunk: 3 }.page();
    assert_eq!(hex(&page[..64]), CHUNK);
    assert_eq!(page[..64], page[512..576]);

    let hash = name_hash(&SECRET, "alice");
    let mut slot = SlotHeader {
        hash,
        generation: 2,
    }
    .words(LOG, 1_042)
    .to_vec();
    let key = SlotKey::new(1_042, 2);
    slot.push(key.pack(SlotWord::Acked, MAX_OFFSET));
    slot.push(key.pack(SlotWord::Saved, 1_042));
    slot.push(key.pack(SlotWord::Kept, 0));
    slot.extend([0; 2]);
    let bytes: Vec<u8> = slot.into_iter().flat_map(u64::to_le_bytes).collect();
    assert_eq!(hex(&bytes), SLOT);
}

#[test]
fn a_register_of_zero_before_the_value() {
    // Slot 1983 is the first whose `acked` of generation 1 meets the exception.
    assert_eq!(SlotKey::new(1983, 1).pack(SlotWord::Acked, 0), 883);
}

#[test]
fn definition() {
    let identities = [String::from("alice")];
    let wants = FilterSet::new(["room.*", "user.7"], Some(&identities)).unwrap();
    let kind = DefinitionKind::InUse;
    let head = DefinitionHead {
        id: 5,
        slot: 1_042,
        generation: 2,
        time: TIME,
        time_to_live: 60_000_000,
        kind,
    };
    let mut bytes = Vec::new();
    head.encode("alice", &wants, LOG, &mut bytes);
    assert_eq!(hex(&bytes), DEFINITION);
}
