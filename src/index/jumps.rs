//! The events of a filter in one segment, in order, without what lies between.

use super::Index;
use super::dictionary::Entry;
use super::postings::{Posting, Unfit};
use super::run::Run;
use crate::segment::{Place, Segment};
use crate::types::{Epoch, FilterSet, to_usize};
use std::sync::Arc;

/// How many matches ahead are fetched: enough for memory to answer meanwhile.
const AHEAD: usize = 8;

/// Postings that are taken out of the lists at a time, about.
const WINDOW: usize = 1_024;

/// Of a list that is one of many, at least so many are taken.
const WINDOW_LEAST: usize = 16;

/// The topics of one run that match.
#[derive(Debug)]
struct Part {
    run: Arc<Run>,
    entries: Vec<Entry>,
}

/// Goes from match to match.
#[derive(Debug)]
pub(crate) struct Jumps {
    parts: Vec<Part>,
    part: usize,
    window: Vec<Posting>,
    taken: usize,
    /// Every match of this part below this offset is in the window, or was taken.
    known: u64,
    /// Offset up to which the index speaks.
    end: u64,
}

impl Index {
    /// The matches of `filters`; `None` if they are more than one in `share` of all events, so that
    /// walking costs less.
    pub(crate) fn jumps(&self, filters: &FilterSet, share: u64) -> Result<Option<Jumps>, Unfit> {
        let most = self.events() / share.max(1);
        let (mut matches, mut parts) = (0_u64, Vec::new());
        for run in &self.runs {
            let mut entries = Vec::new();
            run.matching(filters, |_, entry| {
                matches = matches.saturating_add(entry.events);
                entries.push(entry);
                matches <= most
            })?;
            if matches > most {
                return Ok(None);
            }
            let run = Arc::clone(run);
            parts.push(Part { run, entries });
        }
        Ok(Some(Jumps {
            parts,
            part: 0,
            window: Vec::new(),
            taken: 0,
            known: 0,
            end: self.next(),
        }))
    }
}

impl Jumps {
    /// Offset up to which the index speaks: there is no match that it does not know below.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// The place behind what is indexed.
    pub(crate) fn end_place(&self, segment: &Segment) -> Place {
        let last = self.parts.last();
        last.map_or_else(|| segment.start(), |part| part.run.end(segment))
    }

    /// The first match at or above `from`, which never goes back. It is the first one of the next
    /// call too, until `from` has passed it. Frames that come into sight are asked for from the
    /// disk; they are thought to have `frame_bytes` bytes.
    #[inline]
    pub(crate) fn peek(
        &mut self,
        segment: &Segment,
        from: u64,
        frame_bytes: usize,
    ) -> Result<Option<Posting>, Unfit> {
        match self.window.get(self.taken) {
            Some(posting) if posting.offset >= from => Ok(Some(*posting)),
            _ => self.peek_on(segment, from, frame_bytes),
        }
    }

    /// Apart from what is done for each match.
    #[inline(never)]
    fn peek_on(
        &mut self,
        segment: &Segment,
        from: u64,
        frame_bytes: usize,
    ) -> Result<Option<Posting>, Unfit> {
        loop {
            while let Some(posting) = self.window.get(self.taken) {
                if posting.offset >= from {
                    return Ok(Some(*posting));
                }
                self.taken += 1;
            }
            let Some(part) = self.parts.get(self.part) else {
                return Ok(None);
            };
            if self.known >= part.run.next() {
                self.part += 1;
                self.known = 0;
                continue;
            }
            self.fill(from.max(self.known))?;
            let frames = self.window.iter().map(|posting| posting.frame);
            segment.ask_for(frames, frame_bytes);
        }
    }

    /// Takes the next window of this part: from each list a few postings, and of these all that
    /// come before what was left in any.
    fn fill(&mut self, from: u64) -> Result<(), Unfit> {
        let Some(part) = self.parts.get(self.part) else {
            return Ok(());
        };
        self.window.clear();
        self.taken = 0;
        let least = WINDOW / part.entries.len().max(1);
        let mut known = part.run.next();
        for entry in part.entries.iter().filter(|entry| entry.last >= from) {
            let least = least.max(WINDOW_LEAST);
            known = known.min(part.run.read(entry, from, least, &mut self.window)?);
        }
        self.window.retain(|posting| posting.offset < known);
        if part.entries.len() > 1 {
            self.window.sort_unstable_by_key(|posting| posting.offset);
            // An event that is to several of the topics comes once.
            self.window.dedup_by_key(|posting| posting.offset);
        }
        // What verifies and yet does not go on would be asked for again and again.
        if known <= from && from < part.run.next() {
            return Err(Unfit);
        }
        self.known = known;
        Ok(())
    }

    /// Passes a whole run at once: how many matches it has, if that is certain from its dictionary
    /// all of them lie in `from..below`, and they are `most` at most.
    pub(crate) fn pass_run(
        &mut self,
        from: u64,
        below: u64,
        all: bool,
        most: u64,
    ) -> Option<(u64, u64)> {
        let part = self.parts.get(self.part)?;
        let begun = self.known > 0 || self.taken < self.window.len();
        let first = part.run.first();
        if begun || from > first || part.run.next() > below || part.entries.len() > 1 {
            return None;
        }
        let excluding = part.entries.iter().any(|entry| entry.excluding > 0);
        if excluding && !all {
            return None;
        }
        // One entry at most, as was seen above.
        let matches = part.entries.first().map_or(0, |entry| entry.events);
        if matches > most {
            return None;
        }
        self.part += 1;
        Some((matches, part.run.next()))
    }

    /// The epoch of a match's frame.
    pub(crate) fn epoch(&self, posting: &Posting) -> Epoch {
        let at = to_usize(posting.frame);
        let part = self.parts.iter().find(|part| at < part.run.covers());
        part.map_or_else(Epoch::default, |part| part.run.epoch_at(at))
    }

    /// A match that comes some way behind the one that was peeked at last.
    #[inline]
    pub(crate) fn ahead(&self) -> Option<&Posting> {
        self.window.get(self.taken + AHEAD)
    }
}
