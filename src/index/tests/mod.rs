//! Indexes of small segments beside what stands in them.

mod contract;

use super::build::{self, build, build_to};
use super::cache::Indexes;
use super::run::{Bytes, Run};
use super::*;
use crate::Options;
use crate::dir::MemoryDir;
use crate::format::{Activation, FrameBuffer, Limits};
use crate::segment::{self, SegmentWriter};
use crate::types::{Epoch, FilterSet, LogId, NewEvent};
use std::collections::BTreeMap;

const LOG: LogId = LogId([3; 16]);

struct Written {
    dir: MemoryDir,
    segment: Arc<Segment>,
    writer: SegmentWriter,
    /// Offsets by topic.
    topics: BTreeMap<String, Vec<u64>>,
}

fn segment_of(bytes: u32, base: u64) -> Written {
    segment_as(bytes, base, false)
}

fn segment_as(bytes: u32, base: u64, mirror: bool) -> Written {
    let dir = MemoryDir::new();
    let spare = segment::make(&dir, LOG, bytes).unwrap();
    let activation = Activation {
        base,
        epoch: Epoch { counter: 1, tag: 7 },
        previous: None,
        cut: false,
        mirror,
        time: 0,
    };
    let (segment, writer) = segment::activate(spare, activation);
    let topics = BTreeMap::new();
    Written {
        dir,
        segment,
        writer,
        topics,
    }
}

impl Written {
    fn put(&mut self, events: &[(&[&str], &[u8])]) {
        let mut frame = FrameBuffer::new();
        let limits = Limits::new(&Options::new());
        let events: Vec<_> = events
            .iter()
            .map(|(topics, payload)| {
                let event = NewEvent::new(topics[0], payload);
                topics[1..]
                    .iter()
                    .fold(event, |event, topic| event.also_to(topic))
            })
            .collect();
        let first = self.writer.place().offset;
        for (offset, event) in (first..).zip(&events) {
            for topic in event.topics() {
                let offsets = self.topics.entry(topic.into()).or_default();
                if offsets.last() != Some(&offset) {
                    offsets.push(offset);
                }
            }
        }
        frame.batch(events, &limits).unwrap();
        self.writer.append(&mut frame, first * 10);
    }

    fn put_epoch(&mut self, counter: u32) {
        let (mut frame, epoch) = (FrameBuffer::new(), Epoch { counter, tag: 9 });
        self.writer.enter(&self.segment, epoch);
        let place = *self.writer.place();
        frame.epoch(epoch, place.offset);
        self.writer.append(&mut frame, place.offset * 10);
    }

    /// Single events and batches on many topics.
    fn fill(&mut self, frames: usize) {
        for n in 0..frames {
            let (one, other) = (format!("room.{}", n % 7), format!("user.{}.x", n % 31));
            let payload = vec![7; n % 50];
            if n % 5 == 0 {
                let batch: [(&[&str], &[u8]); 3] = [
                    (&[&one], &payload),
                    (&[&other, &one], b""),
                    (&["$sys.a", "$sys.a"], b"x"),
                ];
                self.put(&batch);
            } else {
                self.put(&[(&[&one, &other], &payload)]);
            }
        }
    }

    fn run(&self) -> Run {
        let bytes = build(&self.segment, self.segment.start(), None, &|| {}).unwrap();
        Run::open(Bytes::Heap(bytes.unwrap().into()), &self.segment).unwrap()
    }

    fn expected(&self, filters: &FilterSet, from: u64) -> Vec<u64> {
        let matching = self
            .topics
            .iter()
            .filter(|(topic, _)| filters.wants_topic(topic));
        let mut offsets: Vec<u64> = matching.flat_map(|(_, offsets)| offsets.clone()).collect();
        offsets.retain(|offset| *offset >= from);
        offsets.sort_unstable();
        offsets.dedup();
        offsets
    }
}

fn filters(texts: &[&str]) -> FilterSet {
    FilterSet::new(texts, None).unwrap()
}

/// All matches from `from` on, each of which stands where the index says.
fn matches(
    index: &Index,
    segment: &Segment,
    filters: &FilterSet,
    from: u64,
) -> Result<Vec<u64>, Unfit> {
    let mut jumps = index.jumps(filters, 1)?.unwrap();
    let (mut next, mut found) = (from, Vec::new());
    while let Some(posting) = jumps.peek(segment, next, 0)? {
        let epoch = || jumps.epoch(&posting);
        let frame = segment.frame_to(posting.frame, epoch).ok_or(Unfit)?;
        assert!((frame.head.offset..frame.end()).contains(&posting.offset));
        assert!(
            frame
                .records()
                .contains(&crate::types::to_usize(posting.record))
        );
        found.push(posting.offset);
        next = posting.offset + 1;
    }
    Ok(found)
}

