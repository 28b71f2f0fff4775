//! Where facts are gathered while a run goes on.

use std::sync::{Arc, Mutex, PoisonError};

use crate::history::Fact;

/// The history of a run, shared by all who write it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record(Arc<Mutex<Vec<Fact>>>);

impl Record {
    pub(crate) fn add(&self, fact: Fact) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(fact);
    }

    pub(crate) fn fault(&self, what: impl Into<String>) {
        self.add(Fact::Fault { what: what.into() });
    }

    pub(crate) fn take(&self) -> Vec<Fact> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
