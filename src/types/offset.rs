//! Offsets, and the two conversions between sizes that cannot fail on the platforms we support.

/// The highest offset there is: 2^53 - 1, the largest integer that JavaScript holds exactly.
///
/// No position lies beyond it, so the last event that a log can hold stands one below it; after
/// that event an append says [`AppendError::Full`](crate::AppendError::Full).
pub const MAX_OFFSET: u64 = (1 << 53) - 1;

const _: () = assert!(
    usize::BITS == 64,
    "wakelog maps files and needs a 64-bit platform"
);

/// A 32-bit length or frame position as an index.
#[inline]
#[expect(
    clippy::as_conversions,
    reason = "a usize has 64 bits, asserted above; const"
)]
pub(crate) const fn to_usize(value: u32) -> usize {
    value as usize
}

/// A length in memory as a 64-bit number.
#[inline]
#[expect(
    clippy::as_conversions,
    reason = "a usize has 64 bits, asserted above; const"
)]
pub(crate) const fn to_u64(value: usize) -> u64 {
    value as u64
}
