//! W1: one thread appends events one by one.

use std::path::Path;
use std::time::Instant;

use super::{Column, Fill, Scale, Unit, Work, column};
use super::{append_batches, nanos_each, nothing, paced, percentile, warm_events};
use crate::event::Events;
use crate::goal::{Bound, Goal, Yardstick};
use crate::peers::{Does, Outcome, Peer, Setup};

const SMALL: &str = "16 B";
const MIDDLE: &str = "100 B";
const LARGE: &str = "1 KiB";
const STEADY: &str = "100 B steady";

pub static WORK: Work = Work {
    id: "W1",
    title: "append, 1 thread",
    does: Does::Append,
    columns: &COLUMNS,
    goals: &GOALS,
    notes: &[
        "Every store first gets 80 MiB of events in batches (quick: 16 MiB): files, caches and \
         wakelog's doubling segments are there. Rolls and new files that fall into the time count. \
         Steady: the median of a thousand appends, so without what the disk and rolls stop.",
    ],
    rounds: (9, 3),
    fill: Fill::No,
    prepare: nothing,
    measure,
};

static COLUMNS: [Column; 4] = [
    column(MIDDLE, Unit::Nanos),
    column(SMALL, Unit::Nanos),
    column(LARGE, Unit::Nanos),
    column(STEADY, Unit::Nanos),
];

static GOALS: [Goal; 9] = [
    goal(MIDDLE, Bound::TimesOf(Yardstick::CopyCrc, 2.0)),
    goal(MIDDLE, Bound::BetterThanBest(10.0)),
    goal(MIDDLE, Bound::TimesOf(Yardstick::Channel, 1.3)),
    goal(SMALL, Bound::TimesOf(Yardstick::CopyCrc, 3.0)),
    goal(SMALL, Bound::BetterThanBest(8.0)),
    goal(LARGE, Bound::TimesOf(Yardstick::CopyCrc, 3.0)),
    goal(LARGE, Bound::BetterThanBest(8.0)),
    goal(STEADY, Bound::TimesOf(Yardstick::CopyCrc, 2.0)),
    goal(STEADY, Bound::BetterThanBest(10.0)),
];

const fn goal(column: &'static str, bound: Bound) -> Goal {
    Goal { column, bound }
}

const PILOT: u64 = 1_000;

/// Appends between two looks at the clock.
const CHUNK: u64 = 1_000;

fn measure(peer: &Peer, dir: &Path, scale: Scale) -> Outcome<Vec<f64>> {
    let (middle, steady) = one(peer, &dir.join("middle"), 100, scale)?;
    let (small, _) = one(peer, &dir.join("small"), 16, scale)?;
    let (large, _) = one(peer, &dir.join("large"), 1024, scale)?;
    Ok(vec![middle, small, large, steady])
}

/// Nanoseconds for each append: of all, and of the middle one of the chunks.
fn one(peer: &Peer, dir: &Path, bytes: usize, scale: Scale) -> Outcome<(f64, f64)> {
    std::fs::create_dir_all(dir)?;
    let store = (peer.open)(dir, &Setup::plain(bytes))?;
    let warm = warm_events(bytes, scale);
    append_batches(&*store, Events::new(0, 1, warm, bytes))?;
    let most = scale.pick(1_000_000, 200_000) * 100 / bytes.max(100) as u64;
    let pilot = || store.append_run(Events::new(0, warm + 1, PILOT, bytes));
    let count = paced(scale, most, PILOT, pilot)?.next_multiple_of(CHUNK);
    let first = warm + PILOT + 1;
    let mut chunks = Vec::new();
    let start = Instant::now();
    for from in (first..first + count).step_by(CHUNK as usize) {
        let begin = Instant::now();
        store.append_run(Events::new(0, from, CHUNK, bytes))?;
        chunks.push(u64::try_from(begin.elapsed().as_nanos())?);
    }
    let nanos = nanos_each(start, count);
    store.read()?.check(1, first + count - 1)?;
    drop(store);
    std::fs::remove_dir_all(dir)?;
    chunks.sort_unstable();
    Ok((nanos, percentile(&chunks, 0.5) / CHUNK as f64))
}
