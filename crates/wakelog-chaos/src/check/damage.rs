//! What flipped bits excuse: a loss that was told as what it is, and no other.

use std::collections::BTreeMap;

use super::Verdict;
use crate::history::Fact;

/// What a server keeps in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Events,
    Epochs,
    Cursors,
    Ids,
    Other,
}

impl Kind {
    fn of(file: &str) -> Self {
        match file {
            "wakelog.epochs" => Self::Epochs,
            "wakelog.ids" => Self::Ids,
            _ if file.starts_with("cursors.") => Self::Cursors,
            _ if file.ends_with(".log") => Self::Events,
            _ => Self::Other,
        }
    }
}

/// The flipped bits of a run, and what was told as damaged.
#[derive(Debug, Default)]
pub(super) struct Damage {
    /// Since where in the history, and in what.
    flips: Vec<(usize, Kind)>,
    /// Ranges that were told as corrupt: their first offset, the one behind them, and how often the
    /// oldest offset had been told when that was first known.
    corrupt: BTreeMap<u64, (u64, usize)>,
}

impl Damage {
    pub(super) fn gather(history: &[Fact]) -> Self {
        let mut damage = Self::default();
        let mut firsts = 0;
        for (at, fact) in history.iter().enumerate() {
            match fact {
                Fact::First { .. } => firsts += 1,
                Fact::Flip { file, .. } => damage.flips.push((at, Kind::of(file))),
                // That one was undone, and nobody was told anything meanwhile.
                Fact::Refused { .. } => drop(damage.flips.pop()),
                Fact::Gap {
                    from, to, reason, ..
                } if reason == "corrupt" => {
                    let known = damage.corrupt.entry(*from).or_insert((*to, firsts));
                    known.0 = known.0.max(*to);
                }
                _ => {}
            }
        }
        damage
    }

    fn count(&self, kind: Kind, before: usize) -> usize {
        let flips = self.flips.iter().take_while(|(at, _)| *at < before);
        flips.filter(|(_, other)| *other == kind).count()
    }

    /// May events be damaged?
    pub(super) fn of_events(&self, at: usize) -> bool {
        self.count(Kind::Events, at) > 0
    }

    /// May an epoch be unknown?
    pub(super) fn of_epochs(&self, at: usize) -> bool {
        self.count(Kind::Epochs, at) > 0
    }

    /// May a cursor be damaged?
    pub(super) fn of_cursors(&self, at: usize) -> bool {
        self.count(Kind::Cursors, at) > 0
    }

    /// Since when ids of events that had left may be unknown, if they may.
    pub(super) fn of_ids(&self, before: usize) -> impl Iterator<Item = usize> + '_ {
        let flips = self.flips.iter().take_while(move |(at, _)| *at < before);
        flips.filter_map(|(at, kind)| (*kind == Kind::Ids).then_some(*at))
    }

    /// Whether an offset was told as corrupt, when the oldest one had been told `before` times.
    pub(super) fn told(&self, offset: u64, before: usize) -> bool {
        let range = self.corrupt.range(..=offset).next_back();
        range.is_some_and(|(_, (to, firsts))| offset < *to && *firsts < before)
    }

    /// Each flipped bit stands in one frame, which has one event.
    pub(super) fn check(&self, verdict: &mut Verdict) {
        let (mut events, mut end) = (0, 0);
        for (from, (to, _)) in &self.corrupt {
            events += to.saturating_sub(end.max(*from));
            end = end.max(*to);
        }
        verdict.counts.corrupt = events;
        let flips = self.count(Kind::Events, usize::MAX);
        let flips = u64::try_from(flips).unwrap_or(u64::MAX);
        if events > flips {
            let text = format!("{events} events were told as corrupt, after {flips} flipped bits");
            verdict.broken("I3", text);
        }
    }
}
