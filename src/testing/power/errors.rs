//! The k-th create, write, sync, rename, unlink or map fails, once or for ever, for every k of the
//! short workloads: nothing that was told is lost, whether the process dies then, or the power
//! goes, or the disk is well again.

use super::run::Run;
use super::script::{FIXED, Workload};
use super::{check, number};
use crate::dir::{Fault, MemoryDir};
use rustix::io::Errno;
use std::panic::{AssertUnwindSafe, catch_unwind};
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

#[test]
fn whatever_fails_nothing_that_was_told_is_lost() {
    let began = Instant::now();
    let shift = number("WAKELOG_POWER_SEED", 1);
    let (mut runs, mut failures) = (0, Vec::new());
    // The last one has failing syncs of its own.
    let workloads = FIXED.iter().filter(|(name, ..)| *name != "failed-sync");
    for workload in workloads.map(Workload::fixed) {
        for fault in FAULTS {
            for kth in 1.. {
                let mut reached = false;
                for forever in [false, true] {
                    let turn = kth + shift + u64::from(forever);
                    let turn = usize::try_from(turn).unwrap() % ERRORS.len();
                    let thorough = THOROUGH.contains(&workload.name.as_str());
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
                        let checked = catch_unwind(AssertUnwindSafe(|| failing.check(&workload)));
                        reached |= *checked.as_ref().unwrap_or(&true);
                        runs += 1;
                        if checked.is_err() {
                            failures.push(format!("{}: {failing:?}", workload.name));
                        }
                    }
                }
                if !reached || failures.len() > 10 {
                    break;
                }
            }
        }
    }
    println!("{runs} failures of the disk in {:.1?}", began.elapsed());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(runs > 2_000, "only {runs}");
}
