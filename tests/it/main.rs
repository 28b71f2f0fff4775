//! The integration tests, one binary: they use the public interface alone.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod tidy;
