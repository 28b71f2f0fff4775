//! The threads of a log, and its end.

use super::Shared;
use crate::error::IoFailure;
use crate::sync::atomic::Ordering;
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Mutex, OnceLock, Parker, Unparker};
use std::io;
use std::sync::Arc;

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
        let mut threads: Vec<Thread> = vec![
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
                "wakelog-armer",
                |shared| &shared.signals.armer,
                |shared, parker| {
                    shared.armer_loop(parker);
                },
            ),
            (
                "wakelog-caretaker",
                |shared| &shared.signals.caretaker,
                |shared, parker| shared.caretaker_loop(parker),
            ),
            (
                "wakelog-index",
                |shared| &shared.signals.indexer,
                |shared, parker| shared.index_loop(parker),
            ),
            (
                "wakelog-dispatch",
                |shared| &shared.signals.dispatcher,
                dispatcher,
            ),
        ];
        if shared.options.dedup_ids_value() > 0 {
            threads.push((
                "wakelog-ids",
                |shared| &shared.signals.ids,
                |shared, parker| shared.ids_loop(parker),
            ));
        }
        Self::with(shared, &threads)
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

    pub(super) fn with(shared: Arc<Shared>, threads: &[Thread]) -> Result<Arc<Self>, IoFailure> {
        let store = Arc::new(Self {
            shared,
            threads: Mutex::new(Vec::new()),
        });
        // Counted before any of them can leave.
        store.shared.running.store(threads.len(), Ordering::Release);
        for (number, thread) in threads.iter().enumerate() {
            if let Err(error) = store.spawn(thread) {
                // The one that failed has left already, with its place.
                store.shared.leave(threads.len() - number - 1);
                let path = store.shared.dir.path();
                return Err(IoFailure::new(path, "start a thread", error));
            }
        }
        Ok(store)
    }

    fn spawn(&self, (name, signal, work): &Thread) -> io::Result<()> {
        let parker = Parker::new();
        // Each signal is set once: a log is started once.
        let _ = signal(&self.shared).set(parker.unparker().clone());
        let place = Running(Arc::clone(&self.shared));
        let work = *work;
        let thread = thread::Builder::new().name((*name).into()).spawn(move || {
            let place = place;
            work(&place.0, &parker);
        });
        match thread {
            Ok(thread) => {
                self.threads.lock().push(thread);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Syncs, writes the last mark, ends the threads; returns when all is done, whoever began it.
    /// On one of the log's own threads (a waker may drop the last handle there) it only begins.
    pub(crate) fn close(&self) -> Result<(), IoFailure> {
        self.shared.begin_close();
        let me = thread::current().id();
        if self
            .threads
            .lock()
            .iter()
            .any(|thread| thread.thread().id() == me)
        {
            return Ok(());
        }
        let ended = self.shared.wait_ended();
        // A thread that has left still holds the log, and with it the maps, for a moment.
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // A panic has been told by then, and it has left all the same.
            let _ = thread.join();
        }
        ended
    }
}

/// A reader's hold on the log. As long as it has the handle, the log stays open for it.
#[derive(Debug)]
pub(crate) struct Hold {
    shared: Arc<Shared>,
    open: Option<Arc<Store>>,
}

impl Hold {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self {
            shared: Arc::clone(&store.shared),
            open: Some(store),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// From here on the log closes when others let go of it.
    pub(crate) fn loosen(&mut self) {
        self.open = None;
    }
}

/// A thread's place among those that run. The last one that leaves ends the log.
#[derive(Debug)]
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.leave(1);
    }
}

#[cfg(any(test, fuzzing))]
impl Store {
    /// Ends the threads as the death of the process does: no last round, no last mark, nobody is
    /// told. `look` sees the moment of death: no sync is under way then.
    pub(crate) fn abandon<T>(&self, look: impl FnOnce() -> T) -> T {
        let seen = self.shared.die(look);
        for thread in std::mem::take(&mut *self.threads.lock()) {
            assert!(thread.join().is_ok(), "a thread of the log has panicked");
        }
        // The log has failed for whoever still holds it.
        assert!(self.shared.wait_ended().is_err());
        seen
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Who wants to know calls `close`.
        let _ = self.close();
    }
}
