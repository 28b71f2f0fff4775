//! W6: a thread appends a hundred thousand events a second; when does another one have them?

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Column, Fill, Scale, Unit, Work, column};
use super::{nothing, percentile};
use crate::event::{Events, number_of};
use crate::goal::{Bound, Goal, Yardstick};
use crate::peers::{Does, Outcome, Peer, Setup, Store, Tail};

const P50: &str = "asleep p50";
const P99: &str = "asleep p99";
const SPIN_P50: &str = "spinning p50";
const SPIN_P99: &str = "spinning p99";
const EVENT_BYTES: usize = 100;
const EVERY: Duration = Duration::from_micros(10);

pub static WORK: Work = Work {
    id: "W6",
    title: "append, and another thread has it, 100,000/s, 100 B",
    does: Does::Wake,
    columns: &COLUMNS,
    goals: &GOALS,
    notes: &[
        "The sender spins until the next 10 us are over, so it takes one of the cores. Asleep: the \
         receiver calls the blocking receive. Spinning: it asks again and again. Each event's time \
         begins before its append; an append that is late does not hide the wait that it causes, \
         since its event carries the time at which it was due.",
    ],
    rounds: (9, 3),
    fill: Fill::No,
    prepare: nothing,
    measure,
};

static COLUMNS: [Column; 4] = [
    column(P50, Unit::Micros),
    column(P99, Unit::Micros),
    column(SPIN_P50, Unit::Micros),
    column(SPIN_P99, Unit::Micros),
];

static GOALS: [Goal; 2] = [
    Goal {
        column: P50,
        bound: Bound::TimesOf(Yardstick::Channel, 1.2),
    },
    Goal {
        column: P99,
        bound: Bound::TimesOf(Yardstick::Channel, 1.2),
    },
];

fn measure(peer: &Peer, dir: &Path, scale: Scale) -> Outcome<Vec<f64>> {
    let mut figures = Vec::new();
    let count = scale.pick(200_000, 30_000);
    for (name, receive) in [("asleep", sleep as Receive), ("spinning", spin)] {
        let dir = dir.join(name);
        std::fs::create_dir_all(&dir)?;
        let setup = Setup {
            tail: true,
            ..Setup::plain(EVENT_BYTES)
        };
        let store = (peer.open)(&dir, &setup)?;
        let tail = store.tail()?;
        let mut times = follow(&*store, tail, receive, count)?;
        times.sort_unstable();
        figures.push(percentile(&times, 0.5) / 1e3);
        figures.push(percentile(&times, 0.99) / 1e3);
    }
    Ok(figures)
}

type Receive = fn(&mut dyn Tail) -> Outcome<Vec<u8>>;

fn sleep(tail: &mut dyn Tail) -> Outcome<Vec<u8>> {
    tail.sleep()
}

fn spin(tail: &mut dyn Tail) -> Outcome<Vec<u8>> {
    tail.spin()
}

/// Nanoseconds from the moment at which each event was due until it was there.
fn follow(
    store: &dyn Store,
    mut tail: Box<dyn Tail>,
    receive: Receive,
    count: u64,
) -> Outcome<Vec<u64>> {
    let base = Instant::now();
    let due = |number: u64| EVERY * u32::try_from(number).unwrap_or(u32::MAX);
    std::thread::scope(|scope| {
        let receiver = scope.spawn(move || {
            let mut times = Vec::new();
            for number in 1..=count {
                let event = receive(&mut *tail)?;
                let now = base.elapsed();
                if number_of(&event) != number {
                    let got = number_of(&event);
                    return Err(format!("received {got} instead of {number}").into());
                }
                let late = now.saturating_sub(due(number));
                times.push(u64::try_from(late.as_nanos())?);
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(times)
        });
        let mut events = Events::new(0, 1, count, EVENT_BYTES);
        let mut number = 0;
        while let Some(event) = events.next() {
            number += 1;
            while base.elapsed() < due(number) {
                std::hint::spin_loop();
            }
            store.append(event)?;
        }
        receiver.join().map_err(|_| "the receiver panicked")?
    })
}
