//! Who waits for which topics: the registry that readers sign into and the dispatcher reads from.
//!
//! A waiter is woken once. Its entry stays, and so does what it is listed under, until it is met
//! there without waiting: who waits again before that costs next to nothing, and for all others it
//! costs the same however many wait. `scanned` is the offset up to
//! which the dispatcher has looked at events on behalf of everyone who waits. Whoever signs in has
//! itself read up to some offset; if that is lower, `scanned` goes back to it, so nothing between
//! the two is overlooked. While the dispatcher is looking, the lower of the two is remembered and
//! applied when it ends: events that it passed before the sign-in are looked at again.

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, Plant, planted};
use crate::types::{Filter, FilterSet, to_usize};
use std::collections::HashMap;
use std::sync::Arc;
use std::task::Waker;

/// An entry of the registry. It remembers up to where the dispatcher had looked when it was woken.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// Where the entry stands.
    number: usize,
    /// [`WAITS`] while it waits.
    seen: Arc<AtomicU64>,
}

/// No offset is as high.
const WAITS: u64 = u64::MAX;

#[derive(Debug)]
struct Waiter {
    filters: FilterSet,
    /// Which of the filters, literals first, it is listed under. All of them while it waits.
    listed: Box<[bool]>,
    /// How many are missing there.
    unlisted: usize,
    /// None once it was woken, until it waits again.
    waker: Option<Waker>,
    /// Stored when it is woken.
    seen: Arc<AtomicU64>,
    /// By which event it was woken last, counted by [`Registry::events`].
    woken_by: u64,
}

/// One filter of one waiter. It may be that of one that does not wait, until it is met.
#[derive(Debug)]
struct Listed {
    ticket: usize,
    filter: usize,
}

#[derive(Debug, Default)]
struct Registry {
    /// An entry's place does not change, and is another's when it is gone.
    waiters: Vec<Option<Waiter>>,
    free: Vec<usize>,
    /// How many of them have not been woken.
    waiting: usize,
    /// Literal filters: an event's topic finds its waiters with one look-up.
    literal: HashMap<Box<str>, Vec<Listed>>,
    /// Filters with wildcards: tried one by one.
    wild: Vec<(Filter, Listed)>,
    /// How many events have been looked at.
    events: u64,
    /// Below this, the dispatcher has looked at every event on behalf of everyone who waits.
    scanned: u64,
    /// The dispatcher is looking at a range, and some of it may lie behind it already.
    looking: bool,
    /// From where it must look again: the lowest place of those who signed in meanwhile.
    again: Option<u64>,
}

/// The waiters of one read level.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Mutex<Registry>);

impl Waiters {
    /// Waits with an entry, or makes one with these filters. The waiter has seen every event below
    /// `from`. `None` if `most` wait already.
    ///
    /// `true`: the dispatcher may be parked and must be woken: nobody waited before, so its bit
    /// may be clear, or it has to look again at events that this waiter has not seen.
    pub(crate) fn sign_in(
        &self,
        ticket: &mut Option<Ticket>,
        filters: &FilterSet,
        from: u64,
        waker: &Waker,
        most: u32,
    ) -> Option<bool> {
        let mut registry = self.0.lock();
        let waits = |ticket: &&Ticket| ticket.seen.load(Ordering::Acquire) == WAITS;
        if let Some(ticket) = ticket.as_ref().filter(waits) {
            let waiter = registry.waiter(ticket.number);
            if let Some(waits) = waiter.and_then(|waiter| waiter.waker.as_mut()) {
                let other = !waits.will_wake(waker);
                let old = other.then(|| std::mem::replace(waits, waker.clone()));
                // Also what a waker does when it is dropped needs nothing that is held here.
                drop(registry);
                drop(old);
                return Some(false);
            }
        }
        if registry.waiting >= to_usize(most) {
            return None;
        }
        let first = registry.waiting == 0;
        let wake = registry.begin_at(from, first);
        let ticket = ticket.get_or_insert_with(|| registry.enter(filters));
        ticket.seen.store(WAITS, Ordering::Release);
        registry.list(ticket.number, waker);
        Some(wake)
    }

    /// Up to where the dispatcher has looked for an entry: nothing below is for it.
    pub(crate) fn seen_for(&self, ticket: &Ticket) -> u64 {
        match ticket.seen.load(Ordering::Acquire) {
            WAITS => {}
            seen => return seen,
        }
        let registry = self.0.lock();
        // It may have been woken meanwhile.
        match ticket.seen.load(Ordering::Acquire) {
            WAITS => registry.looked_at(),
            seen => seen,
        }
    }

    #[cfg(test)]
    pub(crate) fn looked_at(&self) -> u64 {
        self.0.lock().looked_at()
    }

    /// Takes an entry out.
    pub(crate) fn cancel(&self, ticket: &Ticket) {
        let gone = self.0.lock().remove(ticket);
        drop(gone);
    }

