//! Several damages at once, chosen by a seed. Here it is not known how much must still come. But
//! nothing wrong may, what does not come is told, and what stands intact below the mark comes if
//! nothing took away its file, the mark or the epochs. With a sector of an earlier moment and
//! without the epochs nobody can tell an event of a lost tail from one of the log.

use super::expect::Checked;
use super::truth::{Ended, Files, SLOTS, Truth, is_segment, options};
use crate::dir::{Directory, MemoryDir};
use crate::inspect::{VerifyOptions, verify_in};
use crate::reader::{Scan, Scanner};
use crate::store::Shared;
use crate::{GapReason, OpenError, recovery, segment};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const SECTOR: usize = 512;
const MARK: &str = "wakelog.mark";
const META: &str = "wakelog.meta";
const EPOCHS: &str = "wakelog.epochs";

macro_rules! ensure {
    ($good:expr, $($text:tt)+) => {
        if !$good {
            return Err(format!($($text)+));
        }
    };
}

/// Numbers that look random, from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ mixed >> 31) % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    fn of<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below(all.len())]
    }
}

/// The files with damages, and what was done.
struct Damaged {
    files: Files,
    told: Vec<String>,
    /// The mark, or the slots, may be those of an earlier moment: both verify.
    old_mark: bool,
    old_slots: bool,
    old_segment: bool,
}

impl Damaged {
    fn by(truth: &Truth, seed: u64) -> Self {
        let mut damaged = Self {
            files: truth.files.clone(),
            told: Vec::new(),
            old_mark: false,
            old_slots: false,
            old_segment: false,
        };
        let mut random = Random(seed);
        for _ in 0..2 + random.below(5) {
            damaged.one(truth, &mut random);
        }
        damaged
    }

    /// Half of them in segments.
    fn name(&self, random: &mut Random) -> String {
        let names: Vec<&String> = self.files.keys().collect();
        let segments: Vec<&String> = names
            .iter()
            .copied()
            .filter(|name| is_segment(name))
            .collect();
        let half = random.below(2) == 0 && !segments.is_empty();
        (*random.of(if half { &segments } else { &names })).clone()
    }

    fn one(&mut self, truth: &Truth, random: &mut Random) {
        if self.files.is_empty() {
            return;
        }
        let name = self.name(random);
        let mut bytes = self.files[&name].clone();
        let sector = random.below(bytes.len().div_ceil(SECTOR));
        let range = sector * SECTOR..bytes.len().min((sector + 1) * SECTOR);
        let how = random.below(12);
        match how {
            0..=2 if !bytes.is_empty() => {
                for _ in 0..=random.below(3) {
                    bytes[random.below(range.len()) + range.start] ^= 1 << random.below(8);
                }
            }
            3 => bytes[range].fill(0),
            4 => bytes[range]
                .iter_mut()
                .for_each(|byte| *byte = u8::try_from(random.below(256)).unwrap()),
            5 | 6 => {
                let other = self.name(random);
                let there = random.below(self.files[&other].len().div_ceil(SECTOR));
                let from = self.files[&other].chunks(SECTOR).nth(there);
                let from = from.unwrap_or_default().to_vec();
                let mine = bytes[range.clone()].to_vec();
                put(&mut bytes, sector, &from);
                if how == 5 && other != name {
                    let mut swapped = self.files[&other].clone();
                    put(&mut swapped, there, &mine);
                    self.files.insert(other, swapped);
                }
            }
            7 | 8 => self.replaced(truth, random, &name, &mut bytes, sector),
            9 => bytes.truncate(random.below(bytes.len() + 1)),
            10 => {
                self.told.push(format!("{name} removed"));
                self.files.remove(&name);
                return;
            }
            _ => {
                // Two files change names, or one comes under a second one.
                let other = self.name(random);
                let there = self.files.insert(other.clone(), bytes.clone());
                self.told.push(format!("{name} as {other}"));
                self.old_slots |= name == SLOTS || other == SLOTS;
                if let Some(there) = there.filter(|_| random.below(2) == 0) {
                    self.files.insert(name, there);
                }
                return;
            }
        }
        self.told.push(format!("{name}, sector {sector}, {how}"));
        self.files.insert(name, bytes);
    }

    /// With a sector, or all, of an earlier moment or of another log.
    fn replaced(
        &mut self,
        truth: &Truth,
        random: &mut Random,
        name: &str,
        bytes: &mut Vec<u8>,
        sector: usize,
    ) {
        let moment = random.below(truth.earlier.len() + 1);
        let there = match truth.earlier.get(moment) {
            Some(files) => files.get(name).cloned().unwrap_or_default(),
            None if is_segment(name) => truth.foreign(name).to_vec(),
            None => truth.other.get(name).cloned().unwrap_or_default(),
        };
        if moment < truth.earlier.len() {
            self.old_mark |= name == MARK;
            self.old_slots |= name == SLOTS;
            self.old_segment |= is_segment(name);
        }
        self.told.push(format!("of moment {moment}"));
        if random.below(3) == 0 {
            *bytes = there;
        } else if let Some(from) = there.chunks(SECTOR).nth(sector) {
            put(bytes, sector, from);
        }
    }

