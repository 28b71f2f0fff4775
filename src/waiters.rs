//! Who waits for which topics: the registry that readers sign into and the dispatcher reads from.
//!
//! A waiter is woken once and is gone. `scanned` is the offset up to which the dispatcher has
//! looked at events on behalf of everyone registered. Whoever registers has itself read up to some
//! offset; if that is lower, `scanned` goes back to it, so nothing between the two is overlooked.
//! While the dispatcher is looking, the lower of the two is remembered and applied when it ends:
//! events that it passed before the registration are looked at again.

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, Plant, planted};
use crate::types::{Filter, FilterSet, to_usize};
use std::collections::HashMap;
use std::sync::Arc;
use std::task::Waker;

/// One registration. It remembers up to where the dispatcher had looked when it was woken.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    number: u64,
    seen: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Waiter {
    filters: FilterSet,
    waker: Waker,
    /// Stored when it is taken out.
    seen: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Registry {
    waiters: HashMap<u64, Waiter>,
    /// Literal filters: an event's topic finds its waiters with one look-up.
    literal: HashMap<Box<str>, Vec<u64>>,
    /// Waiters with at least one wildcard filter: tried one by one.
    wild: Vec<(Filter, u64)>,
    next_ticket: u64,
    /// Below this, the dispatcher has looked at every event on behalf of everyone registered.
    scanned: u64,
    /// The dispatcher is looking at a range, and some of it may lie behind it already.
    looking: bool,
    /// From where it must look again: the lowest place of those who registered meanwhile.
    again: Option<u64>,
}

/// The waiters of one read level.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Mutex<Registry>);

/// What a registration asks of the caller.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    pub(crate) ticket: Ticket,
    /// The dispatcher may be parked and must be woken: nobody waited before, so its bit may be
    /// clear, or it has to look again at events that this waiter has not seen.
    pub(crate) wake: bool,
}

impl Waiters {
    /// Registers a waiter that has seen every event below `from`; `None` if `most` wait already.
    pub(crate) fn register(
        &self,
        filters: &FilterSet,
        from: u64,
        waker: Waker,
        most: u32,
    ) -> Option<Registered> {
        let mut registry = self.0.lock();
        if registry.waiters.len() >= to_usize(most) {
            return None;
        }
        let first = registry.waiters.is_empty();
        let wake = registry.begin_at(from, first);
        let ticket = registry.next_ticket;
        registry.next_ticket += 1;
        for filter in filters.literals() {
            registry
                .literal
                .entry(filter.as_str().into())
                .or_default()
                .push(ticket);
        }
        for filter in filters.patterns() {
            registry.wild.push((filter.clone(), ticket));
        }
        let seen = Arc::new(AtomicU64::new(from));
        registry.waiters.insert(
            ticket,
            Waiter {
                filters: filters.clone(),
                waker,
                seen: Arc::clone(&seen),
            },
        );
        let number = ticket;
        Some(Registered {
            ticket: Ticket { number, seen },
            wake,
        })
    }

    /// Replaces the waker of a registration. `false`: it was woken meanwhile and is gone.
    pub(crate) fn update(&self, ticket: &Ticket, waker: &Waker) -> bool {
        match self.0.lock().waiters.get_mut(&ticket.number) {
            Some(waiter) => {
                waiter.waker.clone_from(waker);
                true
            }
            None => false,
        }
    }

    /// Up to where the dispatcher has looked for a registration: nothing below is for it.
    pub(crate) fn seen_for(&self, ticket: &Ticket) -> u64 {
        let registry = self.0.lock();
        if registry.waiters.contains_key(&ticket.number) {
            registry.looked_at()
        } else {
            ticket.seen.load(Ordering::Acquire)
        }
    }

    #[cfg(test)]
    pub(crate) fn looked_at(&self) -> u64 {
        self.0.lock().looked_at()
    }

    /// Takes a registration back. No effect if it was woken meanwhile.
    pub(crate) fn cancel(&self, ticket: &Ticket) {
        self.0.lock().remove(ticket.number);
    }

    /// How many wait.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().waiters.len()
    }

    /// Wakes everybody: what changed is not an event (poison, reopen, close, a gap).
    pub(crate) fn wake_all(&self) {
        let mut registry = self.0.lock();
        let seen = registry.looked_at();
        let wakers: Vec<Waker> = registry
            .waiters
            .drain()
            .map(|(_, waiter)| {
                waiter.seen.store(seen, Ordering::Release);
                waiter.waker
            })
            .collect();
        registry.literal.clear();
        registry.wild.clear();
        drop(registry);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The dispatcher begins to look: from where, or `None` if nobody waits.
    pub(crate) fn begin_scan(&self) -> Option<u64> {
        let mut registry = self.0.lock();
        if registry.waiters.is_empty() {
            return None;
        }
        registry.looking = true;
        registry.again = None;
        Some(registry.scanned)
    }

    /// The dispatcher has looked at everything below `to`, from where it began. Returns from where
    /// it has to go on.
    pub(crate) fn end_scan(&self, to: u64) -> u64 {
        let mut registry = self.0.lock();
        registry.looking = false;
        registry.scanned = registry.again.take().map_or(to, |again| again.min(to));
        registry.scanned
    }

    /// Takes out the waiters that this audience concerns; the caller wakes them when it holds
    /// nothing.
    pub(crate) fn take<'a>(
        &self,
        to: impl Iterator<Item = &'a str> + Clone,
        not_to: impl Iterator<Item = &'a str> + Clone,
        taken: &mut Vec<Waker>,
    ) {
        let mut registry = self.0.lock();
        let mut tickets: Vec<u64> = Vec::new();
        for topic in to.clone() {
            // All of a topic at once: most of them are taken.
            tickets.extend(registry.literal.remove(topic).into_iter().flatten());
            let wild = registry
                .wild
                .iter()
                .filter(|(filter, _)| filter.matches(topic));
            tickets.extend(wild.map(|(_, ticket)| ticket));
        }
        for ticket in tickets {
            let Some(waiter) = registry.waiters.get(&ticket) else {
                continue;
            };
            if waiter.filters.matches(to.clone(), not_to.clone()) {
                taken.extend(registry.remove(ticket));
            } else {
                // The event is not to it.
                registry.put_back(ticket, to.clone());
            }
        }
    }
}

