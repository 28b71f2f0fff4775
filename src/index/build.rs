//! Building an index: one walk over the frames, then the topics in order.
//!
//! Topics are not copied: they are told by where they stand in the segment. What a build holds is
//! 28 bytes a topic, 16 bytes an event and topic, a table of 4 bytes a topic, and what it writes.
//! The events and topics are bounded: see [`most_links`].

use super::dictionary::{DictionaryWriter, INLINE_BYTES, NewList};
use super::postings::{self, Posting, Unfit};
use crate::format::{
    FRAME_HEADER, HEADER_BYTES, INDEX_HEADER, IndexEpoch, IndexHeader, IndexPlace, RecordRef, crc,
    decode_head,
};
use crate::segment::{Frame, Place, Segment, Step};
use crate::types::{to_u64, to_usize};
use std::hash::{BuildHasher, RandomState};

/// Bytes of frames between two places that are noted.
const PLACE_EVERY: u32 = 64 << 10;

/// Bytes of a segment for each event and topic that may be held.
const LINK_EVERY: usize = 16;

/// Bytes of frames after which whoever builds may rest.
const PACE_EVERY: usize = 64 << 10;

/// So many events and topics are indexed of any segment.
const LINKS_LEAST: usize = 4_096;

const NONE: u32 = u32::MAX;
const EXCLUDING: u32 = 1 << 31;

/// A topic that was met.
#[derive(Clone, Copy)]
struct Topic {
    /// Where its text stands in the segment.
    text: u32,
    bytes: u8,
    hash: u32,
    first: u32,
    last: u32,
    events: u32,
    excluding: u32,
}

/// One event of one topic.
#[derive(Clone, Copy)]
struct Link {
    frame: u32,
    record: u32,
    /// Which event of its frame, and [`EXCLUDING`].
    ordinal: u32,
    next: u32,
}

struct Building<'a> {
    /// The segment from the end of its header on.
    bytes: &'a [u8],
    topics: Vec<Topic>,
    /// An open hash table of numbers of topics.
    slots: Vec<u32>,
    links: Vec<Link>,
    most_links: usize,
    hasher: RandomState,
    epochs: Vec<IndexEpoch>,
    places: Vec<IndexPlace>,
    events: u64,
    last: (u32, u32),
}

/// Indexes the frames from `from` on: up to the offset `below`, which a segment that is sealed must
/// reach, or up to the published end with `None`. `None`: there is no event. `pace` is called now
/// and then.
///
/// # Errors
/// The segment is walked, because an index must know all that stands there: there are bytes that do
/// not verify, or offsets that are skipped, or more events and topics than may be held.
pub(super) fn build(
    segment: &Segment,
    from: Place,
    below: Option<u64>,
    pace: &dyn Fn(),
) -> Result<Option<Vec<u8>>, Unfit> {
    build_to(segment, segment.region().end(), from, below, pace)
}

/// As [`build`], and nothing at or behind the frame position `end`, which was the published end.
pub(super) fn build_to(
    segment: &Segment,
    end: usize,
    from: Place,
    below: Option<u64>,
    pace: &dyn Fn(),
) -> Result<Option<Vec<u8>>, Unfit> {
    let bytes = segment.region().bytes(HEADER_BYTES..end).ok_or(Unfit)?;
    let mut building = Building {
        bytes,
        topics: Vec::new(),
        slots: vec![NONE; 64],
        links: Vec::new(),
        most_links: most_links(segment.region().len()),
        hasher: RandomState::new(),
        epochs: vec![IndexEpoch {
            at: u32::try_from(from.at).map_err(|_| Unfit)?,
            epoch: from.epoch,
        }],
        places: Vec::new(),
        events: 0,
        last: (0, 0),
    };
    let mut place = from;
    let mut paced = from.at;
    while below.is_none_or(|below| place.offset < below) && place.at < end {
        if place.at >= paced + PACE_EVERY {
            paced = place.at;
            pace();
        }
        let before = place;
        match segment.step(&mut place) {
            Step::Frame(frame) if frame.at + frame.head.bytes() <= end => {
                if frame.head.offset != before.offset {
                    return Err(Unfit);
                }
                building.enter(&place, &frame).ok_or(Unfit)?;
            }
            // The segment has grown since. The frame is not entered, so it is not covered.
            Step::Frame(_) => {
                place = before;
                break;
            }
            Step::End if place.offset == before.offset => break,
            Step::End | Step::Damaged => return Err(Unfit),
        }
    }
    if below.is_some_and(|below| place.offset != below) {
        return Err(Unfit);
    }
    if building.events == 0 {
        return Ok(None);
    }
    let at = u32::try_from(place.at).map_err(|_| Unfit)?;
    building.epoch(&place, at);
    building.write(segment, from, place).map(Some).ok_or(Unfit)
}

