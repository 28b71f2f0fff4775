//! The log under test beside the one that ought to be.

use super::cursors::Handle;
use super::ops::{KEPT, Operation};
use super::oracle::{Oracle, WINDOW};
use super::reading::Follower;
use crate::testing::place::Place;
use crate::testing::sample::Sample;
use crate::{AppendError, Appended, Event, Log, Options, Position, SyncPolicy};
use std::collections::BTreeMap;

/// A position that somebody kept, and what stood below it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) position: Position,
    pub(super) history: u64,
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
    pub(super) follower: Option<Follower>,
    /// Indexes as they were once.
    pub(super) old_indexes: BTreeMap<String, Vec<u8>>,
    /// A definition may have been torn before it was synced.
    pub(super) torn_definition: bool,
    /// The file of the ids as it once was.
    pub(super) older_ids: Option<Vec<u8>>,
    /// Hours that have passed, by the clock that is given.
    pub(super) hours: u64,
    serial: u64,
}

pub(super) fn options() -> Options {
    Options::new()
        .segment_bytes(16 << 10)
        .sync(SyncPolicy::Manual)
        .index_everything()
        .dedup_ids(u32::try_from(WINDOW).unwrap())
}

pub(super) fn open(place: &Place) -> Log {
    options().open_in(place.dir()).unwrap()
}

impl World {
    pub(super) fn new(place: Place) -> Self {
        let log = open(&place);
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
            old_indexes: BTreeMap::new(),
            torn_definition: false,
            older_ids: None,
            hours: 0,
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
            Operation::LastPerTopic { filter, page } => self.last_per_topic(*filter, *page),
            Operation::Topics { filter } => self.topics(*filter),
            Operation::HarmIndex { which, harm } => self.harm_index(*which, *harm),
            Operation::Keep { place, back } => self.keep(*place, *back),
            Operation::Follow { filter, from } => self.follow(*filter, *from),
            Operation::ReadOn(events) => self.read_on(*events),
            Operation::OpenCursor { cursor, from } => self.open_cursor(*cursor, *from),
            Operation::Take { cursor, take } => self.take(*cursor, *take),
            Operation::Ack { cursor, back } => self.ack(*cursor, *back),
            Operation::AckKept { cursor, kept } => self.ack_kept(*cursor, *kept),
            Operation::AckGap { cursor } => self.ack_gap(*cursor),
            Operation::SeekCursor { cursor, from } => self.seek_cursor(*cursor, *from),
            Operation::Snapshot { to_disk } => self.snapshot(*to_disk),
            Operation::DeleteCursor(cursor) => self.delete_cursor(*cursor),
            Operation::SetCursor { cursor, from } => self.set_cursor(*cursor, *from),
            Operation::Expire { cursor, from } => self.expire(*cursor, *from),
            Operation::Trim(part) => self.trim(*part),
            Operation::Close => self.close(),
            Operation::Kill => self.kill(),
            Operation::PowerLoss(seed) => self.power_loss(*seed),
            Operation::Ids { kill, harm } => self.harm_ids(*kill, *harm),
            Operation::FailSync { kth, appends, then } => self.fail_sync(*kth, appends, *then),
            Operation::FullDisk { by_room, appends } => self.full_disk(*by_room, appends),
        }
        assert_eq!(self.log().next_offset(), self.oracle.end());
        assert_eq!(self.log().first_offset(), self.oracle.first);
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
        let appended = self.log().append_once(sample.event(&sample.bytes()))?;
        self.check_appended(sample, appended);
        Ok(())
    }

    fn try_append(&mut self, sample: &Sample) {
        let sample = self.new_sample(sample);
        match self.log().try_append_once(sample.event(&sample.bytes())) {
            Ok(appended) => self.check_appended(sample, appended),
            Err(AppendError::WouldBlock) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn check_appended(&mut self, sample: Sample, appended: Appended) {
        self.oracle.answered(&sample, appended.offset);
        let known = self.oracle.known(&sample);
        let offset = known.unwrap_or(self.oracle.end());
        assert_eq!(
            (appended.offset, appended.duplicate),
            (offset, known.is_some())
        );
        assert_eq!(appended.position.offset, offset + 1);
        if known.is_none() {
            self.oracle.append(sample);
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
        let appended = self.log().append_batch(events).unwrap();
        let before = self.oracle.end();
        for (sample, answer) in samples.iter().zip(appended.iter()) {
            self.oracle.answered(sample, answer.offset);
        }
        let expected = self.oracle.append_batch(samples);
        assert_eq!(appended.offsets, before..self.oracle.end());
        assert!(appended.iter().map(|event| event.offset).eq(expected));
    }

    pub(super) fn sync(&mut self) {
        self.log().sync().unwrap();
        self.oracle.synced();
    }

    fn trim(&mut self, part: u8) {
        let before = self.oracle.end() * u64::from(part) / 256;
        let first = self.log().trim(before).unwrap();
        let old = self.oracle.first;
        assert!((old..=before.max(old)).contains(&first), "{first}");
        self.oracle.first = first;
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

    /// Lets go of all that a process has open.
    pub(super) fn let_go(&mut self) {
        self.follower = None;
        self.handles.clear();
        self.log = None;
    }
}
