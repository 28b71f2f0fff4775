//! Fields in byte records, and the checksum over them.

use crate::types::LogId;
use crc32fast::Hasher;
use std::sync::LazyLock;

/// Bytes of a sector: what stands twice stands in two of them.
pub(crate) const SECTOR: usize = 512;

/// The `N` bytes at `at`.
///
/// # Panics
/// When the record ends before them. The callers hand records of a length they have checked.
#[inline]
pub(super) fn array<const N: usize>(record: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&record[at..at + N]);
    field
}

#[inline]
pub(super) fn u16_at(record: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(record, at))
}

#[inline]
pub(super) fn u32_at(record: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(record, at))
}

#[inline]
pub(super) fn u64_at(record: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(record, at))
}

/// Stores the bytes of one field.
///
/// # Panics
/// When the record ends before them; the places are constants.
#[inline]
pub(super) fn put<const N: usize>(record: &mut [u8], at: usize, field: [u8; N]) {
    record[at..at + N].copy_from_slice(&field);
}

/// Cloned for each checksum: a new one would ask the machine each time what it is capable of, which
/// costs more than the checksum of a few bytes.
static HASHER: LazyLock<Hasher> = LazyLock::new(Hasher::new);

/// CRC-32 (IEEE 802.3) of the bytes.
#[inline]
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    let mut hasher = HASHER.clone();
    hasher.update(bytes);
    hasher.finalize()
}

/// The checksum of `bytes` behind others whose checksum is `before`.
#[inline]
pub(super) fn crc_after(before: u32, bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(before);
    hasher.update(bytes);
    hasher.finalize()
}

/// As [`crc_after`] of the 16 bytes of `word`. The register is folded into the first four bytes in
/// the first place, so that what comes before can be folded in here.
#[inline]
pub(super) fn crc_of_word_after(before: u32, word: u128) -> u32 {
    crc(&(word ^ u128::from(before)).to_le_bytes())
}

/// The checksum of the log id and then the bytes, so that a record does not verify in another log.
#[inline]
pub(super) fn crc_in_log(log: LogId, bytes: &[u8]) -> u32 {
    crc_after(crc(&log.0), bytes)
}

/// The record at the beginning of each of the first two sectors, as far as they are there.
pub(super) fn copies<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = &[u8; N]> {
    [0, SECTOR]
        .into_iter()
        .filter_map(|at| bytes.get(at..at + N)?.try_into().ok())
}
