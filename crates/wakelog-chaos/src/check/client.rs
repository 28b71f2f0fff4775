//! One client: what it is owed, and what it got.

use wakelog::Filter;

use super::Verdict;
use super::truth::{Sent, Truth};
use crate::history::Fact;

pub(super) struct Reader<'a> {
    name: &'a str,
    identity: &'a str,
    filters: Vec<Filter>,
    start: u64,
    /// What it got, over all its processes.
    heard: Vec<u64>,
    gaps: Vec<(u64, u64)>,
    /// This process has all before it.
    next: u64,
    /// All its processes together have all before it.
    most: u64,
    cursor: u64,
    /// It was told that its position, or its cursor, is lost: it begins anew.
    anew: bool,
    stands: Option<u64>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(name: &'a str, identity: &'a str, filters: &[String], start: u64) -> Self {
        let filters = filters
            .iter()
            .filter_map(|filter| Filter::parse(filter).ok());
        Self {
            name,
            identity,
            filters: filters.collect(),
            start,
            heard: Vec::new(),
            gaps: Vec::new(),
            next: start,
            most: start,
            cursor: 0,
            anew: false,
            stands: None,
        }
    }

    fn is_owed(&self, sent: &Sent<'_>) -> bool {
        let matches = |topic: &String| self.filters.iter().any(|filter| filter.matches(topic));
        sent.topics.iter().any(matches) && !sent.not_to.iter().any(|who| who == self.identity)
    }

    pub(super) fn take(
        &mut self,
        at: usize,
        fact: &Fact,
        truth: &Truth<'_>,
        verdict: &mut Verdict,
    ) {
        let name = self.name;
        match fact {
            Fact::Heard { offset, id, .. } => {
                verdict.counts.heard += 1;
                if *offset < self.next {
                    let text = format!("{name} got {offset} at {}", self.next);
                    verdict.broken("I2", text);
                }
                if truth
                    .sent
                    .get(id.as_str())
                    .is_some_and(|sent| !self.is_owed(sent))
                {
                    verdict.broken("I8", format!("{name} got {id}, which is not to it"));
                }
                if truth.was_corrupt(*offset, at) {
                    verdict.broken(
                        "I3",
                        format!("{name} got {offset}, which was told as corrupt"),
                    );
                }
                self.heard.push(*offset);
                self.go_on(offset + 1);
            }
            Fact::Gap {
                from, to, reason, ..
            } => self.miss(at, (*from, *to), reason, truth, verdict),
            Fact::Resumed { offset, .. } => {
                verdict.counts.resumed += 1;
                if std::mem::take(&mut self.anew) {
                    self.cursor = 0;
                    self.give_up(*offset);
                }
                self.move_cursor(*offset, verdict);
                if *offset > self.most && self.owes(truth, self.most, *offset) {
                    let text = format!("{name} goes on at {offset} and has seen {}", self.most);
                    verdict.broken("I4", text);
                }
                self.next = *offset;
            }
            Fact::Cursor { offset, .. } => self.move_cursor(*offset, verdict),
            Fact::Reset { .. } => {
                verdict.counts.resets += 1;
                if !truth.damage.of_epochs(at) {
                    verdict.broken("I3", format!("{name} was told a reset"));
                }
                // From the oldest event on: what has left by then is lost with the position.
                self.give_up(truth.first_after(at).unwrap_or(0));
                self.next = self.start;
            }
            Fact::Forgotten { .. } => {
                verdict.counts.forgotten += 1;
                if !truth.damage.of_cursors(at) {
                    verdict.broken("I6", format!("the cursor of {name} is lost"));
                }
                self.anew = true;
            }
            Fact::Stands { offset, .. } => self.stands = Some(*offset),
            _ => {}
        }
    }

    /// It was told a gap.
    fn miss(
        &mut self,
        at: usize,
        (from, to): (u64, u64),
        reason: &str,
        truth: &Truth<'_>,
        verdict: &mut Verdict,
    ) {
        let name = self.name;
        verdict.counts.gaps += 1;
        let first = truth.first_after(at);
        let is_true = match reason {
            "trimmed" => first.is_some_and(|first| to <= first),
            "corrupt" => truth.damage.of_events(at),
            _ => false,
        };
        if !is_true || from >= to {
            let text = format!("{name} was told {from}..{to} {reason}, {first:?} is first");
            verdict.broken("I3", text);
        }
        if from < self.next {
            let text = format!("{name} was told {from}..{to} at {}", self.next);
            verdict.broken("I2", text);
        }
        self.gaps.push((from, to));
        self.go_on(to);
    }

    /// All that it has not seen below an offset is lost, and it knows.
    fn give_up(&mut self, below: u64) {
        if self.most < below {
            self.gaps.push((self.most, below));
        }
    }

    fn go_on(&mut self, next: u64) {
        self.next = self.next.max(next);
        self.most = self.most.max(next);
    }

    fn move_cursor(&mut self, offset: u64, verdict: &mut Verdict) {
        if offset < self.cursor {
            let text = format!(
                "the cursor of {} went from {} to {offset}",
                self.name, self.cursor
            );
            verdict.broken("I6", text);
        }
        self.cursor = self.cursor.max(offset);
    }

    /// Anything between two offsets that is owed and was not told.
    fn owes(&self, truth: &Truth<'_>, from: u64, to: u64) -> bool {
        let mut between = truth.log.range(from..to);
        between.any(|(offset, id)| {
            let owed = truth.sent.get(id).is_some_and(|sent| self.is_owed(sent));
            let mut gaps = self.gaps.iter().rev();
            owed && !gaps.any(|(from, to)| (*from..*to).contains(offset))
        })
    }

    /// What is owed and neither came nor was told.
    pub(super) fn finish(&self, truth: &Truth<'_>, verdict: &mut Verdict) {
        let mut heard = self.heard.clone();
        heard.sort_unstable();
        let bounds = (heard.first().copied(), heard.last().copied());
        let mut last_owed = None;
        let mut lost = Vec::new();
        for (offset, id) in truth.log.range(self.start..) {
            if !truth.sent.get(id).is_some_and(|sent| self.is_owed(sent)) {
                continue;
            }
            last_owed = Some(*offset);
            let told = || {
                let mut gaps = self.gaps.iter();
                gaps.any(|(from, to)| (*from..*to).contains(offset))
            };
            if heard.binary_search(offset).is_err() && !told() {
                lost.push(*offset);
            }
        }
        for offset in &lost {
            let place = match bounds {
                (Some(first), _) if *offset < first => &mut verdict.lost.prefix,
                (_, Some(last)) if *offset < last => &mut verdict.lost.middle,
                _ => &mut verdict.lost.suffix,
            };
            *place += 1;
        }
        if let (Some(from), Some(to)) = (lost.first(), lost.last()) {
            let count = lost.len();
            let text = format!("{} never got {count} events in {from}..={to}", self.name);
            verdict.broken("I1", text);
        }
        let reached = self.stands.unwrap_or(0);
        if let Some(last) = last_owed.filter(|last| *last >= reached) {
            let text = format!("{} stands at {reached}, {last} is owed to it", self.name);
            verdict.broken("I9", text);
        }
    }
}
