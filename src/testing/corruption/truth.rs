//! The log that is damaged, and all that is known of it.

use super::super::sample::Sample;
use crate::dir::{Directory, Image, MemoryDir};
use crate::format::MARK_FILE_BYTES;
use crate::reader::{Event, Scan, Scanner};
use crate::segment::{self, Segment, Step};
use crate::store::Shared;
use crate::types::LogId;
use crate::{Log, Options, Position, SyncPolicy, format, recovery};
use std::collections::BTreeMap;
use std::ops::Range;

/// How the log was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Closed,
    /// With events behind the durable mark, and a spare.
    Killed,
}

/// One frame with events.
#[derive(Clone, Debug)]
pub(super) struct FrameTruth {
    /// Base of the segment.
    pub(super) base: u64,
    /// Header and body.
    pub(super) bytes: Range<usize>,
    pub(super) offsets: Range<u64>,
}

impl FrameTruth {
    /// The frame with its padding.
    pub(super) fn padded(&self) -> Range<usize> {
        self.bytes.start..self.bytes.start + format::padded(self.bytes.len())
    }
}

/// One event as it stands on disk.
pub(super) struct EventTruth {
    pub(super) record: Vec<u8>,
    pub(super) time: u64,
}

/// What is known of the log.
pub(super) struct Truth {
    pub(super) ended: Ended,
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) log: LogId,
    pub(super) events: Vec<EventTruth>,
    pub(super) frames: Vec<FrameTruth>,
    /// All events below are on disk, and the mark says so.
    pub(super) mark: u64,
    /// The end of each epoch, and one before it.
    pub(super) positions: Vec<Position>,
}

pub(super) fn options() -> Options {
    Options::new()
        .segment_bytes(16 << 10)
        .sync(SyncPolicy::Manual)
}

pub(super) fn is_segment(name: &str) -> bool {
    segment::parse_name(name).is_some()
}

impl Truth {
    pub(super) fn new(ended: Ended) -> Self {
        let dir = MemoryDir::new();
        let mut writing = Writing {
            dir: &dir,
            samples: Vec::new(),
            positions: Vec::new(),
        };
        for segments in [2, 3] {
            let log = writing.open();
            writing.fill(&log, segments);
            writing.end(&log);
            log.close().unwrap();
        }
        let log = writing.open();
        writing.fill(&log, 4);
        writing.few(&log, 5);
        log.sync().unwrap();
        log.sync().unwrap();
        let mark = writing.next();
        let image = if ended == Ended::Closed {
            writing.end(&log);
            log.close().unwrap();
            dir.image()
        } else {
            writing.few(&log, 20);
            writing.end(&log);
            log.abandon(|| dir.image())
        };
        let id = log.id();
        drop(log);
        let Writing {
            samples, positions, ..
        } = writing;
        Self::of(ended, &image, id, mark, samples, positions)
    }

    fn of(
        ended: Ended,
        image: &Image,
        log: LogId,
        mark: u64,
        samples: Vec<Sample>,
        positions: Vec<Position>,
    ) -> Self {
        let dir = MemoryDir::from_image(image);
        let names = dir.list().unwrap().into_iter().map(|entry| entry.name);
        let files: BTreeMap<_, _> = names.map(|name| (name.clone(), dir.read(&name))).collect();
        assert_eq!(files["wakelog.mark"].len(), MARK_FILE_BYTES);
        assert_eq!(files.keys().filter(|name| is_segment(name)).count(), 4);
        let frames = frames_of(&dir);
        let events = events_of(MemoryDir::from_image(image), &samples);
        Self {
            ended,
            files,
            log,
            events,
            frames,
            mark,
            positions,
        }
    }

    /// The next offset of the whole log.
    pub(super) fn end(&self) -> u64 {
        u64::try_from(self.events.len()).unwrap()
    }

    pub(super) fn bases(&self) -> Vec<u64> {
        self.files
            .keys()
            .filter_map(|name| segment::parse_name(name))
            .collect()
    }
}

struct Writing<'a> {
    dir: &'a MemoryDir,
    samples: Vec<Sample>,
    positions: Vec<Position>,
}

