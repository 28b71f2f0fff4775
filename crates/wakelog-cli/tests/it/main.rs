//! The tests of the command line: they run the real binary.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod caring;
mod consumers;
mod crash;
mod damage;
mod kit;
mod reading;
mod serving;
mod writing;