    /// How many wait.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().waiting
    }

    /// Wakes everybody: what changed is not an event (poison, reopen, close, a gap).
    pub(crate) fn wake_all(&self) {
        let mut registry = self.0.lock();
        let seen = registry.looked_at();
        let waiters = registry.waiters.iter_mut().flatten();
        let wakers: Vec<Waker> = waiters.filter_map(|waiter| waiter.take(seen)).collect();
        registry.waiting = 0;
        drop(registry);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The dispatcher begins to look: from where, or `None` if nobody waits.
    pub(crate) fn begin_scan(&self) -> Option<u64> {
        let mut registry = self.0.lock();
        if registry.waiting == 0 {
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

    /// Takes the wakers of those whom this audience concerns; the caller wakes them when it holds
    /// nothing.
    pub(crate) fn take<'a>(
        &self,
        to: impl Iterator<Item = &'a str> + Clone,
        not_to: impl Iterator<Item = &'a str> + Clone,
        taken: &mut Vec<Waker>,
    ) {
        let mut registry = self.0.lock();
        let (seen, before) = (registry.looked_at(), taken.len());
        registry.events += 1;
        let Registry {
            waiters,
            literal,
            wild,
            events,
            ..
        } = &mut *registry;
        // Whether it stays listed.
        let mut visit = |listed: &Listed, hears: bool| {
            let Some(Some(waiter)) = waiters.get_mut(listed.ticket) else {
                return false;
            };
            if waiter.waker.is_none() {
                // It has several topics of this event, or stays away.
                if waiter.woken_by == *events {
                    return true;
                }
                waiter.listed[listed.filter] = false;
                waiter.unlisted += 1;
                return false;
            }
            // What it is listed under has said that the event is for it. Most events exclude
            // nobody, and then its filters, which lie in a place of their own, are not touched.
            if hears
                && !waiter
                    .filters
                    .is_excluded(not_to.clone().map(str::as_bytes))
            {
                waiter.woken_by = *events;
                taken.extend(waiter.take(seen));
            }
            true
        };
        for topic in to.clone() {
            if let Some(list) = literal.get_mut(topic) {
                list.retain(|listed| visit(listed, true));
            }
            wild.retain(|(filter, listed)| visit(listed, filter.matches(topic)));
        }
        registry.waiting -= taken.len() - before;
    }
}

impl Waiter {
    /// It is woken, and does not wait any more.
    fn take(&mut self, seen: u64) -> Option<Waker> {
        let waker = self.waker.take()?;
        self.seen.store(seen, Ordering::Release);
        Some(waker)
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

    /// Makes an entry that nobody waits with yet.
    fn enter(&mut self, filters: &FilterSet) -> Ticket {
        let seen = Arc::new(AtomicU64::new(0));
        let waiter = Waiter {
            filters: filters.clone(),
            listed: filters.filters().map(|_| false).collect(),
            unlisted: filters.filters().count(),
            waker: None,
            seen: Arc::clone(&seen),
            woken_by: 0,
        };
        let number = self.free.pop().unwrap_or_else(|| {
            self.waiters.push(None);
            self.waiters.len() - 1
        });
        self.waiters[number] = Some(waiter);
        Ticket { number, seen }
    }

    /// Somebody waits with this entry.
    fn list(&mut self, ticket: usize, waker: &Waker) {
        let Some(Some(waiter)) = self.waiters.get_mut(ticket) else {
            return;
        };
        waiter.waker = Some(waker.clone());
        self.waiting += 1;
        if std::mem::take(&mut waiter.unlisted) == 0 {
            return;
        }
        let filters = waiter.filters.filters().zip(&mut waiter.listed).enumerate();
        for (index, (filter, is_listed)) in filters {
            if std::mem::replace(is_listed, true) {
                continue;
            }
            let listed = Listed {
                ticket,
                filter: index,
            };
            if !filter.is_literal() {
                self.wild.push((filter.clone(), listed));
            } else if let Some(list) = self.literal.get_mut(filter.as_str()) {
                list.push(listed);
            } else {
                self.literal.insert(filter.as_str().into(), vec![listed]);
            }
        }
    }

    fn waiter(&mut self, number: usize) -> Option<&mut Waiter> {
        self.waiters.get_mut(number)?.as_mut()
    }

    /// Gives back the entry, to be dropped where nothing is held.
    fn remove(&mut self, Ticket { number, seen }: &Ticket) -> Option<Waiter> {
        let entry = self.waiters.get_mut(*number);
        // One that is gone may have left its place to another.
        let entry = entry.and_then(|entry| entry.take_if(|one| Arc::ptr_eq(&one.seen, seen)));
        let waiter = entry?;
        self.free.push(*number);
        if waiter.waker.is_some() {
            let seen = self.looked_at();
            waiter.seen.store(seen, Ordering::Release);
            self.waiting -= 1;
        }
        for filter in waiter.filters.literals() {
            let Some(list) = self.literal.get_mut(filter.as_str()) else {
                continue;
            };
            if let Some(at) = list.iter().position(|listed| listed.ticket == *number) {
                list.swap_remove(at);
            }
            if list.is_empty() {
                self.literal.remove(filter.as_str());
            }
        }
        if !waiter.filters.patterns().is_empty() {
            self.wild.retain(|(_, listed)| listed.ticket != *number);
        }
        Some(waiter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Signed {
        ticket: Ticket,
        wake: bool,
    }

    fn waits_from(waiters: &Waiters, topic: &str, from: u64) -> Signed {
        let mut ticket = None;
        let wake = again_from(waiters, &mut ticket, topic, from);
        let ticket = ticket.unwrap();
        Signed { ticket, wake }
    }

    fn again_from(waiters: &Waiters, ticket: &mut Option<Ticket>, topic: &str, from: u64) -> bool {
        let filters = FilterSet::new([topic, "all"], None).unwrap();
        let signed = waiters.sign_in(ticket, &filters, from, Waker::noop(), 10);
        signed.unwrap()
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

    /// How many entries there are, and under how many literals they are listed.
    fn entries(waiters: &Waiters) -> (usize, usize) {
        let registry = waiters.0.lock();
        let literal = registry.literal.values().map(Vec::len).sum::<usize>();
        (registry.waiters.iter().flatten().count(), literal)
    }

    /// Who was woken and stays away is met once more, and then no event has to do with it.
    #[test]
    fn who_stays_away_is_listed_until_it_is_met() {
        let waiters = Waiters::default();
        let mut ticket = None;
        again_from(&waiters, &mut ticket, "a", 10);
        for listed in [2, 1, 1] {
            assert_eq!(pass(&waiters, "a"), usize::from(listed == 2));
            assert_eq!(entries(&waiters), (1, listed));
        }
        again_from(&waiters, &mut ticket, "a", 13);
        assert_eq!((pass(&waiters, "a"), entries(&waiters)), (1, (1, 2)));
        again_from(&waiters, &mut ticket, "a", 14);
        assert_eq!((pass(&waiters, "all"), entries(&waiters)), (1, (1, 2)));
    }

    /// Whoever waits again is found again, without another entry, and is counted while it waits.
    #[test]
    fn who_waits_again_keeps_the_entry() {
        let waiters = Waiters::default();
        let mut tickets = [None, None];
        for round in 0..3 {
            for ticket in &mut tickets {
                again_from(&waiters, ticket, "a", 10 + round);
            }
            assert_eq!(waiters.count(), 2);
            let topic = ["a", "all", "a"][to_usize(u32::try_from(round).unwrap())];
            assert_eq!((pass(&waiters, topic), pass(&waiters, topic)), (2, 0));
            assert_eq!((waiters.count(), waiters.begin_scan()), (0, None));
        }
        again_from(&waiters, &mut tickets[0], "a", 13);
        waiters.wake_all();
        assert_eq!(waiters.count(), 0);
        again_from(&waiters, &mut tickets[1], "a", 13);
        assert_eq!(entries(&waiters), (2, 4));
        for ticket in tickets.iter().flatten() {
            waiters.cancel(ticket);
            waiters.cancel(ticket);
        }
        assert_eq!((entries(&waiters), waiters.count()), ((0, 0), 0));
    }

    #[test]
    #[cfg(not(any(loom, shuttle)))]
    fn wakers_are_dropped_where_nothing_is_held() {
        let waiters = Arc::new(Waiters::default());
        let filters = FilterSet::new(["a"], None).unwrap();
        let mut ticket = None;
        for _ in 0..3 {
            let here = Arc::clone(&waiters);
            let waker = crate::testing::wakers::looking_around(move || here.0.try_lock().is_some());
            let signed = waiters.sign_in(&mut ticket, &filters, 10, &waker, 10);
            assert!(signed.is_some());
        }
        waiters.cancel(&ticket.unwrap());
    }

    /// A place is used again, and not by two.
    #[test]
    fn who_is_gone_twice_takes_nobody_along() {
        let waiters = Waiters::default();
        let gone = waits_from(&waiters, "a", 10).ticket;
        waiters.cancel(&gone);
        let here = waits_from(&waiters, "a", 10).ticket;
        waiters.cancel(&gone);
        let other = waits_from(&waiters, "b", 10).ticket;
        assert_eq!((entries(&waiters), waiters.count()), ((2, 4), 2));
        assert_eq!((pass(&waiters, "a"), pass(&waiters, "b")), (1, 1));
        for ticket in [here, other] {
            waiters.cancel(&ticket);
        }
        assert_eq!(entries(&waiters), (0, 0));
        assert_eq!(waiters.0.lock().waiters.len(), 2);
    }
}
