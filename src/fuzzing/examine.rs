//! Everything that can be asked of a log directory, twice, with the answers compared.

use super::base::{self, CURSORS, LogDir, files};
use crate::dir::{Directory, MemoryDir};
use crate::format::{FrameBuffer, Limits, RecordRef};
use crate::inspect::{Verification, VerifyOptions, verify_in};
use crate::reader::{Scan, Scanner};
use crate::store::{Shared, Wait};
use crate::types::{FilterSet, MAX_OFFSET, to_u64};
use crate::{AppendError, Gap, GapReason, NewEvent, Options, SyncPolicy, recovery};
use std::sync::{Arc, OnceLock};

/// Filters that the indexes are asked for.
const FILTERS: [&[&str]; 3] = [&["a.b"], &["b", "$sys.x"], &["*.c", "nobody"]];

/// More than can stand in the files: each event takes more than a byte.
const EVENTS_MAX: usize = 1 << 20;

/// What a reader is told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Event {
        offset: u64,
        time: u64,
        record: Vec<u8>,
    },
    Gap(Gap),
}

impl Told {
    fn from(&self) -> u64 {
        match self {
            Told::Event { offset, .. } => *offset,
            Told::Gap(gap) => gap.from,
        }
    }

    fn to(&self) -> u64 {
        match self {
            Told::Event { offset, .. } => offset + 1,
            Told::Gap(gap) => gap.to,
        }
    }
}

/// A cursor as it is found: where it stands and the gap that it keeps, or that it is damaged.
type Found = Result<Option<(u64, Option<u64>)>, ()>;

fn options() -> Options {
    Options::new()
        .segment_bytes(16 << 10)
        .sync(SyncPolicy::Manual)
        .index_everything()
        .dedup_ids(0)
}

/// Verifies the directory, opens it, reads all, appends, dies, and opens it once more. With
/// `whole_index`, an index that nobody has changed hides nothing.
///
/// # Panics
/// When a promise is broken: verifying changes a byte, a refused open changes one, what readers
/// are told is not dense, verifying says something else than reading, or the second open does not
/// find what the first one had.
pub(super) fn examine(log: &LogDir, indexes_matter: bool) {
    let before = log.files();
    let shared: Arc<dyn Directory> = Arc::new(log.dir.clone());
    let verified = verify_in(&shared, VerifyOptions::new());
    assert_eq!(before, log.files(), "verifying has changed something");
    let Some(opened) = open(&log.dir) else {
        unchanged(&before, &files(&log.dir));
        return;
    };
    let told = read(&opened, None);
    if let Ok(verified) = &verified {
        agrees(&told, verified, opened.marks.next());
    }
    let cursors = CURSORS.map(|name| find(&opened, name));
    for acked in cursors.iter().flatten().flatten() {
        assert!(
            acked.0 <= opened.marks.next(),
            "a cursor stands above the end"
        );
    }
    for filter in FILTERS {
        filtered(
            &opened,
            filter,
            &told,
            indexes_matter && log.indexes_are_good,
        );
    }
    let appended = append(&opened);
    drop(opened);

    let dead = MemoryDir::from_image(&log.dir.image());
    let Some(again) = open(&dead) else {
        panic!("the second open is refused");
    };
    let told_again = read(&again, None);
    let end = told_again.len() - usize::from(appended);
    assert_eq!(
        told_again[..end],
        told,
        "the second open finds something else"
    );
    for (name, first) in CURSORS.into_iter().zip(cursors) {
        let second = find(&again, name);
        assert!(
            first.is_err() || second == first,
            "{name}: {first:?}, then {second:?}"
        );
    }
}

/// A refused open has changed nothing; the lock is all that it makes.
fn unchanged(before: &[(String, Vec<u8>)], after: &[(String, Vec<u8>)]) {
    let lock = |(name, _): &&(String, Vec<u8>)| name != "wakelog.lock";
    let names = |files: &[(String, Vec<u8>)]| {
        let names = files.iter().filter(lock).map(|(name, _)| name.clone());
        names.collect::<Vec<_>>()
    };
    assert_eq!(
        names(before),
        names(after),
        "a refused open made or took a file"
    );
    for (file, other) in before.iter().filter(lock).zip(after.iter().filter(lock)) {
        assert!(file == other, "a refused open has changed {}", file.0);
    }
}

fn open(dir: &MemoryDir) -> Option<Shared> {
    let recovered = recovery::open(Arc::new(dir.clone()), &options(), None).ok()?;
    Some(Shared::new(recovered, options()))
}

