//! The dictionary: topics in the order of their bytes, in blocks that verify one by one.

use super::postings::Unfit;
use crate::format::{IndexHeader, crc, pass_varint, put_varint, take_varint};
use crate::types::{to_u64, to_usize};
use std::ops::Range;

/// A block is closed when it has as many bytes.
pub(super) const BLOCK_BYTES: usize = 4_096;

/// A list of at most so many bytes stands in the dictionary itself.
pub(super) const INLINE_BYTES: usize = 24;

/// What is known of one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) events: u64,
    /// How many of them are *not to* somebody.
    pub(crate) excluding: u64,
    /// Offset of the last one.
    pub(crate) last: u64,
    pub(super) list: ListAt,
}

/// Where the list of an entry stands in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListAt {
    pub(super) at: usize,
    pub(super) bytes: usize,
    pub(super) crc: Option<u32>,
}

/// The list of a topic that is being written.
pub(super) enum NewList<'a> {
    Inline(&'a [u8]),
    At { at: u32, bytes: u32, crc: u32 },
}

/// Writes blocks.
pub(super) struct DictionaryWriter {
    base: u64,
    blocks: Vec<(Range<usize>, Vec<u8>)>,
    pub(super) bytes: Vec<u8>,
    began: usize,
    before: Vec<u8>,
    first: Vec<u8>,
}

impl DictionaryWriter {
    pub(super) fn new(base: u64) -> Self {
        Self {
            base,
            blocks: Vec::new(),
            bytes: Vec::new(),
            began: 0,
            before: Vec::new(),
            first: Vec::new(),
        }
    }

    /// Adds a topic that comes after those before.
    pub(super) fn add(
        &mut self,
        topic: &[u8],
        events: u64,
        excluding: u64,
        last: u64,
        list: NewList<'_>,
    ) {
        if self.bytes.len() == self.began {
            self.before.clear();
            self.first = topic.to_vec();
        }
        let shared = self.before.iter().zip(topic).take_while(|(a, b)| a == b);
        let shared = shared.count();
        // A topic has at most 255 bytes.
        let byte = |length: usize| u8::try_from(length).unwrap_or(u8::MAX);
        let rest = &topic[shared..];
        let out = &mut self.bytes;
        out.extend_from_slice(&[byte(shared), byte(rest.len())]);
        out.extend_from_slice(rest);
        put_varint(out, events);
        put_varint(out, excluding);
        put_varint(out, last - self.base);
        match list {
            NewList::Inline(bytes) => {
                put_varint(out, to_u64(bytes.len()) << 1 | 1);
                out.extend_from_slice(bytes);
            }
            NewList::At { at, bytes, crc } => {
                put_varint(out, u64::from(at) << 1);
                put_varint(out, u64::from(bytes));
                out.extend_from_slice(&crc.to_le_bytes());
            }
        }
        self.before.clear();
        self.before.extend_from_slice(topic);
        if self.bytes.len() - self.began >= BLOCK_BYTES {
            self.close();
        }
    }

    fn close(&mut self) {
        let block = self.began..self.bytes.len();
        if !block.is_empty() {
            self.began = block.end;
            self.blocks.push((block, std::mem::take(&mut self.first)));
        }
    }

    /// Writes the table of blocks, which stand from `at` on; returns how many there are.
    pub(super) fn finish(&mut self, at: usize, tables: &mut Vec<u8>) -> Option<usize> {
        self.close();
        for (block, first) in &self.blocks {
            let start = u32::try_from(at + block.start).ok()?;
            let bytes = u32::try_from(block.len()).ok()?;
            for value in [start, bytes, crc(&self.bytes[block.clone()])] {
                tables.extend_from_slice(&value.to_le_bytes());
            }
            tables.push(u8::try_from(first.len()).ok()?);
            tables.extend_from_slice(first);
        }
        Some(self.blocks.len())
    }
}

/// One line of the table of blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) at: usize,
    pub(super) bytes: usize,
    pub(super) crc: u32,
    /// Where the first topic stands in the tables.
    first: (usize, usize),
}

impl Block {
    /// The least bytes that a line of the table has.
    pub(super) const LEAST: usize = 14;

    /// Takes the line of the tables at `at`.
    pub(super) fn take(tables: &[u8], at: &mut usize) -> Option<Self> {
        let word = |at: usize| {
            let bytes = tables.get(at..)?.first_chunk()?;
            Some(u32::from_le_bytes(*bytes))
        };
        let length = usize::from(*tables.get(*at + 12)?);
        let block = Self {
            at: to_usize(word(*at)?),
            bytes: to_usize(word(*at + 4)?),
            crc: word(*at + 8)?,
            first: (*at + 13, length),
        };
        *at += 13 + length;
        (*at <= tables.len()).then_some(block)
    }

    pub(super) fn first<'t>(&self, tables: &'t [u8]) -> &'t [u8] {
        let (at, bytes) = self.first;
        tables.get(at..at + bytes).unwrap_or_default()
    }
}

/// Walks the topics of a block that has verified.
pub(super) struct Entries<'a> {
    whole: &'a [u8],
    rest: &'a [u8],
    /// Where the block stands in the index.
    at: usize,
    base: u64,
    /// Events of the whole index.
    most: u64,
    topic: Vec<u8>,
}

