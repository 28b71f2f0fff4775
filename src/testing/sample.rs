//! Events to append, told by a few small numbers, so that a failing case prints short and shrinks
//! well.

use crate::{Event, EventRef, NewEvent};

/// What events are to, and what filters and identities are made of. `a.b` is a topic, a literal
/// filter and an identity.
pub(super) const TOPICS: [&str; 7] = ["a", "a.b", "a.b.c", "a.c", "b", "b.c", "$sys.x"];
pub(super) const IDENTITIES: [&str; 4] = ["alice", "bob", "a.b", "b.c"];

const SERIAL_TAG: u8 = 128;

/// One event. Two with different serials have different content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) topics: Vec<usize>,
    pub(super) not_to: Vec<usize>,
    /// Bits: name, id, from.
    pub(super) texts: u8,
    pub(super) payload_bytes: usize,
    pub(super) serial: u64,
}

impl Sample {
    pub(super) fn topics(&self) -> impl Iterator<Item = &'static str> + Clone + '_ {
        self.topics.iter().map(|index| TOPICS[index % TOPICS.len()])
    }

    pub(super) fn not_to(&self) -> impl Iterator<Item = &'static str> + Clone + '_ {
        self.not_to
            .iter()
            .map(|index| IDENTITIES[index % IDENTITIES.len()])
    }

    fn text(&self, bit: u8, text: &'static str) -> Option<&'static str> {
        (self.texts & 1 << bit != 0).then_some(text)
    }

    fn texts(&self) -> [Option<&'static str>; 3] {
        [
            self.text(0, "said"),
            self.text(1, "id-1"),
            self.text(2, "alice"),
        ]
    }

    /// The bytes of the payload: of every length different ones for each serial, and full of
    /// numbers that look like lengths and offsets.
    fn payload(&self) -> Vec<u8> {
        let words = (0..).map(|word: u64| self.serial.wrapping_add(word).to_le_bytes());
        words.flatten().take(self.payload_bytes).collect()
    }

    /// The bytes that [`Sample::event`] borrows.
    pub(super) fn bytes(&self) -> SampleBytes {
        SampleBytes {
            payload: self.payload(),
            serial: self.serial.to_le_bytes(),
        }
    }

    pub(super) fn event<'b>(&self, bytes: &'b SampleBytes) -> NewEvent<'b> {
        let mut topics = self.topics();
        let first = topics.next().unwrap();
        let mut event = NewEvent::new(first, &bytes.payload);
        event = topics.fold(event, |event, topic| event.also_to(topic));
        event = self.not_to().fold(event, |event, name| event.not_to(name));
        let [name, id, from] = self.texts();
        event = name.into_iter().fold(event, |event, text| event.name(text));
        event = id.into_iter().fold(event, |event, text| event.id(text));
        event = from.into_iter().fold(event, |event, text| event.from(text));
        // One in four has no attribute, so that the plain form is there too.
        if self.serial % 4 == 0 {
            event
        } else {
            event.attribute(SERIAL_TAG, &bytes.serial)
        }
    }

    /// What differs between this sample and what was read, if anything does.
    pub(super) fn differs_from(&self, read: &EventRef<'_>) -> Option<String> {
        let serial = (self.serial % 4 != 0).then(|| self.serial.to_le_bytes());
        let same = self.topics().eq(read.topics())
            && self.not_to().eq(read.not_to())
            && self.texts() == [read.name(), read.id(), read.from()]
            && serial.as_ref().map(|bytes| &bytes[..]) == read.attribute(SERIAL_TAG)
            && self.payload() == read.payload();
        (!same).then(|| format!("{read:?} is not {self:?}"))
    }

    /// As [`Sample::differs_from`].
    pub(super) fn differs_from_event(&self, read: &Event) -> Option<String> {
        self.differs_from(&read.as_event_ref())
    }
}

/// What a [`NewEvent`] of a sample borrows.
pub(super) struct SampleBytes {
    payload: Vec<u8>,
    serial: [u8; 8],
}
