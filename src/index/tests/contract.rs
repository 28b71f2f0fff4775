//! What an index must never do: hide an event, count one that is not wanted, speak of another
//! segment. That it makes somebody read more is allowed.

use super::*;
use crate::dir::Directory;
use crate::format::{FRAME_HEADER, HEADER_BYTES, INDEX_HEADER, IndexHeader};
use crate::segment::SegmentWriter;
use crate::types::to_u64;

fn index_of(runs: Vec<Run>) -> Index {
    let runs = runs.into_iter().map(Arc::new).collect();
    Index { runs }
}

/// A run over what was written since.
fn run_from(written: &Written, from: Place) -> Run {
    let bytes = build(&written.segment, from, None, &|| {}).unwrap();
    Run::open(Bytes::Heap(bytes.unwrap().into()), &written.segment).unwrap()
}

fn parsed(written: &Written) -> (Vec<u8>, IndexHeader) {
    let bytes = build(&written.segment, written.segment.start(), None, &|| {});
    let bytes = bytes.unwrap().unwrap();
    let header = IndexHeader::parse(bytes[..INDEX_HEADER].try_into().unwrap()).unwrap();
    (bytes, header)
}

/// Each of these alone makes an index a stranger.
#[test]
fn an_index_of_another_segment_is_not_taken() {
    let mut written = segment_of(1 << 16, 100);
    written.fill(50);
    let (_, good) = parsed(&written);
    let fits = |header: &IndexHeader| build::fits(&written.segment, header);
    assert!(fits(&good));
    let frames = to_u64(crate::types::to_usize(good.covers) / FRAME_HEADER);
    let most = frames * u64::from(u32::MAX);
    assert!(fits(&IndexHeader {
        events: most,
        ..good
    }));
    let before = u32::try_from(HEADER_BYTES - 8).unwrap();
    let strangers = [
        IndexHeader {
            log: LogId([4; 16]),
            ..good
        },
        IndexHeader {
            salt: [0; 16],
            ..good
        },
        IndexHeader {
            from: before,
            ..good
        },
        IndexHeader { base: 99, ..good },
        IndexHeader {
            events: most + 1,
            ..good
        },
        IndexHeader {
            next: good.next + 1,
            ..good
        },
        IndexHeader {
            last: (good.last.0, good.last.1 ^ 1),
            ..good
        },
    ];
    for (number, stranger) in strangers.iter().enumerate() {
        assert!(!fits(stranger), "{number}");
    }
}

/// A file speaks of its segment from the first frame on, or nobody would look at what is before.
#[test]
fn a_file_that_begins_later_is_not_taken() {
    let mut written = segment_of(1 << 16, 100);
    written.fill(50);
    let (bytes, good) = parsed(&written);
    let name = segment::index_name_of(100);
    let later = u32::try_from(HEADER_BYTES + 8).unwrap();
    for (header, is_taken) in [
        (good, true),
        (
            IndexHeader {
                from: later,
                ..good
            },
            false,
        ),
        (IndexHeader { base: 101, ..good }, false),
    ] {
        let mut bytes = bytes.clone();
        bytes[..INDEX_HEADER].copy_from_slice(&header.encode());
        let dir = MemoryDir::new();
        dir.write(&name, &bytes);
        let index = Indexes::default().peek(&dir, &written.segment);
        assert_eq!(index.is_some(), is_taken, "{header:?}");
    }
}

/// The file of a sealed segment that ends early is gone on with.
#[test]
fn the_index_of_a_sealed_segment_reaches_its_end() {
    let mut written = segment_of(1 << 16, 100);
    written.fill(20);
    let indexes = Indexes::default();
    let write = || indexes.write(&written.dir, &written.segment, None, &|| {});
    write().unwrap();
    written.fill(20);
    let end = written.writer.place().offset;
    let mut built = false;
    let got = Indexes::default().get(&written.dir, &written.segment, Some(end), &mut built);
    assert_eq!((got.map(|index| index.next()), built), (Some(end), true));
}

