//! W11: the slow appends. The time of every single one, at a modest rate and flat out.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Column, Fill, Scale, Unit, Work, column};
use super::{append_batches, nothing, percentile, warm_events};
use crate::event::Events;
use crate::goal::{Bound, Goal};
use crate::peers::{Does, Outcome, Peer, Setup, Store};

const PACED_P50: &str = "20k/s p50";
const PACED_P999: &str = "p99.9";
const PACED_MAX: &str = "max";
const FLAT_P50: &str = "flat out p50";
const FLAT_P999: &str = "flat out p99.9";
const FLAT_MAX: &str = "flat out max";
const EVENT_BYTES: usize = 100;
const EVERY: Duration = Duration::from_micros(50);

pub static WORK: Work = Work {
    id: "W11",
    title: "the tail of append, each one timed, 100 B",
    does: Does::Tail,
    columns: &COLUMNS,
    goals: &GOALS,
    notes: &[
        "Each append is timed by itself: the two looks at the clock, some 60 ns, are in the time. \
         At 20,000/s the appender spins until the next one is due; what is late because the one \
         before it was slow is not charged twice. Under the default sync of each; \
         those that promise a process crash only have no sync that could be in their way.",
    ],
    rounds: (5, 2),
    fill: Fill::No,
    prepare: nothing,
    measure,
};

static COLUMNS: [Column; 6] = [
    column(PACED_P50, Unit::Micros),
    column(PACED_P999, Unit::Micros),
    column(PACED_MAX, Unit::Micros),
    column(FLAT_P50, Unit::Micros),
    column(FLAT_P999, Unit::Micros),
    column(FLAT_MAX, Unit::Micros),
];

static GOALS: [Goal; 2] = [
    Goal {
        column: PACED_P999,
        bound: Bound::AtMost(150.0),
    },
    Goal {
        column: FLAT_P999,
        bound: Bound::AtMost(150.0),
    },
];

fn measure(peer: &Peer, dir: &Path, scale: Scale) -> Outcome<Vec<f64>> {
    let store = (peer.open)(dir, &Setup::plain(EVENT_BYTES))?;
    let warm = warm_events(EVENT_BYTES, Scale { quick: true });
    append_batches(&*store, Events::new(0, 1, warm, EVENT_BYTES))?;
    let time = scale.pick(Duration::from_secs(4), Duration::from_millis(700));
    let mut next = warm + 1;
    let mut figures = Vec::new();
    for (every, most) in [(EVERY, 100_000), (Duration::ZERO, 500_000)] {
        let mut times = appends(&*store, next, every, time, most)?;
        next += times.len() as u64;
        times.sort_unstable();
        for share in [0.5, 0.999, 1.0] {
            figures.push(percentile(&times, share) / 1e3);
        }
    }
    store.read()?.check(1, next - 1)?;
    Ok(figures)
}

/// Nanoseconds of each append, for a time and `most` events at most.
fn appends(
    store: &dyn Store,
    first: u64,
    every: Duration,
    time: Duration,
    most: u64,
) -> Outcome<Vec<u64>> {
    let mut events = Events::new(0, first, most, EVENT_BYTES);
    let mut times = vec![0; usize::try_from(most)?];
    let base = Instant::now();
    let mut due = Duration::ZERO;
    let mut done = 0;
    while let Some(event) = events.next() {
        let mut before = base.elapsed();
        while before < due {
            std::hint::spin_loop();
            before = base.elapsed();
        }
        if time < before {
            break;
        }
        due += every;
        store.append(event)?;
        times[done] = u64::try_from((base.elapsed() - before).as_nanos())?;
        done += 1;
    }
    times.truncate(done);
    Ok(times)
}