fn all_filters() -> Vec<FilterSet> {
    [
        &["room.3"][..],
        &["room.*"],
        &["user.*.x", "room.1", "nobody"],
        &["user.>", "user.2.x"],
        &["$sys.*", "user.*.x"],
        &["$sys.a"],
        &["*"],
        &["none", "room"],
        &[],
    ]
    .map(filters)
    .to_vec()
}

#[test]
fn the_index_knows_every_event_of_every_filter() {
    let mut written = segment_of(1 << 20, 100);
    written.fill(2_000);
    let end = written.writer.place().offset;
    let index = Index {
        runs: vec![Arc::new(written.run())],
    };
    assert_eq!(
        (index.next(), index.covers()),
        (end, written.writer.place().at)
    );
    assert_eq!(index.end(&written.segment), *written.writer.place());
    for filters in all_filters() {
        for from in [0, 100, 101, 900, end - 1, end] {
            let got = matches(&index, &written.segment, &filters, from).unwrap();
            assert_eq!(
                got,
                written.expected(&filters, from),
                "{filters:?} from {from}"
            );
        }
    }
    for place in index.places(&written.segment) {
        let at = u32::try_from(place.at).unwrap();
        assert!(written.segment.frame_to(at, || place.epoch).is_some());
    }
    let time = 10 * (end - 500);
    let place = index.before_time(&written.segment, time).unwrap();
    assert!(place.offset < end - 500);
}

#[test]
fn an_index_grows_in_runs_and_says_the_same() {
    let mut written = segment_of(1 << 20, 0);
    let indexes = Indexes::default();
    let mut runs_most = 0;
    for round in 0..40 {
        written.fill(1 + round % 9 * 3);
        let mut built = false;
        let index = indexes.get(&written.dir, &written.segment, None, &mut built);
        let index = index.unwrap();
        runs_most = runs_most.max(index.runs().len());
        assert_eq!(index.next(), written.writer.place().offset);
        for filters in all_filters() {
            for from in [0, index.next() / 2] {
                let got = matches(&index, &written.segment, &filters, from).unwrap();
                assert_eq!(got, written.expected(&filters, from));
            }
        }
    }
    assert!((2..=8).contains(&runs_most), "{runs_most} runs");
}

/// The end is taken, and then an event is appended behind the epoch frame that stands there.
#[test]
fn an_event_that_comes_while_an_index_is_built_is_not_passed_over() {
    let mut written = segment_of(1 << 16, 0);
    written.fill(20);
    let before = *written.writer.place();
    written.put_epoch(2);
    let end = written.segment.region().end();
    written.put(&[(&["late"], b"")]);
    let bytes = build_to(&written.segment, end, written.segment.start(), None, &|| {}).unwrap();
    let run = Run::open(Bytes::Heap(bytes.unwrap().into()), &written.segment).unwrap();
    assert_eq!((run.next(), run.covers()), (before.offset, before.at));
    let late = build(&written.segment, run.end(&written.segment), None, &|| {}).unwrap();
    let late = Run::open(Bytes::Heap(late.unwrap().into()), &written.segment).unwrap();
    let runs = vec![Arc::new(run), Arc::new(late)];
    let found = matches(&Index { runs }, &written.segment, &filters(&["late"]), 0);
    assert_eq!(found.unwrap(), [before.offset]);
    // An epoch frame at the very end is covered.
    written.put_epoch(3);
    assert_eq!(written.run().end(&written.segment), *written.writer.place());
}

/// 16 topics of one byte on each event take more memory than the segment has bytes.
#[test]
fn what_a_build_may_hold_is_bounded() {
    let mut written = segment_of(1 << 20, 0);
    let topics: Vec<String> = ('a'..='p').map(String::from).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    while written.writer.fits(200) {
        written.put(&[(&topics, b"")]);
    }
    let built = build(&written.segment, written.segment.start(), None, &|| {});
    assert_eq!(built, Err(Unfit));
    let indexes = Indexes::default();
    let got = indexes.get(&written.dir, &written.segment, None, &mut false);
    assert!(got.is_none(), "it is walked");
    // What is usual is far below the bound.
    let mut usual = segment_of(1 << 20, 0);
    while usual.writer.fits(200) {
        usual.put(&[(&topics[..3], b"")]);
    }
    assert!(build(&usual.segment, usual.segment.start(), None, &|| {}).is_ok());
}

