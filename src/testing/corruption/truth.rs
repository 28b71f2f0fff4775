//! The log that is damaged, and all that is known of it.

use super::super::sample::Sample;
use super::write::{Writing, Written};
use crate::dir::{Directory, Image, MemoryDir};
use crate::format::{self, MARK_FILE_BYTES};
use crate::reader::{Event, Scan, Scanner};
use crate::segment::{self, Segment, Step};
use crate::store::Shared;
use crate::types::LogId;
use crate::{Options, Position, SyncPolicy, recovery};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

pub(super) const SLOTS: &str = "cursors-00.slots";
pub(super) const DEFINITIONS: &str = "cursors.defs";

pub(super) type Files = BTreeMap<String, Vec<u8>>;

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

/// One cursor.
#[derive(Clone, Debug)]
pub(super) struct CursorTruth {
    pub(super) name: &'static str,
    pub(super) acked: u64,
    /// What was acked when the cursors were last synced.
    pub(super) saved: u64,
    pub(super) kept: Option<u64>,
}

/// What is known of the log.
pub(super) struct Truth {
    pub(super) ended: Ended,
    image: Image,
    /// The files at earlier moments of the same log, oldest first.
    pub(super) earlier: Vec<Files>,
    /// The files of another log.
    pub(super) other: Files,
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) log: LogId,
    pub(super) events: Vec<EventTruth>,
    pub(super) frames: Vec<FrameTruth>,
    /// All events below are on disk, and the mark says so.
    pub(super) mark: u64,
    /// Positions, each with the smallest end that the log had since.
    pub(super) positions: Vec<(Position, u64)>,
    pub(super) cursors: Vec<CursorTruth>,
}

pub(super) fn options() -> Options {
    Options::new()
        .segment_bytes(16 << 10)
        .sync(SyncPolicy::Manual)
        .index_everything()
        // The file of the ids is written when it suits; its own tests damage it.
        .dedup_ids(0)
}

pub(super) fn is_segment(name: &str) -> bool {
    segment::parse_name(name).is_some()
}

impl Truth {
    pub(super) fn new(ended: Ended) -> Self {
        let other = files_of(&MemoryDir::from_image(&Writing::log(ended).image));
        let Written {
            image,
            earlier,
            log,
            mark,
            samples,
            positions,
            cursors,
        } = Writing::log(ended);
        let dir = MemoryDir::from_image(&image);
        let files = files_of(&dir);
        assert_eq!(files["wakelog.mark"].len(), MARK_FILE_BYTES);
        let frames = frames_of(&MemoryDir::from_image(&image), log);
        let events = events_of(MemoryDir::from_image(&image), &samples);
        Self {
            ended,
            image: dir.image(),
            earlier: earlier
                .iter()
                .map(|image| files_of(&MemoryDir::from_image(image)))
                .collect(),
            other,
            files,
            log,
            events,
            frames,
            mark,
            positions,
            cursors,
        }
    }

    /// The same log without cursors, whose files are as large as the rest.
    pub(super) fn without_cursors(mut self) -> Self {
        let dir = self.dir();
        for name in [SLOTS, DEFINITIONS] {
            dir.unlink(name).unwrap();
            self.files.remove(name);
        }
        dir.sync().unwrap();
        self.image = dir.image();
        self.cursors.clear();
        self
    }

    /// What stands in the place of a segment in another log: the one that is the same number there.
    pub(super) fn foreign(&self, file: &str) -> &[u8] {
        let number = self
            .files
            .keys()
            .filter(|name| is_segment(name))
            .position(|name| name == file);
        let mut there = self.other.iter().filter(|(name, _)| is_segment(name));
        let there = there
            .nth(number.unwrap_or(0))
            .or_else(|| self.other.iter().find(|(name, _)| is_segment(name)));
        there.map_or(&[], |(_, bytes)| bytes)
    }

    /// A directory of its own with the log in it.
    pub(super) fn dir(&self) -> MemoryDir {
        MemoryDir::from_image(&self.image)
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

fn files_of(dir: &MemoryDir) -> Files {
    let names = dir.list().unwrap().into_iter().map(|entry| entry.name);
    names.map(|name| (name.clone(), dir.read(&name))).collect()
}

/// The events as they stand on disk, each of which is what was appended.
fn events_of(dir: MemoryDir, samples: &[Sample]) -> Vec<EventTruth> {
    let recovered = recovery::open(Arc::new(dir), &options(), None).unwrap();
    let shared = Shared::new(recovered, options());
    let mut scanner = Scanner::new(0);
    let mut events = Vec::new();
    let mut time = 0;
    for sample in samples {
        let scan = scanner
            .advance(&shared, shared.marks.next(), |_| true)
            .unwrap();
        let Scan::Event(segment, spot) = scan else {
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

/// The frames with events of all segments, as a walk finds them. What a segment holds behind the
/// base of the next one is a lost tail.
fn frames_of(dir: &MemoryDir, log: LogId) -> Vec<FrameTruth> {
    let mut frames: Vec<FrameTruth> = Vec::new();
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
        let base = segment::parse_name(&entry.name).unwrap();
        let header = segment::read_header(follower.region(), log, Some(base)).unwrap();
        let segment = Segment::new(&header, follower.region().clone()).unwrap();
        frames.retain(|frame| frame.offsets.end <= base);
        let mut place = segment.start();
        while let Step::Frame(frame) = segment.step(&mut place) {
            frames.push(FrameTruth {
                base,
                bytes: frame.at..frame.at + frame.head.bytes(),
                offsets: frame.head.offset..frame.end(),
            });
        }
    }
    frames
}

/// Not every frame ends at a multiple of eight, and the mark stands between two frames: otherwise
/// cases would be missing.
#[test]
fn the_log_has_what_the_cases_need() {
    for ended in [Ended::Closed, Ended::Killed] {
        let truth = Truth::new(ended);
        let padded = |frame: &&FrameTruth| frame.padded() != frame.bytes;
        assert!(truth.frames.iter().filter(padded).count() > 10);
        assert!(
            truth
                .frames
                .iter()
                .filter(|f| f.offsets.end - f.offsets.start == 4)
                .count()
                > 3
        );
        assert!(
            (4..=5).contains(&truth.bases().len()),
            "{:?}",
            truth.bases()
        );
        let undurable = truth.end() - truth.mark;
        let spare = truth.files.keys().any(|name| name.starts_with("spare-"));
        match ended {
            Ended::Closed => assert_eq!(undurable, 0),
            Ended::Killed => assert!(undurable > 10 && spare),
        }
        assert!(
            truth
                .positions
                .iter()
                .any(|(position, bound)| position.offset > *bound)
        );
        assert!(truth.cursors.iter().any(|cursor| cursor.kept.is_some()));
    }
}
