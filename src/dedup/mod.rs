//! The ids that are remembered: the last ones of the log in memory, and the file that saves their
//! search after a restart.

mod file;
#[cfg(test)]
mod tests;
mod window;

pub(crate) use file::{Draft, NAME, read};
pub(crate) use window::Window;
