//! Events that are handed out one by one before a reader goes on: the last of each topic.

use super::scanner::{Scan, Scanner};
use super::topics::{Lasts, last_per_topic};
use crate::error::ReadError;
use crate::options::{ReadLevel, Start};
use crate::store::Shared;
use crate::types::{FilterSet, Gap};
use std::collections::VecDeque;
use std::io;

#[derive(Clone, Copy, Debug)]
enum Pick {
    Event(u64),
    Gap(Gap),
}

impl Pick {
    fn offset(&self) -> u64 {
        match self {
            Pick::Event(offset) => *offset,
            Pick::Gap(gap) => gap.from,
        }
    }
}

/// What is left of them, and where reading goes on.
#[derive(Debug)]
pub(super) struct Picks {
    /// In the order of their offsets.
    left: VecDeque<Pick>,
    pub(super) then: u64,
}

impl Picks {
    /// `None` for a start that is a place.
    pub(super) fn of(
        shared: &Shared,
        start: Start,
        level: ReadLevel,
        filters: &FilterSet,
    ) -> Result<Option<Self>, ReadError> {
        if start != Start::LastPerTopic {
            return Ok(None);
        }
        let then = shared.marks.limit(level);
        let Lasts { offsets, gaps } = last_per_topic(shared, then, filters)?;
        let events = offsets.into_iter().map(Pick::Event);
        let mut left: Vec<_> = events.chain(gaps.into_iter().map(Pick::Gap)).collect();
        left.sort_by_key(Pick::offset);
        let left = left.into();
        Ok(Some(Self { left, then }))
    }

    /// Where the reader stands when they are handed out.
    pub(super) fn start(&self) -> Start {
        Start::Offset(self.then)
    }

    pub(super) fn next_place(&self) -> u64 {
        self.left.front().map_or(self.then, Pick::offset)
    }

    pub(super) fn events(&self) -> u64 {
        let events = self
            .left
            .iter()
            .filter(|pick| matches!(pick, Pick::Event(_)));
        crate::types::to_u64(events.count())
    }

    /// The log was cut: what stood at `end` and above is gone.
    pub(super) fn cut(&mut self, end: u64) {
        self.left.retain(|pick| pick.offset() < end);
        self.then = end;
    }

    /// The next of them, which stays until it has [`passed`](Self::passed); `None`: there are no
    /// more.
    pub(super) fn next(
        &self,
        scanner: &mut Scanner,
        shared: &Shared,
        limit: u64,
    ) -> Option<io::Result<Scan>> {
        let offset = match *self.left.front()? {
            Pick::Gap(gap) => return Some(Ok(Scan::Gap(gap))),
            Pick::Event(offset) => offset,
        };
        if offset >= limit {
            return Some(Ok(Scan::Done));
        }
        scanner.seek(offset);
        Some(scanner.advance(shared, offset + 1, |_| true))
    }

    /// The last one that has passed was not handed out after all.
    pub(super) fn put_back(&mut self, offset: u64) {
        self.left.push_front(Pick::Event(offset));
    }

    /// What came was handed out, or told.
    pub(super) fn passed(&mut self, scanned: &io::Result<Scan>) {
        match scanned {
            Ok(Scan::Event(_, spot)) => self.left.retain(|pick| pick.offset() > spot.offset),
            Ok(Scan::Gap(gap)) => self.left.retain(|pick| pick.offset() >= gap.to),
            Ok(Scan::Done) | Err(_) => {}
        }
    }
}