/// How many events and topics a build may hold for a segment of `bytes` bytes, so that it takes
/// about as much memory as the segment at most.
fn most_links(bytes: usize) -> usize {
    (bytes / LINK_EVERY).max(LINKS_LEAST)
}

impl Building<'_> {
    fn epoch(&mut self, place: &Place, at: u32) {
        if self.epochs.last().is_none_or(|e| e.epoch != place.epoch) {
            let epoch = place.epoch;
            self.epochs.push(IndexEpoch { at, epoch });
        }
    }

    /// Notes a frame; `place` stands behind it.
    fn enter(&mut self, place: &Place, frame: &Frame) -> Option<()> {
        let at = u32::try_from(frame.at).ok()?;
        self.epoch(place, at);
        self.last = (at, frame.head.checksum);
        let due = self.places.last().map_or(0, |last| last.at + PLACE_EVERY);
        if at >= due {
            self.places.push(IndexPlace {
                at,
                offset: frame.head.offset,
                time: frame.head.time,
            });
        }
        let records = frame.records();
        let mut record = records.start;
        for ordinal in 0..frame.head.count {
            let bytes = self
                .bytes
                .get(record - HEADER_BYTES..records.end - HEADER_BYTES)?;
            let (parsed, length) = RecordRef::read(bytes)?;
            let excluding = parsed.not_to_bytes().next().is_some();
            let link = Link {
                frame: at,
                record: u32::try_from(record).ok()?,
                ordinal: ordinal | if excluding { EXCLUDING } else { 0 },
                next: NONE,
            };
            for topic in parsed.topic_bytes() {
                self.add(topic, link)?;
            }
            self.events += 1;
            record += length;
        }
        Some(())
    }

    fn add(&mut self, text: &[u8], link: Link) -> Option<()> {
        let number = to_usize(self.topic(text)?);
        let new = u32::try_from(self.links.len()).ok().filter(|n| *n < NONE)?;
        if self.links.len() >= self.most_links {
            return None;
        }
        let topic = self.topics.get_mut(number)?;
        if topic.first == NONE {
            topic.first = new;
        } else {
            let last = self.links.get_mut(to_usize(topic.last))?;
            if last.record == link.record {
                // The event names the topic twice.
                return Some(());
            }
            last.next = new;
        }
        topic.last = new;
        topic.events += 1;
        topic.excluding += u32::from(link.ordinal & EXCLUDING != 0);
        self.links.push(link);
        Some(())
    }

    /// The number of a topic, a new one if it was not met before.
    fn topic(&mut self, text: &[u8]) -> Option<u32> {
        if self.topics.len() * 4 >= self.slots.len() * 3 {
            self.grow();
        }
        let bytes = self.hasher.hash_one(text).to_le_bytes();
        let hash = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let mask = self.slots.len() - 1;
        let mut slot = to_usize(hash) & mask;
        loop {
            let number = self.slots[slot];
            if number == NONE {
                let new = u32::try_from(self.topics.len())
                    .ok()
                    .filter(|n| *n < NONE)?;
                let at = text.as_ptr().addr() - self.bytes.as_ptr().addr() + HEADER_BYTES;
                self.topics.push(Topic {
                    text: u32::try_from(at).ok()?,
                    bytes: u8::try_from(text.len()).ok()?,
                    hash,
                    first: NONE,
                    last: NONE,
                    events: 0,
                    excluding: 0,
                });
                self.slots[slot] = new;
                return Some(new);
            }
            let topic = &self.topics[to_usize(number)];
            if topic.hash == hash && self.text(topic) == text {
                return Some(number);
            }
            slot = (slot + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let mut slots = vec![NONE; self.slots.len() * 2];
        let mask = slots.len() - 1;
        for (number, topic) in (0_u32..).zip(&self.topics) {
            let mut slot = to_usize(topic.hash) & mask;
            while slots[slot] != NONE {
                slot = (slot + 1) & mask;
            }
            slots[slot] = number;
        }
        self.slots = slots;
    }

    fn text(&self, topic: &Topic) -> &[u8] {
        let at = to_usize(topic.text) - HEADER_BYTES;
        &self.bytes[at..at + usize::from(topic.bytes)]
    }

    fn posting(&self, link: &Link) -> Option<Posting> {
        let head = decode_head(&self.bytes[to_usize(link.frame) - HEADER_BYTES..])?;
        Some(Posting {
            offset: head.offset + u64::from(link.ordinal & !EXCLUDING),
            frame: link.frame,
            record: link.record,
            excluding: link.ordinal & EXCLUDING != 0,
        })
    }

    fn list(&self, topic: &Topic) -> impl Iterator<Item = Posting> + '_ {
        let mut at = topic.first;
        std::iter::from_fn(move || {
            let link = self.links.get(to_usize(at))?;
            at = link.next;
            self.posting(link)
        })
    }

    fn write(mut self, segment: &Segment, from: Place, end: Place) -> Option<Vec<u8>> {
        // The table has done its work; the memory is for what is written now.
        self.slots = Vec::new();
        let mut order: Vec<u32> = (0..u32::try_from(self.topics.len()).ok()?).collect();
        order.sort_unstable_by_key(|number| self.text(&self.topics[to_usize(*number)]));
        let base = from.offset;
        let mut out = vec![0; INDEX_HEADER];
        let mut dictionary = DictionaryWriter::new(base);
        for number in order {
            let topic = &self.topics[to_usize(number)];
            let (start, events) = (out.len(), to_usize(topic.events));
            let last = self.posting(self.links.get(to_usize(topic.last))?)?.offset;
            postings::encode(base, events, self.list(topic), &mut out);
            let list = &out[start..];
            let new = if list.len() <= INLINE_BYTES {
                NewList::Inline(list)
            } else {
                NewList::At {
                    at: u32::try_from(start).ok()?,
                    bytes: u32::try_from(list.len()).ok()?,
                    crc: crc(postings::vouched(events, list)),
                }
            };
            let inline = matches!(new, NewList::Inline(_));
            let (events, excluding) = (u64::from(topic.events), u64::from(topic.excluding));
            dictionary.add(self.text(topic), events, excluding, last, new);
            if inline {
                out.truncate(start);
            }
        }
        let mut tables = Vec::new();
        self.epochs
            .iter()
            .for_each(|epoch| epoch.encode(&mut tables));
        self.places
            .iter()
            .for_each(|place| place.encode(&mut tables));
        let blocks = dictionary.finish(out.len(), &mut tables)?;
        out.extend_from_slice(&dictionary.bytes);
        let word = |value: usize| u32::try_from(value).ok();
        let header = IndexHeader {
            log: segment.keys().log,
            salt: segment.keys().salt,
            base,
            from: word(from.at)?,
            covers: word(end.at)?,
            last: self.last,
            next: end.offset,
            events: self.events,
            tables: (word(out.len())?, word(tables.len())?, crc(&tables)),
            epochs: word(self.epochs.len())?,
            places: word(self.places.len())?,
            blocks: word(blocks)?,
        };
        out.extend_from_slice(&tables);
        word(out.len())?;
        out[..INDEX_HEADER].copy_from_slice(&header.encode());
        Some(out)
    }
}

