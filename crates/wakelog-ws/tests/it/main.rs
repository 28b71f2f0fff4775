//! The adapter from outside: real sockets, a real log.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod bad_input;
mod changing;
mod client_file;
mod delivery;
mod faults;
mod floods;
mod kit;
mod lifecycle;
mod rights;
mod server_api;
mod upgrades;
