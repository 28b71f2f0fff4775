//! W4: each event is on disk before its append returns.

use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use super::{Column, Fill, Scale, Unit, Work, column};
use super::{nothing, percentile};
use crate::event::Events;
use crate::goal::{Bound, Goal, Yardstick};
use crate::peers::{Does, Outcome, Peer, Setup, Store, Syncs};

const ONE: &str = "1 thread";
const ONE_P99: &str = "p99";
const MANY: &str = "16 threads";
const MANY_P99: &str = "p99 of 16";
const EVENT_BYTES: usize = 100;

pub static WORK: Work = Work {
    id: "W4",
    title: "each event on disk before it returns, 100 B",
    does: Does::Durable,
    columns: &COLUMNS,
    goals: &GOALS,
    notes: &[
        "Appends for a fixed time; the latency of each one is kept. A store is opened anew for \
         each number of threads, and appends for a tenth of the time before it is measured.",
    ],
    rounds: (7, 3),
    fill: Fill::No,
    prepare: nothing,
    measure,
};

static COLUMNS: [Column; 4] = [
    column(ONE, Unit::PerSecond),
    column(ONE_P99, Unit::Micros),
    column(MANY, Unit::PerSecond),
    column(MANY_P99, Unit::Micros),
];

static GOALS: [Goal; 3] = [
    Goal {
        column: ONE,
        bound: Bound::TimesOf(Yardstick::RaftEngine, 1.0),
    },
    Goal {
        column: MANY,
        bound: Bound::TimesOf(Yardstick::RaftEngine, 1.1),
    },
    Goal {
        column: MANY_P99,
        bound: Bound::TimesOf(Yardstick::RaftEngine, 1.0),
    },
];

fn measure(peer: &Peer, dir: &Path, scale: Scale) -> Outcome<Vec<f64>> {
    let mut figures = Vec::new();
    for threads in [1, 16] {
        let dir = dir.join(format!("threads-{threads}"));
        std::fs::create_dir_all(&dir)?;
        let setup = Setup {
            sync: Syncs::Each,
            threads: 1 < threads,
            ..Setup::plain(EVENT_BYTES)
        };
        let store = (peer.open)(&dir, &setup)?;
        let time = scale.pick(Duration::from_secs(2), Duration::from_millis(400));
        let warm = together(&*store, threads, &vec![1; threads as usize], time / 10)?;
        let next: Vec<u64> = warm.iter().map(|times| times.len() as u64 + 1).collect();
        let times = together(&*store, threads, &next, time)?;
        let counts = next.iter().zip(&times);
        let counts: Vec<u64> = counts
            .map(|(next, times)| next - 1 + times.len() as u64)
            .collect();
        check(&*store, &counts)?;
        let mut times = times.concat();
        times.sort_unstable();
        figures.push(times.len() as f64 / time.as_secs_f64());
        figures.push(percentile(&times, 0.99) / 1e3);
    }
    Ok(figures)
}

fn check(store: &dyn Store, counts: &[u64]) -> Outcome<()> {
    let seen = store.read()?;
    let sum: u64 = counts.iter().map(|count| count * (count + 1) / 2).sum();
    if (seen.count, seen.sum, seen.damaged) == (counts.iter().sum(), sum, 0) {
        Ok(())
    } else {
        Err(format!("read {seen:?}, appended {counts:?}").into())
    }
}

/// Threads append events of a topic each, from `first` on, until the time is over. The nanoseconds
/// of each append, by thread.
fn together(
    store: &dyn Store,
    threads: u32,
    first: &[u64],
    time: Duration,
) -> Outcome<Vec<Vec<u64>>> {
    let begin = Barrier::new(threads as usize);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .zip(first)
            .map(|(thread, first)| {
                let begin = &begin;
                scope.spawn(move || {
                    let events = Events::new(thread, *first, u64::from(u32::MAX), EVENT_BYTES);
                    begin.wait();
                    appends(store, events, time)
                })
            })
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Outcome<Vec<u64>>>| {
            thread.join().map_err(|_| "an appender panicked")?
        };
        threads.into_iter().map(join).collect()
    })
}

fn appends(store: &dyn Store, mut events: Events, time: Duration) -> Outcome<Vec<u64>> {
    let start = Instant::now();
    let mut times = Vec::new();
    let mut before = Duration::ZERO;
    while before < time {
        let event = events.next().ok_or("no more numbers")?;
        store.append(event)?;
        let now = start.elapsed();
        times.push(u64::try_from((now - before).as_nanos())?);
        before = now;
    }
    Ok(times)
}
