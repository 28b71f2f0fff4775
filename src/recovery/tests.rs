//! Ends of logs that the whole log meets rarely, each made by hand.

use super::ending::keys_of;
use super::epochs;
use super::follow::scan_by_reading;
use super::*;
use crate::dir::{Fault, MemoryDir};
use crate::format::HEADER_BYTES;
use crate::history::EPOCHS_KEPT;
use crate::inspect::{VerifyOptions, verify_in};
use crate::segment;
use crate::{Log, SyncPolicy, dedup, mark_file};
use rustix::io::Errno;

const LOG: LogId = LogId([7; 16]);

fn options(bytes: u32) -> Options {
    let options = Options::new().segment_bytes(bytes);
    options.sync(SyncPolicy::Manual)
}

fn try_open(dir: &MemoryDir) -> Result<Log, OpenError> {
    options(64 << 10).open_in(Arc::new(dir.clone()))
}

/// What is there when the process is killed.
fn killed(dir: &MemoryDir, log: &Log) -> MemoryDir {
    MemoryDir::from_image(&log.abandon(|| dir.image()))
}

fn shared(dir: &MemoryDir) -> Arc<dyn Directory> {
    Arc::new(dir.clone())
}

fn record(counter: u32, first: u64) -> EpochRecord {
    let epoch = Epoch { counter, tag: 77 };
    EpochRecord {
        epoch,
        first,
        began: 5,
    }
}

/// A log of one segment with events of these lengths.
fn with_events(lengths: impl IntoIterator<Item = usize>) -> MemoryDir {
    in_segment_of(64 << 10, lengths)
}

fn in_segment_of(bytes: u32, lengths: impl IntoIterator<Item = usize>) -> MemoryDir {
    let dir = MemoryDir::new();
    let log = options(bytes).open_in(shared(&dir)).unwrap();
    for length in lengths {
        log.append("a", vec![7; length]).unwrap();
    }
    killed(&dir, &log)
}

fn of_three_segments() -> (MemoryDir, Log) {
    let dir = MemoryDir::new();
    let log = try_open(&dir).unwrap();
    while log.segments() < 3 {
        log.append("a", [7; 1_000]).unwrap();
    }
    (dir, log)
}

/// What a follower finds is what stands there, wherever the pieces end that it reads.
#[test]
fn a_scan_in_pieces_finds_what_a_scan_of_all_does() {
    let small = || std::iter::repeat_n(300, 100);
    let mut cases: Vec<MemoryDir> = (16_200..16_420)
        .step_by(8)
        .map(|first| in_segment_of(256 << 10, [first].into_iter().chain(small())))
        .collect();
    cases.push(with_events(small()));
    cases.push(in_segment_of(4 << 20, [100_000, 10, 900_000, 10]));
    cases.push(in_segment_of(4 << 20, std::iter::repeat_n(700, 4_000)));
    cases.push(with_events([]));
    for dir in cases {
        let found = survey(&shared(&dir)).unwrap();
        let last = found.ending.last.unwrap();
        let region = dir.follow_region(&last.name, HEADER_BYTES).unwrap();
        let keys = keys_of(&last.header);
        let segment = Segment::new(&last.header, region.region().clone()).unwrap();
        let start = segment.start();
        let bytes = dir.read(&last.name);
        let whole = segment::scan(&bytes[HEADER_BYTES..], HEADER_BYTES, start, &keys);
        let pieces = scan_by_reading(&region, start, &keys).unwrap();
        assert_eq!((pieces.end, pieces.time), (whole.end, whole.time));
        assert_eq!(pieces.epochs, whole.epochs);
        assert_eq!(last.end, whole.end);
    }
}

