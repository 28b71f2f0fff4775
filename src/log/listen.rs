//! Listeners.

use super::Log;
use crate::listen::{ListenError, Listener, ListenerBuilder};
use crate::reader::Event;
use std::sync::Arc;

impl Log {
    /// Calls `run` for each event from now on that matches `filter`, on one of the log's threads
    /// for listeners. Dropping the guard ends it. See [`Log::listener`] for more.
    ///
    /// ```
    /// # let log = wakelog::Log::in_memory()?;
    /// # let (sender, receiver) = std::sync::mpsc::channel();
    /// let guard = log.on("room.*", move |event| {
    ///     println!("{:?}", event.payload());
    /// #   let _ = sender.send(event.offset());
    /// })?;
    /// log.append("room.42", b"hello")?;
    /// # assert_eq!(receiver.recv()?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`ListenerBuilder::run`].
    pub fn on(
        &self,
        filter: impl Into<String>,
        run: impl FnMut(&Event) + Send + 'static,
    ) -> Result<Listener, ListenError> {
        self.listener([filter]).run(run)
    }

    /// A listener: its callback gets the events that match one of `filters`, in order, one at a
    /// time. Without any filter it gets all but those of topics that begin with `$`.
    pub fn listener<S: Into<String>>(
        &self,
        filters: impl IntoIterator<Item = S>,
    ) -> ListenerBuilder {
        let (store, pool) = (Arc::clone(&self.store), Arc::clone(&self.listeners));
        ListenerBuilder::new(store, pool, filters.into_iter().map(Into::into).collect())
    }
}
