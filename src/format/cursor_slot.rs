//! Cursor slots: the words of a cursor's progress, and the chunks in which slots stand.

use super::bytes::{SECTOR, array, copies, crc, crc_after, put, u16_at, u32_at};
use crate::types::{LogId, MAX_OFFSET, to_usize};

const MAGIC: [u8; 8] = *b"WAKECUR\0";

const MAGIC_AT: usize = 0;
const VERSION_AT: usize = MAGIC_AT + 8;
const CHUNK_AT: usize = VERSION_AT + 2;
const SLOTS_AT: usize = CHUNK_AT + 2;
const LOG_AT: usize = SLOTS_AT + 4;
const CRC_AT: usize = LOG_AT + 16 + 28;
const RECORD: usize = CRC_AT + 4;
const _: () = assert!(RECORD == 64);

/// Bytes of the page that a chunk begins with.
pub(crate) const CHUNK_PAGE_BYTES: usize = 4_096;
/// Bytes of a slot: eight words.
pub(crate) const SLOT_BYTES: usize = 64;
/// How many chunks there may be; the last one has half a gigabyte.
pub(crate) const MAX_CHUNKS: u16 = 14;
/// Slots of the first chunk; each next one has twice as many.
const FIRST_CHUNK_SLOTS: u32 = 1_024;
const _: () = assert!(slot_number(MAX_CHUNKS, 0) >= crate::options::MOST_CURSORS);

/// How many slots a chunk has.
pub(crate) const fn chunk_slots(chunk: u16) -> u32 {
    FIRST_CHUNK_SLOTS << chunk
}

/// The length of a chunk's file.
pub(crate) const fn chunk_bytes(chunk: u16) -> usize {
    CHUNK_PAGE_BYTES + SLOT_BYTES * to_usize(chunk_slots(chunk))
}

/// The number over all chunks of a slot of this one.
pub(crate) const fn slot_number(chunk: u16, index: u32) -> u32 {
    chunk_slots(chunk) - FIRST_CHUNK_SLOTS + index
}

/// The chunk in which a slot stands, and its index there. `None` beyond the last chunk.
pub(crate) fn place_of(slot: u32) -> Option<(u16, u32)> {
    let chunk = (slot / FIRST_CHUNK_SLOTS + 1).ilog2();
    let chunk = u16::try_from(chunk)
        .ok()
        .filter(|chunk| *chunk < MAX_CHUNKS)?;
    Some((chunk, slot - slot_number(chunk, 0)))
}

/// Where in its chunk a slot begins, in bytes.
pub(crate) const fn slot_at(index: u32) -> usize {
    CHUNK_PAGE_BYTES + SLOT_BYTES * to_usize(index)
}

/// The page that a chunk begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkPage {
    pub(crate) log: LogId,
    pub(crate) chunk: u16,
}

/// Why a page is not that of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkFault {
    /// It does not begin as a chunk does.
    NotOurs,
    /// It is whole, and of a version that this release does not know.
    Newer(u16),
    /// Neither copy verifies.
    Damaged,
}

impl ChunkPage {
    pub(crate) fn page(&self) -> [u8; CHUNK_PAGE_BYTES] {
        let mut record = [0; RECORD];
        put(&mut record, MAGIC_AT, MAGIC);
        put(&mut record, VERSION_AT, super::VERSION.to_le_bytes());
        put(&mut record, CHUNK_AT, self.chunk.to_le_bytes());
        put(&mut record, SLOTS_AT, chunk_slots(self.chunk).to_le_bytes());
        put(&mut record, LOG_AT, self.log.0);
        let checksum = crc(&record[..CRC_AT]);
        put(&mut record, CRC_AT, checksum.to_le_bytes());
        let mut page = [0; CHUNK_PAGE_BYTES];
        for at in [0, SECTOR] {
            put(&mut page, at, record);
        }
        page
    }

