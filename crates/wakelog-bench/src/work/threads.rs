//! W2: four threads append.

use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use super::{Column, Fill, Scale, Unit, Work, column};
use super::{append_batches, nothing, paced, warm_events};
use crate::event::Events;
use crate::goal::{Bound, Goal, Yardstick};
use crate::peers::{Does, Outcome, Peer, Setup, Store};

const COLUMN: &str = "ns an event";
const THREADS: u32 = 4;
const EVENT_BYTES: usize = 100;
const PILOT: u64 = 1_000;

pub static WORK: Work = Work {
    id: "W2",
    title: "append, 4 threads, 100 B",
    does: Does::Threads,
    columns: &COLUMNS,
    goals: &GOALS,
    notes: &[
        "Time from the start of all threads to the end of the last, by the events of all. Peers \
         with one writer stand behind a parking_lot mutex. Those that write transactions one at a \
         time (redb, LMDB, SQLite) have their figure in W1.",
    ],
    rounds: (9, 3),
    fill: Fill::No,
    prepare: nothing,
    measure,
};

static COLUMNS: [Column; 1] = [column(COLUMN, Unit::Nanos)];

static GOALS: [Goal; 2] = [
    Goal {
        column: COLUMN,
        bound: Bound::TimesOf(Yardstick::Channel, 1.0),
    },
    Goal {
        column: COLUMN,
        bound: Bound::BetterThanBest(8.0),
    },
];

fn measure(peer: &Peer, dir: &Path, scale: Scale) -> Outcome<Vec<f64>> {
    let setup = Setup {
        threads: true,
        ..Setup::plain(EVENT_BYTES)
    };
    let store = (peer.open)(dir, &setup)?;
    let warm = warm_events(EVENT_BYTES, scale) / u64::from(THREADS);
    for thread in 0..THREADS {
        append_batches(&*store, Events::new(thread, 1, warm, EVENT_BYTES))?;
    }
    let most = scale.pick(1_000_000, 200_000) / u64::from(THREADS);
    let pilot = || together(&*store, warm + 1, PILOT).map(drop);
    let count = paced(scale, most, PILOT, pilot)?;
    let first = warm + PILOT + 1;
    let took = together(&*store, first, count)?;
    store.read()?.check(u64::from(THREADS), first + count - 1)?;
    let all = count * u64::from(THREADS);
    Ok(vec![took.as_secs_f64() * 1e9 / all as f64])
}

/// All threads append `count` events each, of a topic each. From the first that starts to the last
/// that ends, by their own clocks: the thread that waits for them may sleep through either.
fn together(store: &dyn Store, first: u64, count: u64) -> Outcome<Duration> {
    let begin = Barrier::new(THREADS as usize);
    let append = |thread| {
        let events = Events::new(thread, first, count, EVENT_BYTES);
        begin.wait();
        let start = Instant::now();
        store.append_run(events)?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((start, Instant::now()))
    };
    let append = &append;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || append(thread)))
            .collect();
        let mut times = Vec::new();
        for thread in threads {
            times.push(thread.join().map_err(|_| "an appender panicked")??);
        }
        let start = times.iter().map(|(start, _)| *start).min();
        let end = times.iter().map(|(_, end)| *end).max();
        let (start, end) = start.zip(end).ok_or("there were no threads")?;
        Ok(end - start)
    })
}
