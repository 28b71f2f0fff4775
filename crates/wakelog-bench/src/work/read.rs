//! W5: read everything, checked, after the log was opened again.

use std::path::Path;
use std::time::Instant;

use super::{Column, Fill, Scale, Unit, Work, column};
use super::{append_batches, nanos_each, nothing};
use crate::event::Events;
use crate::goal::{Bound, Goal};
use crate::peers::{Does, Kind, Outcome, Peer, Setup};

const FIRST: &str = "first";
const AGAIN: &str = "again";
const EVENT_BYTES: usize = 100;

pub static WORK: Work = Work {
    id: "W5",
    title: "read on, 100 B",
    does: Does::Read,
    columns: &COLUMNS,
    goals: &GOALS,
    notes: &[
        "Closed and opened before the first read, so nothing is mapped, cached or checked in the \
         process; the page cache of the kernel is warm. The first and last bytes of every event \
         are touched. LMDB, redb's pages and yaque have no checksum to check. walrus and yaque \
         take out what they read: there is no second time. The bare lines are not closed.",
    ],
    rounds: (9, 3),
    fill: Fill::No,
    prepare: nothing,
    measure,
};

static COLUMNS: [Column; 2] = [column(FIRST, Unit::Nanos), column(AGAIN, Unit::Nanos)];

static GOALS: [Goal; 2] = [
    Goal {
        column: FIRST,
        bound: Bound::AtMost(38.0),
    },
    Goal {
        column: AGAIN,
        bound: Bound::AtMost(15.0),
    },
];

fn measure(peer: &Peer, dir: &Path, scale: Scale) -> Outcome<Vec<f64>> {
    let count = scale.pick(600_000, 100_000);
    let setup = Setup::plain(EVENT_BYTES);
    let mut store = (peer.open)(dir, &setup)?;
    append_batches(&*store, Events::new(0, 1, count, EVENT_BYTES))?;
    if peer.kind != Kind::Bare {
        drop(store);
        store = (peer.open)(dir, &setup)?;
    }
    let mut figures = Vec::new();
    for _ in &COLUMNS {
        let start = Instant::now();
        let seen = store.read()?;
        let nanos = nanos_each(start, count);
        if seen.count == 0 && !figures.is_empty() {
            figures.push(f64::NAN);
            break;
        }
        seen.check(1, count)?;
        figures.push(nanos);
    }
    Ok(figures)
}
