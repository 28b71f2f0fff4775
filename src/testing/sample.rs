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
    /// Bits: name, id, from. What is above them says which id it is; 0: one of its own.
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

    /// The id, if there is one.
    pub(super) fn id(&self) -> Option<String> {
        let shared = self.texts >> 3;
        let id = match shared {
            0 => format!("own-{}", self.serial),
            _ => format!("shared-{shared}"),
        };
        self.text(1, "").map(|_| id)
    }

    pub(super) fn from(&self) -> Option<&'static str> {
        self.text(2, "alice")
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
            id: self.id(),
        }
    }

    pub(super) fn event<'b>(&self, bytes: &'b SampleBytes) -> NewEvent<'b> {
        let mut topics = self.topics();
        let first = topics.next().unwrap();
        let mut event = NewEvent::new(first, &bytes.payload);
        event = topics.fold(event, |event, topic| event.also_to(topic));
        event = self.not_to().fold(event, |event, name| event.not_to(name));
        let name = self.text(0, "said");
        event = name.into_iter().fold(event, |event, text| event.name(text));
        event = bytes.id.iter().fold(event, |event, text| event.id(text));
        event = self
            .from()
            .into_iter()
            .fold(event, |event, text| event.from(text));
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
            && self.text(0, "said") == read.name()
            && self.id().as_deref() == read.id()
            && self.from() == read.from()
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
    id: Option<String>,
}