impl Registry {
    /// Below this, nothing is for anybody who is registered, also while the dispatcher is looking.
    fn looked_at(&self) -> u64 {
        self.again
            .map_or(self.scanned, |again| again.min(self.scanned))
    }

    /// Somebody waits who has seen everything below `from`. Whether the dispatcher must be woken.
    fn begin_at(&mut self, from: u64, first: bool) -> bool {
        if self.looking && !planted(Plant::ForgottenWaiter) {
            // It may have passed `from` before this one was registered, and it comes round again
            // by itself.
            self.again = Some(self.again.map_or(from, |again| again.min(from)));
            return false;
        }
        let wake = first || from < self.scanned;
        self.scanned = if first { from } else { self.scanned.min(from) };
        wake
    }

    /// Enters a waiter again under those of `topics` that it waits for and is not entered under.
    fn put_back<'a>(&mut self, ticket: u64, topics: impl Iterator<Item = &'a str>) {
        let Some(waiter) = self.waiters.get(&ticket) else {
            return;
        };
        for topic in topics {
            let waits = waiter
                .filters
                .literals()
                .iter()
                .any(|filter| filter.as_str() == topic);
            let entered = self
                .literal
                .get(topic)
                .is_some_and(|all| all.contains(&ticket));
            if waits && !entered {
                self.literal.entry(topic.into()).or_default().push(ticket);
            }
        }
    }

    fn remove(&mut self, ticket: u64) -> Option<Waker> {
        let seen = self.looked_at();
        let waiter = self.waiters.remove(&ticket)?;
        waiter.seen.store(seen, Ordering::Release);
        for filter in waiter.filters.literals() {
            if let Some(tickets) = self.literal.get_mut(filter.as_str()) {
                tickets.retain(|other| *other != ticket);
                if tickets.is_empty() {
                    self.literal.remove(filter.as_str());
                }
            }
        }
        if !waiter.filters.patterns().is_empty() {
            self.wild.retain(|(_, other)| *other != ticket);
        }
        Some(waiter.waker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits_from(waiters: &Waiters, topic: &str, from: u64) -> Registered {
        let filters = FilterSet::new([topic], None).unwrap();
        waiters
            .register(&filters, from, Waker::noop().clone(), 10)
            .unwrap()
    }

    fn pass(waiters: &Waiters, topic: &str) -> usize {
        let mut taken = Vec::new();
        waiters.take(std::iter::once(topic), std::iter::empty(), &mut taken);
        taken.len()
    }

    #[test]
    fn who_registers_behind_the_dispatcher_is_not_overlooked() {
        let waiters = Waiters::default();
        assert!(waits_from(&waiters, "a", 10).wake);
        assert_eq!(waiters.begin_scan(), Some(10));
        // The dispatcher passes events 10 to 14; 12 is one of topic b, for which nobody waits yet.
        assert_eq!(pass(&waiters, "b"), 0);
        // Then somebody comes who has read up to 12 and waits for b.
        waits_from(&waiters, "b", 12);
        waiters.end_scan(15);
        assert_eq!(waiters.begin_scan(), Some(12));
        assert_eq!(pass(&waiters, "b"), 1);
        waiters.end_scan(15);
        assert_eq!(waiters.begin_scan(), Some(15));
    }

    #[test]
    fn the_dispatcher_is_woken_only_for_who_is_first_or_lower() {
        let waiters = Waiters::default();
        assert!(waits_from(&waiters, "a", 10).wake);
        assert!(!waits_from(&waiters, "a", 11).wake);
        let lower = waits_from(&waiters, "b.*", 9);
        assert!(lower.wake);
        assert_eq!(waiters.seen_for(&lower.ticket), 9);
        assert_eq!(pass(&waiters, "a"), 2);
        assert_eq!(pass(&waiters, "b.x"), 1);
        assert_eq!(waiters.seen_for(&lower.ticket), 9);
        assert_eq!(waiters.begin_scan(), None);
    }

    #[test]
    fn who_was_woken_knows_how_far_the_dispatcher_had_looked() {
        let waiters = Waiters::default();
        let quiet = waits_from(&waiters, "rare", 10).ticket;
        assert_eq!(waiters.begin_scan(), Some(10));
        assert_eq!(waiters.end_scan(1_000), 1_000);
        assert_eq!(waiters.begin_scan(), Some(1_000));
        assert_eq!(pass(&waiters, "rare"), 1);
        assert_eq!(waiters.seen_for(&quiet), 1_000);
    }

    #[test]
    fn who_registers_behind_a_look_is_not_told_that_it_has_passed() {
        let waiters = Waiters::default();
        waits_from(&waiters, "a", 10);
        assert_eq!(waiters.begin_scan(), Some(10));
        // It has read up to 5 and comes while the dispatcher looks at 10 and on.
        let behind = waits_from(&waiters, "b", 5).ticket;
        assert_eq!(waiters.seen_for(&behind), 5);
        assert_eq!(pass(&waiters, "b"), 1);
        assert_eq!(waiters.seen_for(&behind), 5);
    }
}
