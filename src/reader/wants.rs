//! Whether an event is for a reader: asked for each one, and most of the time the same question.

use crate::format::RecordRef;
use crate::types::FilterSet;

/// Longer audiences are not remembered: one topic has room, or two short ones.
const REMEMBERED: usize = 31;

/// The filters of a reader, and what they have matched last.
#[derive(Debug)]
pub(super) struct Wants {
    pub(super) filters: FilterSet,
    pub(super) last: Last,
}

/// The audience that has matched last, as it stands in the log. A reader meets the same ones over
/// and over; and where many readers take turns, as clients of one room do, the filters of each lie
/// in memory that has grown cold meanwhile.
#[derive(Debug)]
pub(super) struct Last {
    everything: bool,
    length: u8,
    audience: [u8; REMEMBERED],
}

impl Wants {
    pub(super) fn new(filters: FilterSet) -> Self {
        let last = Last {
            everything: filters.has_everything(),
            // There is no such place: nothing is known.
            length: u8::MAX,
            audience: [0; REMEMBERED],
        };
        Self { filters, last }
    }

    /// Whether the event is wanted.
    #[inline]
    pub(super) fn wants(&mut self, record: &RecordRef<'_>) -> bool {
        self.last.wants(&self.filters, record)
    }
}

impl Last {
    /// [`Wants::wants`], for whoever needs the filters beside it; always the same ones.
    #[inline]
    pub(super) fn wants(&mut self, filters: &FilterSet, record: &RecordRef<'_>) -> bool {
        if self.everything && record.is_for_everything() {
            return true;
        }
        let known = self.audience.get(..self.length.into());
        if known == Some(record.audience()) {
            return true;
        }
        let wanted = matches(filters, record);
        if wanted {
            self.remember(record.audience());
        }
        wanted
    }

    fn remember(&mut self, audience: &[u8]) {
        if let Some(place) = self.audience.get_mut(..audience.len()) {
            place.copy_from_slice(audience);
            self.length = u8::try_from(audience.len()).unwrap_or_default();
        }
    }
}

/// Whether the event is for a consumer with these filters.
#[inline]
pub(super) fn matches(filters: &FilterSet, record: &RecordRef<'_>) -> bool {
    // Whoever reads everything seldom has to look at a name.
    filters.has_everything() && record.is_for_everything()
        || filters.matches_bytes(record.topic_bytes(), record.not_to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use crate::format::{FRAME_HEADER, FrameBuffer, Limits, context};
    use crate::types::{Epoch, LogId, NewEvent};
    use proptest::prelude::*;

    /// The record of an event to these and not to those.
    fn record(to: &[String], not_to: &[String]) -> Vec<u8> {
        let mut names = to.iter();
        let event = NewEvent::new(names.next().unwrap(), b"");
        let event = names.fold(event, |event, name| event.also_to(name));
        let event = not_to.iter().fold(event, |event, name| event.not_to(name));
        let mut buffer = FrameBuffer::new();
        buffer.event(&event, &Limits::new(&Options::new())).unwrap();
        buffer.seal(
            0,
            0,
            context(&[0; 16], LogId([0; 16]), Epoch::default()).at(0),
        )[FRAME_HEADER..]
            .to_vec()
    }

    proptest! {
        /// However often it is asked, and whatever it was asked before.
        #[test]
        fn what_is_remembered_is_what_the_filters_say(
            filters in proptest::collection::vec("[a-c]|[a-c]\\.\\*|>|\\$a|l{27,29}", 0..4),
            identities in proptest::option::of(proptest::collection::vec("[a-c]", 0..3)),
            events in proptest::collection::vec((
                proptest::collection::vec("[a-c](\\.[a-c])?|\\$a|l{27,29}", 1..3),
                proptest::collection::vec("[a-c]", 0..2),
            ), 1..20),
        ) {
            let filters = FilterSet::new(&filters, identities.as_deref()).unwrap();
            let mut wants = Wants::new(filters.clone());
            for (to, not_to) in &events {
                let bytes = record(to, not_to);
                let (record, _) = RecordRef::parse(&bytes).unwrap();
                let expected = filters.matches(record.topics(), record.not_to());
                prop_assert_eq!(wants.wants(&record), expected);
                prop_assert_eq!(wants.wants(&record), expected);
            }
        }
    }
}
