//! What is known of each topic: how many events, and which is the last.

use super::scanner::{Scan, Scanner};
use super::wants::matches;
use crate::error::ReadError;
use crate::format::RecordRef;
use crate::index::{Entry, Index, Posting, Run, Unfit};
use crate::segment::{Frame, Segment};
use crate::store::{Located, Shared};
use crate::types::{FilterSet, Gap, GapReason, to_usize};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// A topic of the log. Made by [`Log::topics`](crate::Log::topics).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicInfo {
    /// The topic.
    pub topic: String,
    /// How many events that the log still holds are to it.
    pub events: u64,
    /// Offset of the last of them.
    pub last: u64,
}

/// One segment, or a part of it: by its index as far as that reaches, and walked behind.
struct Part {
    segment: Arc<Segment>,
    index: Option<Arc<Index>>,
    /// Offsets that must be walked.
    walk: std::ops::Range<u64>,
}

/// The part of the log that ends with `below`: a segment, or the range of one that cannot be read.
fn part_below(shared: &Shared, below: u64) -> std::io::Result<Result<Part, Gap>> {
    let first = shared.marks.first();
    match shared.locate(below - 1)? {
        Located::Segment {
            segment,
            below: end,
        } => {
            let base = segment.base().max(first);
            // What is trimmed or cut away is still in the index: then all of it is walked.
            let index = shared.index_of(&segment, end);
            let index = index.filter(|index| index.next() <= end && base == segment.base());
            let walked = index.as_ref().map_or(base, |index| index.next().max(base));
            let walk = walked.min(below)..below;
            Ok(Ok(Part {
                segment,
                index,
                walk,
            }))
        }
        Located::Damaged { .. } => Ok(Err(Gap {
            from: shared.base_of(below - 1).max(first),
            to: below,
            reason: GapReason::Corrupt,
        })),
        Located::Trimmed { .. } => Ok(Err(Gap {
            from: first.min(below),
            to: below,
            reason: GapReason::Trimmed,
        })),
    }
}

/// See [`Log::topics`](crate::Log::topics).
pub(crate) fn topics(shared: &Shared, filters: &FilterSet) -> Result<Vec<TopicInfo>, ReadError> {
    let io = |error| ReadError::from_io(shared.dir.path(), "read", error);
    let most = shared.options.max_topics_value();
    let mut all: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut add = |topic: &str, events: u64, last: u64| {
        if let Some(known) = all.get_mut(topic) {
            *known = (known.0.saturating_add(events), known.1.max(last));
        } else {
            all.insert(topic.into(), (events, last));
        }
        all.len() <= to_usize(most)
    };
    let mut below = shared.marks.next();
    let mut few = true;
    while few && below > shared.marks.first() {
        let mut part = match part_below(shared, below).map_err(io)? {
            Ok(part) => part,
            Err(gap) => {
                below = gap.from;
                continue;
            }
        };
        let Ok(indexed) = indexed(shared, filters, &mut part) else {
            shared.discard_index(&part.segment);
            continue;
        };
        for (topic, (events, last)) in indexed {
            few &= add(&topic, events, last);
        }
        walk(shared, filters, &part, |found| {
            if let Ok((topic, offset)) = found {
                few &= add(topic, 1, offset);
            }
        })
        .map_err(io)?;
        below = part.segment.base().max(shared.marks.first()).min(below - 1);
    }
    if !few {
        return Err(ReadError::TooManyTopics { limit: most });
    }
    let info = |(topic, (events, last))| TopicInfo {
        topic,
        events,
        last,
    };
    Ok(all.into_iter().map(info).collect())
}

/// What the index says of each topic: how many events, and the last. Not many more topics than are
/// allowed.
fn indexed(
    shared: &Shared,
    filters: &FilterSet,
    part: &mut Part,
) -> Result<HashMap<String, (u64, u64)>, Unfit> {
    // It may have grown while this looked; it must not have been cut.
    let shown = |index: &Arc<Index>| index.next() <= shared.marks.next();
    if !part.index.as_ref().is_some_and(shown) {
        part.index = None;
        part.walk.start = part.segment.base().max(shared.marks.first());
    }
    let most = to_usize(shared.options.max_topics_value());
    let mut all: HashMap<String, (u64, u64)> = HashMap::new();
    let runs = part.index.as_deref().map_or(&[][..], Index::runs);
    runs.iter().try_for_each(|run| {
        run.matching(filters, |topic, entry| {
            let topic = String::from_utf8_lossy(topic);
            // A topic that several filters match comes several times.
            let known = all.entry(topic.into_owned()).or_default();
            if known.1 != entry.last || known.0 == 0 {
                *known = (known.0.saturating_add(entry.events), entry.last);
            }
            all.len() <= most
        })
    })?;
    Ok(all)
}

/// Walks the part that is not indexed: each topic of each event that matches, and each gap.
fn walk(
    shared: &Shared,
    filters: &FilterSet,
    part: &Part,
    mut each: impl FnMut(Result<(&str, u64), Gap>),
) -> std::io::Result<()> {
    let mut scanner = Scanner::new(part.walk.start);
    loop {
        let wants = |record: &RecordRef<'_>| matches(filters, record);
        match scanner.advance(shared, part.walk.end, wants)? {
            Scan::Event(segment, spot) => {
                let bytes = segment.region().bytes(spot.at..spot.at + spot.bytes);
                let Some((record, _)) = bytes.and_then(RecordRef::parse) else {
                    continue;
                };
                // An event may name a topic twice.
                let mut before: Vec<&str> = Vec::new();
                for topic in record.topics().filter(|topic| filters.wants_topic(topic)) {
                    if !before.contains(&topic) {
                        before.push(topic);
                        each(Ok((topic, spot.offset)));
                    }
                }
            }
            Scan::Gap(gap) => each(Err(gap)),
            Scan::Done => return Ok(()),
        }
    }
}