    fn dir(&self, truth: &Truth) -> MemoryDir {
        let dir = truth.dir();
        for name in truth.files.keys() {
            dir.unlink(name).unwrap();
        }
        for (name, bytes) in &self.files {
            dir.write(name, bytes);
        }
        dir.sync().unwrap();
        dir
    }

    fn is_intact(&self, truth: &Truth, name: &str) -> bool {
        self.files.get(name) == truth.files.get(name)
    }

    /// The durable events that stand where they stood, in files that are whole.
    fn must_come(&self, truth: &Truth) -> BTreeSet<u64> {
        let mut must = BTreeSet::new();
        let small = [MARK, META, EPOCHS];
        if small.iter().any(|name| !self.is_intact(truth, name)) {
            return must;
        }
        for frame in truth
            .frames
            .iter()
            .filter(|frame| frame.offsets.end <= truth.mark)
        {
            let name = segment::name_of(frame.base);
            let (was, now) = (&truth.files[&name], self.files.get(&name));
            let same =
                |at: std::ops::Range<usize>| now.and_then(|now| now.get(at.clone())) == was.get(at);
            // Both parts of one copy: a copy each would do, too.
            let header = same(0..120) || same(512..632);
            if now.is_some_and(|now| now.len() == was.len()) && header && same(frame.bytes.clone())
            {
                must.extend(frame.offsets.clone());
            }
        }
        must
    }
}

fn put(bytes: &mut [u8], sector: usize, from: &[u8]) {
    let at = sector * SECTOR;
    let count = from.len().min(bytes.len().saturating_sub(at));
    if count > 0 {
        bytes[at..at + count].copy_from_slice(&from[..count]);
    }
}

/// What has come, and where the log ended.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    events: BTreeSet<u64>,
    end: u64,
}

/// Reads everything: each event is what was appended, and each other offset is told.
fn read(
    truth: &Truth,
    damaged: &Damaged,
    shared: &Shared,
    appended: &BTreeSet<u64>,
) -> Result<Read, String> {
    let may_be_lost_ones = damaged.old_segment && !damaged.is_intact(truth, EPOCHS);
    let mut scanner = Scanner::new(0);
    let mut events = BTreeSet::new();
    let mut next = 0;
    let end = shared.marks.next();
    loop {
        match scanner.advance(shared, end, |_| true) {
            Err(error) => return Err(format!("reading at {next}: {error}")),
            Ok(Scan::Done) => break,
            Ok(Scan::Event(segment, spot)) => {
                ensure!(spot.offset == next, "{} where {next} is due", spot.offset);
                if !appended.contains(&next) {
                    let record = segment.region().bytes(spot.at..spot.at + spot.bytes);
                    let event = truth.events.get(usize::try_from(next).unwrap());
                    let same = event.is_some_and(|event| {
                        record == Some(&event.record[..]) && spot.time == event.time
                    });
                    ensure!(same || may_be_lost_ones, "event {next} has other bytes");
                    events.insert(next);
                }
                next += 1;
            }
            Ok(Scan::Gap(gap)) => {
                let dense = gap.from == next && gap.to > next && gap.to <= end;
                let reason = matches!(gap.reason, GapReason::Corrupt | GapReason::Trimmed);
                ensure!(dense && reason, "{gap:?} at {next} of {end}");
                next = gap.to;
            }
        }
    }
    ensure!(next == end, "read to {next} of {end}");
    Ok(Read { events, end })
}

/// `false`: the log was refused.
fn check(truth: &Truth, damaged: &Damaged) -> Result<bool, String> {
    let dir = damaged.dir(truth);
    let shared: Arc<dyn Directory> = Arc::new(dir.clone());
    let verified = verify_in(&shared, VerifyOptions::new());
    let opened = recovery::open(Arc::new(dir.clone()), &options(), None);
    let recovered = match opened {
        Ok(recovered) => recovered,
        Err(error) => return refused(truth, damaged, &error),
    };
    let must = damaged.must_come(truth);
    let shared = Shared::new(recovered, options());
    let told = shared.report();
    let first = read(truth, damaged, &shared, &BTreeSet::new())?;
    let missing = must.difference(&first.events).next();
    ensure!(missing.is_none(), "{missing:?} is intact and did not come");
    let torn = told.torn.is_some() || !told.damaged.is_empty();
    let nothing_left = !damaged
        .files
        .keys()
        .any(|name| is_segment(name) || name == MARK);
    let silent = first.end < truth.mark && !torn && !damaged.old_mark && !nothing_left;
    ensure!(!silent, "ends at {} of {}, untold", first.end, truth.mark);
    if let Ok(verified) = verified {
        let lost: u64 = verified
            .corrupt
            .iter()
            .map(|range| range.to - range.from)
            .sum();
        let sum = verified.first + verified.events + lost;
        ensure!(sum == verified.next, "verify does not add up: {verified:?}");
    }
    cursors(truth, damaged, &shared)?;
    again(truth, damaged, dir, shared, &first)?;
    Ok(true)
}