/// The same file, cut and gone on with, while what was built before the cut is still known.
#[test]
fn what_was_known_before_a_cut_is_not_used_behind_it() {
    for count in [3, 20] {
        let mut written = segment_of(1 << 16, 0);
        written.fill(10);
        let place = *written.writer.place();
        let image = written.dir.image();
        let indexes = Indexes::default();
        written.fill(30);
        let known = indexes.get(&written.dir, &written.segment, None, &mut false);
        assert_eq!(known.unwrap().next(), written.writer.place().offset);

        let dir = MemoryDir::from_image(&image);
        let name = dir.list().unwrap().remove(0).name;
        let mut region = dir.open_region(&name, HEADER_BYTES).unwrap();
        region.publish(place.at);
        let header = segment::read_header(region.region(), LOG, Some(0)).unwrap();
        let segment = Segment::new(&header, region.region().clone()).unwrap();
        let mut again = Written {
            dir,
            segment: Arc::new(segment),
            writer: SegmentWriter::new(region, place),
            topics: BTreeMap::new(),
        };
        for _ in 0..count {
            again.put(&[(&["after"], b"")]);
        }
        let index = indexes.get(&again.dir, &again.segment, None, &mut false);
        let index = index.unwrap();
        let found = matches(&index, &again.segment, &filters(&["after"]), 0).unwrap();
        assert_eq!(found, again.expected(&filters(&["after"]), 0));
    }
}

/// Bytes that do not verify are not asked again.
#[test]
fn an_index_that_was_found_wrong_is_built_anew() {
    let mut written = segment_of(1 << 16, 0);
    written.fill(300);
    let end = written.writer.place().offset;
    let indexes = Indexes::default();
    let write = || indexes.write(&written.dir, &written.segment, Some(end), &|| {});
    write().unwrap();
    // Somewhere in the lists, which are looked at last.
    let name = segment::index_name_of(0);
    let mut bytes = written.dir.read(&name);
    bytes[INDEX_HEADER + 9] ^= 1;
    written.dir.write(&name, &bytes);
    let indexes = Indexes::default();
    let get = || indexes.get(&written.dir, &written.segment, Some(end), &mut false);
    let all = filters(&["$sys.*", "user.*.x"]);
    let wrong = matches(&get().unwrap(), &written.segment, &all, 0);
    assert_eq!(wrong, Err(Unfit));
    indexes.discard(&written.segment);
    let found = matches(&get().unwrap(), &written.segment, &all, 0).unwrap();
    assert_eq!(found, written.expected(&all, 0));
}

/// What one entry says, and its list from behind.
#[test]
fn a_topic_knows_its_last_events() {
    let mut written = segment_of(1 << 20, 1_000);
    written.fill(2_000);
    let run = written.run();
    let mut seen = 0;
    run.each(b"", |topic, entry| {
        let offsets = &written.topics[std::str::from_utf8(topic).unwrap()];
        assert_eq!(entry.events, to_u64(offsets.len()));
        assert_eq!(Some(&entry.last), offsets.last());
        for below in [0, 1_000, 1_500, entry.last, entry.last + 1, u64::MAX] {
            let mut found = Vec::new();
            run.backwards(&entry, below, |posting| {
                found.push(posting.offset);
                true
            })
            .unwrap();
            found.reverse();
            let due: Vec<_> = offsets.iter().copied().filter(|at| *at < below).collect();
            assert_eq!(found, due);
        }
        seen += 1;
        true
    })
    .unwrap();
    assert_eq!(seen, written.topics.len());
}