/// The last frame with events that an index covers ends at the offset that it says, so that the
/// frames before it are those that were indexed: a frame's checksum is bound to its epoch, its
/// offset and its place. Behind it may stand frames without events, which skip no offset.
pub(super) fn fits(segment: &Segment, header: &IndexHeader) -> bool {
    let (last, checksum) = (to_usize(header.last.0), header.last.1);
    let covers = to_usize(header.covers);
    let ours = header.log == segment.keys().log
        && header.salt == segment.keys().salt
        && to_usize(header.from) >= HEADER_BYTES
        && header.base >= segment.base()
        && header.events <= to_u64(covers / FRAME_HEADER) * u64::from(u32::MAX);
    let bytes = segment.region().bytes(last..covers);
    let head = bytes.and_then(decode_head);
    let fits = ours
        && head.is_some_and(|head| {
            head.checksum == checksum && head.offset + u64::from(head.count) == header.next
        });
    fits || sabotaged!("stale-index")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash of a topic leads to its number, its text decides.
    #[test]
    fn two_topics_of_one_hash_are_two() {
        let bytes = b"ab";
        let mut building = Building {
            bytes,
            topics: Vec::new(),
            slots: vec![NONE; 64],
            links: Vec::new(),
            most_links: 10,
            hasher: RandomState::new(),
            epochs: Vec::new(),
            places: Vec::new(),
            events: 0,
            last: (0, 0),
        };
        let hash = building.hasher.hash_one(&bytes[1..]).to_le_bytes();
        let hash = u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]);
        assert_eq!(building.topic(&bytes[..1]), Some(0));
        // As if the first one had the hash of the second.
        building.topics[0].hash = hash;
        building.slots = vec![NONE; 64];
        building.slots[to_usize(hash) & 63] = 0;
        assert_eq!(building.topic(&bytes[1..]), Some(1));
        assert_eq!(building.topic(&bytes[1..]), Some(1));
    }
}
