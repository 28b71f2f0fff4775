//! The integration tests, one binary: they use the public interface alone.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod bad_directory;
mod bad_input;
mod child;
mod concurrency;
mod cursor_filters;
mod cursor_life;
mod cursors;
mod dedup;
mod executor;
mod full_disk;
mod golden;
mod host;
mod injected;
mod limits;
mod listeners;
mod locking;
mod mirror;
mod positions;
mod pypi;
mod read_only;
mod refused;
mod resident;
mod seeking;
mod snapshot;
mod stats;
mod thin_disk;
mod tidy;
mod verify;
mod waiting;
mod wakes;