/// The frame that ends where its segment does.
#[test]
fn a_scan_in_pieces_finds_a_frame_that_fills_its_segment() {
    let dir = MemoryDir::new();
    let spare = segment::make(&dir, LOG, 64 << 10).unwrap();
    let name = spare.name.clone();
    let epoch = record(1, 0).epoch;
    let activation = crate::format::Activation {
        base: 0,
        epoch,
        previous: None,
        cut: false,
        mirror: false,
        time: 0,
    };
    let (segment, mut writer) = segment::activate(spare, activation);
    let limits = crate::format::Limits::new(&Options::new());
    let mut frame = crate::format::FrameBuffer::new();
    let (_, room) = writer.filled();
    let left = room - writer.place().at;
    let payload = vec![7; left - 60];
    let mut fill = |payload: &[u8]| {
        let event = crate::NewEvent::new("a", payload);
        frame.batch([event], &limits).unwrap();
        crate::format::padded(frame.bytes())
    };
    let spare_bytes = left - fill(&payload);
    assert_eq!(fill(&vec![7; left - 60 + spare_bytes]), left);
    writer.append(&mut frame, 9);
    let region = dir.follow_region(&name, HEADER_BYTES).unwrap();
    let found = scan_by_reading(&region, segment.start(), segment.keys()).unwrap();
    assert_eq!((found.end.at, found.end.offset), (room, 1));
}

/// A spare that is a segment already, but not the one that follows; and a file of another log.
#[test]
fn a_follower_goes_on_in_the_next_segment_alone() {
    let dir = MemoryDir::new();
    let log = try_open(&dir).unwrap();
    log.append("a", b"first").unwrap();
    let behind = MemoryDir::from_image(&dir.image());
    while log.segments() == 1 {
        log.append("a", [7; 1_000]).unwrap();
    }
    let names = dir.list().unwrap().into_iter();
    let next = names
        .filter_map(|entry| segment::parse_name(&entry.name))
        .max();
    let next = next.unwrap();
    let bytes = dir.read(&segment::name_of(next));
    let stranger = MemoryDir::new();
    let other = try_open(&stranger).unwrap();
    other.append("a", b"other").unwrap();
    let foreign = stranger.read(&segment::name_of(0));

    let mut follower = open_read_only(shared(&behind)).unwrap().follower;
    behind.write("spare-00000000000000aa.log", &bytes);
    behind.write("spare-00000000000000bb.log", &foreign);
    behind.write("spare-00000000000000cc.log", b"short");
    let mut news = News::default();
    follower.poll(&mut news).unwrap();
    assert!(news.segments.is_empty() && !news.was_cut);
    // Where nothing is missing between the two, it does.
    let before = MemoryDir::from_image(&dir.image());
    before.unlink(&segment::name_of(next)).unwrap();
    before.write(mark_file::NAME, &behind.read(mark_file::NAME));
    let mut follower = open_read_only(shared(&before)).unwrap().follower;
    before.write("spare-00000000000000aa.log", &bytes);
    before.write("spare-00000000000000cc.log", b"short");
    follower.poll(&mut news).unwrap();
    let bases: Vec<_> = news.segments.iter().map(|segment| segment.base()).collect();
    assert_eq!(bases.first(), Some(&next));
    drop((log, other));
}

/// A segment of this log that stands under the name of a spare, although nothing is missing, is not
/// the next one: not without a mark, and not behind segments that are missing.
#[test]
fn a_spare_that_fits_nowhere_is_not_adopted() {
    let (dir, log) = of_three_segments();
    let next = log.next_offset();
    log.close().unwrap();
    drop(log);
    let names = dir.list().unwrap().into_iter().map(|entry| entry.name);
    let mut names: Vec<_> = names
        .filter(|name| segment::parse_name(name).is_some())
        .collect();
    names.sort();
    for name in &names {
        let copied = MemoryDir::from_image(&dir.image());
        copied.write("spare-00000000000000aa.log", &dir.read(name));
        copied.unlink(mark_file::NAME).unwrap();
        let log = try_open(&copied).unwrap();
        assert_eq!((log.first_offset(), log.next_offset()), (0, next), "{name}");
        let found = verify_in(&shared(&copied), VerifyOptions::new()).unwrap();
        assert_eq!(found.events, next, "{name}");
    }
    // Behind segments that are missing.
    let lost = MemoryDir::from_image(&dir.image());
    lost.write("spare-00000000000000aa.log", &dir.read(&names[1]));
    names.iter().for_each(|name| lost.unlink(name).unwrap());
    let log = try_open(&lost).unwrap();
    assert!(!log.recovery().damaged.is_empty());
    assert_eq!((log.first_offset(), log.next_offset()), (next, next));
}

