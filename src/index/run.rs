//! One index, read: which topics there are, and where their events stand.

use super::build;
use super::dictionary::{Block, Entries, Entry};
use super::postings::{List, Posting, Unfit};
use crate::format::{INDEX_HEADER, IndexEpoch, IndexHeader, IndexPlace, crc};
use crate::map::Region;
use crate::segment::{Place, Segment};
use crate::types::{Epoch, Filter, FilterSet, to_u64, to_usize};
use std::sync::Arc;

/// The bytes of an index: a file that is mapped, or what was built in memory.
#[derive(Clone, Debug)]
pub(super) enum Bytes {
    Mapped(Region),
    Heap(Arc<[u8]>),
}

impl Bytes {
    fn get(&self, at: usize, bytes: usize) -> Option<&[u8]> {
        let range = at..at.checked_add(bytes)?;
        match self {
            Bytes::Mapped(region) => region.bytes(range),
            Bytes::Heap(all) => all.get(range),
        }
    }

    /// They are read next: the disk is asked for all of them at once.
    fn ask_for(&self, at: usize, bytes: usize) {
        if let Bytes::Mapped(region) = self {
            region.will_need(at..at.saturating_add(bytes));
        }
    }
}

/// An index over the frames of one segment, from a place to another.
///
/// The tables are verified when it is opened; blocks of the dictionary and chunks of lists each
/// time that they are touched, since the system may drop a page of a file that was never synced.
#[derive(Debug)]
pub(crate) struct Run {
    bytes: Bytes,
    header: IndexHeader,
    tables: Box<[u8]>,
    epochs: Vec<IndexEpoch>,
    places: Vec<IndexPlace>,
    blocks: Vec<Block>,
}

impl Run {
    /// `None`: not an index of this segment, or damaged.
    pub(super) fn open(bytes: Bytes, segment: &Segment) -> Option<Self> {
        let header = IndexHeader::parse(bytes.get(0, INDEX_HEADER)?)?;
        if !build::fits(segment, &header) {
            return None;
        }
        let (at, length, sum) = header.tables;
        bytes.ask_for(to_usize(at), to_usize(length));
        let tables: Box<[u8]> = bytes.get(to_usize(at), to_usize(length))?.into();
        if crc(&tables) != sum {
            return None;
        }
        let mut run = Self {
            bytes,
            header,
            tables,
            epochs: Vec::new(),
            places: Vec::new(),
            blocks: Vec::new(),
        };
        run.take_tables()?;
        Some(run)
    }

    /// Whether the segment has the frames that this speaks of.
    pub(super) fn fits(&self, segment: &Segment) -> bool {
        build::fits(segment, &self.header)
    }

    /// Nothing is allocated for records that the tables are too short for.
    fn take_tables(&mut self) -> Option<()> {
        let (epochs, places) = (to_usize(self.header.epochs), to_usize(self.header.places));
        let (epoch_bytes, rest) = self
            .tables
            .split_at_checked(epochs.checked_mul(IndexEpoch::BYTES)?)?;
        let place_bytes = rest.get(..places.checked_mul(IndexPlace::BYTES)?)?;
        let chunks = epoch_bytes.chunks_exact(IndexEpoch::BYTES);
        self.epochs = chunks
            .filter_map(|c| Some(IndexEpoch::parse(c.first_chunk()?)))
            .collect();
        let chunks = place_bytes.chunks_exact(IndexPlace::BYTES);
        self.places = chunks
            .filter_map(|c| Some(IndexPlace::parse(c.first_chunk()?)))
            .collect();
        let mut at = epoch_bytes.len() + place_bytes.len();
        let blocks = to_usize(self.header.blocks);
        if blocks > (self.tables.len() - at) / Block::LEAST {
            return None;
        }
        for _ in 0..blocks {
            self.blocks.push(Block::take(&self.tables, &mut at)?);
        }
        (at == self.tables.len() && !self.epochs.is_empty()).then_some(())
    }

    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Frame position of the first frame.
    pub(super) fn from(&self) -> usize {
        to_usize(self.header.from)
    }

    /// Frame position behind the last frame.
    pub(crate) fn covers(&self) -> usize {
        to_usize(self.header.covers)
    }

    /// Offset of the first event, or below it.
    pub(super) fn first(&self) -> u64 {
        self.header.base
    }

    /// Offset behind the last event.
    pub(crate) fn next(&self) -> u64 {
        self.header.next
    }

    pub(super) fn events(&self) -> u64 {
        self.header.events
    }

