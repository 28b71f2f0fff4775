//! Images: what may be left of a disk, one after the other.

use super::check;
use super::run::{Left, run};
use super::script::{Dice, Workload};
use crate::dir::{Directory, MemoryDir};
use crate::recovery;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// As many outcomes as this are all tried.
const ALL_OF: u64 = 96;
/// A full open, with its threads, costs as much as many others.
const FULL_EVERY: u64 = 24;
/// Every so manieth image is of a recovery that was cut short itself.
const CUT_EVERY: u64 = 3;
const DEPTH: u64 = 3;
/// An open takes about as many operations.
const OPEN_OPERATIONS: usize = 24;
/// More failures than this are not told.
const TOLD: usize = 5;

/// A workload that stops at one of its operations.
#[derive(Clone)]
pub(super) struct Case {
    workload: Workload,
    stop: u64,
    writes: Option<u64>,
    seed: u64,
}

#[derive(Default)]
pub(super) struct Tally {
    cases: u64,
    /// Of a loss in the midst of a workload.
    plain: u64,
    /// Of a loss in the midst of a recovery.
    cut: u64,
    /// Cases of which every outcome was tried.
    exhausted: u64,
    pub(super) failures: Vec<String>,
}

impl Tally {
    pub(super) fn images(&self) -> u64 {
        self.plain + self.cut
    }

    pub(super) fn add(mut self, other: Self) -> Self {
        self.cases += other.cases;
        self.plain += other.plain;
        self.cut += other.cut;
        self.exhausted += other.exhausted;
        self.failures.extend(other.failures);
        self.failures.truncate(TOLD);
        self
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (images, cut) = (self.images(), self.cut);
        let (cases, exhausted) = (self.cases, self.exhausted);
        write!(
            f,
            "{images} images, {cut} of them of recoveries that were cut short, of {cases} "
        )?;
        write!(f, "moments; of {exhausted} moments every outcome")
    }
}

/// Which of the unsynced survives.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Seed(u64),
    Exactly(usize, u64),
}

impl Loss {
    fn strike(self, dir: &MemoryDir) {
        match self {
            Loss::Seed(seed) => dir.power_loss(seed),
            Loss::Exactly(changes, sectors) => dir.power_loss_exactly(changes, sectors),
        }
    }
}

impl Case {
    /// One for each operation of a workload, and the same with a kernel that writes by itself.
    pub(super) fn all_of(workload: &Workload, seed: u64) -> Vec<Case> {
        let operations = (1..).find(|stop| run(workload, *stop * 32, None).whole);
        let most = operations.unwrap_or(0) * 32;
        let whole = (1..=most)
            .rev()
            .find(|stop| !run(workload, *stop, None).whole);
        let stops = 1..=whole.unwrap_or(0) + 1;
        let both =
            |stop: u64| [None, Some(seed.wrapping_add(stop * 64))].map(|writes| (stop, writes));
        let case = |(stop, writes)| Case {
            workload: workload.clone(),
            stop,
            writes,
            seed,
        };
        stops.flat_map(both).map(case).collect()
    }

    /// Opens about `images` images.
    pub(super) fn run(&self, images: u64, tally: &mut Tally) {
        let left = run(&self.workload, self.stop, self.writes);
        tally.cases += 1;
        let image = left.dir.image();
        let (changes, sectors) = left.dir.unsynced();
        let outcomes = if sectors < 32 {
            (u64::try_from(changes).unwrap() + 1) << sectors
        } else {
            u64::MAX
        };
        let all = outcomes <= ALL_OF.min(images);
        tally.exhausted += u64::from(all);
        let begin = self.seed.wrapping_mul(1 << 20);
        for number in 0..images {
            let loss = if all && number < outcomes {
                let changes = usize::try_from(number >> sectors).unwrap();
                Loss::Exactly(changes, number & ((1 << sectors) - 1))
            } else if number < 2 {
                Loss::Seed(number)
            } else {
                Loss::Seed(begin + number)
            };
            let dir = MemoryDir::from_image(&image);
            loss.strike(&dir);
            let depth = if number % CUT_EVERY == 1 {
                number / CUT_EVERY % DEPTH + 1
            } else {
                0
            };
            self.one(&left, &dir, loss, number, depth, tally);
        }
    }

    /// Checks one image; with `depth`, after so many recoveries that the power has cut short.
    fn one(
        &self,
        left: &Left,
        dir: &MemoryDir,
        loss: Loss,
        number: u64,
        depth: u64,
        tally: &mut Tally,
    ) {
        let mut dir = MemoryDir::from_image(&dir.image());
        tally.plain += 1;
        let mut dice = Dice::new(number ^ self.stop << 32);
        let mut cuts = Vec::new();
        for _ in 0..depth {
            let stop = dice.below(OPEN_OPERATIONS) + 1;
            let seed = dice.next();
            dir.stop_at(u64::try_from(stop).unwrap());
            let opened = recovery::open(Arc::new(dir.clone()), &left.options, None);
            // One that takes fewer operations is followed by a loss all the same.
            drop(opened);
            let after = MemoryDir::from_image(&dir.image());
            after.power_loss(seed);
            dir = after;
            cuts.push((stop, seed));
            tally.cut += 1;
        }
        let before = dir.image();
        let checked = catch_unwind(AssertUnwindSafe(|| {
            let _ = check::quickly(&dir, &left.truth, &left.options);
            if number % FULL_EVERY == 0 {
                let dir = MemoryDir::from_image(&before);
                check::fully(&dir, &left.truth, &left.options);
            }
        }));
        if let Err(panic) = checked {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            let kept = keep(&MemoryDir::from_image(&before));
            tally.failures.push(format!(
                "{}\n  again: WAKELOG_POWER_CASE='{} {} {} {}' \
                 (image {number}, {loss:?}, cuts {cuts:?})\n  \
                 the image: {kept}",
                text.unwrap_or_default(),
                self.workload.name,
                self.stop,
                self.writes.map_or("-".into(), |seed| seed.to_string()),
                self.seed,
            ));
            tally.failures.truncate(TOLD);
        }
    }
}

/// Writes the files of an image down, unless the fault was asked for.
fn keep(dir: &MemoryDir) -> String {
    if std::env::var_os("WAKELOG_SABOTAGE").is_some() {
        return "not kept".to_owned();
    }
    let Ok(place) = tempfile::Builder::new().prefix("wakelog-power-").tempdir() else {
        return "not kept".to_owned();
    };
    let place = place.keep();
    for entry in dir.list().unwrap() {
        // What cannot be written is missing there; the numbers tell the same.
        let _ = std::fs::write(place.join(&entry.name), dir.read(&entry.name));
    }
    place.display().to_string()
}

/// Runs the case that a failure has printed: workload, stop, writes, seed.
pub(super) fn run_one(words: &str) {
    let words: Vec<&str> = words.split_whitespace().collect();
    let [name, stop, writes, seed] = words[..] else {
        panic!("four words: workload, stop, writes, seed");
    };
    let case = Case {
        workload: Workload::named(name),
        stop: stop.parse().unwrap(),
        writes: writes.parse().ok(),
        seed: seed.parse().unwrap(),
    };
    println!("{:?}", case.workload);
    let mut tally = Tally::default();
    case.run(2_000, &mut tally);
    println!("{tally}");
    assert!(tally.failures.is_empty(), "{}", tally.failures.join("\n"));
}
