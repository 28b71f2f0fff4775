//! What the fuzzers call, as in `wakelog`: a target takes any bytes and panics if a promise does
//! not hold for them. The fuzzers and their inputs stand in `fuzz/` at the root of the repository.

mod messages;
mod session;

#[cfg(test)]
mod replay_tests;

pub use messages::messages;
pub use session::session;

/// A function that takes any bytes.
pub type Target = fn(&[u8]);

/// The targets by their names in `fuzz/`.
pub const TARGETS: [(&str, Target); 2] = [("messages", messages), ("session", session)];
