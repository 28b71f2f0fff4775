//! The adapter from outside: real sockets, a real log.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod abuse;
mod bad_input;
mod browser;
mod changing;
mod client;
mod client_file;
mod delivery;
mod faults;
mod floods;
mod hooks;
mod kit;
mod lifecycle;
mod polled;
mod python;
mod quotas;
mod rights;
mod scenario;
mod server_api;
mod shims;
mod streams;
mod upgrades;
mod volatile;
