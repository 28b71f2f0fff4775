//! A hundred processes that append with four threads are killed at random moments, one after the
//! other, on one log. No append that has returned is lost or altered, and no cursor goes wrong.
//! In `syscalls`, others are killed at each of their system calls; in `power_cut`, the file system
//! under them is.
//!
//! `WAKELOG_CRASH_KILLS` sets another number of kills, `WAKELOG_CRASH_SEED` repeats the choices of
//! a run (not its timing).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../it/child.rs"]
#[expect(
    dead_code,
    reason = "shared with the other test binary, which uses all of it"
)]
mod child;
mod content;
#[path = "../it/host.rs"]
#[expect(
    dead_code,
    reason = "shared with the other test binary, which uses all of it"
)]
mod host;
mod life;
mod power_cut;
mod syscalls;
mod told;
mod truth;
mod writer;

use child::Child;
use content::Random;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use truth::Truth;
use wakelog::{Options, SyncPolicy};

const TEST: &str = "no_kill_loses_what_was_answered";
const KILLS: u64 = 100;

/// The shortest segments that roll all the time and still take the largest events of this test.
const SEGMENT_BYTES: u32 = 64 << 10;

/// A child opens the log with one policy, the parent with the next.
fn options(round: u64) -> Options {
    let policies = [
        SyncPolicy::Every(Duration::from_millis(10)),
        SyncPolicy::Manual,
        SyncPolicy::Always,
        SyncPolicy::Every(Duration::from_micros(100)),
    ];
    let policy = policies[usize::try_from(round % 4).unwrap()];
    Options::new().segment_bytes(SEGMENT_BYTES).sync(policy)
}

/// A directory for a test, which stays when the test fails.
struct Place(Option<tempfile::TempDir>);

impl Place {
    fn new() -> Place {
        Place(Some(tempfile::tempdir().unwrap()))
    }

    fn path(&self) -> &Path {
        self.0.as_ref().unwrap().path()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(dir) = self.0.take().filter(|_| std::thread::panicking()) {
            eprintln!("what this has left: {}", dir.keep().display());
        }
    }
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
    )
}

fn any_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::from(now.subsec_nanos())
}

#[test]
fn no_kill_loses_what_was_answered() {
    if let Some(task) = child::task() {
        return writer::run(&task);
    }
    let kills = number("WAKELOG_CRASH_KILLS").unwrap_or(KILLS);
    let seed = number("WAKELOG_CRASH_SEED").unwrap_or_else(any_seed);
    println!("WAKELOG_CRASH_SEED={seed}");
    let mut random = Random::new(seed);
    let dir = Place::new();
    let mut truth = Truth::default();
    for round in 0..kills {
        let told = kill_one(dir.path(), round, &mut random);
        let log = options(round + 1).open(dir.path()).unwrap();
        truth.hear(&told);
        truth.check(&log, round);
        if round % 20 == 19 || round + 1 == kills {
            truth.check_all(&log);
        }
        // Every third log is left as a crash leaves it, the others are closed in order.
        if round % 3 == 0 {
            log.close().unwrap();
        }
    }
    println!("{truth}");
    assert!(truth.is_worth_something(kills), "{truth}");
}

/// Runs a writer up to a random moment: in half of the rounds counted from its start, so that opens
/// and recoveries are hit too, in the others from when it has the log open.
fn kill_one(dir: &Path, round: u64, random: &mut Random) -> Vec<String> {
    let dir = dir.to_str().unwrap();
    let task = format!("{round} {} {dir}", random.next());
    let mut child = Child::start(TEST, &task);
    let mut told = Vec::new();
    if round % 2 == 0 {
        told.extend(child.hear());
    }
    let pause = Duration::from_micros(random.below(60_000));
    told.extend(child.kill_after(pause));
    told
}