/// With a whole mark and identity, and headers of its own, a log is not refused.
fn refused(truth: &Truth, damaged: &Damaged, error: &OpenError) -> Result<bool, String> {
    let small = damaged.is_intact(truth, MARK) && damaged.is_intact(truth, META);
    let good = match error {
        OpenError::Foreign { .. } => true,
        OpenError::Damaged(_) | OpenError::Newer { .. } | OpenError::Older { .. } => !small,
        _ => false,
    };
    ensure!(good, "refused: {error:?}");
    Ok(false)
}

/// No cursor is further than it ever was: what it was not given would never come.
fn cursors(truth: &Truth, damaged: &Damaged, shared: &Shared) -> Checked {
    let Some(cursors) = shared.cursors.as_ref().filter(|_| !damaged.old_slots) else {
        return Ok(());
    };
    for cursor in &truth.cursors {
        if let Ok(Some(slot)) = cursors.find(cursor.name) {
            let at = slot.acked();
            ensure!(at <= cursor.acked, "{} is at {at}: {cursor:?}", cursor.name);
        }
    }
    Ok(())
}

/// Goes on, dies, and is opened once more: the same comes.
fn again(
    truth: &Truth,
    damaged: &Damaged,
    dir: MemoryDir,
    shared: Shared,
    first: &Read,
) -> Checked {
    let mut appended = BTreeSet::new();
    if super::expect::append(&shared)? {
        appended.insert(first.end);
    }
    drop(shared);
    let second = recovery::open(Arc::new(dir), &options(), None);
    let second = second.map_err(|error| format!("second open: {error:?}"))?;
    let second = Shared::new(second, options());
    let read = read(truth, damaged, &second, &appended)?;
    let end = first.end + u64::try_from(appended.len()).unwrap();
    let same = read.events == first.events && read.end == end;
    ensure!(same, "second open: {read:?} after {first:?}");
    Ok(())
}

fn one(truth: &Truth, seed: u64) -> Result<bool, String> {
    let damaged = Damaged::by(truth, seed);
    let checked = catch_unwind(AssertUnwindSafe(|| check(truth, &damaged)));
    let wrong = match checked {
        Ok(Ok(opened)) => return Ok(opened),
        Ok(Err(wrong)) => wrong,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            format!("panicked: {}", text.unwrap_or_default())
        }
    };
    let ended = truth.ended;
    let told = damaged.told.join("; ");
    Err(format!(
        "WAKELOG_DAMAGE_SEED={seed} WAKELOG_DAMAGES=1 ({ended:?}): {wrong}\n  {told}"
    ))
}

/// What a million of them have found: a damaged file with the name of a spare, or a spare with the
/// header of the last segment, took the place of that segment and of its durable events; and that
/// no segment was left was not told once the newest mark was lost too (the last two).
#[test]
fn what_many_damages_have_found_is_mended() {
    const FOUND: [u64; 8] = [
        70_000_210_266_011,
        70_000_210_486_681,
        70_000_210_504_635,
        70_000_210_569_707,
        70_000_210_988_475,
        70_000_210_992_887,
        70_000_210_327_423,
        70_000_210_823_821,
    ];
    let truth = Truth::new(Ended::Killed);
    for seed in FOUND {
        one(&truth, seed).unwrap();
    }
}

/// The logs that are damaged are written anew in each run; their offsets and sizes are the same.
#[test]
fn several_damages_at_once_are_told() {
    let number = |name: &str, otherwise: u64| {
        let value = std::env::var(name).ok();
        value.map_or(otherwise, |value| value.parse().unwrap())
    };
    let (seed, count) = (
        number("WAKELOG_DAMAGE_SEED", 1),
        number("WAKELOG_DAMAGES", 3_000),
    );
    // One is made again; the many of two seeds are not the same.
    let seed = if count == 1 {
        seed
    } else {
        seed.wrapping_mul(1_000_003)
    };
    let (next, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let failures: Vec<String> = std::thread::scope(|scope| {
        let run = || {
            let truths = [Truth::new(Ended::Closed), Truth::new(Ended::Killed)];
            let mut failures = Vec::new();
            while failures.len() < 5 {
                let turn = next.fetch_add(1, Ordering::Relaxed);
                if turn >= count {
                    break;
                }
                let seed = seed.wrapping_add(turn);
                match one(&truths[usize::try_from(seed % 2).unwrap()], seed) {
                    Ok(opened) => {
                        refused.fetch_add(u64::from(!opened), Ordering::Relaxed);
                    }
                    Err(wrong) => failures.push(wrong),
                }
            }
            failures
        };
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let joined = started
            .into_iter()
            .flat_map(|thread| thread.join().unwrap());
        joined.collect()
    });
    let refused = refused.load(Ordering::Relaxed);
    println!("{count} images with several damages, {refused} of them refused");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