    /// Reads whichever copy is good.
    pub(crate) fn parse(page: &[u8]) -> Result<ChunkPage, ChunkFault> {
        let mut fault = ChunkFault::NotOurs;
        for record in copies::<RECORD>(page) {
            match parse_record(record) {
                Ok(page) => return Ok(page),
                // A whole copy says more than a damaged one, and that more than a stranger.
                Err(newer @ ChunkFault::Newer(_)) => fault = newer,
                Err(ChunkFault::Damaged) if fault == ChunkFault::NotOurs => {
                    fault = ChunkFault::Damaged;
                }
                Err(_) => {}
            }
        }
        Err(fault)
    }
}

fn parse_record(record: &[u8; RECORD]) -> Result<ChunkPage, ChunkFault> {
    if array(record, MAGIC_AT) != MAGIC {
        return Err(ChunkFault::NotOurs);
    }
    if u32_at(record, CRC_AT) != crc(&record[..CRC_AT]) {
        return Err(ChunkFault::Damaged);
    }
    let version = u16_at(record, VERSION_AT);
    if version > super::VERSION {
        return Err(ChunkFault::Newer(version));
    }
    // Such a file does not come into a log of a version that is read.
    if version < super::OLDEST {
        return Err(ChunkFault::Damaged);
    }
    let chunk = u16_at(record, CHUNK_AT);
    if chunk >= MAX_CHUNKS || u32_at(record, SLOTS_AT) != chunk_slots(chunk) {
        return Err(ChunkFault::Damaged);
    }
    Ok(ChunkPage {
        log: LogId(array(record, LOG_AT)),
        chunk,
    })
}

/// Whose slot it is: words 0 to 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotHeader {
    /// Keyed hash of the cursor's name.
    pub(crate) hash: u64,
    /// Which use of the slot this is, 1 for the first.
    pub(crate) generation: u32,
}

const IN_USE: u64 = 1 << 32;

impl SlotHeader {
    /// Words 0 to 2, in the order in which they are to be stored.
    pub(crate) fn words(&self, log: LogId, slot: u32) -> [u64; 3] {
        let generation = u64::from(self.generation);
        let checksum = header_crc(log, slot, self.hash, generation);
        [self.hash, generation, IN_USE | u64::from(checksum)]
    }

    /// The header in words 0 to 2, if it verifies for this slot.
    pub(crate) fn parse(words: [u64; 3], log: LogId, slot: u32) -> Option<SlotHeader> {
        let [hash, generation, check] = words;
        let checksum = u64::from(header_crc(log, slot, hash, generation));
        // The reserved half of word 1 is under the checksum and not interpreted.
        let low = u32::try_from(generation & u64::from(u32::MAX)).ok()?;
        (check == IN_USE | checksum).then_some(SlotHeader {
            hash,
            generation: low,
        })
    }
}

fn header_crc(log: LogId, slot: u32, hash: u64, generation: u64) -> u32 {
    let bound = crc_after(crc(&log.0), &slot.to_le_bytes());
    crc_after(
        crc_after(bound, &hash.to_le_bytes()),
        &generation.to_le_bytes(),
    )
}

/// A word of progress in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotWord {
    /// The next offset that the consumer wants.
    Acked,
    /// An older `acked` that is known to be on disk.
    Saved,
    /// 0, or the end of a `Diverged` gap that was told and not acked yet.
    Kept,
    /// When the cursor was used last, UTC microseconds.
    Used,
    /// How long it lives unused, in microseconds; the word is 0 if it lives for ever.
    TimeToLive,
}

impl SlotWord {
    /// The number of the word in its slot.
    pub(crate) const fn number(self) -> u8 {
        match self {
            SlotWord::Acked => 3,
            SlotWord::Saved => 4,
            SlotWord::Kept => 5,
            SlotWord::Used => 6,
            SlotWord::TimeToLive => 7,
        }
    }

    const fn index(self) -> usize {
        match self {
            SlotWord::Acked => 0,
            SlotWord::Saved => 1,
            SlotWord::Kept => 2,
            SlotWord::Used => 3,
            SlotWord::TimeToLive => 4,
        }
    }
}

const CRC_BITS: u32 = 11;
const CRC_MASK: u16 = (1 << CRC_BITS) - 1;
const CRC_POLYNOMIAL: u16 = 0x385;
const CRC_INITIAL: u16 = 0x7ff;
const _: () = assert!(MAX_OFFSET == u64::MAX >> CRC_BITS);

