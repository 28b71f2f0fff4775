//! What a workload was told, and what must hold for it.

use crate::{Epoch, Position};
use std::collections::BTreeMap;

/// An event as it was appended.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) serial: u64,
    pub(super) bytes: usize,
    pub(super) id: Option<u8>,
    /// Whether more of its batch follow.
    pub(super) more: bool,
}

impl Told {
    pub(super) fn topic(&self) -> &'static str {
        ["t.a", "t.b", "u"][usize::try_from(self.serial % 3).unwrap()]
    }

    /// Other bytes for each event, at each place.
    pub(super) fn payload(&self) -> Vec<u8> {
        let word = |at: u64| (self.serial << 20 | at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let words = (0..).flat_map(|at| word(at).to_le_bytes());
        words.take(self.bytes).collect()
    }
}

/// Where a cursor may stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// What was on disk at the last sync, and the highest ack since.
    pub(super) low: u64,
    pub(super) high: u64,
    /// It is on disk.
    pub(super) there: bool,
    /// A deletion was begun.
    pub(super) leaving: bool,
    /// The end of a divergence that it may have been told of.
    pub(super) kept: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Truth {
    pub(super) events: Vec<Told>,
    /// The events below this were appended. Above may be one whose append has failed.
    pub(super) appended: u64,
    /// At least the events below this are on disk.
    pub(super) durable: u64,
    /// The oldest event is at or above this.
    pub(super) first: u64,
    /// And at or below this.
    pub(super) first_most: u64,
    pub(super) cursors: BTreeMap<usize, Place>,
    /// A loss of power has met a cursor that was being made: what is left of its definition stays.
    pub(super) left_over: bool,
    /// Each epoch with its first offset.
    pub(super) epochs: Vec<(Epoch, u64)>,
    pub(super) positions: Vec<Position>,
    /// Nothing leaves but what all cursors have acked.
    pub(super) acked_only: bool,
    pub(super) serials: u64,
}

impl Truth {
    pub(super) fn end(&self) -> u64 {
        u64::try_from(self.events.len()).unwrap()
    }

    pub(super) fn event(&self, offset: u64) -> &Told {
        &self.events[usize::try_from(offset).unwrap()]
    }

    /// An event that may be in the log from now on.
    pub(super) fn next(&mut self, bytes: usize, id: Option<u8>, more: bool) -> Told {
        self.serials += 1;
        let serial = self.serials;
        let told = Told {
            serial,
            bytes,
            id,
            more,
        };
        self.events.push(told.clone());
        told
    }

    /// The offset of the event with this id.
    pub(super) fn id(&self, id: u8) -> Option<u64> {
        let found = self.events.iter().rposition(|event| event.id == Some(id));
        found.map(|offset| u64::try_from(offset).unwrap())
    }

    /// All that was done before is on disk.
    pub(super) fn synced(&mut self, end: u64) {
        self.durable = self.durable.max(end);
        for place in self.cursors.values_mut() {
            place.low = place.high;
            place.there = true;
        }
    }

    /// The log goes on at `end` in a new epoch.
    pub(super) fn begins(&mut self, epoch: Epoch, end: u64) {
        self.events.truncate(usize::try_from(end).unwrap());
        if let Some(last) = self.events.last_mut() {
            last.more = false;
        }
        self.epochs.push((epoch, end));
        (self.durable, self.appended) = (end, end);
    }

    /// Up to where a position is still the same place in a log that was recovered at `end`.
    pub(super) fn bound(&self, position: &Position, end: u64) -> u64 {
        let of = |(epoch, _): &(Epoch, u64)| *epoch == position.epoch;
        let index = self.epochs.iter().position(of).unwrap();
        let later = self.epochs[index + 1..].iter().map(|(_, first)| *first);
        later.chain([end]).min().unwrap()
    }
}
