//! What an open has found.

use crate::error::Corruption;

/// What the last open (or [`reopen`](crate::Log::reopen)) has found and mended. Nothing of it needs
/// an action of the caller: what was lost is told to each consumer as a gap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// The log was created by this open.
    pub created: bool,
    /// Bytes behind the recovered end that were left behind: a frame that was not finished, or
    /// events that a power loss has taken before they were synced.
    pub torn: Option<TornTail>,
    /// Damage that was found. Open looks at no more than it needs; readers find the rest.
    pub damaged: Vec<Corruption>,
}

/// Where a torn tail was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TornTail {
    /// Name of the file in the log's directory.
    pub file: String,
    /// Frame position: bytes of the file that are valid.
    pub position: u64,
    /// Offset of the next event, at which the log goes on.
    pub offset: u64,
}
