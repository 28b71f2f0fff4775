//! Listeners: callbacks that are given events, on a small pool of threads.

mod builder;
mod error;
mod pool;
mod task;

pub use builder::ListenerBuilder;
pub use error::{ListenError, Trouble};

pub(crate) use pool::Pool;

use crate::store::Store;
use pool::Entry;
use std::fmt;
use std::sync::Arc;

/// A listener's guard: dropping it ends the listener. Made by [`Log::on`](crate::Log::on) and
/// [`ListenerBuilder::run`].
///
/// The drop waits for the callback that is running, so that none runs after it; do not hold a lock
/// that the callback wants. Inside any listener's callback it does not wait: the one that is
/// dropped gets no further event. Like a reader, a guard keeps the log open.
#[must_use = "the listener ends when its guard is dropped; `detach` lets it run as long as the log"]
pub struct Listener {
    entry: Option<Arc<Entry>>,
    store: Arc<Store>,
}

impl Listener {
    fn new(store: Arc<Store>, entry: Arc<Entry>) -> Self {
        let entry = Some(entry);
        Self { entry, store }
    }

    /// Ends the listener, as a drop does.
    pub fn stop(self) {
        drop(self);
    }

    /// Lets the listener run until the log is closed. It does not keep the log open by itself; a
    /// callback that holds the log does, until [`Log::close`](crate::Log::close).
    pub fn detach(mut self) {
        self.entry = None;
    }

    /// Whether it has ended: the log is closed, or [`Listener::trouble`] says why.
    pub fn has_ended(&self) -> bool {
        self.entry.as_ref().is_none_or(|entry| entry.has_ended())
    }

    /// What has ended it.
    pub fn trouble(&self) -> Option<Trouble> {
        self.entry.as_ref()?.trouble()
    }

    /// How often its callback has panicked.
    pub fn panics(&self) -> u64 {
        self.entry.as_ref().map_or(0, |entry| entry.panics())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            entry.stop();
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("log", &self.store.shared().dir.path())
            .field("has_ended", &self.has_ended())
            .field("panics", &self.panics())
            .finish_non_exhaustive()
    }
}
