//! What came of all events, counted for any target: pure, and with no opinion on what was promised.
//!
//! An event exists if it was answered or if anybody got it. To whom it is owed it came, or it was
//! lost: *told* if the client had heard of that (a gap that holds it, or a connection that was not
//! recovered between what came before and what came next), and *silently* otherwise.

use std::collections::{HashMap, HashSet};

use wakelog::Filter;

use super::Lost;
use crate::history::Fact;

/// How much of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    pub(crate) unanswered: u64,
    /// Events and those to whom they are, in pairs.
    pub(crate) owed: u64,
    pub(crate) delivered: u64,
    /// Silently, by where they lie in what a client got.
    pub(crate) silent: Lost,
    pub(crate) told: u64,
    /// The same event again in one process of a client, under its number or another.
    pub(crate) duplicated: u64,
    /// New to the client, but older than what it already had.
    pub(crate) reordered: u64,
    /// That nobody had sent, with other bytes, or not to this client.
    pub(crate) strange: u64,
    /// Reconnections that were said to be complete, and those that were not.
    pub(crate) recovered: u64,
    pub(crate) unrecovered: u64,
    pub(crate) gaps: u64,
}

/// Counts a history.
pub(crate) fn tally(history: &[Fact]) -> Tally {
    let mut tally = Tally::default();
    let events = gather(history, &mut tally);
    let mut listeners: HashMap<&str, Listener<'_>> = HashMap::new();
    for fact in history {
        match fact {
            Fact::Client {
                client,
                identity,
                filters,
                start,
            } => {
                listeners.insert(client, Listener::new(identity, filters, *start));
            }
            Fact::Heard { client, .. }
            | Fact::Gap { client, .. }
            | Fact::Resumed { client, .. }
            | Fact::Connected { client, .. } => match listeners.get_mut(client.as_str()) {
                Some(listener) => listener.take(fact, &events, &mut tally),
                None => tally.strange += 1,
            },
            _ => {}
        }
    }
    for listener in listeners.into_values() {
        listener.finish(&events, &mut tally);
    }
    tally
}

#[derive(Debug)]
struct Event<'a> {
    topics: &'a [String],
    not_to: &'a [String],
    text: &'a str,
    /// Under each of these numbers it was sent on; none if nobody has heard of it.
    offsets: Vec<u64>,
    answered: bool,
}

fn gather<'a>(history: &'a [Fact], tally: &mut Tally) -> HashMap<&'a str, Event<'a>> {
    let mut events: HashMap<&str, Event<'_>> = HashMap::new();
    for fact in history {
        match fact {
            Fact::Appending {
                id,
                topics,
                not_to,
                text,
            } => {
                events.entry(id).or_insert(Event {
                    topics,
                    not_to,
                    text,
                    offsets: Vec::new(),
                    answered: false,
                });
            }
            Fact::Appended { id, offset } | Fact::Heard { id, offset, .. } => {
                if let Some(event) = events.get_mut(id.as_str()) {
                    event.answered |= matches!(fact, Fact::Appended { .. });
                    if !event.offsets.contains(offset) {
                        event.offsets.push(*offset);
                    }
                }
            }
            _ => {}
        }
    }
    let answered = events.values().filter(|event| event.answered).count();
    tally.answered = u64::try_from(answered).unwrap_or(u64::MAX);
    tally.unanswered = u64::try_from(events.len() - answered).unwrap_or(u64::MAX);
    events
}

struct Listener<'a> {
    identity: &'a str,
    filters: Vec<Filter>,
    start: u64,
    /// What it got, and what its present process got.
    heard: HashSet<&'a str>,
    process: HashSet<&'a str>,
    /// The lowest and one above the highest number of what it got.
    first: Option<u64>,
    next: u64,
    /// What it was told not to get.
    told: Vec<(u64, u64)>,
    /// It was told that something may be missing from here on; what comes next says how far.
    missing: Option<u64>,
}

impl<'a> Listener<'a> {
    fn new(identity: &'a str, filters: &[String], start: u64) -> Self {
        let parsed = filters.iter().filter_map(|text| Filter::parse(text).ok());
        Self {
            identity,
            filters: parsed.collect(),
            start,
            heard: HashSet::new(),
            process: HashSet::new(),
            first: None,
            next: start,
            told: Vec::new(),
            missing: None,
        }
    }

    fn is_owed(&self, event: &Event<'_>) -> bool {
        let matches = |topic: &String| self.filters.iter().any(|filter| filter.matches(topic));
        event.topics.iter().any(matches) && !event.not_to.iter().any(|who| who == self.identity)
    }

    fn take(&mut self, fact: &'a Fact, events: &HashMap<&str, Event<'_>>, tally: &mut Tally) {
        match fact {
            Fact::Heard {
                offset, id, text, ..
            } => {
                let Some(event) = events.get(id.as_str()) else {
                    tally.strange += 1;
                    return;
                };
                if event.text != text || !self.is_owed(event) {
                    tally.strange += 1;
                }
                if let Some(from) = self.missing.take_if(|from| *from <= *offset) {
                    self.told.push((from, *offset));
                }
                if !self.process.insert(id) {
                    tally.duplicated += 1;
                } else if *offset < self.next && !self.heard.contains(id.as_str()) {
                    tally.reordered += 1;
                }
                self.heard.insert(id);
                self.first = Some(self.first.map_or(*offset, |first| first.min(*offset)));
                self.next = self.next.max(offset + 1);
            }
            Fact::Gap { from, to, .. } => {
                tally.gaps += 1;
                self.told.push((*from, *to));
            }
            Fact::Resumed { .. } => self.process.clear(),
            Fact::Connected { recovered, .. } => {
                if *recovered {
                    tally.recovered += 1;
                } else {
                    tally.unrecovered += 1;
                    self.missing.get_or_insert(self.next);
                }
            }
            _ => {}
        }
    }

    fn finish(mut self, events: &HashMap<&str, Event<'_>>, tally: &mut Tally) {
        if let Some(from) = self.missing {
            self.told.push((from, u64::MAX));
        }
        for (id, event) in events {
            let mut offsets = event.offsets.iter().filter(|offset| **offset >= self.start);
            let Some(place) = offsets.clone().min() else {
                continue;
            };
            if !self.is_owed(event) {
                continue;
            }
            tally.owed += 1;
            let is_told = |offset: &u64| {
                self.told
                    .iter()
                    .any(|told| (told.0..told.1).contains(offset))
            };
            if self.heard.contains(id) {
                tally.delivered += 1;
            } else if offsets.any(is_told) {
                tally.told += 1;
            } else {
                *match self.first {
                    Some(first) if *place < first => &mut tally.silent.prefix,
                    Some(_) if *place < self.next => &mut tally.silent.middle,
                    _ => &mut tally.silent.suffix,
                } += 1;
            }
        }
    }
}
