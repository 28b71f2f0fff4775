//! Is a history one of a server that keeps its promises? Pure functions over facts.
//!
//! | | invariant |
//! |---|---|
//! | I1 | each event that was answered or that anybody got came where it is owed, or is in a gap |
//! | I2 | one process of a client gets growing offsets: nothing twice, nothing out of order |
//! | I3 | a gap speaks of what retention has let go, and of nothing else |
//! | I4 | who goes on from its cursor has seen all that lies before it |
//! | I5 | an offset is the same event for everybody, at all times |
//! | I6 | a cursor never goes back |
//! | I7 | what was answered before another append began stands before it |
//! | I8 | an event was sent, comes as sent, stands once, and reaches none but whom it is to |
//! | I9 | after the faults every client comes to the end |
//! | I10 | memory, files and disk stay within their bounds |
//!
//! Where bits of the log were flipped, four things more are right. A gap may say `corrupt`: all of
//! them together speak of at most one event for each bit that was flipped in a segment, and of none
//! that comes to anybody later. A reset may be told once a bit of the epochs was flipped, and the
//! client begins anew. A cursor may be lost once a bit of the cursors was flipped, if that is said.
//! And an event whose first place is corrupt may be stored once more.

mod client;
#[cfg(test)]
mod counted;
mod damage;
#[cfg(test)]
mod falsified;
mod tally;
mod truth;

use std::collections::BTreeMap;

use crate::history::{Bounds, Fact};
use client::Reader;
use truth::Truth;

pub(crate) use tally::{Tally, tally};

/// What was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    /// Invariant, and what breaks it.
    pub(crate) violations: Vec<(&'static str, String)>,
    pub(crate) lost: Lost,
    pub(crate) counts: Counts,
}

/// Events that did not come and were not told, by where they lie in what a client got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) prefix: u64,
    pub(crate) middle: u64,
    pub(crate) suffix: u64,
}

impl Lost {
    pub(crate) const fn sum(self) -> u64 {
        self.prefix + self.middle + self.suffix
    }
}

/// How much there was to check.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) appended: u64,
    pub(crate) unanswered: u64,
    pub(crate) heard: u64,
    pub(crate) gaps: u64,
    /// Events that anybody was told as corrupt.
    pub(crate) corrupt: u64,
    pub(crate) resets: u64,
    /// Cursors that were lost, and said to be.
    pub(crate) forgotten: u64,
    pub(crate) resumed: u64,
}

impl Verdict {
    fn broken(&mut self, invariant: &'static str, what: String) {
        self.violations.push((invariant, what));
    }
}

/// Holds a history against all invariants.
pub(crate) fn check(history: &[Fact], bounds: Bounds) -> Verdict {
    let mut verdict = Verdict::default();
    let truth = Truth::gather(history, &mut verdict);
    let mut readers: BTreeMap<&str, Reader<'_>> = BTreeMap::new();
    for (at, fact) in history.iter().enumerate() {
        match fact {
            Fact::Client {
                client,
                identity,
                filters,
                start,
            } => {
                readers.insert(client, Reader::new(client, identity, filters, *start));
            }
            Fact::Takes { rss, files, disk } => {
                for (what, value, most) in [
                    ("bytes of memory", *rss, bounds.rss),
                    ("open files", *files, bounds.files),
                    ("bytes on disk", *disk, bounds.disk),
                ] {
                    if value > most {
                        verdict.broken("I10", format!("{value} {what}, {most} are the most"));
                    }
                }
            }
            Fact::Resumed { client, .. }
            | Fact::Cursor { client, .. }
            | Fact::Heard { client, .. }
            | Fact::Gap { client, .. }
            | Fact::Reset { client }
            | Fact::Forgotten { client }
            | Fact::Stands { client, .. } => match readers.get_mut(client.as_str()) {
                Some(reader) => reader.take(at, fact, &truth, &mut verdict),
                // One that has not begun, or only sends.
                None if matches!(fact, Fact::Forgotten { .. }) => {}
                None => verdict.broken("I8", format!("{client} is nobody")),
            },
            Fact::Appending { .. }
            | Fact::Appended { .. }
            | Fact::Connected { .. }
            | Fact::First { .. }
            | Fact::PowerCut
            | Fact::Flip { .. }
            | Fact::Refused { .. }
            | Fact::Fault { .. } => {}
        }
    }
    for reader in readers.values() {
        reader.finish(&truth, &mut verdict);
    }
    truth.damage.check(&mut verdict);
    verdict
}