/// The writer has found a torn tail, so its epoch has no frame in the segment that was followed.
#[test]
fn a_follower_is_told_of_an_epoch_that_begins_with_a_segment() {
    let dir = with_events([100; 3]);
    let found = survey(&shared(&dir)).unwrap().ending.last.unwrap();
    let mut bytes = dir.read(&found.name);
    bytes[found.end.at + 40] = 1;
    dir.write(&found.name, &bytes);
    let mut follower = open_read_only(shared(&dir)).unwrap().follower;
    let log = try_open(&dir).unwrap();
    let mut news = News::default();
    follower.poll(&mut news).unwrap();
    assert_eq!(news.segments.len(), 1);
    let newest = news.history.and_then(|history| history.newest());
    assert_eq!(newest, Some(log.position().epoch));
    log.abandon(|| ());
}

#[test]
fn an_epoch_of_a_mirror_is_put_behind_what_verifies() {
    let dir = MemoryDir::new();
    let enter = |counter, first| {
        let found = epochs::read(&dir, LOG).unwrap();
        found.enter(&dir, LOG, record(counter, first)).unwrap();
    };
    let known = || {
        let found = epochs::read(&dir, LOG).unwrap();
        let entries: Vec<_> = found
            .records
            .iter()
            .map(|r| (r.epoch.counter, r.first))
            .collect();
        (entries, found.damaged)
    };
    enter(1, 0);
    enter(2, 10);
    assert_eq!(known(), (vec![(1, 0), (2, 10)], vec![]));
    dir.flip_bit(EPOCHS, 100);
    assert_eq!(known(), (vec![(2, 10)], vec![0]));
    enter(3, 20);
    assert_eq!(known(), (vec![(2, 10), (3, 20)], vec![]), "written anew");
    // As many as are kept, and more.
    let many = |count| (1..=count).flat_map(|n| record(n, u64::from(n)).to_bytes(LOG));
    let most = u32::try_from(EPOCHS_KEPT).unwrap();
    for count in [most, most + 10, 2 * most - 1, 2 * most] {
        dir.write(EPOCHS, &many(count).collect::<Vec<_>>());
        enter(count + 1, 1 << 40);
        let (entries, _) = known();
        assert_eq!(entries.last(), Some(&(count + 1, 1 << 40)));
        let all = epochs::read(&dir, LOG).unwrap().history();
        let oldest = all.entries().first().map(|(epoch, _)| epoch.counter);
        assert_eq!(oldest, Some(count + 2 - most), "of {count}");
    }
}

/// Each of the files says that there was a log, even alone.
#[test]
fn a_log_that_has_lost_its_identity_is_told_from_a_directory_of_somebody_else() {
    let fixed = [EPOCHS, mark_file::NAME, dedup::NAME];
    for name in fixed
        .into_iter()
        .chain(["cursors.defs", "cursors-00.slots"])
    {
        let dir = MemoryDir::new();
        dir.write(name, b"x");
        let opened = try_open(&dir);
        assert!(
            matches!(opened, Err(OpenError::Damaged(_))),
            "{name}: {opened:?}"
        );
    }
    let dir = MemoryDir::new();
    dir.write("letters.txt", b"x");
    let opened = try_open(&dir);
    assert!(
        matches!(opened, Err(OpenError::NotALog { .. })),
        "{opened:?}"
    );
}

/// Nothing is taken for damaged or missing because the system refuses to open it.
#[test]
fn what_cannot_be_opened_is_no_damage() {
    let (dir, log) = of_three_segments();
    log.cursor("c").topics(["a"]).open().unwrap();
    log.sync().unwrap();
    let end = log.next_offset();
    let image = killed(&dir, &log).image();
    let mut refused = 0;
    for kth in 1..40 {
        let dir = MemoryDir::from_image(&image);
        dir.fail(Fault::Map, kth, Errno::IO, false);
        match try_open(&dir) {
            Ok(log) => {
                assert_eq!(log.recovery().damaged, []);
                drop(killed(&dir, &log));
            }
            Err(error) => {
                refused += 1;
                assert!(matches!(error, OpenError::Io(_)), "{kth}: {error:?}");
            }
        }
        dir.fail(Fault::Map, u64::MAX, Errno::IO, false);
        let log = try_open(&dir).unwrap();
        assert_eq!((log.recovery().damaged, log.next_offset()), (vec![], end));
    }
    assert!(refused > 5, "{refused}");
}