    /// The epoch of the frame at this frame position.
    pub(crate) fn epoch_at(&self, at: usize) -> Epoch {
        let after = self
            .epochs
            .partition_point(|epoch| to_usize(epoch.at) <= at);
        let found = self.epochs.get(after.saturating_sub(1));
        found.map_or_else(Epoch::default, |found| found.epoch)
    }

    /// The place of a frame.
    pub(super) fn place(&self, segment: &Segment, at: usize, offset: u64) -> Place {
        let epoch = self.epoch_at(at);
        let context = segment.keys().context(epoch);
        Place {
            at,
            offset,
            epoch,
            context,
        }
    }

    /// The place behind the last frame.
    pub(crate) fn end(&self, segment: &Segment) -> Place {
        self.place(segment, self.covers(), self.next())
    }

    /// The places that were noted.
    pub(super) fn places(&self) -> &[IndexPlace] {
        &self.places
    }

    /// Calls `each` with every topic that begins with `prefix`, in order, until it says `false`.
    pub(crate) fn each(
        &self,
        prefix: &[u8],
        mut each: impl FnMut(&[u8], Entry) -> bool,
    ) -> Result<(), Unfit> {
        for block in self.blocks_from(prefix) {
            let mut entries = self.entries(block)?;
            while let Some((topic, entry)) = entries.next()? {
                if topic < prefix {
                    continue;
                }
                if !topic.starts_with(prefix) || !each(topic, entry) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn literal(&self, topic: &str) -> Result<Option<Entry>, Unfit> {
        let topic = topic.as_bytes();
        match self.blocks_from(topic).first() {
            Some(block) => self.entries(block)?.find(topic),
            None => Ok(None),
        }
    }

    /// The blocks in which topics from `topic` on stand.
    fn blocks_from(&self, topic: &[u8]) -> &[Block] {
        let first = |block: &Block| block.first(&self.tables) <= topic;
        let after = self.blocks.partition_point(first);
        &self.blocks[after.saturating_sub(1)..]
    }

    fn entries(&self, block: &Block) -> Result<Entries<'_>, Unfit> {
        let bytes = self.bytes.get(block.at, block.bytes).ok_or(Unfit)?;
        Entries::new(block, bytes, &self.header)
    }

    /// Calls `each` with the topics that match any of the filters, until it says `false`. A topic
    /// that several filters match may come several times.
    pub(crate) fn matching(
        &self,
        filters: &FilterSet,
        mut each: impl FnMut(&[u8], Entry) -> bool,
    ) -> Result<(), Unfit> {
        for literal in filters.literals() {
            let text = literal.as_str();
            if let Some(entry) = self.literal(text)? {
                if !each(text.as_bytes(), entry) {
                    return Ok(());
                }
            }
        }
        for pattern in filters.patterns() {
            let mut go_on = true;
            self.each(prefix(pattern), |topic, entry| {
                if std::str::from_utf8(topic).is_ok_and(|topic| pattern.matches(topic)) {
                    go_on = each(topic, entry);
                }
                go_on
            })?;
            if !go_on {
                return Ok(());
            }
        }
        Ok(())
    }

    fn list(&self, entry: &Entry) -> Result<List<'_>, Unfit> {
        let bytes = self
            .bytes
            .get(entry.list.at, entry.list.bytes)
            .ok_or(Unfit)?;
        // A posting has at least two bytes.
        if entry.events > to_u64(bytes.len() / 2) {
            return Err(Unfit);
        }
        Ok(List {
            bytes,
            base: self.header.base,
            events: entry.events,
            crc: entry.list.crc,
        })
    }

    /// See [`List::read`].
    pub(super) fn read(
        &self,
        entry: &Entry,
        from: u64,
        least: usize,
        out: &mut Vec<Posting>,
    ) -> Result<u64, Unfit> {
        self.list(entry)?.read(from, least, out)
    }

    /// See [`List::backwards`].
    pub(crate) fn backwards(
        &self,
        entry: &Entry,
        below: u64,
        each: impl FnMut(Posting) -> bool,
    ) -> Result<(), Unfit> {
        self.list(entry)?.backwards(below, each)
    }
}

/// What every topic that a filter matches begins with.
fn prefix(filter: &Filter) -> &[u8] {
    let text = filter.as_str().as_bytes();
    let wildcard = text.iter().position(|byte| matches!(byte, b'*' | b'>'));
    &text[..wildcard.unwrap_or(text.len())]
}
