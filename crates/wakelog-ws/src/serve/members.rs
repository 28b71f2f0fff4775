//! What all connections of one identity share: how many they are, and how fast they publish.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::session::Pace;

/// So many identities are kept before those that have left are looked for.
const SWEEP: usize = 1_024;

/// The identities of a hub that are here, or were a moment ago.
#[derive(Debug)]
pub(super) struct Members {
    connections: usize,
    publishes_per_second: u32,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    entries: HashMap<String, Entry>,
    sweep_at: usize,
}

#[derive(Debug)]
struct Entry {
    connections: usize,
    publishes: Pace,
}

impl Members {
    /// So many connections and publishes a second for each identity.
    pub(super) fn new(connections: usize, publishes_per_second: u32) -> Self {
        let known = Known {
            entries: HashMap::new(),
            sweep_at: SWEEP,
        };
        Self {
            connections,
            publishes_per_second,
            known: Mutex::new(known),
        }
    }

    /// Counts a connection of an identity, or says that it has as many as it may. Connections
    /// without one are all by themselves.
    pub(super) fn join(self: &Arc<Self>, name: Option<&str>, now: Instant) -> Option<Member> {
        let alone = Mutex::new(Pace::new(self.publishes_per_second, now));
        if let Some(name) = name {
            let mut known = self.lock();
            known.sweep(now);
            let entry = known
                .entries
                .entry(name.to_owned())
                .or_insert_with(|| Entry {
                    connections: 0,
                    publishes: Pace::new(self.publishes_per_second, now),
                });
            if entry.connections >= self.connections {
                return None;
            }
            entry.connections += 1;
        }
        Some(Member {
            members: Arc::clone(self),
            name: name.map(str::to_owned),
            alone,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Forgets those who have left and whose publishes are long past: one who comes back at once
    /// does not begin with a new allowance.
    fn sweep(&mut self, now: Instant) {
        if self.entries.len() < self.sweep_at {
            return;
        }
        self.entries
            .retain(|_, entry| entry.connections > 0 || !entry.publishes.is_rested(now));
        self.sweep_at = SWEEP.max(2 * self.entries.len());
    }
}

/// One connection's part in its identity.
#[derive(Debug)]
pub(super) struct Member {
    members: Arc<Members>,
    name: Option<String>,
    alone: Mutex<Pace>,
}

impl Member {
    /// Counts a publish; the moment at which it may be done if that is not now.
    pub(super) fn publish(&self, now: Instant) -> Option<Instant> {
        let Some(name) = &self.name else {
            return self
                .alone
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .count(now);
        };
        let mut known = self.members.lock();
        known.entries.get_mut(name)?.publishes.count(now)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let Some(name) = &self.name else {
            return;
        };
        if let Some(entry) = self.members.lock().entries.get_mut(name) {
            entry.connections -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn connections_of_an_identity_are_counted_and_those_without_one_are_not() {
        let members = Arc::new(Members::new(2, 10));
        let now = Instant::now();
        let first = members.join(Some("ann"), now).unwrap();
        let _second = members.join(Some("ann"), now).unwrap();
        assert!(members.join(Some("ann"), now).is_none());
        let _other = members.join(Some("bea"), now).unwrap();
        let _nobodies: Vec<_> = (0..9).map(|_| members.join(None, now).unwrap()).collect();
        drop(first);
        assert!(members.join(Some("ann"), now).is_some());
    }

    #[test]
    fn the_pace_is_one_for_all_connections_and_outlives_them() {
        let members = Arc::new(Members::new(2, 10));
        let now = Instant::now();
        let first = members.join(Some("ann"), now).unwrap();
        let second = members.join(Some("ann"), now).unwrap();
        assert!((0..20).all(|_| first.publish(now).is_none()));
        assert!((0..20).all(|_| second.publish(now).is_none()));
        assert!(first.publish(now).is_some());
        drop((first, second));
        let again = members.join(Some("ann"), now).unwrap();
        assert!(again.publish(now).is_some());
        let nobody = members.join(None, now).unwrap();
        assert!(nobody.publish(now).is_none());
    }

    #[test]
    fn identities_that_left_are_forgotten() {
        let members = Arc::new(Members::new(2, 10));
        let mut now = Instant::now();
        let here = members.join(Some("here"), now).unwrap();
        for n in 0..10 * SWEEP {
            now += Duration::from_millis(1);
            drop(members.join(Some(&n.to_string()), now));
        }
        let known = members.lock().entries.len();
        assert!(known <= SWEEP + 1, "{known}");
        assert!(members.lock().entries.contains_key("here"));
        drop(here);
    }
}
