//! What the log must have held, from all that anybody has said about it.

use std::collections::{BTreeMap, HashMap};

use super::Verdict;
use super::damage::Damage;
use crate::history::Fact;

/// So many tellings of the oldest offset, ten a second, are near.
const NEAR: usize = 20;

/// An event as its producer sent it.
#[derive(Clone, Debug)]
pub(super) struct Sent<'a> {
    pub(super) topics: &'a [String],
    pub(super) not_to: &'a [String],
    pub(super) text: &'a str,
    /// Where in the history it began.
    since: usize,
    /// Everything below it had been answered by then.
    above: Option<u64>,
    offset: Option<u64>,
    answered: bool,
}

#[derive(Debug, Default)]
pub(super) struct Truth<'a> {
    pub(super) sent: HashMap<&'a str, Sent<'a>>,
    /// What stands under an offset.
    pub(super) log: BTreeMap<u64, &'a str>,
    /// The oldest offset, and since where in the history that is known.
    firsts: Vec<(usize, u64)>,
    /// How many of them had been told when the power went.
    cuts: Vec<usize>,
    pub(super) damage: Damage,
    doubles: Vec<Double<'a>>,
}

/// An event that stands under two offsets.
#[derive(Debug)]
struct Double<'a> {
    /// Where in the history somebody says so.
    at: usize,
    id: &'a str,
    offsets: (u64, u64),
}

impl<'a> Truth<'a> {
    /// Checks I5, I7 and I8 on the way.
    pub(super) fn gather(history: &'a [Fact], verdict: &mut Verdict) -> Self {
        let mut truth = Self {
            damage: Damage::gather(history),
            ..Self::default()
        };
        let mut answered: Option<u64> = None;
        for (at, fact) in history.iter().enumerate() {
            match fact {
                Fact::Appending {
                    id,
                    topics,
                    not_to,
                    text,
                } => {
                    // What is sent again has begun before.
                    truth.sent.entry(id).or_insert(Sent {
                        topics,
                        not_to,
                        text,
                        since: at,
                        above: answered,
                        offset: None,
                        answered: false,
                    });
                }
                Fact::Appended { id, offset } => {
                    truth.stands(at, id, *offset, verdict);
                    if let Some(sent) = truth.sent.get_mut(id.as_str()) {
                        sent.answered = true;
                    }
                    answered = answered.max(Some(*offset));
                    verdict.counts.appended += 1;
                }
                Fact::Heard {
                    offset, id, text, ..
                } => {
                    truth.stands(at, id, *offset, verdict);
                    if truth
                        .sent
                        .get(id.as_str())
                        .is_some_and(|sent| sent.text != text)
                    {
                        verdict.broken("I8", format!("{id} came with other bytes"));
                    }
                }
                // What was once let go may come back with the power, and go again.
                Fact::First { offset } => {
                    let most = truth.firsts.last().map_or(0, |(_, most)| *most);
                    truth.firsts.push((at, most.max(*offset)));
                }
                Fact::PowerCut => truth.cuts.push(truth.firsts.len()),
                _ => {}
            }
        }
        truth.check_doubles(verdict);
        let unanswered = truth.sent.values().filter(|sent| !sent.answered).count();
        verdict.counts.unanswered = u64::try_from(unanswered).unwrap_or(u64::MAX);
        truth
    }

    /// Somebody says that this event stands under this offset.
    fn stands(&mut self, at: usize, id: &'a str, offset: u64, verdict: &mut Verdict) {
        let Some(sent) = self.sent.get_mut(id).filter(|sent| sent.since <= at) else {
            verdict.broken(
                "I8",
                format!("nobody had sent {id}, which stands under {offset}"),
            );
            return;
        };
        match sent.offset {
            None => {
                sent.offset = Some(offset);
                if sent.above.is_some_and(|above| offset <= above) {
                    let text = format!("{id} stands under {offset}, behind what came before it");
                    verdict.broken("I7", text);
                }
            }
            // What is damaged is not known to be there when it is sent again.
            Some(other) if other != offset && self.damage.told(other, usize::MAX) => {
                sent.offset = Some(offset);
            }
            Some(other) if other != offset => {
                sent.offset = Some(offset);
                let offsets = (other, offset);
                self.doubles.push(Double { at, id, offsets });
            }
            Some(_) => {}
        }
        let other = *self.log.entry(offset).or_insert(id);
        if other != id {
            verdict.broken("I5", format!("under {offset} stand {other} and {id}"));
        }
    }

    /// Without their file, ids are found again in the events that are there: of one that had left
    /// by then nobody knows that it was stored.
    fn check_doubles(&mut self, verdict: &mut Verdict) {
        for Double { at, id, offsets } in std::mem::take(&mut self.doubles) {
            let (once, again) = offsets;
            let had_left = |flip| self.first_after(flip).is_some_and(|first| once < first);
            if !self.damage.of_ids(at).any(had_left) {
                verdict.broken("I8", format!("{id} stands under {once} and {again}"));
            }
        }
    }

    /// An event came long after its offset had been told as corrupt. A little after, it is one that
    /// had left the server before the bit was flipped.
    pub(super) fn was_corrupt(&self, offset: u64, at: usize) -> bool {
        let told = self.firsts.partition_point(|(told, _)| *told < at);
        self.damage.told(offset, told.saturating_sub(2 * NEAR))
    }

    /// The oldest offset, as the server told it next after this moment.
    ///
    /// A segment that was let go just before the power went may be there again, and the server has
    /// told nobody but those who asked. It goes again soon: near a loss of power the oldest offset
    /// of a little later counts.
    pub(super) fn first_after(&self, at: usize) -> Option<u64> {
        let next = self.firsts.partition_point(|(told, _)| *told < at);
        let near = |cut: &usize| cut.abs_diff(next) <= NEAR;
        let next = match self.cuts.iter().any(near) {
            true => (next + NEAR).min(self.firsts.len().saturating_sub(1)),
            false => next,
        };
        self.firsts.get(next).map(|(_, first)| *first)
    }
}
