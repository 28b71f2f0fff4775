//! The log under test beside the one that ought to be.

use super::cursors::Handle;
use super::ops::{FILTERS, From, KEPT, Operation};
use super::oracle::{Meaning, Oracle, Wish};
use crate::dir::{Directory, DiskDir, MemoryDir};
use crate::testing::sample::Sample;
use crate::{
    AppendError, Event, Gap, Log, Options, Position, ReadError, ReadLevel, Reader, Start,
    SyncPolicy,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use tempfile::TempDir;

/// Where the log stands.
pub(super) enum Place {
    Memory(MemoryDir),
    Disk(
        Arc<DiskDir>,
        #[expect(dead_code, reason = "held: the directory goes with it")] TempDir,
    ),
}

/// A position that somebody kept, and what stood below it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) position: Position,
    history: u64,
}

/// A reader that lives on.
struct Follower {
    reader: Reader,
    filter: usize,
    next: u64,
    /// To be told first.
    gap: Option<Gap>,
}

pub(super) struct World {
    pub(super) place: Place,
    /// `None` while nobody has it open.
    pub(super) log: Option<Log>,
    pub(super) oracle: Oracle,
    pub(super) kept: [Option<Kept>; KEPT],
    pub(super) handles: BTreeMap<usize, Handle>,
    /// The last events that a cursor has handed out, in this epoch and before.
    pub(super) handed: BTreeMap<usize, Vec<Event>>,
    follower: Option<Follower>,
    serial: u64,
}

pub(super) fn options() -> Options {
    Options::new()
        .segment_bytes(16 << 10)
        .sync(SyncPolicy::Manual)
}

impl Place {
    pub(super) fn open(&self) -> Log {
        let dir: Arc<dyn Directory> = match self {
            Self::Memory(dir) => Arc::new(dir.clone()),
            Self::Disk(dir, _) => {
                let dir: Arc<dyn Directory> = dir.clone();
                dir
            }
        };
        options().open_in(dir).unwrap()
    }
}

impl World {
    pub(super) fn new(place: Place) -> Self {
        let log = place.open();
        let oracle = Oracle::new(log.id(), log.position().epoch);
        let log = Some(log);
        let (handles, handed) = (BTreeMap::new(), BTreeMap::new());
        Self {
            place,
            log,
            oracle,
            kept: [None; KEPT],
            handles,
            handed,
            follower: None,
            serial: 0,
        }
    }

    pub(super) fn log(&self) -> &Log {
        self.log.as_ref().unwrap()
    }

    pub(super) fn run(&mut self, operation: &Operation) {
        match operation {
            Operation::Append(sample) => self.append(sample).unwrap(),
            Operation::TryAppend(sample) => self.try_append(sample),
            Operation::Batch(samples) => self.batch(samples),
            Operation::Sync => self.sync(),
            Operation::WaitDurable(back) => self.wait_durable(*back),
            Operation::Read {
                filter,
                from,
                durable,
                pages,
            } => {
                self.read(*filter, *from, *durable, *pages);
            }
            Operation::Keep { place, back } => self.keep(*place, *back),
            Operation::Follow { filter, from } => self.follow(*filter, *from),
            Operation::ReadOn(events) => self.read_on(*events),
            Operation::OpenCursor { cursor, from } => self.open_cursor(*cursor, *from),
            Operation::Take { cursor, take } => self.take(*cursor, *take),
            Operation::Ack { cursor, back } => self.ack(*cursor, *back),
            Operation::AckKept { cursor, kept } => self.ack_kept(*cursor, *kept),
            Operation::AckGap { cursor } => self.ack_gap(*cursor),
            Operation::SeekCursor { cursor, from } => self.seek_cursor(*cursor, *from),
            Operation::Close => self.close(),
            Operation::Kill => self.kill(),
            Operation::PowerLoss(seed) => self.power_loss(*seed),
            Operation::FailSync { kth, appends, then } => self.fail_sync(*kth, appends, *then),
            Operation::FullDisk { by_room, appends } => self.full_disk(*by_room, appends),
        }
        assert_eq!(self.log().next_offset(), self.oracle.end());
        let durable = self.log().durable_offset();
        assert!((self.oracle.durable..=self.oracle.end()).contains(&durable));
    }

    fn new_sample(&mut self, sample: &Sample) -> Sample {
        self.serial += 1;
        Sample {
            serial: self.serial,
            ..sample.clone()
        }
    }

