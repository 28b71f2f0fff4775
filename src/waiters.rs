//! Who waits for which topics: the registry that readers sign into and the dispatcher reads from.
//!
//! A waiter is woken once and is gone. `scanned` is the offset up to which the dispatcher has
//! looked at events on behalf of everyone registered; a waiter that has itself read only up to a
//! lower offset sets it back, so nothing between the two is overlooked.

use crate::types::{Filter, FilterSet, to_usize};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::task::Waker;

/// One registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(u64);

#[derive(Debug)]
struct Waiter {
    filters: FilterSet,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Registry {
    waiters: HashMap<u64, Waiter>,
    /// Literal filters: an event's topic finds its waiters with one look-up.
    literal: HashMap<Box<str>, Vec<u64>>,
    /// Waiters with at least one wildcard filter: tried one by one.
    wild: Vec<(Filter, u64)>,
    next_ticket: u64,
    scanned: u64,
}

/// The waiters of one read level.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Mutex<Registry>);

/// What a registration asks of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        let wake = first || from < registry.scanned;
        registry.scanned = if first {
            from
        } else {
            registry.scanned.min(from)
        };
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
        registry.waiters.insert(
            ticket,
            Waiter {
                filters: filters.clone(),
                waker,
            },
        );
        Some(Registered {
            ticket: Ticket(ticket),
            wake,
        })
    }

    /// Replaces the waker of a registration. `false`: it was woken meanwhile and is gone.
    pub(crate) fn update(&self, ticket: Ticket, waker: &Waker) -> bool {
        match self.0.lock().waiters.get_mut(&ticket.0) {
            Some(waiter) => {
                waiter.waker.clone_from(waker);
                true
            }
            None => false,
        }
    }

    /// Takes a registration back. No effect if it was woken meanwhile.
    pub(crate) fn cancel(&self, ticket: Ticket) {
        self.0.lock().remove(ticket.0);
    }

    /// Wakes everybody: what changed is not an event (poison, reopen, close, a gap).
    pub(crate) fn wake_all(&self) {
        let mut registry = self.0.lock();
        let wakers: Vec<Waker> = registry
            .waiters
            .drain()
            .map(|(_, waiter)| waiter.waker)
            .collect();
        registry.literal.clear();
        registry.wild.clear();
        drop(registry);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// From where the dispatcher has to look, `None` if nobody waits.
    pub(crate) fn scan_from(&self) -> Option<u64> {
        let registry = self.0.lock();
        (!registry.waiters.is_empty()).then_some(registry.scanned)
    }

    /// The dispatcher has looked at [from, to). Ignored if somebody registered below `from`
    /// meanwhile: the range is then looked at again.
    pub(crate) fn scanned(&self, from: u64, to: u64) {
        let mut registry = self.0.lock();
        if registry.scanned == from {
            registry.scanned = to;
        }
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
            tickets.extend(registry.literal.get(topic).into_iter().flatten());
            let wild = registry
                .wild
                .iter()
                .filter(|(filter, _)| filter.matches(topic));
            tickets.extend(wild.map(|(_, ticket)| ticket));
        }
        for ticket in tickets {
            let concerned = registry
                .waiters
                .get(&ticket)
                .is_some_and(|waiter| waiter.filters.matches(to.clone(), not_to.clone()));
            if concerned {
                taken.extend(registry.remove(ticket));
            }
        }
    }
}

impl Registry {
    fn remove(&mut self, ticket: u64) -> Option<Waker> {
        let waiter = self.waiters.remove(&ticket)?;
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
