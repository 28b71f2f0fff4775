//! The k-th create, write, sync, rename, unlink or map fails, once or for ever, for every k of the
//! short workloads: nothing that was told is lost, whether the process dies then, or the power
//! goes, or the disk is well again.
//!
//! `WAKELOG_FAILING_WORKLOADS` says how many workloads are made up beside the written ones, and
//! `WAKELOG_POWER_SEED` which.

use super::run::Run;
use super::script::{FIXED, Workload};
use super::{check, number};
use crate::dir::{Fault, MemoryDir};
use rustix::io::Errno;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const FAULTS: [Fault; 6] = [
    Fault::Sync,
    Fault::Create,
    Fault::Unlink,
    Fault::Write,
    Fault::Rename,
    Fault::Map,
];

const ERRORS: [Errno; 5] = [
    Errno::IO,
    Errno::NOSPC,
    Errno::DQUOT,
    Errno::MFILE,
    Errno::NOMEM,
];

/// Workloads that meet every error at every k; the others meet them in turns.
const THOROUGH: [&str; 3] = ["append", "roll", "definitions"];

/// Workloads that a plain `cargo test` makes up.
const MADE_UP: u64 = 8;

/// Losses of power after each.
const LOSSES: u64 = 4;

/// What fails, and when.
#[derive(Clone, Copy, Debug)]
struct Failing {
    fault: Fault,
    kth: u64,
    error: Errno,
    forever: bool,
}

impl Failing {
    fn plan(self, dir: &MemoryDir) {
        dir.fail(self.fault, self.kth, self.error, self.forever);
    }

    fn run(self, workload: &Workload) -> Run {
        Run::with_fault(workload, |dir| self.plan(dir))
    }

    /// Whether so many were needed at all.
    fn check(self, workload: &Workload) -> bool {
        let run = self.run(workload);
        let reached = run.dir().faults().is_reached(self.fault);
        let left = run.leave(false);
        let image = left.dir.image();
        let killed = MemoryDir::from_image(&image);
        let end = check::quickly(&killed, &left.truth, &left.options);
        assert!(
            end >= left.truth.appended,
            "the death of the process loses nothing"
        );
        for loss in 0..LOSSES {
            let dir = MemoryDir::from_image(&image);
            dir.power_loss(loss * self.kth);
            let _ = check::quickly(&dir, &left.truth, &left.options);
        }
        self.run(workload).heal();
        reached
    }
}

/// What was tried, and what did not hold.
#[derive(Default)]
struct Tally {
    runs: u64,
    failures: Vec<String>,
}

impl Tally {
    /// Lets every operation of a kind fail, in all the ways that are due.
    fn every(&mut self, workload: &Workload, fault: Fault, shift: u64) {
        let thorough = THOROUGH.contains(&workload.name.as_str());
        for kth in 1.. {
            let mut reached = false;
            for forever in [false, true] {
                let turn = kth + shift + u64::from(forever);
                let turn = usize::try_from(turn).unwrap() % ERRORS.len();
                let errors = if thorough {
                    &ERRORS[..]
                } else {
                    &ERRORS[turn..=turn]
                };
                for error in errors.iter().copied() {
                    let failing = Failing {
                        fault,
                        kth,
                        error,
                        forever,
                    };
                    let checked = catch_unwind(AssertUnwindSafe(|| failing.check(workload)));
                    reached |= *checked.as_ref().unwrap_or(&true);
                    self.runs += 1;
                    if checked.is_err() {
                        self.failures
                            .push(format!("{}: {failing:?}", workload.name));
                    }
                }
            }
            if !reached || self.failures.len() > 10 {
                break;
            }
        }
    }
}

/// Those that are written down, and some that are made up. None has failing syncs of its own.
fn workloads(seed: u64) -> Vec<Workload> {
    let written = FIXED.iter().filter(|(name, ..)| *name != "failed-sync");
    let made_up = 0..number("WAKELOG_FAILING_WORKLOADS", MADE_UP);
    let made_up = made_up.map(|number| Workload::random(seed + number).that_syncs());
    written.map(Workload::fixed).chain(made_up).collect()
}

#[test]
fn whatever_fails_nothing_that_was_told_is_lost() {
    let began = Instant::now();
    let seed = number("WAKELOG_POWER_SEED", 1);
    let workloads = workloads(seed);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut tally = Tally::default();
        while let Some(workload) = workloads.get(next.fetch_add(1, Ordering::Relaxed)) {
            for fault in FAULTS {
                tally.every(workload, fault, seed);
            }
        }
        tally
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended = started.into_iter().map(|thread| thread.join().unwrap());
        ended.collect()
    });
    let runs: u64 = tallies.iter().map(|tally| tally.runs).sum();
    let failures: Vec<String> = tallies
        .into_iter()
        .flat_map(|tally| tally.failures)
        .collect();
    println!(
        "{runs} failures of the disk in {} workloads in {:.1?}",
        workloads.len(),
        began.elapsed()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(runs > 2_000, "only {runs}");
}