/// All that a reader is told from offset 0 on.
fn read(shared: &Shared, filters: Option<&FilterSet>) -> Vec<Told> {
    let mut scanner = Scanner::new(0);
    let mut told: Vec<Told> = Vec::new();
    let limit = shared.marks.next();
    assert!(limit <= MAX_OFFSET && shared.marks.durable() == limit);
    while told.len() < EVENTS_MAX {
        let scan = match filters {
            None => scanner.advance(shared, limit, |_| true),
            Some(filters) => scanner.advance_to(shared, limit, filters),
        };
        let one = match scan {
            Err(error) => panic!("reading behind {:?}: {error}", told.last()),
            Ok(Scan::Done) => break,
            Ok(Scan::Gap(gap)) => Told::Gap(gap),
            Ok(Scan::Event(segment, spot)) => {
                let record = segment.region().bytes(spot.at..spot.at + spot.bytes);
                let Some((_, length)) = record.and_then(RecordRef::parse) else {
                    panic!("an event whose record is not whole: {spot:?}");
                };
                assert_eq!(length, spot.bytes);
                Told::Event {
                    offset: spot.offset,
                    time: spot.time,
                    record: record.unwrap_or_default().to_vec(),
                }
            }
        };
        let next = told.last().map_or(0, Told::to);
        let dense = filters.is_some() || one.from() == next;
        let forward = one.from() >= next && one.to() > one.from() && one.to() <= limit;
        assert!(dense && forward, "{one:?} behind {:?}", told.last());
        told.push(one);
    }
    if filters.is_none() {
        assert_eq!(told.last().map_or(0, Told::to), limit);
    }
    told
}

/// Under a filter comes what the whole log has of it, and nothing is hidden by a good index.
fn filtered(shared: &Shared, filter: &[&str], all: &[Told], whole: bool) {
    let Ok(filters) = FilterSet::new(filter, Some(&[])) else {
        panic!("{filter:?} is no filter");
    };
    let matches = |one: &&Told| match one {
        Told::Gap(_) => false,
        Told::Event { record, .. } => RecordRef::parse(record)
            .is_some_and(|(record, _)| filters.matches(record.topics(), record.not_to())),
    };
    let is_event = |one: &&Told| matches!(one, Told::Event { .. });
    let told = read(shared, Some(&filters));
    let wanted: Vec<&Told> = all.iter().filter(matches).collect();
    let came: Vec<&Told> = told.iter().filter(is_event).collect();
    let known = |one: &&Told| wanted.contains(one) || behind_damage(one, all);
    assert!(came.iter().all(known), "{filter:?}");
    if whole {
        assert!(wanted.iter().all(|one| came.contains(one)), "{filter:?}");
    }
}

/// Whether this event was written, and the whole log has a gap in its place: an index may lead
/// to what a walk has not found again behind damage.
fn behind_damage(one: &Told, all: &[Told]) -> bool {
    static WRITTEN: OnceLock<Vec<Told>> = OnceLock::new();
    let written = WRITTEN.get_or_init(|| match open(&base::whole()) {
        Some(opened) => read(&opened, None),
        None => panic!("the log is refused"),
    });
    let is_gap = |other: &Told| {
        let there = (other.from()..other.to()).contains(&one.from());
        there && matches!(other, Told::Gap(gap) if gap.reason == GapReason::Corrupt)
    };
    written.contains(one) && all.iter().any(is_gap)
}

/// What verifying has said is what is read.
fn agrees(told: &[Told], verified: &Verification, end: u64) {
    let events = told.iter().filter(|one| matches!(one, Told::Event { .. }));
    assert_eq!(
        (verified.next, verified.events),
        (end, to_u64(events.count()))
    );
    let mut lost = Vec::new();
    for one in told {
        if let Told::Gap(Gap { from, to, reason }) = one {
            match reason {
                GapReason::Trimmed => assert_eq!((*from, *to), (0, verified.first)),
                _ => lost.push(*from..*to),
            }
        }
    }
    let mut ranges: Vec<std::ops::Range<u64>> = Vec::new();
    for range in &verified.corrupt {
        match ranges.last_mut() {
            Some(last) if last.end == range.from => last.end = range.to,
            _ => ranges.push(range.from..range.to),
        }
    }
    lost.dedup_by(|next, last| {
        let touch = last.end == next.start;
        if touch {
            last.end = next.end;
        }
        touch
    });
    assert_eq!(lost, ranges);
}

fn find(shared: &Shared, name: &str) -> Found {
    let Some(cursors) = &shared.cursors else {
        panic!("a log without its cursors");
    };
    match cursors.find(name) {
        Ok(slot) => {
            let slot = slot.filter(|slot| slot.definition().is_ok());
            Ok(slot.map(|slot| (slot.acked(), slot.kept())))
        }
        Err(_) => Err(()),
    }
}

/// Whether an event could be appended: a full segment has no successor without the keeper.
fn append(shared: &Shared) -> bool {
    let mut frame = FrameBuffer::new();
    let event = NewEvent::new("after", b"more");
    if let Err(error) = frame.event(&event, &Limits::new(&options())) {
        panic!("{error:?}");
    }
    let next = shared.marks.next();
    match shared.append(&mut frame, Wait::Never) {
        Ok(appended) => {
            assert_eq!(appended.offsets, next..next + 1);
            true
        }
        Err(AppendError::WouldBlock | AppendError::Full) => false,
        Err(error) => panic!("{error:?}"),
    }
}
