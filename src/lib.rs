#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]
#![cfg_attr(
    any(loom, shuttle),
    allow(dead_code, unused_imports, reason = "most tests run elsewhere")
)]

// Rooms by floor, the ground floor first: a room imports only from floors below its own.
// ARCHITECTURE.md has the picture, tests/it/tidy holds it.

// 0: words
#[macro_use]
mod sabotage;
mod error;
mod host;
mod options;
mod sync;
mod types;

// 1: bytes, memory, waiting
mod dir;
mod format;
mod history;
#[expect(
    unsafe_code,
    reason = "the one room with unsafe code; docs/memory.md is its contract"
)]
mod map;
mod notify;
mod waiters;

// 2: files
mod cursor_file;
mod dedup;
mod mark_file;
mod segment;

// 3: open, and what is derived
mod index;
mod recovery;

// 4: append, sync, roll; verify
mod inspect;
mod store;

// 5: read
mod reader;

// 6: those who read on somebody's behalf
mod cursor;
mod dispatch;
mod follow;
mod snapshot;

// 7: callbacks
mod listen;

// 8: the handle
mod log;

// Called by the fuzzers, and by tests. A model checker has threads of its own, and tests for them.
#[cfg(all(any(test, fuzzing), not(any(loom, shuttle))))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(test)]
#[cfg(not(any(loom, shuttle)))]
mod testing;

pub use cursor::{Cursor, CursorBuilder, CursorInfo, CursorState};
pub use error::{
    AckError, AppendError, Corruption, CursorError, IoFailure, OpenError, ReadError, SyncError,
    TrimError,
};
pub use inspect::{CorruptRange, CorruptReason, Verification, VerifyOptions, verify};
pub use listen::{ListenError, Listener, ListenerBuilder, Trouble};
pub use log::{Log, Mirror, MirrorError, MirrorSource};
pub use options::{Opened, Options, ReadLevel, Start, SyncPolicy};
pub use reader::{Event, EventRef, EventStream, Page, Reader, ReaderBuilder, TopicInfo};
pub use recovery::{RecoveryReport, TornTail};
pub use snapshot::{Snapshot, SnapshotError};
pub use types::{
    Appended, AppendedBatch, Epoch, Filter, FilterError, FilterSet, Gap, GapReason, LogId,
    MAX_FILTERS, MAX_IDENTITIES, MAX_NAME_BYTES, MAX_OFFSET, NewEvent, Position,
    PositionParseError, Retention, SkipReason, Stats, Topic, TopicError,
};