impl<'a> Entries<'a> {
    pub(super) fn new(block: &Block, bytes: &'a [u8], header: &IndexHeader) -> Result<Self, Unfit> {
        if crc(bytes) != block.crc {
            return Err(Unfit);
        }
        Ok(Self {
            whole: bytes,
            rest: bytes,
            at: block.at,
            base: header.base,
            most: header.events,
            topic: Vec::new(),
        })
    }

    /// What is known of `wanted`, if it is here. The topics on the way are only compared as far as
    /// they differ from the one before, all of which come before `wanted`.
    pub(super) fn find(mut self, wanted: &[u8]) -> Result<Option<Entry>, Unfit> {
        // Bytes that the topic before has in common with `wanted`.
        let mut same = 0;
        while let Some((&[shared, more], rest)) = self.rest.split_first_chunk() {
            let shared = usize::from(shared);
            let (more, rest) = rest.split_at_checked(usize::from(more)).ok_or(Unfit)?;
            self.rest = rest;
            if shared < same {
                return Ok(None);
            }
            if shared == same {
                let left = &wanted[same..];
                let pairs = left.iter().zip(more);
                let further = pairs.take_while(|(a, b)| a == b).count();
                match (left.get(further), more.get(further)) {
                    (None, None) => return self.take_known().map(Some).ok_or(Unfit),
                    (Some(wanted), Some(found)) if found > wanted => return Ok(None),
                    (None, Some(_)) => return Ok(None),
                    _ => same += further,
                }
            }
            self.pass_known().ok_or(Unfit)?;
        }
        if self.rest.is_empty() {
            Ok(None)
        } else {
            Err(Unfit)
        }
    }

    /// Passes what is known of a topic.
    #[inline]
    fn pass_known(&mut self) -> Option<()> {
        let mut rest = self.rest;
        for _ in 0..3 {
            pass_varint(&mut rest)?;
        }
        let place = take_varint(&mut rest)?;
        let bytes = if place & 1 == 1 {
            usize::try_from(place >> 1).ok()?
        } else {
            pass_varint(&mut rest)?;
            size_of::<u32>()
        };
        self.rest = rest.get(bytes..)?;
        Some(())
    }

    /// The next topic and what is known of it.
    pub(super) fn next(&mut self) -> Result<Option<(&[u8], Entry)>, Unfit> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let entry = self.take().ok_or(Unfit)?;
        Ok(Some((&self.topic, entry)))
    }

    fn take(&mut self) -> Option<Entry> {
        let (&[shared, more], rest) = self.rest.split_first_chunk()?;
        let (more, rest) = rest.split_at_checked(usize::from(more))?;
        if usize::from(shared) > self.topic.len() {
            return None;
        }
        self.topic.truncate(usize::from(shared));
        self.topic.extend_from_slice(more);
        self.rest = rest;
        self.take_known()
    }

    /// Takes what is known of a topic.
    fn take_known(&mut self) -> Option<Entry> {
        let mut rest = self.rest;
        let events = take_varint(&mut rest)?;
        let excluding = take_varint(&mut rest)?;
        if events > self.most || excluding > events {
            return None;
        }
        let last = self.base.checked_add(take_varint(&mut rest)?)?;
        let place = take_varint(&mut rest)?;
        let value = usize::try_from(place >> 1).ok()?;
        let list = if place & 1 == 1 {
            let at = self.at + (self.whole.len() - rest.len());
            rest = rest.get(value..)?;
            ListAt {
                at,
                bytes: value,
                crc: None,
            }
        } else {
            let bytes = usize::try_from(take_varint(&mut rest)?).ok()?;
            let (sum, after) = rest.split_first_chunk()?;
            rest = after;
            ListAt {
                at: value,
                bytes,
                crc: Some(u32::from_le_bytes(*sum)),
            }
        };
        self.rest = rest;
        Some(Entry {
            events,
            excluding,
            last,
            list,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::LogId;

    /// Counts that the header does not allow are not handed out, whatever the checksum says.
    #[test]
    fn counts_have_their_bounds() {
        for (events, excluding, is_good) in [(4, 4, true), (5, 0, false), (2, 3, false)] {
            let mut writer = DictionaryWriter::new(0);
            writer.add(b"a", events, excluding, 9, NewList::Inline(b"x"));
            let mut tables = Vec::new();
            assert_eq!(writer.finish(0, &mut tables), Some(1));
            let block = Block::take(&tables, &mut 0).unwrap();
            let header = IndexHeader {
                log: LogId([1; 16]),
                salt: [2; 16],
                base: 0,
                from: 4_096,
                covers: 8_192,
                last: (4_096, 1),
                next: 10,
                events: 4,
                tables: (0, 0, 0),
                epochs: 1,
                places: 0,
                blocks: 1,
            };
            let entries = || Entries::new(&block, &writer.bytes, &header).unwrap();
            let found = entries()
                .next()
                .map(|entry| entry.map(|(_, entry)| entry.events));
            assert_eq!(
                found,
                if is_good {
                    Ok(Some(events))
                } else {
                    Err(Unfit)
                }
            );
            assert_eq!(entries().find(b"a").is_ok(), is_good);
        }
    }
}