/// The mark stands where its segment begins, and that segment is gone with all others.
#[test]
fn a_log_without_segments_that_has_had_events_tells_it() {
    let dir = MemoryDir::new();
    let log = try_open(&dir).unwrap();
    let id = log.id();
    let dir = killed(&dir, &log);
    let (mut file, mark) = MarkFile::open(&dir, id).unwrap();
    let (offset, base) = (10, 10);
    let mark = mark.unwrap();
    file.write_both(crate::format::Mark {
        offset,
        base,
        ..mark
    })
    .unwrap();
    dir.unlink(&segment::name_of(0)).unwrap();
    let log = try_open(&dir).unwrap();
    let damaged = log.recovery().damaged;
    assert_eq!((damaged.len(), log.next_offset()), (1, 10), "{damaged:?}");
}

/// The mark is lost, and the power goes while the log is opened without it.
#[test]
fn a_lost_mark_costs_nothing_though_the_power_goes_while_it_is_made_anew() {
    let dir = with_events([100; 20]);
    let bytes = dir.read(mark_file::NAME).len();
    dir.write(mark_file::NAME, &vec![0; bytes]);
    dir.power_loss(1);
    let image = dir.image();
    for (kth, seed) in (1..30).flat_map(|kth| (0..6).map(move |seed| (kth, seed))) {
        let dir = MemoryDir::from_image(&image);
        dir.stop_at(kth);
        let opened = try_open(&dir);
        if let Ok(log) = opened {
            log.abandon(|| ());
        }
        dir.power_loss(seed);
        let log = try_open(&dir).unwrap();
        let told = log.recovery().damaged.into_iter().map(|damage| damage.file);
        let told: Vec<_> = told.filter(|file| file != mark_file::NAME).collect();
        assert_eq!(
            (told, log.next_offset()),
            (vec![], 20),
            "stop {kth}, seed {seed}"
        );
    }
}

/// The frame of an epoch ends a page, and its sync fails: the kernel holds that page for clean.
#[test]
fn an_epoch_whose_sync_has_failed_is_written_again() {
    let end_of = |dir: &MemoryDir| survey(&shared(dir)).unwrap().ending.last.unwrap();
    let empty = end_of(&with_events([1_000])).end.at;
    for closed in [false, true] {
        let dir = MemoryDir::new();
        let log = try_open(&dir).unwrap();
        let length = 1_000 + 4_096 - 48 - empty % 4_096;
        log.append("a", vec![7; length]).unwrap();
        log.sync().unwrap();
        let dir = if closed {
            log.close().unwrap();
            dir
        } else {
            killed(&dir, &log)
        };
        drop(log);
        let last = end_of(&dir);
        assert_eq!(last.end.at % 4_096, 4_096 - 48);
        dir.power_loss(1);
        let image = dir.image();
        for kth in 1..16 {
            let dir = MemoryDir::from_image(&image);
            dir.fail_syncs(kth, Errno::IO, false);
            if let Ok(log) = try_open(&dir) {
                log.abandon(|| ());
            }
            dir.fail_syncs(u64::MAX, Errno::IO, false);
            let log = try_open(&dir).unwrap();
            log.append("a", b"more").unwrap();
            log.sync().unwrap();
            log.abandon(|| ());
            let frame = || dir.read(&last.name)[last.end.at..][..48].to_vec();
            let written = frame();
            dir.power_loss(0);
            assert!(frame() == written, "lost at sync {kth}, closed: {closed}");
            assert_eq!(try_open(&dir).unwrap().next_offset(), 2, "sync {kth}");
        }
    }
}

