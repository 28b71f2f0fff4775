//! Events as they are read: owned, or borrowed from a page. Both share the map of their segment.

use crate::format::RecordRef;
use crate::segment::Segment;
use crate::types::{Epoch, LogId, Position};
use std::fmt;
use std::sync::Arc;

/// Where an event stands and what the log has added to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    /// Frame position of the record in the segment.
    pub(crate) at: usize,
    pub(crate) bytes: usize,
    pub(crate) offset: u64,
    pub(crate) time: u64,
}

/// An event of the log.
///
/// It is owned, cheap to clone and `'static`: it shares the memory map of the segment in which it
/// stands and keeps it mapped, even when retention has unlinked the file. To hold an event for
/// long, let go of the segment with [`Event::into_owned`].
#[derive(Clone)]
pub struct Event {
    bytes: Bytes,
    log: LogId,
    epoch: Epoch,
    offset: u64,
    time: u64,
}

#[derive(Clone)]
enum Bytes {
    Shared {
        segment: Arc<Segment>,
        at: usize,
        bytes: usize,
    },
    Owned(Arc<[u8]>),
}

/// An event that borrows from its [`Page`] or [`Event`].
#[derive(Clone, Copy)]
pub struct EventRef<'a> {
    record: RecordRef<'a>,
    log: LogId,
    epoch: Epoch,
    offset: u64,
    time: u64,
}

/// Events that were read together. All stand in one segment, which the page keeps mapped.
#[derive(Clone)]
pub struct Page {
    segment: Arc<Segment>,
    spots: Vec<Spot>,
    epoch: Epoch,
}

fn bytes_of(segment: &Segment, at: usize, bytes: usize) -> &[u8] {
    segment.region().bytes(at..at + bytes).unwrap_or_default()
}

/// The record in these bytes, which was parsed when its frame was verified.
#[inline]
fn record(bytes: &[u8]) -> RecordRef<'_> {
    match RecordRef::read(bytes) {
        Some((record, _)) => record,
        None => unreachable!("bytes below the published end do not change"),
    }
}

impl<'a> EventRef<'a> {
    /// The offset: the number of this event in the log, dense, from 0 to 2^53 - 1.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// When the log took it, in microseconds since 1970 (UTC). Never lower than that of the event
    /// before.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// The topics it is to: 1 to 16.
    pub fn topics(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        self.record.topics()
    }

    /// The identities it is not to: 0 to 16.
    pub fn not_to(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        self.record.not_to()
    }

    /// The attribute `name`: what kind of event it is.
    pub fn name(&self) -> Option<&'a str> {
        self.record.name()
    }

    /// The attribute `id`: the producer's own name for this event.
    pub fn id(&self) -> Option<&'a str> {
        self.record.id()
    }

    /// The attribute `from`: who made it.
    pub fn from(&self) -> Option<&'a str> {
        self.record.from()
    }

    /// The bytes of the attribute with this tag. Tags from 128 on are the user's.
    pub fn attribute(&self, tag: u8) -> Option<&'a [u8]> {
        self.record.attribute(tag)
    }

    /// The payload. May be empty.
    pub fn payload(&self) -> &'a [u8] {
        self.record.payload()
    }

    /// The position just behind it: a reader that starts there gets the next event.
    pub fn position(&self) -> Position {
        Position {
            log: self.log,
            epoch: self.epoch,
            offset: self.offset + 1,
        }
    }
}

impl Event {
    pub(crate) fn new(segment: Arc<Segment>, spot: Spot, epoch: Epoch) -> Self {
        let log = segment.keys().log;
        let bytes = Bytes::Shared {
            segment,
            at: spot.at,
            bytes: spot.bytes,
        };
        Self {
            bytes,
            log,
            epoch,
            offset: spot.offset,
            time: spot.time,
        }
    }

