//! What a log must be, as plainly as it can be said: a list of events and a list of epochs.

use crate::testing::sample::Sample;
use crate::{Epoch, Gap, GapReason, LogId, Position};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Ids that the log remembers.
pub(super) const WINDOW: usize = 6;

/// The log that ought to be.
pub(super) struct Oracle {
    pub(super) log: LogId,
    pub(super) events: Vec<Sample>,
    /// The time of each event, once it was read.
    pub(super) times: Vec<Option<u64>>,
    /// `histories[n]` stands for the events below `n`.
    histories: Vec<u64>,
    /// What is below was trimmed.
    pub(super) first: u64,
    /// At least the events below this are durable.
    pub(super) durable: u64,
    /// Ids of events below this may be forgotten: the file that held them was harmed.
    pub(super) maybe_forgotten: u64,
    /// Events whose ids are.
    forgotten: BTreeSet<u64>,
    /// Events older than the window whose ids are known all the same: where newer ones were
    /// forgotten, what the file says reaches further back.
    outlived: BTreeSet<u64>,
    /// Each epoch with its first offset.
    pub(super) epochs: Vec<(Epoch, u64)>,
    pub(super) cursors: BTreeMap<usize, CursorOracle>,
}

/// What a position must lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Valid,
    Diverged(Gap),
}

/// A durable cursor.
#[derive(Clone, Debug)]
pub(super) struct CursorOracle {
    pub(super) acked: u64,
    pub(super) kept: Option<u64>,
    /// What `acked` was since it was last certainly saved, the saved value first.
    pub(super) may_be_acked: Vec<u64>,
    pub(super) may_be_kept: Vec<Option<u64>>,
    /// It was saved once, so that it is there for ever.
    pub(super) saved: bool,
}

impl Oracle {
    pub(super) fn new(log: LogId, first: Epoch) -> Self {
        Self {
            log,
            events: Vec::new(),
            times: Vec::new(),
            histories: vec![0],
            first: 0,
            durable: 0,
            maybe_forgotten: 0,
            forgotten: BTreeSet::new(),
            outlived: BTreeSet::new(),
            epochs: vec![(first, 0)],
            cursors: BTreeMap::new(),
        }
    }

    pub(super) fn end(&self) -> u64 {
        u64::try_from(self.events.len()).unwrap()
    }

    /// The offset of the event with this id, if it is among the last `WINDOW` that have one.
    pub(super) fn known(&self, sample: &Sample) -> Option<u64> {
        sample.id()?;
        let with_id = |(_, event): &(usize, &Sample)| event.id().is_some();
        let last = self.events.iter().enumerate().rev().filter(with_id);
        let last = last.map(|(offset, _)| u64::try_from(offset).unwrap());
        let outlived = self.outlived.iter().rev().copied();
        last.take(WINDOW)
            .chain(outlived)
            .filter(|at| self.is_same(*at, sample) && !self.forgotten.contains(at))
            .last()
    }

    fn is_same(&self, offset: u64, sample: &Sample) -> bool {
        let event = self.events.get(usize::try_from(offset).unwrap());
        event.is_some_and(|event| event.id() == sample.id() && event.from() == sample.from())
    }

    /// What the log has answered for the id of `sample`: of one that it may have forgotten, that
    /// says whether it has.
    pub(super) fn answered(&mut self, sample: &Sample, offset: u64) {
        if offset < self.maybe_forgotten && sample.id().is_some() && self.is_same(offset, sample) {
            self.outlived.insert(offset);
        }
        while let Some(known) = self.known(sample) {
            if known == offset || known >= self.maybe_forgotten {
                return;
            }
            self.forgotten.insert(known);
        }
    }

    /// Appends a batch and says the offset of each event.
    pub(super) fn append_batch(&mut self, samples: Vec<Sample>) -> Vec<u64> {
        // All are looked up before the first is entered.
        let known: Vec<_> = samples.iter().map(|sample| self.known(sample)).collect();
        let mut firsts: BTreeMap<_, u64> = BTreeMap::new();
        let each = samples.into_iter().zip(known).map(|(sample, known)| {
            let key = sample.id().map(|id| (id, sample.from()));
            let known = known.or_else(|| firsts.get(key.as_ref()?).copied());
            let offset = known.unwrap_or(self.end());
            key.map(|key| firsts.insert(key, offset));
            if known.is_none() {
                self.append(sample);
            }
            offset
        });
        each.collect()
    }

    pub(super) fn append(&mut self, sample: Sample) {
        let mut hasher = DefaultHasher::new();
        (self.histories.last(), sample.serial).hash(&mut hasher);
        self.histories.push(hasher.finish());
        self.events.push(sample);
        self.times.push(None);
    }