impl Writing<'_> {
    fn open(&self) -> Log {
        options()
            .open_in(std::sync::Arc::new(self.dir.clone()))
            .unwrap()
    }

    fn next(&self) -> u64 {
        u64::try_from(self.samples.len()).unwrap()
    }

    /// The next sample: sizes that are no multiples of eight among them, and empty ones.
    fn sample(&mut self) -> Sample {
        let serial = self.next() + 1;
        let number = self.samples.len();
        let sample = Sample {
            topics: vec![number % 7],
            not_to: if number % 5 == 0 {
                vec![number % 4]
            } else {
                Vec::new()
            },
            texts: u8::try_from(number % 8).unwrap(),
            payload_bytes: [0, 40, 333, 100, 1_021, 7, 64][number % 7],
            serial,
        };
        self.samples.push(sample.clone());
        sample
    }

    fn one(&mut self, log: &Log) {
        let next = self.next();
        if next % 11 == 10 {
            let batch: Vec<_> = (0..4).map(|_| self.sample()).collect();
            let bytes: Vec<_> = batch.iter().map(Sample::bytes).collect();
            let events = batch
                .iter()
                .zip(&bytes)
                .map(|(sample, bytes)| sample.event(bytes));
            assert_eq!(log.append_batch(events).unwrap(), next..next + 4);
        } else {
            let sample = self.sample();
            assert_eq!(
                log.append_event(sample.event(&sample.bytes())).unwrap(),
                next
            );
        }
    }

    fn few(&mut self, log: &Log, count: usize) {
        (0..count).for_each(|_| self.one(log));
    }

    /// Appends until there are so many segments. A roll is a moment later in the table.
    fn fill(&mut self, log: &Log, segments: usize) {
        while log.segments() < segments {
            self.one(log);
            log.sync().unwrap();
        }
    }

    /// Remembers the end of the epoch, and a place a little before.
    fn end(&mut self, log: &Log) {
        let end = log.position();
        self.positions.extend([
            Position {
                offset: end.offset - 3,
                ..end
            },
            end,
        ]);
    }
}

/// The events as they stand on disk, each of which is what was appended.
fn events_of(dir: MemoryDir, samples: &[Sample]) -> Vec<EventTruth> {
    let recovered = recovery::open(std::sync::Arc::new(dir), &options()).unwrap();
    let shared = Shared::new(recovered, options());
    let mut scanner = Scanner::new(0);
    let mut events = Vec::new();
    let mut time = 0;
    for sample in samples {
        let Scan::Event(segment, spot) = scanner
            .advance(&shared, shared.marks.next(), |_| true)
            .unwrap()
        else {
            panic!("{} of {} events", events.len(), samples.len());
        };
        assert!(time <= spot.time, "times never fall");
        time = spot.time;
        let record = segment
            .region()
            .bytes(spot.at..spot.at + spot.bytes)
            .unwrap()
            .to_vec();
        events.push(EventTruth { record, time });
        let event = Event::new(segment, spot, shared.epoch());
        assert_eq!(sample.differs_from_event(&event), None);
    }
    assert!(matches!(
        scanner.advance(&shared, shared.marks.next(), |_| true),
        Ok(Scan::Done)
    ));
    events
}

/// The frames with events of all segments, as a walk finds them.
fn frames_of(dir: &MemoryDir) -> Vec<FrameTruth> {
    let mut frames = Vec::new();
    for entry in dir
        .list()
        .unwrap()
        .into_iter()
        .filter(|entry| is_segment(&entry.name))
    {
        let mut follower = dir
            .follow_region(&entry.name, format::HEADER_BYTES)
            .unwrap();
        follower.publish(follower.region().len());
        let header = segment::read_header(follower.region(), None).unwrap();
        let segment = Segment::new(&header, follower.region().clone()).unwrap();
        let mut place = segment.start();
        while let Step::Frame(frame) = segment.step(&mut place) {
            frames.push(FrameTruth {
                base: segment.base(),
                bytes: frame.at..frame.at + frame.head.bytes(),
                offsets: frame.head.offset..frame.end(),
            });
        }
    }
    frames
}