/// One match in `share` of all events, and no more; never some of them.
#[test]
fn jumps_have_all_matches_or_there_are_none() {
    let mut written = segment_of(1 << 16, 0);
    for n in 0..100_u32 {
        let topic = format!("t.{}", n % 10);
        written.put(&[(&[&topic], b"")]);
    }
    let index = index_of(vec![written.run()]);
    for (wanted, share, is_worth_it) in [
        (&["t.1"][..], 10, true),
        (&["t.1"], 11, false),
        (&["t.1", "t.2", "t.3"], 4, false),
        (&["t.1", "t.2", "t.3"], 3, true),
        (&["t.*"], 1, true),
        (&["t.*"], 2, false),
        (&["t.*"], 30, false),
    ] {
        let jumps = index.jumps(&filters(wanted), share).unwrap();
        assert_eq!(jumps.is_some(), is_worth_it, "{wanted:?} in {share}");
    }
}

/// A run that is passed at once has exactly the matches that were told.
#[test]
fn a_run_is_passed_only_where_its_matches_are_certain() {
    let mut written = segment_of(1 << 16, 100);
    let mut excluded = Vec::new();
    let mut runs = Vec::new();
    let mut ends = vec![100];
    for round in 0..4_u64 {
        let from = *written.writer.place();
        for n in 0..10 {
            let offset = written.writer.place().offset;
            written.put(&[(&["a"], b"")]);
            if round == 2 && n == 5 {
                let mut frame = FrameBuffer::new();
                let event = NewEvent::new("a", b"").not_to("me");
                frame.batch([event], &Limits::new(&Options::new())).unwrap();
                excluded.push(offset + 1);
                written.writer.append(&mut frame, offset * 10);
            }
        }
        runs.push(run_from(&written, from));
        ends.push(written.writer.place().offset);
    }
    assert_eq!((excluded.len(), ends[4]), (1, 141));
    let index = index_of(runs);
    let topic = filters(&["a"]);
    for number in 0..4 {
        let (first, next) = (ends[number], ends[number + 1]);
        let count = next - first;
        // At the beginning of this run: the ones before are passed.
        let at = || {
            let mut jumps = index.jumps(&topic, 1).unwrap().unwrap();
            for passed in 0..number {
                let run = jumps.pass_run(ends[passed], u64::MAX, true, 100);
                assert_eq!(
                    run,
                    Some((ends[passed + 1] - ends[passed], ends[passed + 1]))
                );
            }
            jumps
        };
        let passed = Some((count, next));
        assert_eq!(at().pass_run(first, next, true, count), passed);
        assert_eq!(at().pass_run(first, next - 1, true, count), None);
        assert_eq!(at().pass_run(first, next, true, count - 1), None);
        assert_eq!(at().pass_run(first + 1, next, true, count), None);
        let certain = passed.filter(|_| number != 2);
        assert_eq!(
            at().pass_run(first, next, false, count),
            certain,
            "run {number}"
        );
        // One that was begun is read to its end.
        let mut begun = at();
        assert_eq!(
            begun
                .peek(&written.segment, first, 0)
                .unwrap()
                .unwrap()
                .offset,
            first
        );
        assert_eq!(begun.pass_run(first, next, true, count), None);
    }
    let several = index.jumps(&filters(&["a", "b"]), 1).unwrap();
    assert_eq!(
        several.unwrap().pass_run(100, 141, true, 100),
        Some((10, 110))
    );
}

/// Whoever reads must be told of the range that is not there: it is walked.
#[test]
fn offsets_that_are_skipped_are_not_covered() {
    for behind in [false, true] {
        let mut written = segment_as(1 << 16, 0, true);
        written.fill(10);
        let at = written.writer.place().offset;
        let mut frame = FrameBuffer::new();
        frame.skip(crate::format::Skip {
            to: at + 7,
            reason: crate::format::SkipReason::Trimmed,
        });
        written.writer.append(&mut frame, at * 10);
        if behind {
            written.put(&[(&["a"], b"")]);
        }
        let built = build(&written.segment, written.segment.start(), None, &|| {});
        assert_eq!(built, Err(Unfit), "{behind}");
    }
}