    pub(super) fn append(&mut self, sample: &Sample) -> Result<(), AppendError> {
        let sample = self.new_sample(sample);
        let offset = self.log().append_event(sample.event(&sample.bytes()))?;
        assert_eq!(offset, self.oracle.end());
        self.oracle.append(sample);
        Ok(())
    }

    fn try_append(&mut self, sample: &Sample) {
        let sample = self.new_sample(sample);
        match self.log().try_append(sample.event(&sample.bytes())) {
            Ok(offset) => {
                assert_eq!(offset, self.oracle.end());
                self.oracle.append(sample);
            }
            Err(AppendError::WouldBlock) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn batch(&mut self, samples: &[Sample]) {
        let samples: Vec<_> = samples
            .iter()
            .map(|sample| self.new_sample(sample))
            .collect();
        let bytes: Vec<_> = samples.iter().map(Sample::bytes).collect();
        let events = samples
            .iter()
            .zip(&bytes)
            .map(|(sample, bytes)| sample.event(bytes));
        let offsets = self.log().append_batch(events).unwrap();
        assert_eq!(offsets.start, self.oracle.end());
        samples
            .into_iter()
            .for_each(|sample| self.oracle.append(sample));
        assert_eq!(offsets.end, self.oracle.end());
    }

    fn sync(&mut self) {
        self.log().sync().unwrap();
        self.oracle.synced();
    }

    fn wait_durable(&mut self, back: u8) {
        let Some(offset) = self.oracle.end().checked_sub(u64::from(back) + 1) else {
            return;
        };
        self.log().wait_durable(offset).unwrap();
        self.oracle.durable = self.oracle.durable.max(offset + 1);
    }

    fn keep(&mut self, place: usize, back: u8) {
        let end = self.log().position();
        let offset = end.offset.saturating_sub(u64::from(back));
        let position = Position { offset, ..end };
        assert_eq!(position.to_string().parse(), Ok(position));
        self.kept[place] = Some(Kept {
            position,
            history: self.oracle.history(offset),
        });
    }

    /// The start, the offset where reading begins, and the gap that is told first; `None` if the
    /// start is refused.
    pub(super) fn start(&self, from: From) -> (Start, Option<(u64, Option<Gap>)>) {
        let end = self.oracle.end();
        match from {
            From::Earliest => (Start::Earliest, Some((0, None))),
            From::Latest => (Start::Latest, Some((end, None))),
            From::Part(part) => {
                let offset = end * u64::from(part) / 256;
                (Start::Offset(offset), Some((offset, None)))
            }
            From::Beyond(more) => (Start::Offset(end + u64::from(more)), None),
            From::Kept(kept) => {
                let Some(kept) = self.kept[kept] else {
                    return (Start::Earliest, Some((0, None)));
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

    fn reader(&self, filter: usize, start: Start, level: ReadLevel) -> Result<Reader, ReadError> {
        let (filters, identities) = FILTERS[filter];
        let mut builder = self.log().reader().topics(filters.iter().copied());
        if let Some(identities) = identities {
            builder = builder.identities(identities.iter().copied());
        }
        builder.start(start).level(level).open()
    }

    fn read(&mut self, filter: usize, from: From, durable: bool, pages: Option<(usize, usize)>) {
        let level = if durable {
            ReadLevel::Durable
        } else {
            ReadLevel::Visible
        };
        let before = self.log().durable_offset();
        let (start, expected) = self.start(from);
        let opened = self.reader(filter, start, level);
        let Some((first, gap)) = expected else {
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
        let got = drain(&mut reader, pages);
        let reached = reader.position().offset;
        if durable {
            // The sync thread may have moved the mark meanwhile.
            let after = self.log().durable_offset();
            let from_latest = matches!(from, From::Latest);
            assert!((before..=after).contains(&reached) || reached == first || from_latest);
        } else {
            assert_eq!(reached, self.oracle.end());
        }
        self.compare(filter, first.min(reached), reached, &got);
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

    fn follow(&mut self, filter: usize, from: From) {
        let (start, expected) = self.start(from);
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

    fn read_on(&mut self, events: usize) {
        let Some(mut follower) = self.follower.take() else {
            return;
        };
        if let Some(gap) = follower.gap.take() {
            assert!(matches!(follower.reader.next(), Err(ReadError::Gap(told)) if told == gap));
        }
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

    /// Lets go of all that a process has open.
    pub(super) fn let_go(&mut self) {
        self.follower = None;
        self.handles.clear();
        self.log = None;
    }
}

fn drain(reader: &mut Reader, pages: Option<(usize, usize)>) -> Vec<Event> {
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
