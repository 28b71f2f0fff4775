//! Readers beside what they ought to read.

use super::ops::{FILTERS, From};
use super::oracle::{Meaning, Wish};
use super::world::{Kept, World};
use crate::{Event, Gap, ReadError, ReadLevel, Reader, Start};

/// A reader that lives on.
pub(super) struct Follower {
    reader: Reader,
    filter: usize,
    next: u64,
    /// To be told first.
    gap: Option<Gap>,
}

impl World {
    /// The start, the offset where reading begins, and the gap that is told first; `None` if the
    /// start is refused.
    pub(super) fn start(
        &mut self,
        from: From,
        filter: usize,
    ) -> (Start, Option<(u64, Option<Gap>)>) {
        let end = self.oracle.end();
        match from {
            From::Earliest => (Start::Earliest, Some((self.oracle.first, None))),
            From::Latest => (Start::Latest, Some((end, None))),
            From::Part(part) => {
                let offset = end * u64::from(part) / 256;
                (Start::Offset(offset), Some((offset, None)))
            }
            From::Beyond(more) => (Start::Offset(end + u64::from(more)), None),
            From::Time(part, later) => {
                let (time, first) = self.time_of(part, later);
                (Start::Time(time), Some((first, None)))
            }
            From::Last(count) => {
                let (filters, identities) = FILTERS[filter];
                let oldest = self.oracle.first;
                let all = self.oracle.matching(Wish(filters, identities), oldest, end);
                let first = match usize::try_from(count).unwrap() {
                    0 => end,
                    count if count > all.len() => oldest,
                    count => all[all.len() - count],
                };
                (Start::Last(count), Some((first, None)))
            }
            From::Kept(kept) => {
                let Some(kept) = self.kept[kept] else {
                    return (Start::Earliest, Some((self.oracle.first, None)));
                };
                let start = Start::Position(kept.position);
                match self.meaning(&kept) {
                    Meaning::Valid => (start, Some((kept.position.offset, None))),
                    Meaning::Diverged(gap) => (start, Some((gap.from, Some(gap)))),
                }
            }
        }
    }

    /// What a kept position must mean. Where it is still valid, the same events stand below it.
    pub(super) fn meaning(&self, kept: &Kept) -> Meaning {
        let meaning = self.oracle.judge(&kept.position);
        if meaning == Meaning::Valid {
            assert_eq!(
                self.oracle.history(kept.position.offset),
                kept.history,
                "{kept:?}"
            );
        }
        meaning
    }

    pub(super) fn reader(
        &self,
        filter: usize,
        start: Start,
        level: ReadLevel,
    ) -> Result<Reader, ReadError> {
        let (filters, identities) = FILTERS[filter];
        let mut builder = self.log().reader().topics(filters.iter().copied());
        if let Some(identities) = identities {
            builder = builder.identities(identities.iter().copied());
        }
        builder.start(start).level(level).open()
    }

    pub(super) fn read(
        &mut self,
        filter: usize,
        from: From,
        durable: bool,
        pages: Option<(usize, usize)>,
    ) {
        // Where these lead to depends on a mark that may move at any time.
        let durable = durable && !matches!(from, From::Time(..) | From::Last(_));
        let level = if durable {
            ReadLevel::Durable
        } else {
            ReadLevel::Visible
        };
        let before = self.log().durable_offset();
        let (start, expected) = self.start(from, filter);
        let opened = self.reader(filter, start, level);
        let Some((mut first, gap)) = expected else {
            assert!(
                matches!(opened, Err(ReadError::Offset { .. })),
                "{opened:?}"
            );
            return;
        };
        let mut reader = opened.unwrap();
        if let Some(gap) = gap {
            assert!(matches!(reader.next(), Err(ReadError::Gap(told)) if told == gap));
        }
        // The sync thread may move the durable mark at any time.
        let may_be_end = |offset: u64| (before..=self.log().durable_offset()).contains(&offset);
        if durable && matches!(from, From::Latest) {
            first = reader.position().offset;
            assert!(may_be_end(first));
        }
        if let Some(gap) = self.oracle.trimmed(first) {
            assert!(matches!(reader.next(), Err(ReadError::Gap(told)) if told == gap));
            first = gap.to;
        }
        if !durable {
            self.check_lag(filter, first, reader.lag().unwrap());
        }
        let got = drain(&mut reader, pages);
        let reached = reader.position().offset;
        if durable {
            assert!(may_be_end(reached) || reached == first);
        } else {
            assert_eq!(reached, self.oracle.end());
        }
        self.compare(filter, first, reached, &got);
    }