/// A segment without an event is of another length, so that another one takes its place, and the
/// sync of that one's header fails: the kernel holds it for clean. The next open may fail as well.
#[test]
fn a_segment_that_takes_the_place_of_another_is_written_again() {
    let dir = MemoryDir::new();
    try_open(&dir).unwrap().close().unwrap();
    let last = survey(&shared(&dir)).unwrap().ending.last.unwrap();
    let longer = [dir.read(&last.name), vec![0; 4_096]].concat();
    dir.write(&last.name, &longer);
    dir.power_loss(1);
    let image = dir.image();
    let failing = (1..16).flat_map(|first| (1..16).map(move |then| [first, then]));
    for kths in failing {
        let dir = MemoryDir::from_image(&image);
        for kth in kths {
            dir.fail_syncs(kth, Errno::IO, false);
            if let Ok(log) = try_open(&dir) {
                log.abandon(|| ());
            }
        }
        dir.fail_syncs(u64::MAX, Errno::IO, false);
        let log = try_open(&dir).unwrap();
        log.append("a", b"synced").unwrap();
        log.sync().unwrap();
        log.abandon(|| ());
        dir.power_loss(0);
        let log = try_open(&dir).unwrap();
        assert_eq!(log.next_offset(), 1, "lost at syncs {kths:?}");
        assert!(log.recovery().damaged.is_empty(), "syncs {kths:?}");
    }
}

/// A new segment says where the one before ends, and whether bytes that count no more stand there.
#[test]
fn a_segment_behind_a_torn_tail_says_so() {
    for torn in [false, true] {
        let dir = with_events([100; 3]);
        let found = survey(&shared(&dir)).unwrap().ending.last.unwrap();
        let mut bytes = dir.read(&found.name);
        if torn {
            bytes[found.end.at + 40] = 1;
        } else {
            // As good as full.
            bytes.truncate(found.end.at + 8);
        }
        dir.write(&found.name, &bytes);
        let log = try_open(&dir).unwrap();
        assert_eq!((log.segments(), log.next_offset()), (2, 3));
        let dir = killed(&dir, &log);
        let last = survey(&shared(&dir)).unwrap().ending.last.unwrap();
        let activation = last.header.activation.unwrap();
        let end = u32::try_from(found.end.at).unwrap();
        assert_eq!(
            (activation.previous, activation.cut),
            (Some((0, end)), torn)
        );
    }
}

#[test]
fn a_segment_that_has_left_is_told_from_one_that_is_missing() {
    let (dir, log) = of_three_segments();
    log.sync().unwrap();
    let found = survey(&shared(&dir)).unwrap();
    let bases = found.ending.bases.clone();
    assert!(!found.was_trimmed(&dir, bases[0]));
    dir.unlink(&segment::name_of(bases[1])).unwrap();
    assert!(!found.was_trimmed(&dir, bases[1]));
    dir.unlink(&segment::name_of(bases[0])).unwrap();
    assert!(found.was_trimmed(&dir, bases[0]) && found.was_trimmed(&dir, bases[1]));
    assert!(!found.was_trimmed(&dir, bases[2]));
    log.abandon(|| ());
}

/// A mirror opens as it was left; an epoch that was being entered is entered, and records that are
/// lost are written anew.
#[test]
fn a_mirror_enters_each_epoch_once() {
    let source = crate::MirrorSource {
        log: LOG,
        epoch: record(1, 0).epoch,
        first: 0,
    };
    let open = |dir: &MemoryDir| {
        options(64 << 10)
            .open_mirror_in(shared(dir), source)
            .unwrap()
    };
    let dir = MemoryDir::new();
    let mirror = open(&dir);
    let event = crate::NewEvent::new("a", b"x");
    assert!(mirror.append_at(0, 1, &event).unwrap());
    mirror.log().sync().unwrap();
    let dir = killed(&dir, mirror.log());
    let end = |dir: &MemoryDir| survey(&shared(dir)).unwrap().ending.last.unwrap().end;
    let before = end(&dir);
    let again = killed(&dir, open(&dir).log());
    assert_eq!(end(&again), before, "nothing is added");
    let mut epochs = again.read(EPOCHS);
    epochs.extend(record(2, 1).to_bytes(LOG));
    again.write(EPOCHS, &epochs);
    let entered = killed(&again, open(&again).log());
    assert_eq!(end(&entered).epoch, record(2, 1).epoch);
    entered.write(EPOCHS, &vec![0; epochs.len()]);
    let mended = killed(&entered, open(&entered).log());
    let found = epochs::read(&mended, LOG).unwrap();
    let counters: Vec<_> = found.records.iter().map(|r| r.epoch.counter).collect();
    assert_eq!(counters, [1, 2]);
}
