//! What a listener is asked to do.

use super::Listener;
use super::error::{ListenError, Trouble};
use super::pool::Pool;
use super::task::{Hook, Source, Task};
use crate::cursor::CursorBuilder;
use crate::error::IoFailure;
use crate::options::{ReadLevel, Start};
use crate::reader::{Event, ReaderBuilder};
use crate::store::Store;
use std::fmt;
use std::sync::Arc;

/// Says what a [`Listener`] shall do. Made by [`Log::listener`](crate::Log::listener).
#[must_use = "a builder does nothing until `run`"]
pub struct ListenerBuilder {
    store: Arc<Store>,
    pool: Arc<Pool>,
    filters: Vec<String>,
    identities: Vec<String>,
    name: Option<String>,
    refilter: bool,
    start: Start,
    level: ReadLevel,
    hook: Option<Hook>,
}

impl ListenerBuilder {
    pub(crate) fn new(store: Arc<Store>, pool: Arc<Pool>, filters: Vec<String>) -> Self {
        Self {
            store,
            pool,
            filters,
            identities: Vec::new(),
            name: None,
            refilter: false,
            start: Start::Latest,
            level: ReadLevel::Visible,
            hook: None,
        }
    }

    /// Adds identities: events that are *not to* one of them are not given. Without any, they are
    /// the filters that have no wildcard.
    pub fn identities<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.identities.extend(names.into_iter().map(Into::into));
        self
    }

    /// Keeps its place under a name, in a [`Cursor`](crate::Cursor), which fences an older handle
    /// of that name. Each event is acked after the callback has returned: after a crash an event
    /// may come again, none is left out.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// For a named one: stores the filters and identities given here in place of those that the
    /// cursor has; see [`CursorBuilder::refilter`].
    pub fn refilter(mut self) -> Self {
        self.refilter = true;
        self
    }

    /// Where it begins; [`Start::Latest`] if not said. A named one that is known goes on where it
    /// was.
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Which events count; [`ReadLevel::Visible`] if not said.
    pub fn level(mut self, level: ReadLevel) -> Self {
        self.level = level;
        self
    }

    /// What is told of gaps, of panics, and of its end when nobody asked for it. Without a hook,
    /// each of them is a line on standard error.
    pub fn on_trouble(mut self, hook: impl FnMut(&Trouble) + Send + 'static) -> Self {
        self.hook = Some(Box::new(hook));
        self
    }

    /// Runs `callback` for each event, in order and one at a time, on the log's threads for
    /// listeners ([`Options::listener_threads`](crate::Options::listener_threads)), which all
    /// listeners share fairly. One that blocks takes a thread for as long; when all of them are
    /// taken, the others wait, and the log does not.
    ///
    /// A panic is caught and told, see [`Trouble::Panicked`]. The callback may append, read, open
    /// cursors, drop any guard (its own too) and close the log.
    ///
    /// When the log is closed, a listener without a name is still given what was visible, and a
    /// named one ends behind the event that it is at, since no ack is taken any more: the rest
    /// comes when it is run again. [`Log::close`](crate::Log::close) does not wait for callbacks;
    /// whoever wants that drops the guards first.
    ///
    /// # Errors
    /// [`ListenError`]; nothing runs then.
    pub fn run(
        mut self,
        callback: impl FnMut(&Event) + Send + 'static,
    ) -> Result<Listener, ListenError> {
        let hook = self.hook.take().unwrap_or_else(|| self.default_hook());
        let store = Arc::clone(&self.store);
        let pool = Arc::clone(&self.pool);
        // The guard keeps the log open, the listener alone does not.
        let source = self.source()?;
        let entry = pool
            .add(Task::new(source, Box::new(callback), hook))
            .map_err(|error| {
                let path = store.shared().dir.path();
                ListenError::Thread(IoFailure::new(path, "start a thread", error))
            })?;
        Ok(Listener::new(store, entry))
    }

    fn source(self) -> Result<Source, ListenError> {
        let (filters, identities) = (self.filters, self.identities);
        let Some(name) = self.name else {
            let mut builder = ReaderBuilder::new(self.store)
                .start(self.start)
                .level(self.level);
            if !filters.is_empty() {
                builder = builder.topics(filters);
            }
            if !identities.is_empty() {
                builder = builder.identities(identities);
            }
            let mut reader = builder.open()?;
            reader.loosen();
            return Ok(Source::Reader(reader));
        };
        let mut builder = CursorBuilder::new(self.store, name)
            .start(self.start)
            .level(self.level);
        if !filters.is_empty() {
            builder = builder.topics(filters);
        }
        if !identities.is_empty() {
            builder = builder.identities(identities);
        }
        if self.refilter {
            builder = builder.refilter();
        }
        let mut cursor = builder.open()?;
        cursor.loosen();
        Ok(Source::Cursor(cursor))
    }

    /// Nothing is silent.
    fn default_hook(&self) -> Hook {
        let who = match &self.name {
            Some(name) => format!("listener {name:?}"),
            None => format!("listener of {}", self.filters.join(", ")),
        };
        let path = self.store.shared().dir.path().display().to_string();
        Box::new(move |trouble| eprintln!("wakelog: {who} in {path}: {trouble}"))
    }
}

impl fmt::Debug for ListenerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerBuilder")
            .field("filters", &self.filters)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
