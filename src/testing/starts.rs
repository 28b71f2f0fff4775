//! Starts that ask the topic index, and what damage and lost tails mean to them.

use crate::dir::{Directory, MemoryDir};
use crate::segment::{index_name_of, name_of};
use crate::{CursorError, Gap, GapReason, Log, Options, ReadError, Reader, Start, SyncPolicy};
use rustix::io::Errno;
use std::sync::Arc;

fn open(dir: &MemoryDir) -> Log {
    let options = Options::new()
        .segment_bytes(16 << 10)
        .sync(SyncPolicy::Manual)
        .index_everything()
        .max_topics(4);
    options.open_in(Arc::new(dir.clone())).unwrap()
}

fn reader(log: &Log, filter: &str, start: Start) -> Result<Reader, ReadError> {
    log.reader().topics([filter]).start(start).open()
}

/// Offsets that come, and gaps.
fn read(log: &Log, filter: &str, start: Start) -> (Vec<u64>, Vec<Gap>) {
    let mut reader = reader(log, filter, start).unwrap();
    let (mut offsets, mut gaps) = (Vec::new(), Vec::new());
    loop {
        match reader.next() {
            Ok(Some(event)) => offsets.push(event.offset()),
            Ok(None) => return (offsets, gaps),
            Err(ReadError::Gap(gap)) => gaps.push(gap),
            Err(error) => panic!("{error}"),
        }
    }
}

fn corrupt(from: u64, to: u64) -> Vec<Gap> {
    let reason = GapReason::Corrupt;
    vec![Gap { from, to, reason }]
}

/// Twelve events on three topics, closed; the byte at the beginning of event 7's payload is wrong.
fn damaged() -> MemoryDir {
    let dir = MemoryDir::new();
    let log = open(&dir);
    for n in 0..12_u64 {
        let topic = ["a", "b", "c"][usize::try_from(n % 3).unwrap()];
        log.append(topic, format!("payload {n:>4}")).unwrap();
    }
    log.close().unwrap();
    drop(log);
    let mut bytes = dir.read(&name_of(0));
    let at = bytes
        .windows(12)
        .position(|w| w == b"payload    7")
        .unwrap();
    bytes[at] ^= 1;
    dir.unlink(&name_of(0)).unwrap();
    dir.write(&name_of(0), &bytes);
    dir.sync().unwrap();
    dir
}

#[test]
fn damage_is_told_to_every_filter_unless_the_index_proves_that_it_does_not_match() {
    let dir = damaged();
    for indexed in [true, false] {
        if !indexed {
            dir.unlink(&index_name_of(0)).unwrap();
        }
        let log = open(&dir);
        let told = |due: bool| if due { corrupt(7, 8) } else { Vec::new() };
        let earliest = Start::Earliest;
        assert_eq!(
            read(&log, "a", earliest),
            (vec![0, 3, 6, 9], told(!indexed))
        );
        assert_eq!(read(&log, "b", earliest), (vec![1, 4, 10], told(true)));
        assert_eq!(read(&log, "*", earliest).1, told(true));
        assert_eq!(read(&log, ">", earliest).1, told(true));
        // The last one but one may be the damaged one.
        assert_eq!(read(&log, "b", Start::Last(2)).1, told(true));
        // Without the index, it begins where damage may hide a match.
        assert_eq!(read(&log, "b", Start::Last(1)), (vec![10], told(!indexed)));
        // What was lost may have been the last of its topic.
        assert_eq!(read(&log, "c", Start::LastPerTopic).0, [11]);
        assert_eq!(read(&log, "c", Start::LastPerTopic).1, told(!indexed));
        log.abandon(|| ());
    }
}

