//! What a reader or a cursor is asked to read.

use super::{Reader, Reading};
use crate::error::ReadError;
use crate::options::{ReadLevel, Start};
use crate::store::Store;
use crate::types::{FilterError, FilterSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Filters, identities, start and level, as they were given.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) filters: Option<Vec<String>>,
    pub(crate) identities: Option<Vec<String>>,
    pub(crate) start: Start,
    pub(crate) level: ReadLevel,
    pub(crate) spin: Duration,
    pub(crate) releases: bool,
}

impl Wish {
    pub(crate) fn new(start: Start) -> Self {
        Self {
            filters: None,
            identities: None,
            start,
            level: ReadLevel::Visible,
            spin: Duration::ZERO,
            releases: false,
        }
    }

    pub(crate) fn add_filters<S: Into<String>>(&mut self, filters: impl IntoIterator<Item = S>) {
        self.filters
            .get_or_insert_default()
            .extend(filters.into_iter().map(Into::into));
    }

    pub(crate) fn add_identities<S: Into<String>>(&mut self, names: impl IntoIterator<Item = S>) {
        self.identities
            .get_or_insert_default()
            .extend(names.into_iter().map(Into::into));
    }

    /// Without filters: every topic but those that begin with `$`.
    pub(crate) fn filter_set(&self) -> Result<FilterSet, FilterError> {
        match &self.filters {
            Some(filters) => FilterSet::new(filters, self.identities.as_deref()),
            None => FilterSet::new([">"], self.identities.as_deref()),
        }
    }
}

/// Says what a [`Reader`] shall read. Made by [`Log::reader`](crate::Log::reader).
#[derive(Clone)]
#[must_use = "a builder does nothing until `open`"]
pub struct ReaderBuilder {
    store: Arc<Store>,
    wish: Wish,
}

impl ReaderBuilder {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            wish: Wish::new(Start::Earliest),
        }
    }

    /// Adds filters: topics, with `*` for one token and `>` for the rest. Without any, every topic
    /// is read but those that begin with `$`.
    pub fn topics<S: Into<String>>(mut self, filters: impl IntoIterator<Item = S>) -> Self {
        self.wish.add_filters(filters);
        self
    }

    /// Adds identities: events that are *not to* one of them are not read. Without any, they are
    /// the filters that have no wildcard.
    pub fn identities<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.wish.add_identities(names);
        self
    }

    /// Where to begin; [`Start::Earliest`] if not said.
    pub fn start(mut self, start: Start) -> Self {
        self.wish.start = start;
        self
    }

    /// Which events count; [`ReadLevel::Visible`] if not said.
    pub fn level(mut self, level: ReadLevel) -> Self {
        self.wish.level = level;
        self
    }

    /// How long a blocking receive keeps looking at the end of the log before it sleeps; not at all
    /// if not said.
    ///
    /// For a thread that must have an event within a microsecond and has a core for itself: a
    /// thread that sleeps is woken by the kernel, which takes ten times as long and more. While it
    /// spins it uses its core fully, also when nothing comes; with fewer cores than threads at work
    /// it only takes time from whoever appends. [`Duration::MAX`] never sleeps. Tasks
    /// ([`Reader::stream`], [`Reader::ready`]) never spin.
    pub fn spin(mut self, spin: Duration) -> Self {
        self.wish.spin = spin;
        self
    }

    /// Takes what was handed out in [pages](Reader::page_of), and what lies between, out of the
    /// memory of this process, a mebibyte at a time, so that a reader of a long backlog does not
    /// look as if it needed all of it.
    ///
    /// It stays in the system's cache of files, and events that are still held keep their bytes.
    /// Whoever reads the same soon, this reader or another, maps it again, which costs some
    /// microseconds for each mebibyte.
    pub fn release_behind(mut self) -> Self {
        self.wish.releases = true;
        self
    }

    /// Opens the reader.
    ///
    /// # Errors
    /// [`ReadError::Filter`], [`ReadError::Offset`] (a start beyond the end), [`ReadError::Reset`]
    /// (a position of another log or an unknown epoch: choose another start).
    pub fn open(self) -> Result<Reader, ReadError> {
        let filters = self.wish.filter_set()?;
        let reading = Reading::new(self.store, filters, self.wish.level, self.wish.start)?;
        let reading = reading.releasing(self.wish.releases);
        Ok(Reader::new(reading.spinning(self.wish.spin)))
    }
}

impl fmt::Debug for ReaderBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReaderBuilder")
            .field("wish", &self.wish)
            .finish_non_exhaustive()
    }
}
