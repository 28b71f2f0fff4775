//! The threads of a log, and its end.

use super::Shared;
use crate::error::IoFailure;
use crossbeam_utils::sync::{Parker, Unparker};
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

/// The work of a thread that a room above brings along; it returns when the log is closed.
pub(crate) type Work = fn(&Arc<Shared>, &Parker);

/// A thread: its name, where its unparker goes, its work.
type Thread = (&'static str, fn(&Shared) -> &OnceLock<Unparker>, Work);

/// Owns the threads; the last handle that is dropped closes the log.
#[derive(Debug)]
pub(crate) struct Store {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Store {
    /// Starts the threads of a log that is open for writing.
    pub(crate) fn start(shared: Arc<Shared>, dispatcher: Work) -> Result<Arc<Self>, IoFailure> {
        Self::with(
            shared,
            &[
                (
                    "wakelog-sync",
                    |shared| &shared.signals.sync,
                    |shared, parker| shared.sync_loop(parker),
                ),
                (
                    "wakelog-keeper",
                    |shared| &shared.signals.keeper,
                    |shared, parker| {
                        shared.keeper_loop(parker);
                    },
                ),
                (
                    "wakelog-dispatch",
                    |shared| &shared.signals.dispatcher,
                    dispatcher,
                ),
            ],
        )
    }

    /// Starts the threads of a log that is open for reading only.
    pub(crate) fn start_following(
        shared: Arc<Shared>,
        follower: Work,
        dispatcher: Work,
    ) -> Result<Arc<Self>, IoFailure> {
        Self::with(
            shared,
            &[
                ("wakelog-follow", |shared| &shared.signals.keeper, follower),
                (
                    "wakelog-dispatch",
                    |shared| &shared.signals.dispatcher,
                    dispatcher,
                ),
            ],
        )
    }

    fn with(shared: Arc<Shared>, threads: &[Thread]) -> Result<Arc<Self>, IoFailure> {
        let store = Arc::new(Self {
            shared,
            threads: Mutex::new(Vec::new()),
        });
        for (name, signal, work) in threads {
            let parker = Parker::new();
            // Each signal is set once: a log is started once.
            let _ = signal(&store.shared).set(parker.unparker().clone());
            let shared = Arc::clone(&store.shared);
            let work = *work;
            let thread = std::thread::Builder::new()
                .name((*name).into())
                .spawn(move || work(&shared, &parker))
                .map_err(|error| {
                    IoFailure::new(store.shared.dir.path(), "start a thread", error)
                })?;
            store.threads.lock().push(thread);
        }
        Ok(store)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Syncs, writes the last mark, ends the threads. The second call finds nothing to do.
    pub(crate) fn close(&self) -> Result<(), IoFailure> {
        self.shared.begin_close();
        let me = std::thread::current().id();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // The last handle may be dropped on one of these threads (by a waker): it ends by
            // itself.
            if thread.thread().id() != me && thread.join().is_err() {
                self.shared.wake_everybody();
            }
        }
        self.shared.end_close()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Who wants to know calls `close`.
        let _ = self.close();
    }
}
