//! `cursors.defs`: the name, the filters and the identities of each cursor.

use super::bytes::{array, crc_in_log, put, u16_at, u32_at, u64_at};
use super::record::{Names, take_names};
use crate::types::{FilterSet, LogId, MAX_FILTERS, MAX_IDENTITIES, MAX_NAME_BYTES, to_usize};

const MAGIC: [u8; 4] = *b"WDEF";

const MAGIC_AT: usize = 0;
const LENGTH_AT: usize = MAGIC_AT + 4;
const CRC_AT: usize = LENGTH_AT + 4;
/// From here on the record is under the checksum.
const ID_AT: usize = CRC_AT + 4;
const SLOT_AT: usize = ID_AT + 4;
const GENERATION_AT: usize = SLOT_AT + 4;
const TIME_AT: usize = GENERATION_AT + 4;
const TIME_TO_LIVE_AT: usize = TIME_AT + 8;
const KIND_AT: usize = TIME_TO_LIVE_AT + 8;
const FLAGS_AT: usize = KIND_AT + 1;
const NAME_BYTES_AT: usize = FLAGS_AT + 1;
const FILTERS_AT: usize = NAME_BYTES_AT + 2;
const IDENTITIES_AT: usize = FILTERS_AT + 2;
/// Bytes in front of the name.
pub(crate) const DEFINITION_HEADER: usize = IDENTITIES_AT + 2;
const _: () = assert!(DEFINITION_HEADER == 48 && TIME_AT == 24);

/// A record begins at a multiple of this.
pub(crate) const DEFINITION_ALIGNMENT: usize = 64;
/// The longest record, without padding.
pub(crate) const MAX_DEFINITION_BYTES: usize =
    DEFINITION_HEADER + MAX_NAME_BYTES + (MAX_FILTERS + MAX_IDENTITIES) * (1 + MAX_NAME_BYTES);

const IDENTITIES_GIVEN: u8 = 1;

/// Whether the cursor is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DefinitionKind {
    InUse,
    Deleted,
}

impl DefinitionKind {
    fn code(self) -> u8 {
        match self {
            DefinitionKind::InUse => 1,
            DefinitionKind::Deleted => 2,
        }
    }
}

/// What a definition says besides names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DefinitionHead {
    /// For one slot and generation the highest id holds.
    pub(crate) id: u32,
    /// Slot number over all chunks.
    pub(crate) slot: u32,
    pub(crate) generation: u32,
    /// UTC microseconds.
    pub(crate) time: u64,
    /// Microseconds, 0 = none.
    pub(crate) time_to_live: u64,
    pub(crate) kind: DefinitionKind,
}

/// A definition in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DefinitionRef<'a> {
    pub(crate) head: DefinitionHead,
    pub(crate) name: &'a str,
    pub(crate) filters: Names<'a>,
    /// `None`: they follow from the filters.
    pub(crate) identities: Option<Names<'a>>,
}

impl DefinitionHead {
    /// Adds the whole record to `out`, with its padding. The name was checked.
    ///
    /// # Panics
    /// When the name is longer than a name may be.
    pub(crate) fn encode(&self, name: &str, wants: &FilterSet, log: LogId, out: &mut Vec<u8>) {
        assert!(
            name.len() <= MAX_NAME_BYTES,
            "a name of {} bytes",
            name.len()
        );
        let begin = out.len();
        out.resize(begin + DEFINITION_HEADER, 0);
        out.extend_from_slice(name.as_bytes());
        let mut filters = 0u16;
        for filter in wants.filters() {
            push_name(filter.as_str(), out);
            filters += 1;
        }
        let (mut identities, mut flags) = (0u16, 0);
        if let Some(given) = wants.given_identities() {
            flags = IDENTITIES_GIVEN;
            for identity in given {
                push_name(identity, out);
                identities += 1;
            }
        }
        let record = &mut out[begin..];
        // At most MAX_DEFINITION_BYTES: the set holds the bounds of its parts.
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
        let name_bytes = u16::try_from(name.len()).unwrap_or(u16::MAX);
        put(record, MAGIC_AT, MAGIC);
        put(record, LENGTH_AT, length.to_le_bytes());
        put(record, ID_AT, self.id.to_le_bytes());
        put(record, SLOT_AT, self.slot.to_le_bytes());
        put(record, GENERATION_AT, self.generation.to_le_bytes());
        put(record, TIME_AT, self.time.to_le_bytes());
        put(record, TIME_TO_LIVE_AT, self.time_to_live.to_le_bytes());
        put(record, KIND_AT, [self.kind.code()]);
        put(record, FLAGS_AT, [flags]);
        put(record, NAME_BYTES_AT, name_bytes.to_le_bytes());
        put(record, FILTERS_AT, filters.to_le_bytes());
        put(record, IDENTITIES_AT, identities.to_le_bytes());
        let checksum = crc_in_log(log, &record[ID_AT..]);
        put(record, CRC_AT, checksum.to_le_bytes());
        out.resize(begin + definition_padded(to_usize(length)), 0);
    }
}

