//! What became of what was appended.

use super::Position;
use std::ops::Range;

/// What became of an event. See [`Log::append_once`](crate::Log::append_once).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appended {
    /// The offset of the event, or, for a duplicate, of the first one with its id.
    pub offset: u64,
    /// Nothing was appended: the id was seen before.
    pub duplicate: bool,
    /// The position behind the event at `offset`, under the epoch in which this was answered; what
    /// [`Log::wait_durable_at`](crate::Log::wait_durable_at) takes.
    pub position: Position,
}

/// What became of a batch. See [`Log::append_batch`](crate::Log::append_batch).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppendedBatch {
    /// The offsets of the events that were appended, in the order given. All of the batch, unless
    /// there are duplicates; empty if there is nothing else.
    pub offsets: Range<u64>,
    /// The events that were not appended, because their id was seen before or stands in the batch
    /// before them: which of those given, from 0, and the offset of the first one with that id.
    pub duplicates: Vec<(usize, u64)>,
    /// The position behind all the events that were appended, and behind the first ones of all
    /// duplicates; what [`Log::wait_durable_at`](crate::Log::wait_durable_at) takes.
    pub position: Position,
}

impl AppendedBatch {
    /// One for each event, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = Appended> + '_ {
        let mut offsets = self.offsets.clone();
        let mut duplicates = self.duplicates.iter().peekable();
        (0..).map_while(move |number| {
            let known = duplicates.next_if(|(given, _)| *given == number);
            let offset = match known {
                Some((_, offset)) => *offset,
                None => offsets.next()?,
            };
            Some(Appended {
                offset,
                duplicate: known.is_some(),
                position: Position {
                    offset: offset + 1,
                    ..self.position
                },
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Epoch, LogId};

    #[test]
    fn every_event_has_its_answer_in_order() {
        let position = Position {
            log: LogId([1; 16]),
            epoch: Epoch::default(),
            offset: 12,
        };
        let batch = |offsets, duplicates| AppendedBatch {
            offsets,
            duplicates,
            position,
        };
        let told = |batch: AppendedBatch| -> Vec<_> {
            let each = batch.iter();
            each.map(|event| (event.offset, event.duplicate)).collect()
        };
        assert_eq!(
            told(batch(10..12, vec![(0, 3), (2, 10)])),
            [(3, true), (10, false), (10, true), (11, false)]
        );
        assert_eq!(
            told(batch(5..5, vec![(0, 1), (1, 1)])),
            [(1, true), (1, true)]
        );
        assert_eq!(told(batch(0..2, vec![])), [(0, false), (1, false)]);
    }
}
