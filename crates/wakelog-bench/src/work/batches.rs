//! W3: batches of a hundred.

use std::path::Path;
use std::time::Instant;

use super::{BATCH, Column, Fill, Scale, Unit, Work, column};
use super::{append_batches, nanos_each, nothing, paced, warm_events};
use crate::event::Events;
use crate::goal::{Bound, Goal};
use crate::peers::{Does, Outcome, Peer, Setup};

const COLUMN: &str = "ns an event";
const EVENT_BYTES: usize = 100;
const PILOT: u64 = 100 * BATCH as u64;

pub static WORK: Work = Work {
    id: "W3",
    title: "append in batches of 100, 100 B",
    does: Does::Batches,
    columns: &COLUMNS,
    goals: &GOALS,
    notes: &[
        "The hundred events are put together in one buffer first, for everybody; the time of that \
         counts.",
    ],
    rounds: (9, 3),
    fill: Fill::No,
    prepare: nothing,
    measure,
};

static COLUMNS: [Column; 1] = [column(COLUMN, Unit::Nanos)];

static GOALS: [Goal; 1] = [Goal {
    column: COLUMN,
    bound: Bound::BetterThanBest(2.5),
}];

fn measure(peer: &Peer, dir: &Path, scale: Scale) -> Outcome<Vec<f64>> {
    let store = (peer.open)(dir, &Setup::plain(EVENT_BYTES))?;
    let warm = warm_events(EVENT_BYTES, scale);
    append_batches(&*store, Events::new(0, 1, warm, EVENT_BYTES))?;
    let most = scale.pick(2_000_000, 400_000);
    let pilot = || append_batches(&*store, Events::new(0, warm + 1, PILOT, EVENT_BYTES));
    let count = paced(scale, most, PILOT, pilot)?;
    let first = warm + PILOT + 1;
    let events = Events::new(0, first, count, EVENT_BYTES);
    let start = Instant::now();
    append_batches(&*store, events)?;
    let nanos = nanos_each(start, count);
    store.read()?.check(1, first + count - 1)?;
    Ok(vec![nanos])
}