#[test]
fn a_time_in_a_damaged_range_leads_to_its_gap() {
    let dir = damaged();
    let log = open(&dir);
    let mut all = reader(&log, ">", Start::Earliest).unwrap();
    let mut times = Vec::new();
    for _ in 0..13 {
        if let Ok(Some(event)) = all.next() {
            times.push((event.offset(), event.time()));
        }
    }
    let after = times.iter().find(|(offset, _)| *offset == 8).unwrap().1;
    let before = times.iter().find(|(offset, _)| *offset == 6).unwrap().1;
    if before < after {
        assert_eq!(read(&log, ">", Start::Time(after)).1, corrupt(7, 8));
    }
    assert_eq!(read(&log, ">", Start::Time(u64::MAX)), (vec![], vec![]));
    assert_eq!(read(&log, "a", Start::Time(0)).0, [0, 3, 6, 9]);
}

#[test]
fn a_set_of_events_is_no_place_for_a_cursor_and_is_bounded() {
    let dir = MemoryDir::new();
    let log = open(&dir);
    for topic in ["a", "b", "c", "d"] {
        log.append(topic, b"").unwrap();
    }
    let cursor = log.cursor("c").start(Start::LastPerTopic).open();
    assert!(matches!(cursor, Err(CursorError::NotAPlace)));
    let mut cursor = log.cursor("c").start(Start::Earliest).open().unwrap();
    assert!(matches!(
        cursor.seek(Start::LastPerTopic),
        Err(ReadError::NotAPlace)
    ));
    assert_eq!(cursor.next().unwrap().unwrap().offset(), 0);
    assert_eq!(read(&log, "*", Start::LastPerTopic).0, [0, 1, 2, 3]);
    log.append("e", b"").unwrap();
    let many = reader(&log, "*", Start::LastPerTopic);
    assert!(matches!(many, Err(ReadError::TooManyTopics { limit: 4 })));
    assert!(matches!(
        log.topics(["*"]),
        Err(ReadError::TooManyTopics { limit: 4 })
    ));
    assert_eq!(log.topics(["e", "a"]).unwrap().len(), 2);
}

/// What the last events were is asked once, at the start; a lost tail is told all the same.
#[test]
fn the_last_of_each_topic_survive_a_lost_tail() {
    let dir = MemoryDir::new();
    let log = open(&dir);
    log.append("a", b"").unwrap();
    log.append("b", b"").unwrap();
    log.sync().unwrap();
    log.append("b", b"lost").unwrap();
    log.append("c", b"lost").unwrap();
    let mut reader = reader(&log, "*", Start::LastPerTopic).unwrap();
    assert_eq!(reader.lag().unwrap(), 3);
    assert_eq!(reader.next().unwrap().unwrap().offset(), 0);
    dir.fail_syncs(1, Errno::IO, true);
    assert!(log.sync().is_err());
    assert!(reader.next().unwrap().is_none(), "not durable");
    // What the system has dropped is not found again.
    let image = log.abandon(|| dir.image());
    let after = MemoryDir::from_image(&image);
    after.power_loss(0);
    let log = open(&after);
    assert_eq!(log.next_offset(), 2);
    assert_eq!(read(&log, "*", Start::LastPerTopic).0, [0, 1]);
}

/// Through a reopen that finds everything again, the reader goes on where it was.
#[test]
fn the_last_of_each_topic_go_on_after_a_reopen() {
    let dir = MemoryDir::new();
    let log = open(&dir);
    for topic in ["a", "b", "b", "c"] {
        log.append(topic, b"").unwrap();
    }
    let mut reader = reader(&log, "*", Start::LastPerTopic).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().offset(), 0);
    dir.fail_syncs(1, Errno::IO, false);
    assert!(log.sync().is_err());
    assert!(reader.next().unwrap().is_none(), "not durable");
    log.reopen().unwrap();
    log.append("d", b"").unwrap();
    let mut offsets = Vec::new();
    while let Some(event) = reader.next().unwrap() {
        offsets.push(event.offset());
    }
    assert_eq!(offsets, [2, 3, 4]);
}
