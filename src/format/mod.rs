//! Bytes to values and back, as `docs/format.md` has them. Pure: no I/O, no clock, no randomness.
//!
//! Whatever comes from a disk goes through a `parse` or `decode` that gives a typed value or says
//! why there is none; no bytes make it panic. All places of fields are chains of constants, and
//! the sizes are proved when the crate compiles.

mod bytes;
mod cursor_slot;
mod definition;
mod epoch_record;
mod frame;
mod frame_buffer;
mod ids;
mod index_header;
mod mark;
mod meta;
mod name_hash;
mod record;
mod segment_header;
mod skip;
#[cfg(test)]
mod tests;
mod varint;

pub(crate) use bytes::{SECTOR, crc};
pub(crate) use cursor_slot::{
    CHUNK_PAGE_BYTES, ChunkFault, ChunkPage, MAX_CHUNKS, SLOT_BYTES, SlotHeader, SlotKey, SlotWord,
    chunk_bytes, chunk_slots, place_of, slot_at, slot_number,
};
pub(crate) use definition::{
    DEFINITION_ALIGNMENT, DEFINITION_HEADER, DefinitionHead, DefinitionKind, DefinitionRef,
    MAX_DEFINITION_BYTES, definition_length, definition_padded,
};
pub(crate) use epoch_record::{EPOCH_RECORD_BYTES, EpochRecord};
pub(crate) use frame::{
    Bound, Context, FRAME_HEADER, FrameHead, FrameKind, context, decode_epoch, decode_head, padded,
    read_head, verify,
};
pub(crate) use frame_buffer::{FrameBuffer, FrameId, Limits};
pub(crate) use ids::{EntriesCrc, ID_ENTRY_BYTES, IDS_HEADER, IdEntry, IdsHead, id_hash};
pub(crate) use index_header::{INDEX_HEADER, IndexEpoch, IndexHeader, IndexPlace};
pub(crate) use mark::{MARK_FILE_BYTES, Mark};
pub(crate) use meta::{META_BYTES, Meta, MetaFault, MetaKind};
pub(crate) use name_hash::name_hash;
pub(crate) use record::{RecordRef, records_are_whole};
pub(crate) use segment_header::{
    Activation, HEADER_BYTES, HeaderFault, MAX_SEGMENT_BYTES, Making, SHARED_END_AT, SegmentHeader,
    activation_words,
};
pub(crate) use skip::{Skip, SkipReason, decode_skip};
pub(crate) use varint::{pass_varint, put_varint, take_varint};

/// The format version that this release writes, and the highest that it reads.
pub(crate) const VERSION: u16 = 1;
/// The lowest that it reads: what had version 0 was not fixed, and differs.
pub(crate) const OLDEST: u16 = 1;
