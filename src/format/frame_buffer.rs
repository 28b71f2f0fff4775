//! A frame on its way into a segment: encoded outside the append lock, sealed inside.

use super::bytes::put;
use super::frame::{
    self, Bound, CHECKSUM_AT, COUNT_AT, FRAME_HEADER, FrameKind, HEAD_WORDS, KIND_AT, body_crc,
};
use super::ids::id_hash;
use super::record::{self, Measure, RecordRef};
use crate::error::AppendError;
use crate::options::Options;
use crate::types::{Epoch, NewEvent, to_u64, to_usize};
use std::mem;

/// A buffer that has grown beyond this is not kept for the next frame.
const KEPT_BYTES: usize = 256 << 10;

/// How large events and frames may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Payload, audience and attributes of one event, in bytes.
    pub(crate) event_bytes: u32,
    /// A whole frame, in bytes.
    pub(crate) frame_bytes: u32,
    /// Events in one batch.
    pub(crate) batch_events: u32,
}

impl Limits {
    pub(crate) fn new(options: &Options) -> Limits {
        Limits {
            event_bytes: options.event_limit(),
            frame_bytes: options.frame_limit(),
            batch_events: options.max_batch_events_value(),
        }
    }
}

/// One frame, in memory that is used again for the next one.
///
/// Encoding writes all that is known before the offset is assigned, and
/// [`FrameBuffer::checksum_body`] computes its checksum. [`FrameBuffer::head`] adds offset, time,
/// context and place; it can be asked again with others.
#[derive(Debug, Default)]
pub(crate) struct FrameBuffer {
    /// The frame stands at the beginning; what is behind it was needed for a longer one. The header
    /// is written from `COUNT_AT` on.
    bytes: Vec<u8>,
    /// Bytes of the frame; 0 as long as nothing was encoded.
    used: usize,
    body_crc: Option<u32>,
    count: u32,
    kind: u8,
    /// Where a skip frame leads; 0 in all others.
    skip_to: u64,
    /// The events that have an id, in order.
    ids: Vec<FrameId>,
}

/// An event of a frame that has an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameId {
    /// Which of the events that were given, from 0.
    pub(crate) given: u32,
    /// Which of the events that are in the frame.
    pub(crate) number: u32,
    /// Of the id and who it is from; 0 before [`FrameBuffer::hash_ids`].
    pub(crate) hash: u64,
    /// Where its record begins.
    at: usize,
}

impl FrameBuffer {
    pub(crate) fn new() -> FrameBuffer {
        FrameBuffer::default()
    }

    /// Encodes a frame of one event.
    #[inline]
    pub(crate) fn event(
        &mut self,
        event: &NewEvent<'_>,
        limits: &Limits,
    ) -> Result<(), AppendError> {
        self.begin();
        self.push(event, 0, limits)?;
        self.finish(FrameKind::Event, 1);
        Ok(())
    }

