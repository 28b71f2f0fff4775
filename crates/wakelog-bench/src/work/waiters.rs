//! W10: appends to one topic while ten thousand wait for others.

use std::path::Path;
use std::time::Instant;

use super::{Column, Fill, Scale, Unit, Work, column};
use super::{append_batches, nanos_each, nothing, warm_events};
use crate::event::Events;
use crate::goal::{Bound, Goal};
use crate::peers::{Does, Outcome, Peer, Setup};

const NONE: &str = "no waiters";
const MANY: &str = "10,000 waiters";
const EVENT_BYTES: usize = 100;
const WAITERS: u32 = 10_000;
/// Turns of the two: they alternate within a round, since the machine is not the same for long.
const TURNS: u64 = 6;

pub static WORK: Work = Work {
    id: "W10",
    title: "append of a topic, with waiters for other topics, 100 B",
    does: Does::Waiters,
    columns: &COLUMNS,
    goals: &GOALS,
    notes: &[
        "The same store, in turns without and with readers of 10,000 other topics that have \
         registered a waker; the median turn of each counts. The others have no waiters that could \
         be asked for one topic.",
    ],
    rounds: (9, 3),
    fill: Fill::No,
    prepare: nothing,
    measure,
};

static COLUMNS: [Column; 2] = [column(MANY, Unit::Nanos), column(NONE, Unit::Nanos)];

static GOALS: [Goal; 1] = [Goal {
    column: MANY,
    bound: Bound::TimesColumn(NONE, 1.05),
}];

fn measure(peer: &Peer, dir: &Path, scale: Scale) -> Outcome<Vec<f64>> {
    let store = (peer.open)(dir, &Setup::plain(EVENT_BYTES))?;
    let warm = warm_events(EVENT_BYTES, scale);
    append_batches(&*store, Events::new(0, 1, warm, EVENT_BYTES))?;
    let count = scale.pick(200_000, 50_000);
    let mut next = warm + 1;
    let (mut none, mut many) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        for (waiters, times) in [(0, &mut none), (WAITERS, &mut many)] {
            let held = store.waiters(waiters)?;
            let events = Events::new(0, next, count, EVENT_BYTES);
            let start = Instant::now();
            store.append_run(events)?;
            times.push(nanos_each(start, count));
            next += count;
            drop(held);
        }
    }
    store.read()?.check(1, next - 1)?;
    let median = crate::measure::median;
    Ok(vec![median(&mut many), median(&mut none)])
}