    /// The same event, borrowed; it has all accessors too, with the lifetime of `self`.
    pub fn as_event_ref(&self) -> EventRef<'_> {
        let record = match &self.bytes {
            Bytes::Shared { segment, at, bytes } => record(bytes_of(segment, *at, *bytes)),
            Bytes::Owned(bytes) => record(bytes),
        };
        let Self {
            log,
            epoch,
            offset,
            time,
            ..
        } = *self;
        EventRef {
            record,
            log,
            epoch,
            offset,
            time,
        }
    }

    /// Copies the event out of the log, so that it does not hold a segment any more.
    #[must_use]
    pub fn into_owned(self) -> Self {
        let bytes = match &self.bytes {
            Bytes::Shared { segment, at, bytes } => {
                Bytes::Owned(bytes_of(segment, *at, *bytes).into())
            }
            Bytes::Owned(bytes) => Bytes::Owned(Arc::clone(bytes)),
        };
        Self { bytes, ..self }
    }

    /// See [`EventRef::offset`].
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// See [`EventRef::time`].
    pub fn time(&self) -> u64 {
        self.time
    }

    /// See [`EventRef::topics`].
    pub fn topics(&self) -> impl Iterator<Item = &str> + Clone {
        self.as_event_ref().topics()
    }

    /// See [`EventRef::not_to`].
    pub fn not_to(&self) -> impl Iterator<Item = &str> + Clone {
        self.as_event_ref().not_to()
    }

    /// See [`EventRef::name`].
    pub fn name(&self) -> Option<&str> {
        self.as_event_ref().name()
    }

    /// See [`EventRef::id`].
    pub fn id(&self) -> Option<&str> {
        self.as_event_ref().id()
    }

    /// See [`EventRef::from`].
    pub fn from(&self) -> Option<&str> {
        self.as_event_ref().from()
    }

    /// See [`EventRef::attribute`].
    pub fn attribute(&self, tag: u8) -> Option<&[u8]> {
        self.as_event_ref().attribute(tag)
    }

    /// See [`EventRef::payload`].
    pub fn payload(&self) -> &[u8] {
        self.as_event_ref().payload()
    }

    /// See [`EventRef::position`].
    pub fn position(&self) -> Position {
        self.as_event_ref().position()
    }
}

impl Page {
    /// With room for `events` events, before it has to grow.
    pub(crate) fn new(segment: Arc<Segment>, epoch: Epoch, events: usize) -> Self {
        Self {
            segment,
            spots: Vec::with_capacity(events),
            epoch,
        }
    }

    /// Whether its events stand in this segment.
    #[inline]
    pub(crate) fn stands_in(&self, segment: &Arc<Segment>) -> bool {
        Arc::ptr_eq(&self.segment, segment)
    }

    /// Adds an event of its segment.
    #[inline]
    pub(crate) fn add(&mut self, spot: Spot) {
        self.spots.push(spot);
    }

    /// Keeps the first `events` events.
    pub(crate) fn shorten(&mut self, events: usize) {
        self.spots.truncate(events);
    }

    /// How many events.
    pub fn len(&self) -> usize {
        self.spots.len()
    }

    /// No events: the reader has caught up.
    pub fn is_empty(&self) -> bool {
        self.spots.is_empty()
    }

    /// Offset of the first event.
    pub fn first(&self) -> Option<u64> {
        self.spots.first().map(|spot| spot.offset)
    }

    /// Offset of the last event.
    pub fn last(&self) -> Option<u64> {
        self.spots.last().map(|spot| spot.offset)
    }

    /// The events, in order.
    pub fn iter(
        &self,
    ) -> impl ExactSizeIterator<Item = EventRef<'_>> + DoubleEndedIterator + Clone {
        self.spots.iter().map(|spot| self.event(spot))
    }

    /// The events as owned ones.
    pub fn events(&self) -> impl ExactSizeIterator<Item = Event> + '_ {
        self.spots
            .iter()
            .map(|spot| Event::new(Arc::clone(&self.segment), *spot, self.epoch))
    }

    fn event(&self, spot: &Spot) -> EventRef<'_> {
        EventRef {
            record: record(bytes_of(&self.segment, spot.at, spot.bytes)),
            log: self.segment.keys().log,
            epoch: self.epoch,
            offset: spot.offset,
            time: spot.time,
        }
    }
}

impl fmt::Debug for EventRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("offset", &self.offset)
            .field("time", &self.time)
            .field("topics", &self.topics().collect::<Vec<_>>())
            .field("name", &self.name())
            .field("payload_bytes", &self.payload().len())
            .finish()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_event_ref().fmt(f)
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page")
            .field("events", &self.len())
            .field("first", &self.first())
            .field("last", &self.last())
            .finish()
    }
}