/// `TABLES[k][b]`: the register of an empty CRC-11 after the byte `b` and then `7 - k` zero bytes.
///
/// A CRC is linear, so the checksum of a value is the exclusive or of one look-up per byte, which
/// the processor does side by side: an ack costs a few nanoseconds.
static TABLES: [[u16; 256]; 8] = tables();

#[expect(clippy::as_conversions, reason = "const, and all values are below 256")]
const fn tables() -> [[u16; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut register = step(0, byte as u8);
        let mut k = 8;
        while k > 0 {
            k -= 1;
            tables[k][byte] = register;
            register = step(register, 0);
        }
        byte += 1;
    }
    tables
}

/// One byte through the register, bit by bit.
#[expect(clippy::as_conversions, reason = "const; a byte as a wider number")]
const fn step(register: u16, byte: u8) -> u16 {
    let mut register = register ^ ((byte as u16) << (CRC_BITS - 8));
    let mut bit = 0;
    while bit < 8 {
        let carry = register >> (CRC_BITS - 1) & 1;
        register = (register << 1 & CRC_MASK) ^ (carry * CRC_POLYNOMIAL);
        bit += 1;
    }
    register
}

/// One byte through the register, by the table.
#[inline]
fn add(register: u16, byte: u8) -> u16 {
    let top = register >> (CRC_BITS - 8) ^ u16::from(byte);
    (register << 8 & CRC_MASK) ^ TABLES[7][usize::from(top)]
}

/// Eight bytes at once. Of the register itself, the upper eight bits are as the first byte to go
/// through, and the other three as the beginning of the second.
#[inline]
fn add_eight(register: u16, bytes: [u8; 8]) -> u16 {
    let [first, second] = [register >> 3, (register & 0b111) << 5].map(usize::from);
    let looked_up = bytes.into_iter().zip(&TABLES);
    looked_up.fold(
        TABLES[0][first] ^ TABLES[1][second],
        |all, (byte, table)| all ^ table[usize::from(byte)],
    )
}

/// What the words of one use of a slot are bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotKey {
    /// For each word, what slot, generation and word number add to the checksum of any value.
    bound: [u16; 5],
}

impl SlotKey {
    pub(crate) fn new(slot: u32, generation: u32) -> SlotKey {
        let place = u64::from(generation) << 32 | u64::from(slot);
        let place = add_eight(CRC_INITIAL, place.to_le_bytes());
        let words = [
            SlotWord::Acked,
            SlotWord::Saved,
            SlotWord::Kept,
            SlotWord::Used,
            SlotWord::TimeToLive,
        ];
        let bound = words.map(|word| {
            let register = add(place, word.number());
            // From an empty register the value 0 would give a word of zeros, and a word that was
            // never written must not verify.
            let register = if register == 0 { CRC_INITIAL } else { register };
            add_eight(register, [0; 8])
        });
        SlotKey { bound }
    }

    /// The word that says `value`, which is at most [`MAX_OFFSET`]. Words of one key and one kind
    /// compare as their values do.
    #[inline]
    pub(crate) fn pack(&self, word: SlotWord, value: u64) -> u64 {
        debug_assert!(value <= MAX_OFFSET, "{value} is no offset");
        value << CRC_BITS | u64::from(self.checksum(word, value))
    }

    /// The value of a word, if the word verifies. A word of zeros never does.
    #[inline]
    pub(crate) fn unpack(&self, word: SlotWord, packed: u64) -> Option<u64> {
        let value = packed >> CRC_BITS;
        let checksum = packed & u64::from(CRC_MASK);
        (checksum == u64::from(self.checksum(word, value))).then_some(value)
    }

    #[inline]
    fn checksum(&self, word: SlotWord, value: u64) -> u16 {
        let bytes = value.to_le_bytes().into_iter().zip(&TABLES);
        let looked_up = bytes.map(|(byte, table)| table[usize::from(byte)]);
        looked_up.fold(self.bound[word.index()], |all, part| all ^ part)
    }
}