#[test]
fn a_file_is_taken_by_its_own_segment_alone() {
    let mut written = segment_of(1 << 16, 0);
    written.fill(100);
    let indexes = Indexes::default();
    indexes
        .write(&written.dir, &written.segment, None, &|| {})
        .unwrap();
    let name = segment::index_name_of(0);
    let bytes = written.dir.read(&name);
    let at_hand = |written: &Written| {
        let index = Indexes::default().peek(&written.dir, &written.segment);
        index.map(|index| index.next())
    };
    assert_eq!(at_hand(&written), Some(written.writer.place().offset));
    // Another segment with the same base and the same events.
    let mut other = segment_of(1 << 16, 0);
    other.fill(100);
    other.dir.write(&name, &bytes);
    assert_eq!(at_hand(&other), None);
    // The frames that it speaks of are not there (yet, or any more).
    let salt = written.segment.keys().salt;
    let header = build::fits;
    let parsed = crate::format::IndexHeader::parse(&bytes).unwrap();
    assert!(header(&written.segment, &parsed) && parsed.salt == salt);
    let longer = crate::format::IndexHeader {
        covers: parsed.covers + 64,
        last: (parsed.covers, parsed.last.1),
        ..parsed
    };
    assert!(!header(&written.segment, &longer));
}

/// The file of a segment that was cut speaks of more than the log has: another one is built.
#[test]
fn the_index_of_a_sealed_segment_ends_where_the_next_one_begins() {
    let mut written = segment_of(1 << 16, 0);
    written.fill(50);
    let below = written.writer.place().offset;
    written.fill(50);
    let indexes = Indexes::default();
    indexes
        .write(&written.dir, &written.segment, None, &|| {})
        .unwrap();
    // Places are taken from what is there.
    assert!(indexes.peek(&written.dir, &written.segment).is_some());
    let mut built = false;
    let got = indexes.get(&written.dir, &written.segment, Some(below), &mut built);
    assert_eq!((got.map(|index| index.next()), built), (Some(below), true));
    indexes
        .write(&written.dir, &written.segment, Some(below), &|| {})
        .unwrap();
    built = false;
    let again = Indexes::default().get(&written.dir, &written.segment, Some(below), &mut built);
    assert_eq!(
        (again.map(|index| index.next()), built),
        (Some(below), false)
    );
}

/// Whatever is damaged, the answer is the right one or none.
#[test]
fn every_bit_and_every_length_is_right_or_found() {
    let mut written = segment_of(1 << 16, 40);
    written.fill(150);
    let whole = build(&written.segment, written.segment.start(), None, &|| {});
    let whole = whole.unwrap().unwrap();
    let check = |bytes: Vec<u8>, what: &str| {
        let Some(run) = Run::open(Bytes::Heap(bytes.into()), &written.segment) else {
            return;
        };
        let index = Index {
            runs: vec![Arc::new(run)],
        };
        for filters in all_filters() {
            if let Ok(got) = matches(&index, &written.segment, &filters, 0) {
                assert_eq!(got, written.expected(&filters, 0), "{what}");
            }
        }
    };
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        check(bytes, &format!("bit {bit}"));
    }
    for length in 0..whole.len() {
        check(whole[..length].to_vec(), &format!("{length} bytes"));
    }
}

#[test]
fn an_index_is_small() {
    // 10,000 topics, events of 100 bytes.
    let mut written = segment_of(16 << 20, 0);
    let mut n = 0_u64;
    let mut data = 0;
    loop {
        n = n
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let topic = format!("user.{}", (n >> 33) % 10_000);
        if !written.writer.fits(200) {
            break;
        }
        written.put(&[(&[&topic], &[5; 100])]);
        data += 100 + topic.len();
    }
    let bytes = build(&written.segment, written.segment.start(), None, &|| {});
    let bytes = bytes.unwrap().unwrap().len();
    assert!(bytes * 100 <= data * 15, "{bytes} bytes for {data}");
}

#[test]
fn as_many_topics_as_events_do_no_harm() {
    let mut written = segment_of(8 << 20, 0);
    let mut n = 0_u64;
    while written.writer.fits(100) {
        n += 1;
        written.put(&[(&[&format!("t{n}")], b"")]);
    }
    assert!(n > 100_000);
    let bytes = build(&written.segment, written.segment.start(), None, &|| {});
    let bytes = bytes.unwrap().unwrap();
    assert!(
        bytes.len() < 3 << 20,
        "{} bytes for {n} topics",
        bytes.len()
    );
    let run = Run::open(Bytes::Heap(bytes.into()), &written.segment).unwrap();
    let index = Index {
        runs: vec![Arc::new(run)],
    };
    for wanted in [1, 2, n / 2, n] {
        let filters = filters(&[&format!("t{wanted}")]);
        let got = matches(&index, &written.segment, &filters, 0).unwrap();
        assert_eq!(got, [wanted - 1]);
    }
}
