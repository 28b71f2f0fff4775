//! How many cursors there are, and how many of one identity.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::time::{Duration, Instant};

use wakelog::{CursorError, Log};

use super::CURSOR_PREFIX;

/// A count that says no is looked at again when it is older: cursors expire, and are deleted by
/// others.
const OLD: Duration = Duration::from_secs(60);

/// Counts the cursors of consumers: once from the log's list of them, then by itself. Identities
/// are kept as hashes, so that many cost little.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    owners: HashMap<u64, u32>,
    total: u64,
    counted: Option<Instant>,
}

impl Ledger {
    /// Whether nothing is known, or it says no and may not be right any more.
    pub(super) fn is_due(&self, full: bool) -> bool {
        !matches!(self.counted, Some(then) if !full || then.elapsed() < OLD)
    }

    /// Counts anew.
    pub(super) fn count(&mut self, log: &Log) -> Result<(), CursorError> {
        self.owners.clear();
        self.total = 0;
        log.cursor_names(|name| {
            if let Some(consumer) = name.strip_prefix(CURSOR_PREFIX) {
                self.add(consumer);
            }
        })?;
        self.counted = Some(Instant::now());
        Ok(())
    }

    /// Whether there may be one more, with these limits.
    pub(super) fn has_room(&self, consumer: &str, of_identity: u32, total: u64) -> bool {
        let own = self.owners.get(&self.owner(consumer));
        self.total < total && own.is_none_or(|own| *own < of_identity)
    }

    pub(super) fn add(&mut self, consumer: &str) {
        let owner = self.owner(consumer);
        *self.owners.entry(owner).or_default() += 1;
        self.total += 1;
    }

    /// The name is identity, slash, consumer, or one for both.
    fn owner(&self, consumer: &str) -> u64 {
        let parts = consumer.rsplit_once('/');
        let owner = parts.map_or(consumer, |(owner, _)| owner);
        self.owners.hasher().hash_one(owner)
    }
}