    /// What was read is what ought to be in `from..to`.
    fn compare(&mut self, filter: usize, from: u64, to: u64, got: &[Event]) {
        let (filters, identities) = FILTERS[filter];
        let expected = self.oracle.matching(Wish(filters, identities), from, to);
        let offsets: Vec<u64> = got.iter().map(Event::offset).collect();
        assert_eq!(offsets, expected);
        got.iter().for_each(|event| self.check_event(event));
    }

    /// The event is the one that was appended, and its time is what it was before.
    pub(super) fn check_event(&mut self, event: &Event) {
        let index = usize::try_from(event.offset()).unwrap();
        assert_eq!(self.oracle.events[index].differs_from_event(event), None);
        let time = *self.oracle.times[index].get_or_insert(event.time());
        assert_eq!(time, event.time());
        let before = self.oracle.times[..index]
            .iter()
            .rev()
            .find_map(|time| *time);
        assert!(before.is_none_or(|before| before <= time), "times fall");
    }

    pub(super) fn follow(&mut self, filter: usize, from: From) {
        let (start, expected) = self.start(from, filter);
        let opened = self.reader(filter, start, ReadLevel::Visible);
        let Some((next, gap)) = expected else {
            return assert!(opened.is_err());
        };
        self.follower = Some(Follower {
            reader: opened.unwrap(),
            filter,
            next,
            gap,
        });
    }

    pub(super) fn read_on(&mut self, events: usize) {
        let Some(mut follower) = self.follower.take() else {
            return;
        };
        if let Some(gap) = follower.gap.take() {
            assert!(matches!(follower.reader.next(), Err(ReadError::Gap(told)) if told == gap));
        }
        if let Some(gap) = self.oracle.trimmed(follower.next) {
            assert!(matches!(follower.reader.next(), Err(ReadError::Gap(told)) if told == gap));
            follower.next = gap.to;
        }
        self.check_lag(
            follower.filter,
            follower.next,
            follower.reader.lag().unwrap(),
        );
        let mut got = Vec::new();
        while got.len() < events {
            let Some(event) = follower.reader.next().unwrap() else {
                break;
            };
            got.push(event);
        }
        let reached = follower.reader.position().offset;
        assert!(got.len() == events || reached == self.oracle.end());
        self.compare(follower.filter, follower.next, reached, &got);
        follower.next = reached;
        self.follower = Some(follower);
    }

    /// All of the log and all that is kept, after a recovery.
    pub(super) fn check_all(&mut self) {
        self.read(3, From::Earliest, false, None);
        for kept in self.kept.into_iter().flatten() {
            let (start, meaning) = (Start::Position(kept.position), self.meaning(&kept));
            let mut reader = self.reader(3, start, ReadLevel::Visible).unwrap();
            if let Meaning::Diverged(gap) = meaning {
                assert!(matches!(reader.next(), Err(ReadError::Gap(told)) if told == gap));
            }
            assert_eq!(
                reader.position().offset,
                match meaning {
                    Meaning::Valid => kept.position.offset,
                    Meaning::Diverged(gap) => gap.from,
                }
            );
        }
    }
}

pub(super) fn drain(reader: &mut Reader, pages: Option<(usize, usize)>) -> Vec<Event> {
    let mut all = Vec::new();
    match pages {
        None => all.extend(std::iter::from_fn(|| reader.next().unwrap())),
        Some((events, bytes)) => {
            while let Some(page) = reader.page_of(events, bytes).unwrap() {
                assert!((1..=events).contains(&page.len()));
                all.extend(page.events());
            }
        }
    }
    all
}
