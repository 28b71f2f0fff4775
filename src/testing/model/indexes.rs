//! What the topic index answers, and what may happen to its files.

use super::ops::{FILTERS, IndexHarm};
use super::oracle::Wish;
use super::reading::drain;
use super::world::{self, World};
use crate::dir::{Directory, MemoryDir};
use crate::testing::place::Place;
use crate::{Event, ReadLevel, Start};
use std::collections::{BTreeMap, BTreeSet};

impl World {
    /// What a reader or a cursor with this filter has not read from `from` on.
    pub(super) fn check_lag(&self, filter: usize, from: u64, lag: u64) {
        let (filters, identities) = FILTERS[filter];
        let end = self.oracle.end();
        let from = from.max(self.oracle.first);
        let due = self.oracle.matching(Wish(filters, identities), from, end);
        assert_eq!(lag, u64::try_from(due.len()).unwrap(), "lag from {from}");
    }

    /// The time of an event, or one microsecond later, and the first event that is not before it.
    pub(super) fn time_of(&mut self, part: u8, later: bool) -> (u64, u64) {
        let mut reader = self.reader(3, Start::Earliest, ReadLevel::Visible).unwrap();
        let mut times: Vec<u64> = Vec::new();
        let mut everything = self
            .log()
            .reader()
            .topics([">", "$sys.>"])
            .identities([""; 0]);
        everything = everything.start(Start::Earliest);
        let mut everything = everything.open().unwrap();
        for event in drain(&mut everything, None) {
            times.push(event.time());
        }
        assert!(reader.lag().unwrap() <= u64::try_from(times.len()).unwrap());
        let index = times.len() * usize::from(part) / 256;
        let time = times
            .get(index)
            .map_or(u64::MAX, |time| time + u64::from(later));
        let first = times.partition_point(|other| *other < time);
        (time, self.oracle.first + u64::try_from(first).unwrap())
    }

    /// The last event of each topic, of those that this consumer is sent, and nothing else before
    /// what comes from now on.
    pub(super) fn last_per_topic(&mut self, filter: usize, page: bool) {
        let (filters, identities) = FILTERS[filter];
        let wish = Wish(filters, identities);
        let end = self.oracle.end();
        let mut lasts: BTreeMap<&str, u64> = BTreeMap::new();
        for offset in self.oracle.matching(wish, self.oracle.first, end) {
            let event = &self.oracle.events[usize::try_from(offset).unwrap()];
            for topic in event.topics().filter(|topic| wish.wants_topic(topic)) {
                lasts.insert(topic, offset);
            }
        }
        let due: BTreeSet<u64> = lasts.into_values().collect();
        let reader = self.reader(filter, Start::LastPerTopic, ReadLevel::Visible);
        let mut reader = reader.unwrap();
        assert_eq!(reader.lag().unwrap(), u64::try_from(due.len()).unwrap());
        let first = due.first().copied().unwrap_or(end);
        assert_eq!(reader.position().offset, first);
        let got = drain(&mut reader, page.then_some((3, 5_000)));
        let offsets: Vec<u64> = got.iter().map(Event::offset).collect();
        assert_eq!(offsets, due.into_iter().collect::<Vec<_>>());
        assert_eq!(reader.position().offset, end);
        got.iter().for_each(|event| self.check_event(event));
    }

    pub(super) fn topics(&self, filter: usize) {
        let (filters, _) = FILTERS[filter];
        let mut due: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        let first = self.oracle.first;
        let all = (0..).zip(&self.oracle.events);
        for (offset, event) in all.filter(|(offset, _)| *offset >= first) {
            let topics: BTreeSet<&str> = event.topics().collect();
            for topic in topics {
                if Wish(filters, None).wants_topic(topic) {
                    let known = due.entry(topic).or_default();
                    *known = (known.0 + 1, offset);
                }
            }
        }
        let got = self.log().topics(filters).unwrap();
        let got = got
            .iter()
            .map(|info| (&*info.topic, (info.events, info.last)));
        assert!(got.eq(due), "topics of {filters:?}");
    }

    /// An index is derived: whatever happens to its file changes no answer.
    pub(super) fn harm_index(&mut self, which: usize, harm: IndexHarm) {
        self.die();
        if let Place::Memory(dir) = &self.place {
            let dir = dir.clone();
            self.harm(&dir, which, harm);
        }
        self.log = Some(world::open(&self.place));
        self.recovered(self.oracle.end());
    }

    fn harm(&mut self, dir: &MemoryDir, which: usize, harm: IndexHarm) {
        let names = dir.list().unwrap().into_iter().map(|entry| entry.name);
        let names: Vec<_> = names.filter(|name| name.ends_with(".index")).collect();
        if names.is_empty() {
            return;
        }
        let name = &names[which % names.len()];
        let mut bytes = dir.read(name);
        let before = bytes.clone();
        match harm {
            IndexHarm::Flip(bit) if !bytes.is_empty() => {
                let bit = bit % (bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            IndexHarm::Cut(length) => bytes.truncate(length % (bytes.len() + 1)),
            IndexHarm::Another(other) => bytes = dir.read(&names[other % names.len()]),
            IndexHarm::Older => {
                let older = self.old_indexes.get(name).cloned();
                bytes = older.unwrap_or(bytes);
            }
            IndexHarm::Gone | IndexHarm::Flip(_) => {}
        }
        dir.unlink(name).unwrap();
        if !matches!(harm, IndexHarm::Gone) {
            dir.write(name, &bytes);
        }
        dir.sync().unwrap();
        self.old_indexes.insert(name.clone(), before);
    }
}
