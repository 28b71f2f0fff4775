#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

// Rooms in floor order: a room imports only from rooms above it in this list, never from its own floor.
// ARCHITECTURE.md has the picture, tests/it/tidy.rs holds it.

// 0
mod host;
mod types;
// 1
mod error;
// 2
mod options;
// 3
mod format;
mod history;
#[expect(unsafe_code, reason = "the one room with unsafe code; docs/memory.md is its contract")]
mod map;
mod notify;
mod waiters;
// 4
mod dir;
// 5
mod cursor_file;
mod mark_file;
mod segment;
// 6
mod recovery;
// 7
mod store;
// 8
mod reader;
// 9
mod cursor;
mod dispatch;
mod follow;
// 10
mod log;

#[cfg(test)]
mod testing;

pub use cursor::{Cursor, CursorBuilder};
pub use error::{
    AckError, AppendError, Corruption, CursorError, IoFailure, OpenError, ReadError, SyncError,
};
pub use log::Log;
pub use options::{Opened, Options, ReadLevel, Start, SyncPolicy};
pub use reader::{Event, EventRef, EventStream, Page, Reader, ReaderBuilder};
pub use recovery::{RecoveryReport, TornTail};
pub use types::{
    Epoch, Filter, FilterError, FilterSet, Gap, GapReason, LogId, MAX_FILTERS, MAX_IDENTITIES,
    MAX_NAME_BYTES, MAX_OFFSET, NewEvent, Position, PositionParseError, Topic, TopicError,
};
