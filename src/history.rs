//! The history of epochs, and what it says about a position.
//!
//! A position (e, n) means today what it meant when it was given iff e is in the history and n is
//! not above F, the smallest first offset of all epochs after e. Above F, what its holder saw in
//! [F, n) is not in this log any more.

use std::collections::HashMap;

use crate::types::{Epoch, Gap, GapReason, LogId, Position};

/// How many epochs count; older ones are answered with a reset.
pub(crate) const EPOCHS_KEPT: usize = 65_536;

/// Epochs, oldest first, each with its first offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    entries: Vec<(Epoch, u64)>,
    /// For each of `entries` the smallest first offset of it and all later ones.
    bounds: Vec<u64>,
}

/// What the history says about a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The same place today.
    Valid,
    /// Reading goes on at `gap.from`.
    Diverged(Gap),
    /// Another log, or an epoch that this log does not know.
    Reset,
}

impl History {
    pub(crate) fn new(mut entries: Vec<(Epoch, u64)>) -> Self {
        entries.sort_by_key(|(epoch, _)| (epoch.counter, epoch.tag));
        entries.dedup_by_key(|(epoch, _)| *epoch);
        let surplus = entries.len().saturating_sub(EPOCHS_KEPT);
        entries.drain(..surplus);
        let mut bounds: Vec<u64> = entries.iter().map(|(_, first)| *first).collect();
        for later in (1..bounds.len()).rev() {
            bounds[later - 1] = bounds[later - 1].min(bounds[later]);
        }
        Self { entries, bounds }
    }

    pub(crate) fn with(&self, epoch: Epoch, first: u64) -> Self {
        let mut entries = self.entries.clone();
        entries.push((epoch, first));
        Self::new(entries)
    }

    /// With epochs that were met elsewhere. Where an epoch was met more than once its lowest offset
    /// counts: what is met is not always its beginning, and too high a bound would pass positions
    /// that have diverged.
    pub(crate) fn completed(&self, met: &[(Epoch, u64)]) -> Self {
        let mut missing: HashMap<Epoch, u64> = HashMap::new();
        for (epoch, offset) in met {
            let first = missing.entry(*epoch).or_insert(*offset);
            *first = (*first).min(*offset);
        }
        for (epoch, _) in &self.entries {
            missing.remove(epoch);
        }
        Self::new(self.entries.iter().copied().chain(missing).collect())
    }

    pub(crate) fn newest(&self) -> Option<Epoch> {
        self.entries.last().map(|(epoch, _)| *epoch)
    }

    pub(crate) fn entries(&self) -> &[(Epoch, u64)] {
        &self.entries
    }

    /// The epochs under which an event with this offset may have been written, the likeliest first.
    pub(crate) fn candidates(&self, offset: u64) -> impl Iterator<Item = Epoch> + '_ {
        self.entries
            .iter()
            .rev()
            .filter(move |(_, first)| *first <= offset)
            .map(|(epoch, _)| *epoch)
    }

    /// Whether a later epoch has begun at or below this offset: an event of `epoch` that stands
    /// there was lost with its tail. `false` where nothing is known of one.
    pub(crate) fn is_over(&self, epoch: Epoch, offset: u64) -> bool {
        let later = |(other, _): &(Epoch, u64)| other.counter <= epoch.counter;
        let later = self.entries.partition_point(later);
        let bound = self.bounds.get(later);
        !sabotaged!("epoch-never-over") && bound.is_some_and(|bound| *bound <= offset)
    }

    /// Judges a position of log `log`, whose end is `end`.
    pub(crate) fn judge(&self, position: &Position, log: LogId, end: u64) -> Verdict {
        if position.log != log {
            return Verdict::Reset;
        }
        let Some(index) = self
            .entries
            .iter()
            .rposition(|(epoch, _)| *epoch == position.epoch)
        else {
            return Verdict::Reset;
        };
        let later = self
            .entries
            .iter()
            .skip(index + 1)
            .map(|(_, first)| *first)
            .min();
        let bound = later.unwrap_or(end);
        if position.offset <= bound {
            return Verdict::Valid;
        }
        Verdict::Diverged(Gap {
            from: bound,
            to: position.offset,
            reason: GapReason::Diverged,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(counter: u32) -> Epoch {
        Epoch {
            counter,
            tag: counter * 7,
        }
    }

    fn at(counter: u32, offset: u64) -> Position {
        Position {
            log: LogId([1; 16]),
            epoch: epoch(counter),
            offset,
        }
    }

    fn judge(history: &History, position: &Position) -> Verdict {
        history.judge(position, LogId([1; 16]), 120)
    }

    #[test]
    fn a_restart_that_lost_nothing_costs_nothing() {
        let history = History::new(vec![(epoch(1), 0), (epoch(2), 100)]);
        assert_eq!(judge(&history, &at(1, 100)), Verdict::Valid);
        assert_eq!(judge(&history, &at(2, 120)), Verdict::Valid);
    }

    #[test]
    fn above_the_smallest_later_first_offset_is_diverged() {
        // Epoch 2 began at 100, lost its tail down to 80, epoch 3 began there.
        let history = History::new(vec![(epoch(1), 0), (epoch(2), 100), (epoch(3), 80)]);
        let gap = |to| {
            Verdict::Diverged(Gap {
                from: 80,
                to,
                reason: GapReason::Diverged,
            })
        };
        assert_eq!(judge(&history, &at(1, 80)), Verdict::Valid);
        assert_eq!(judge(&history, &at(1, 81)), gap(81));
        assert_eq!(judge(&history, &at(2, 110)), gap(110));
        assert_eq!(judge(&history, &at(3, 110)), Verdict::Valid);
    }

    #[test]
    fn an_epoch_is_over_where_any_later_one_began() {
        let history = History::new(vec![(epoch(1), 0), (epoch(2), 100), (epoch(4), 80)]);
        for (counter, over) in [
            (0, 0),
            (1, 80),
            (2, 80),
            (3, 80),
            (4, u64::MAX),
            (5, u64::MAX),
        ] {
            for offset in [0, 1, 79, 80, 81, 99, 100, 101] {
                let expected = offset >= over;
                assert_eq!(
                    history.is_over(epoch(counter), offset),
                    expected,
                    "{counter} {offset}"
                );
            }
        }
        assert!(!History::default().is_over(epoch(1), 7));
    }

    #[test]
    fn beyond_the_end_of_the_current_epoch_is_diverged_and_strangers_are_reset() {
        let history = History::new(vec![(epoch(1), 0)]);
        let gap = Gap {
            from: 120,
            to: 121,
            reason: GapReason::Diverged,
        };
        assert_eq!(judge(&history, &at(1, 121)), Verdict::Diverged(gap));
        assert_eq!(judge(&history, &at(2, 1)), Verdict::Reset);
        let other = Position {
            log: LogId([2; 16]),
            ..at(1, 1)
        };
        assert_eq!(judge(&history, &other), Verdict::Reset);
    }
}