    /// Encodes a frame of several events. On an error the events behind the one at fault are not
    /// taken from the iterator.
    pub(crate) fn batch<'e>(
        &mut self,
        events: impl IntoIterator<Item = NewEvent<'e>>,
        limits: &Limits,
    ) -> Result<(), AppendError> {
        self.begin();
        let mut count = 0;
        for event in events {
            if count == limits.batch_events {
                self.used = 0;
                return Err(AppendError::TooMany {
                    limit: limits.batch_events,
                });
            }
            self.push(&event, count, limits)?;
            count += 1;
        }
        if count == 0 {
            self.used = 0;
            return Err(AppendError::EmptyBatch);
        }
        self.finish(FrameKind::Batch, count);
        Ok(())
    }

    /// Encodes the record of an event, which is the `number`th, behind the others. After an error
    /// the frame is empty.
    #[inline]
    fn push(
        &mut self,
        event: &NewEvent<'_>,
        number: u32,
        limits: &Limits,
    ) -> Result<(), AppendError> {
        let at = mem::take(&mut self.used);
        let measure = Measure::of(event, limits.event_bytes)?;
        let end = within(at + measure.record(), limits)?;
        self.make_room(end);
        record::encode(event, &measure, &mut self.bytes[at..end]);
        if !event.is_plain() {
            self.note_id(event, number, at);
        }
        self.used = end;
        Ok(())
    }

    /// Encodes the frame that begins an epoch. It is to be sealed under that epoch's context.
    pub(crate) fn epoch(&mut self, epoch: Epoch, began: u64) {
        self.control(FrameKind::Epoch, &frame::epoch_body(epoch, began));
    }

    /// Encodes a frame without events.
    pub(super) fn control(&mut self, kind: FrameKind, body: &[u8]) {
        self.begin();
        self.used += body.len();
        self.make_room(self.used);
        self.bytes[FRAME_HEADER..self.used].copy_from_slice(body);
        self.finish(kind, 0);
    }

    /// An empty id is none.
    fn note_id(&mut self, event: &NewEvent<'_>, number: u32, at: usize) {
        let [_, id, _] = event.texts();
        if id.is_some_and(|id| !id.is_empty()) {
            self.ids.push(FrameId {
                given: number,
                number,
                hash: 0,
                at,
            });
        }
    }

    /// The events that have an id, in order.
    #[inline]
    pub(crate) fn ids(&self) -> &[FrameId] {
        &self.ids
    }

    /// Computes the hashes of the ids.
    pub(crate) fn hash_ids(&mut self, secret: &[u8; 16]) {
        let mut ids = mem::take(&mut self.ids);
        for id in &mut ids {
            let (from, text) = self.id_of(id);
            id.hash = id_hash(secret, from, text);
        }
        self.ids = ids;
    }

    /// Who an event of the frame is from, and its id.
    pub(crate) fn id_of(&self, id: &FrameId) -> (Option<&str>, &str) {
        let record = self.bytes.get(id.at..).and_then(RecordRef::read);
        record.map_or((None, ""), |(record, _)| {
            (record.from(), record.id().unwrap_or_default())
        })
    }

    /// Takes events with ids out of a batch. A batch of which none is left is not to be sealed.
    pub(crate) fn leave_out(&mut self, gone: impl Fn(&FrameId) -> bool) {
        // Bytes up to `from` stand where they shall, and those that stay end at `to`.
        let (mut from, mut to, mut removed) = (FRAME_HEADER, FRAME_HEADER, 0);
        let mut ids = mem::take(&mut self.ids);
        ids.retain_mut(|id| {
            if !gone(id) {
                id.at -= from - to;
                id.number -= removed;
                return true;
            }
            self.bytes.copy_within(from..id.at, to);
            to += id.at - from;
            let record = self.bytes.get(id.at..).and_then(RecordRef::read);
            from = id.at + record.map_or(0, |(_, length)| length);
            removed += 1;
            false
        });
        self.ids = ids;
        self.bytes.copy_within(from..self.used, to);
        self.used -= from - to;
        self.finish(FrameKind::Batch, self.count - removed);
    }

    /// An empty frame: a header alone.
    #[inline]
    fn begin(&mut self) {
        if self.bytes.capacity() > KEPT_BYTES {
            self.bytes = Vec::new();
        }
        self.make_room(FRAME_HEADER);
        self.used = FRAME_HEADER;
        self.ids.clear();
    }

    /// What stands in the buffer is overwritten whole, so it is never cleared.
    #[inline]
    fn make_room(&mut self, bytes: usize) {
        if self.bytes.len() < bytes {
            self.bytes.resize(bytes, 0);
        }
    }

    #[inline]
    fn finish(&mut self, kind: FrameKind, count: u32) {
        self.count = count;
        self.kind = kind.code();
        self.skip_to = 0;
        self.body_crc = None;
        let known = self.count_and_kind().to_le_bytes();
        put(&mut self.bytes, COUNT_AT, known);
    }

    /// The end of the header. Flags and the reserved bytes behind the kind are zero.
    #[inline]
    fn count_and_kind(&self) -> u64 {
        u64::from(self.count) | u64::from(self.kind) << (8 * (KIND_AT - COUNT_AT))
    }

    /// Computes the checksum of all that does not depend on the place. Who appends calls it before
    /// the append lock is taken, and not directly after the frame was encoded: the processor is
    /// slow to load what it has just stored in other pieces.
    #[inline]
    pub(crate) fn checksum_body(&mut self) -> u32 {
        match self.body_crc {
            Some(crc) => crc,
            None => *self.body_crc.insert(body_crc(&self.bytes[..self.used])),
        }
    }

    /// The frame skips offsets up to `to`.
    pub(super) fn skips_to(&mut self, to: u64) {
        self.skip_to = to;
    }

    /// The next offset behind the frame, if it stands at `offset`.
    #[inline]
    pub(crate) fn offset_behind(&self, offset: u64) -> u64 {
        if self.skip_to == 0 {
            offset + u64::from(self.count)
        } else {
            self.skip_to
        }
    }

    /// The records, as they will stand on disk.
    pub(crate) fn records(&self) -> &[u8] {
        self.bytes.get(FRAME_HEADER..self.used).unwrap_or_default()
    }

    /// How many events the frame has.
    #[inline]
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of the frame, without padding.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.used
    }

    /// The header for a place, as the words it is made of. [`FrameBuffer::records`] follow it.
    ///
    /// # Panics
    /// When nothing was encoded since the last error.
    #[inline]
    pub(crate) fn head(&mut self, offset: u64, time: u64, bound: Bound) -> [u64; HEAD_WORDS] {
        assert!(self.used > 0, "nothing was encoded to be given a place");
        // The length was compared with the limit of a frame, which has 32 bits.
        let length = u32::try_from(self.used).unwrap_or(u32::MAX);
        let checksum = frame::finish(self.checksum_body(), offset, time, length, bound);
        let first = u64::from(length) | u64::from(checksum) << (8 * CHECKSUM_AT);
        [first, offset, time, self.count_and_kind()]
    }

    /// The whole frame as it will stand on disk, without padding.
    #[cfg(test)]
    pub(crate) fn seal(&mut self, offset: u64, time: u64, bound: Bound) -> Vec<u8> {
        let head = self.head(offset, time, bound);
        let head = head.iter().flat_map(|word| word.to_le_bytes());
        head.chain(self.records().iter().copied()).collect()
    }
}

/// A length in bytes that a frame may have.
#[inline]
fn within(bytes: usize, limits: &Limits) -> Result<usize, AppendError> {
    if bytes > to_usize(limits.frame_bytes) {
        return Err(AppendError::TooLarge {
            bytes: to_u64(bytes),
            limit: limits.frame_bytes.into(),
        });
    }
    Ok(bytes)
}