    /// The gap that whoever wants `next` is told.
    pub(super) fn trimmed(&self, next: u64) -> Option<Gap> {
        let (from, to, reason) = (next, self.first, GapReason::Trimmed);
        (from < to).then_some(Gap { from, to, reason })
    }

    /// Stands for the events below `offset`.
    pub(super) fn history(&self, offset: u64) -> u64 {
        self.histories[usize::try_from(offset).unwrap()]
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epochs.last().unwrap().0
    }

    /// A new epoch begins at `end`; events above are lost, those below are on disk.
    pub(super) fn recovered(&mut self, epoch: Epoch, end: u64) {
        let len = usize::try_from(end).unwrap();
        self.events.truncate(len);
        self.times.truncate(len);
        self.histories.truncate(len + 1);
        self.epochs.push((epoch, end));
        self.durable = end;
        self.cursors.values_mut().for_each(CursorOracle::all_saved);
    }

    /// All appends and acks so far are on disk.
    pub(super) fn synced(&mut self) {
        self.durable = self.end();
        self.cursors.values_mut().for_each(CursorOracle::all_saved);
    }

    pub(super) fn judge(&self, position: &Position) -> Meaning {
        let index = self
            .epochs
            .iter()
            .position(|(epoch, _)| *epoch == position.epoch)
            .unwrap();
        let later = self.epochs[index + 1..].iter().map(|(_, first)| *first);
        let from = later.min().unwrap_or(self.end());
        if position.offset <= from {
            return Meaning::Valid;
        }
        Meaning::Diverged(Gap {
            from,
            to: position.offset,
            reason: GapReason::Diverged,
        })
    }

    /// The offsets in `from..to` that are for this consumer.
    pub(super) fn matching(&self, wish: Wish<'_>, from: u64, to: u64) -> Vec<u64> {
        let event = |offset: &u64| &self.events[usize::try_from(*offset).unwrap()];
        (from..to)
            .filter(|offset| wish.wants(event(offset)))
            .collect()
    }
}

/// Filters, and identities if they were given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish<'a>(pub(super) &'a [&'a str], pub(super) Option<&'a [&'a str]>);

impl Wish<'_> {
    pub(super) fn wants_topic(self, topic: &str) -> bool {
        self.0.iter().any(|filter| matches(filter, topic))
    }

    fn wants(self, event: &Sample) -> bool {
        let literals: Vec<&str> = self
            .0
            .iter()
            .copied()
            .filter(|filter| !filter.contains(['*', '>']))
            .collect();
        let identities = self.1.unwrap_or(&literals);
        let mut topics = event.topics();
        topics.any(|topic| self.0.iter().any(|filter| matches(filter, topic)))
            && !event.not_to().any(|name| identities.contains(&name))
    }
}

fn matches(filter: &str, topic: &str) -> bool {
    let (filter, topic): (Vec<_>, Vec<_>) =
        (filter.split('.').collect(), topic.split('.').collect());
    if topic[0].starts_with('$') && filter[0] != topic[0] {
        return false;
    }
    match filter.split_last() {
        Some((&">", head)) => topic.len() > head.len() && tokens_match(head, &topic[..head.len()]),
        _ => filter.len() == topic.len() && tokens_match(&filter, &topic),
    }
}

fn tokens_match(filter: &[&str], topic: &[&str]) -> bool {
    filter
        .iter()
        .zip(topic)
        .all(|(filter, token)| *filter == "*" || filter == token)
}

impl CursorOracle {
    pub(super) fn new(acked: u64, kept: Option<u64>) -> Self {
        let (may_be_acked, may_be_kept) = (vec![acked], vec![kept]);
        Self {
            acked,
            kept,
            may_be_acked,
            may_be_kept,
            saved: false,
        }
    }

    pub(super) fn ack(&mut self, offset: u64) {
        self.put(self.acked.max(offset));
    }

    /// Forward or back.
    pub(super) fn put(&mut self, offset: u64) {
        self.acked = offset;
        self.may_be_acked.push(offset);
    }

    pub(super) fn keep(&mut self, kept: Option<u64>) {
        self.kept = kept;
        self.may_be_kept.push(kept);
    }

    fn all_saved(&mut self) {
        self.may_be_acked = vec![self.acked];
        self.may_be_kept = vec![self.kept];
        self.saved = true;
    }

    /// Whether these are a cursor that may be left after a loss of power, in a log that ends at
    /// `end`. A gap that ends at or below the ack is none.
    pub(super) fn may_become(&self, acked: u64, kept: Option<u64>, end: u64) -> bool {
        let told = |kept: &Option<u64>| kept.filter(|to| *to > acked);
        self.may_be_acked.iter().any(|word| {
            self.may_be_kept.iter().any(|before| {
                let lowered = (*word > end).then_some(*word);
                acked == (*word).min(end) && kept == told(&lowered.max(*before))
            })
        })
    }
}
