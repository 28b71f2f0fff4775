//! Locks, atomics, threads: what the log waits with, and meets on.
//!
//! In a build for use these are the types of the standard library, of `parking_lot` and of
//! `crossbeam`, under one name. Built with `--cfg loom` or `--cfg shuttle` they are those of a
//! model checker, with the same face, and the code above runs unchanged under every schedule that
//! the checker thinks of (`cargo xtask models`; docs/reliability.md says what is checked).
//!
//! The words of a region are not among them: they stand in memory that is mapped, where no other
//! type can be. A model is told of them by [`point`].

#[cfg(any(loom, shuttle))]
mod model;
#[cfg(all(sabotage, not(any(loom, shuttle))))]
mod once;
mod planted;

#[cfg(any(loom, shuttle))]
pub(crate) use model::{
    Backoff, Condvar, Instant, Mutex, MutexGuard, OnceLock, Parker, RwLock, RwLockReadGuard,
    Unparker, Watched, atomic, point, rest, thread,
};
pub(crate) use planted::{Plant, order, planted};
#[cfg(all(test, any(loom, shuttle)))]
pub(crate) use planted::{is_found, is_planted};
#[cfg(not(any(loom, shuttle)))]
pub(crate) use real::{
    Backoff, Condvar, Instant, Mutex, MutexGuard, OnceLock, Parker, RwLock, RwLockReadGuard,
    Unparker, Watched, atomic, point, rest, thread,
};

#[cfg(not(any(loom, shuttle)))]
mod real {
    #[cfg(sabotage)]
    pub(crate) use super::once::OnceLock;
    pub(crate) use crossbeam_utils::Backoff;
    pub(crate) use crossbeam_utils::sync::{Parker, Unparker};
    pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard};
    #[cfg(not(sabotage))]
    pub(crate) use std::sync::OnceLock;
    pub(crate) use std::sync::atomic;
    pub(crate) use std::thread;
    pub(crate) use std::thread::sleep as rest;
    pub(crate) use std::time::Instant;

    /// A word is about to be used, and a model may let another thread go first.
    #[inline(always)]
    pub(crate) fn point() {}

    /// Memory in which a model looks for data races.
    #[derive(Debug)]
    pub(crate) struct Watched;

    impl Watched {
        pub(crate) fn new() -> Self {
            Self
        }

        /// Bytes are about to be read.
        #[inline(always)]
        pub(crate) fn read(&self, _: &std::ops::Range<usize>) {}

        /// Bytes are about to be written.
        #[inline(always)]
        pub(crate) fn write(&self, _: std::ops::Range<usize>) {}
    }
}