/// The last events of topics, and damage that may hide some.
#[derive(Debug, Default)]
pub(super) struct Lasts {
    pub(super) offsets: Vec<u64>,
    pub(super) gaps: Vec<Gap>,
}

/// The last event below `limit` of each topic that `filters` match, as far as it is for the
/// consumer.
pub(super) fn last_per_topic(
    shared: &Shared,
    limit: u64,
    filters: &FilterSet,
) -> Result<Lasts, ReadError> {
    let io = |error| ReadError::from_io(shared.dir.path(), "read", error);
    let most = shared.options.max_topics_value();
    let mut lasts = Lasts::default();
    let mut seen: HashSet<String> = HashSet::new();
    let mut below = limit;
    let literals = filters
        .patterns()
        .is_empty()
        .then(|| filters.literals().len());
    while below > shared.marks.first() && literals.is_none_or(|count| seen.len() < count) {
        let part = match part_below(shared, below).map_err(io)? {
            Ok(part) => part,
            Err(gap) => {
                lasts
                    .gaps
                    .extend(Some(gap).filter(|gap| gap.reason == GapReason::Corrupt));
                below = gap.from;
                continue;
            }
        };
        let walked = last_walked(shared, filters, &part, &mut lasts.gaps).map_err(io)?;
        let new = walked
            .into_iter()
            .filter(|(topic, _)| !seen.contains(topic));
        let new: Vec<_> = new.collect();
        for (topic, offset) in new {
            seen.insert(topic);
            lasts.offsets.push(offset);
        }
        let runs = part.index.as_deref().map_or(&[][..], Index::runs);
        let found = runs.iter().rev().try_for_each(|run| {
            let (segment, run) = (&*part.segment, &**run);
            let search = Search {
                segment,
                run,
                filters,
                below,
                most,
                frame: Cell::new(None),
            };
            search.last_in_run(&mut seen, &mut lasts.offsets)
        });
        if found == Err(Unfit) {
            // What was found so far stands.
            shared.discard_index(&part.segment);
            continue;
        }
        if seen.len() > to_usize(most) {
            return Err(ReadError::TooManyTopics { limit: most });
        }
        below = part.segment.base().max(shared.marks.first()).min(below - 1);
    }
    lasts.offsets.sort_unstable();
    lasts.offsets.dedup();
    Ok(lasts)
}

/// The last event of each topic in the part that is not indexed; of not many more topics than are
/// allowed.
fn last_walked(
    shared: &Shared,
    filters: &FilterSet,
    part: &Part,
    gaps: &mut Vec<Gap>,
) -> std::io::Result<HashMap<String, u64>> {
    let most = to_usize(shared.options.max_topics_value());
    let mut walked: HashMap<String, u64> = HashMap::new();
    walk(shared, filters, part, |found| match found {
        Ok((topic, offset)) => {
            if let Some(last) = walked.get_mut(topic) {
                *last = offset;
            } else if walked.len() <= most {
                walked.insert(topic.into(), offset);
            }
        }
        Err(gap) => gaps.push(gap),
    })?;
    Ok(walked)
}

/// A search in one run of an index.
struct Search<'a> {
    segment: &'a Segment,
    run: &'a Run,
    filters: &'a FilterSet,
    below: u64,
    most: u32,
    /// The frame that was verified last: a batch is for several postings.
    frame: Cell<Option<Frame>>,
}

impl Search<'_> {
    /// Adds the last event of each topic that was not seen yet.
    fn last_in_run(&self, seen: &mut HashSet<String>, offsets: &mut Vec<u64>) -> Result<(), Unfit> {
        let mut unfit = false;
        self.run.matching(self.filters, |topic, entry| {
            let topic = String::from_utf8_lossy(topic);
            if seen.contains(&*topic) {
                return true;
            }
            match self.last_of(&entry) {
                Ok(Some(last)) => {
                    seen.insert(topic.into_owned());
                    offsets.push(last);
                }
                Ok(None) => {}
                Err(Unfit) => unfit = true,
            }
            !unfit && seen.len() <= to_usize(self.most)
        })?;
        if unfit { Err(Unfit) } else { Ok(()) }
    }

    fn last_of(&self, entry: &Entry) -> Result<Option<u64>, Unfit> {
        let for_all = entry.excluding == 0 || self.filters.has_no_identity();
        if for_all && entry.last < self.below {
            return Ok(Some(entry.last));
        }
        let mut last = None;
        self.run.backwards(entry, self.below, |posting| {
            let wanted = for_all || !posting.excluding || self.wants(&posting);
            last = wanted.then_some(posting.offset);
            !wanted
        })?;
        Ok(last)
    }

    /// One that does not verify is wanted: it is told as a gap when its turn comes.
    fn wants(&self, posting: &Posting) -> bool {
        let (at, frame_at) = (to_usize(posting.record), to_usize(posting.frame));
        if self.frame.get().is_none_or(|frame| frame.at != frame_at) {
            let epoch = || self.run.epoch_at(frame_at);
            self.frame.set(self.segment.frame_to(posting.frame, epoch));
        }
        let bytes = self.frame.get().and_then(|frame| {
            let end = frame.records().end.max(at);
            self.segment.region().bytes(at..end)
        });
        let record = bytes.and_then(RecordRef::parse);
        record.is_none_or(|(record, _)| matches(self.filters, &record))
    }
}