fn push_name(name: &str, out: &mut Vec<u8>) {
    // Filters and identities have at most 255 bytes; their types hold that.
    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(name.as_bytes());
}

/// The bytes that a record of `length` bytes takes, with its padding.
pub(crate) const fn definition_padded(length: usize) -> usize {
    length.next_multiple_of(DEFINITION_ALIGNMENT)
}

/// The length without padding of the record that may begin here; `None` if none does.
pub(crate) fn definition_length(bytes: &[u8]) -> Option<usize> {
    let bytes: &[u8; CRC_AT] = bytes.first_chunk()?;
    let length = to_usize(u32_at(bytes, LENGTH_AT));
    let bounds = DEFINITION_HEADER..=MAX_DEFINITION_BYTES;
    (array(bytes, MAGIC_AT) == MAGIC && bounds.contains(&length)).then_some(length)
}

impl<'a> DefinitionRef<'a> {
    /// The definition that these bytes begin with, if it verifies in this log. All of its
    /// structure is checked here.
    pub(crate) fn parse(bytes: &'a [u8], log: LogId) -> Option<DefinitionRef<'a>> {
        let record = bytes.get(..definition_length(bytes)?)?;
        if u32_at(record, CRC_AT) != crc_in_log(log, &record[ID_AT..]) {
            return None;
        }
        let mut kinds = [DefinitionKind::InUse, DefinitionKind::Deleted].into_iter();
        let head = DefinitionHead {
            id: u32_at(record, ID_AT),
            slot: u32_at(record, SLOT_AT),
            generation: u32_at(record, GENERATION_AT),
            time: u64_at(record, TIME_AT),
            time_to_live: u64_at(record, TIME_TO_LIVE_AT),
            kind: kinds.find(|kind| kind.code() == record[KIND_AT])?,
        };
        let name_bytes = usize::from(u16_at(record, NAME_BYTES_AT));
        let filters = u16_at(record, FILTERS_AT);
        let identities = u16_at(record, IDENTITIES_AT);
        let within = (1..=MAX_NAME_BYTES).contains(&name_bytes)
            && usize::from(filters) <= MAX_FILTERS
            && usize::from(identities) <= MAX_IDENTITIES;
        if !within {
            return None;
        }
        let (name, mut rest) = record[DEFINITION_HEADER..].split_at_checked(name_bytes)?;
        let name = std::str::from_utf8(name).ok()?;
        let filters = take_names(&mut rest, filters)?;
        let identities = take_names(&mut rest, identities)?;
        let given = record[FLAGS_AT] & IDENTITIES_GIVEN != 0;
        let identities = given.then_some(identities);
        rest.is_empty().then_some(DefinitionRef {
            head,
            name,
            filters,
            identities,
        })
    }

    /// Length of the record without padding.
    pub(crate) fn bytes(&self) -> usize {
        let names = self.filters.bytes() + self.identities.map_or(0, |names| names.bytes());
        DEFINITION_HEADER + self.name.len() + names
    }
}
