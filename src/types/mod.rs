//! The words of the log as types: offsets, positions, gaps, topics, filters and new events.
//!
//! Nothing here does I/O, and nothing here imports another module of the crate.

mod appended;
mod event;
mod filter;
mod filter_set;
mod gap;
mod offset;
mod position;
mod retention;
#[cfg(feature = "serde")]
mod serial;
mod stats;
mod topic;

pub use appended::{Appended, AppendedBatch};
pub use event::NewEvent;
pub use filter::{Filter, FilterError};
pub use filter_set::{FilterSet, MAX_FILTERS, MAX_IDENTITIES};
pub use gap::{Gap, GapReason, SkipReason};
pub use offset::MAX_OFFSET;
pub use position::{Epoch, LogId, Position, PositionParseError};
pub use retention::Retention;
pub use stats::Stats;
pub use topic::{MAX_NAME_BYTES, Topic, TopicError};

pub(crate) use event::{MAX_NOT_TO, MAX_TOPICS, USER_TAGS};
pub(crate) use offset::{to_u64, to_usize};
pub(crate) use topic::{check_name, check_topic};
