//! The adapter from outside: real sockets, a real log.

mod bad_input;
mod client_file;
mod delivery;
mod faults;
mod kit;
mod lifecycle;
mod rights;
