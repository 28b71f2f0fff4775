//! The state of a log in numbers.

use super::Epoch;

/// The state of a log in numbers, at about one moment. Made by [`Log::stats`](crate::Log::stats).
///
/// Times are microseconds: points in time since 1970 (UTC), as events have them; spans as they
/// are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Stats {
    /// Offset of the oldest event that is kept.
    pub first_offset: u64,
    /// Offset that the next event will have.
    pub next_offset: u64,
    /// All events below this offset are on disk. On a log that is open for reading only: what the
    /// writing process has noted last.
    pub durable_offset: u64,
    /// Base of the segment in which the durable mark stands; its file is
    /// [`durable_file`](Stats::durable_file). On a log that is open for reading only: what the
    /// writing process has noted last, 0 if that cannot be read.
    pub durable_base: u64,
    /// Frame position of the durable mark: bytes from the start of that file.
    pub durable_position: u64,
    /// The epoch in force.
    pub epoch: Epoch,
    /// Time of the oldest event that is kept, if there is one that can be read.
    pub oldest_time: Option<u64>,
    /// Time of the newest event, if the log ever had one. `None` on a log that is open for reading
    /// only.
    pub newest_time: Option<u64>,

    /// Segments, the active one included.
    pub segments: u64,
    /// Bytes of their files on disk.
    pub segment_bytes: u64,
    /// Bytes of them that are in use: the active segment counts up to its last frame, the sealed
    /// ones whole.
    pub used_bytes: u64,
    /// Segments that are mapped.
    pub mapped_segments: u64,
    /// Bytes of segments that have left the log and are still mapped, because an event of theirs is
    /// held: the disk has them back when it is dropped.
    pub held_bytes: u64,
    /// Segments that have left the log since it was opened.
    pub trimmed_segments: u64,
    /// Bytes of their files.
    pub trimmed_bytes: u64,

    /// Events appended since the log was opened, or reopened.
    pub appended_events: u64,
    /// Bytes of frames appended since then: events with their headers and padding.
    pub appended_bytes: u64,
    /// Rolls since then.
    pub rolls: u64,

    /// Events that are not on disk yet.
    pub unsynced_events: u64,
    /// Bytes of frames that are not on disk yet.
    pub unsynced_bytes: u64,
    /// Age of the oldest event that is not on disk yet, in microseconds by the clock of events; 0
    /// if all are. This is how far the sync lags.
    pub sync_lag: u64,
    /// Syncs since the log was opened.
    pub syncs: u64,
    /// How long the last one took, in microseconds.
    pub last_sync: u64,
    /// How long the longest one since the log was opened took, in microseconds.
    pub longest_sync: u64,
    /// A sync has failed; see [`Log::reopen`](crate::Log::reopen).
    pub poisoned: bool,

    /// Readers and cursors of level `Visible` that wait for events.
    pub visible_waiters: u64,
    /// Those of level `Durable`.
    pub durable_waiters: u64,
    /// Threads and tasks that wait for a sync.
    pub sync_waiters: u64,
    /// Cursors that the log keeps. 0 on a log that is open for reading only.
    pub cursors: u64,
    /// Handles that are open: clones of the log, readers and cursors, their builders, and guards of
    /// listeners.
    pub handles: u64,
    /// Listeners that have not ended.
    pub listeners: u64,
}

impl Stats {
    /// Name of the segment's file in which the durable mark stands.
    pub fn durable_file(&self) -> String {
        format!("{:020}.log", self.durable_base)
    }
}
