//! What all connections of one identity share: how many they are, and how fast they publish.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::session::Pace;

/// Room for so many more identities is made when those who have left were looked for.
const SWEEP: usize = 1_024;

/// The identities of a hub that are here, or were a moment ago.
#[derive(Debug)]
pub(super) struct Members {
    /// For each identity.
    pub(super) connections: usize,
    pub(super) publishes_per_second: u32,
    known: Mutex<Known>,
}

type Known = HashMap<String, Arc<Mutex<Entry>>>;

/// An identity.
#[derive(Debug)]
struct Entry {
    connections: usize,
    /// What all of its connections publish.
    publishes: Pace,
}

impl Members {
    /// So many connections and publishes a second for each identity.
    pub(super) fn new(connections: usize, publishes_per_second: u32) -> Self {
        Self {
            connections,
            publishes_per_second,
            known: Mutex::default(),
        }
    }

    /// Counts a connection of an identity, or says that it has as many as it may. Connections
    /// without one are all by themselves.
    pub(super) fn join(&self, name: Option<&str>, now: Instant) -> Option<Member> {
        let new = || {
            let (connections, publishes) = (0, Pace::new(self.publishes_per_second, now));
            Arc::new(Mutex::new(Entry {
                connections,
                publishes,
            }))
        };
        let Some(name) = name else {
            return Some(Member::of(new()));
        };
        // Held to the end, so that no entry is forgotten that is about to be joined.
        let mut known = self.known.lock();
        sweep(&mut known, now);
        let entry = known.entry(name.to_owned()).or_insert_with(new);
        let full = entry.lock().connections >= self.connections;
        (!full).then(|| Member::of(Arc::clone(entry)))
    }
}

/// Forgets those who have left and whose publishes are long past, before more room is taken for
/// others: one who comes back at once does not begin with a new allowance.
fn sweep(known: &mut Known, now: Instant) {
    if known.len() == known.capacity() {
        known.retain(|_, entry| {
            let entry = entry.lock();
            entry.connections > 0 || !entry.publishes.is_rested(now)
        });
        known.reserve(known.len().max(SWEEP));
    }
}

/// One connection's part in its identity, for as long as it counts as one.
#[derive(Debug)]
pub(super) struct Member(Arc<Mutex<Entry>>);

impl Member {
    /// Counts a publish; says until when it has to wait, if it comes too early.
    pub(super) fn count_publish(&self, now: Instant) -> Option<Instant> {
        self.0.lock().publishes.count(now)
    }

    fn of(entry: Arc<Mutex<Entry>>) -> Self {
        entry.lock().connections += 1;
        Self(entry)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.lock().connections -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn connections_of_an_identity_are_counted_and_those_without_one_are_not() {
        let members = Members::new(2, 10);
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
        let members = Members::new(2, 10);
        let now = Instant::now();
        let publish = |member: &Member| member.count_publish(now);
        let first = members.join(Some("ann"), now).unwrap();
        let second = members.join(Some("ann"), now).unwrap();
        assert!((0..20).all(|_| publish(&first).is_none()));
        assert!((0..20).all(|_| publish(&second).is_none()));
        assert!(publish(&first).is_some());
        drop((first, second));
        let again = members.join(Some("ann"), now).unwrap();
        assert!(publish(&again).is_some());
        let nobody = members.join(None, now).unwrap();
        assert!(publish(&nobody).is_none());
    }

    #[test]
    fn identities_that_left_are_forgotten() {
        let members = Members::new(2, 10);
        let mut now = Instant::now();
        let here = members.join(Some("here"), now).unwrap();
        for n in 0..10 * SWEEP {
            now += Duration::from_millis(1);
            drop(members.join(Some(&n.to_string()), now));
        }
        let known = members.known.lock().len();
        assert!(known <= 4 * SWEEP, "{known}");
        assert!(members.known.lock().contains_key("here"));
        drop(here);
    }
}
