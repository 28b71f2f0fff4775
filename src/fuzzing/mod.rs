//! What the fuzzers call. A target takes any bytes and panics if a promise does not hold for them.
//!
//! The fuzzers themselves stand in `fuzz/`, one line each, with the inputs that led them to new
//! paths; `cargo test` gives these to the same functions.
//!
//! A fuzzer learns to write checksums. So what a checksum alone vouches for may be forged here:
//! the targets ask that forged bytes do no harm, and that two ways of reading them agree.

mod base;
mod damage;
mod examine;
mod frame;
mod input;
mod operations;
mod sealing;
mod segment;
mod words;

#[cfg(test)]
mod replay_tests;

pub use frame::frame;
pub use operations::operations;
pub use segment::segment;
pub use words::{filter, position};

use base::LogDir;

/// A directory with a log in it, some of its files changed, cut, gone, exchanged or new.
pub fn directory(data: &[u8]) {
    examine::examine(&LogDir::damaged(data, |_| true), true);
}

/// A log whose files of cursors are changed.
pub fn cursors(data: &[u8]) {
    examine::examine(
        &LogDir::damaged(data, |name| name.starts_with("cursors")),
        true,
    );
}

/// A log whose topic indexes are changed.
pub fn index(data: &[u8]) {
    examine::examine(
        &LogDir::damaged(data, |name| name.ends_with(".index")),
        false,
    );
}

/// A function that takes any bytes.
pub type Target = fn(&[u8]);

/// The targets by their names in `fuzz/`.
pub const TARGETS: [(&str, Target); 8] = [
    ("cursors", cursors),
    ("directory", directory),
    ("filter", filter),
    ("frame", frame),
    ("index", index),
    ("operations", operations),
    ("position", position),
    ("segment", segment),
];
