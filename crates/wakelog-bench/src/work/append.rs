//! W1: one thread appends events one by one.

use std::path::Path;
use std::time::Instant;

use super::{Column, Fill, Scale, Unit, Work, column};
use super::{append_batches, nanos_each, nothing, paced, warm_events};
use crate::event::Events;
use crate::goal::{Bound, Goal, Yardstick};
use crate::peers::{Does, Outcome, Peer, Setup};

const SMALL: &str = "16 B";
const MIDDLE: &str = "100 B";
const LARGE: &str = "1 KiB";

pub static WORK: Work = Work {
    id: "W1",
    title: "append, 1 thread",
    does: Does::Append,
    columns: &COLUMNS,
    goals: &GOALS,
    notes: &[
        "Every store first gets 80 MiB of events in batches (quick: 16 MiB): files, caches and \
         wakelog's doubling segments are there. Rolls and new files that fall into the time count.",
    ],
    rounds: (9, 3),
    fill: Fill::No,
    prepare: nothing,
    measure,
};

static COLUMNS: [Column; 3] = [
    column(MIDDLE, Unit::Nanos),
    column(SMALL, Unit::Nanos),
    column(LARGE, Unit::Nanos),
];

static GOALS: [Goal; 7] = [
    goal(MIDDLE, Bound::TimesOf(Yardstick::CopyCrc, 2.0)),
    goal(MIDDLE, Bound::BetterThanBest(10.0)),
    goal(MIDDLE, Bound::TimesOf(Yardstick::Channel, 1.3)),
    goal(SMALL, Bound::TimesOf(Yardstick::CopyCrc, 3.0)),
    goal(SMALL, Bound::BetterThanBest(8.0)),
    goal(LARGE, Bound::TimesOf(Yardstick::CopyCrc, 3.0)),
    goal(LARGE, Bound::BetterThanBest(8.0)),
];

const fn goal(column: &'static str, bound: Bound) -> Goal {
    Goal { column, bound }
}

const PILOT: u64 = 1_000;

fn measure(peer: &Peer, dir: &Path, scale: Scale) -> Outcome<Vec<f64>> {
    let sizes = [(100, MIDDLE), (16, SMALL), (1024, LARGE)];
    let each = |(bytes, name): (usize, &str)| {
        let dir = dir.join(name.replace(' ', "-"));
        std::fs::create_dir_all(&dir)?;
        one(peer, &dir, bytes, scale)
    };
    sizes.into_iter().map(each).collect()
}

fn one(peer: &Peer, dir: &Path, bytes: usize, scale: Scale) -> Outcome<f64> {
    let store = (peer.open)(dir, &Setup::plain(bytes))?;
    let warm = warm_events(bytes, scale);
    append_batches(&*store, Events::new(0, 1, warm, bytes))?;
    let most = scale.pick(1_000_000, 200_000) * 100 / bytes.max(100) as u64;
    let pilot = || store.append_run(Events::new(0, warm + 1, PILOT, bytes));
    let count = paced(scale, most, PILOT, pilot)?;
    let first = warm + PILOT + 1;
    let events = Events::new(0, first, count, bytes);
    let start = Instant::now();
    store.append_run(events)?;
    let nanos = nanos_each(start, count);
    store.read()?.check(1, first + count - 1)?;
    drop(store);
    std::fs::remove_dir_all(dir)?;
    Ok(nanos)
}
