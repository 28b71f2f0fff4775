//! What is measured, one function each: a fresh server, a fresh fleet, figures.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Outcome;
use crate::fleet::{Fleet, Wish};
use crate::process::Server;
use crate::server::Kind;
use crate::words::room;

/// How much of it.
#[derive(Clone, Copy)]
pub struct Scale {
    pub quick: bool,
}

impl Scale {
    fn pick<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    pub fn clients(self) -> usize {
        self.pick(1_000, 200)
    }
}

/// A kind of measurement.
pub struct Work {
    pub title: &'static str,
    pub columns: &'static [&'static str],
    pub kinds: &'static [Kind],
    pub run: fn(Kind, &Path, Scale) -> Outcome<Vec<f64>>,
    /// Rounds, full and quick.
    pub rounds: (usize, usize),
}

pub const WORKS: [Work; 5] = [
    Work {
        title: "storm: clients back at once, 1,000 events of 100 B missed each, 10 rooms",
        columns: &[
            "CPU us a delivery",
            "s to the last",
            "peak MiB",
            "bytes a delivery",
        ],
        kinds: &[
            Kind::Wakelog,
            Kind::WakelogBin,
            Kind::Axum,
            Kind::Fast,
            Kind::AxumEach,
            Kind::FastEach,
        ],
        run: storm,
        rounds: (5, 1),
    },
    Work {
        title: "live: one event a flush, 20 a second, to all clients",
        columns: &[
            "CPU us a delivery",
            "p50 ms",
            "p99 ms",
            "p99 ms of a sync",
            "p99 ms without it",
        ],
        kinds: &[Kind::Wakelog, Kind::WakelogBin, Kind::Axum, Kind::Fast],
        run: live,
        rounds: (6, 1),
    },
    Work {
        title: "idle: memory of a connection that waits",
        columns: &["KiB a connection"],
        kinds: &[Kind::Wakelog, Kind::Plain, Kind::Axum, Kind::Fast],
        run: idle,
        rounds: (3, 1),
    },
    Work {
        title: "stalled: as many clients that read nothing beside 100 that do",
        columns: &[
            "events/s to 100 without",
            "events/s to 100 with",
            "% kept",
            "KiB a stalled client",
        ],
        kinds: &[Kind::Wakelog],
        run: stalled,
        rounds: (3, 1),
    },
    Work {
        title: "backlog: one client that missed a million",
        columns: &["s", "MiB of its own", "MiB with the log's pages"],
        kinds: &[Kind::Wakelog],
        run: backlog,
        rounds: (3, 1),
    },
];

fn float(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[expect(clippy::cast_precision_loss, reason = "no figure here has 52 bits")]
pub fn wide(number: u64) -> f64 {
    number as f64
}

fn millis(mut nanos: Vec<u64>, share: f64) -> f64 {
    nanos.sort_unstable();
    let at = (float(nanos.len()) * share).floor();
    let rank = (0..nanos.len()).rev().find(|rank| float(*rank) <= at);
    rank.map_or(f64::NAN, |rank| wide(nanos[rank]) / 1e6)
}

fn listeners(kind: Kind, clients: usize, events: u64) -> impl Iterator<Item = Wish> {
    let wish = Wish {
        topic: "live".to_owned(),
        start: "latest",
        events,
        stalls: false,
        binary: kind == Kind::WakelogBin,
    };
    std::iter::repeat_n(wish, clients)
}

fn storm(kind: Kind, dir: &Path, scale: Scale) -> Outcome<Vec<f64>> {
    let (clients, rooms, events) = (scale.clients(), 10, 1_000);
    let mut server = Server::start(kind, dir)?;
    server.ask(&format!("fill {rooms} {events}"))?;
    let mut fleet = Fleet::new()?;
    server.forget_peak()?;
    let (cpu, begin) = (server.cpu()?, Instant::now());
    fleet.launch(
        server.address,
        (0..clients).map(|client| Wish {
            topic: room(client % rooms),
            start: "earliest",
            events,
            stalls: false,
            binary: kind == Kind::WakelogBin,
        }),
    );
    fleet.until_content(clients)?;
    let seconds = begin.elapsed().as_secs_f64();
    let deliveries = wide(fleet.count.events.get());
    let cpu = (server.cpu()? - cpu) / 1_000.0 / deliveries;
    let bytes = wide(fleet.count.bytes.get()) / deliveries;
    Ok(vec![cpu, seconds, server.memory()?.peak / 1_024.0, bytes])
}

fn times(answer: &Value) -> Vec<u64> {
    let times = answer.as_array().into_iter().flatten();
    times.filter_map(Value::as_u64).collect()
}

fn live(kind: Kind, dir: &Path, scale: Scale) -> Outcome<Vec<f64>> {
    let (clients, events) = (scale.clients(), scale.pick(120, 40));
    let mut server = Server::start(kind, dir)?;
    // What a sync costs where nobody listens; a bare server has none.
    let syncs = times(&server.ask(&format!("publish {} 50", scale.pick(100, 50)))?);
    let mut fleet = Fleet::new()?;
    // One event more than counted: with it the fleet is warm.
    fleet.launch(server.address, listeners(kind, clients, events + 1));
    fleet.until_ready(clients)?;
    server.ask("publish 1 0")?;
    fleet.linger(Duration::from_millis(300));
    fleet.count.delays.borrow_mut().clear();
    let cpu = server.cpu()?;
    server.order(&format!("publish {events} 20"))?;
    fleet.until_content(clients)?;
    server.answer()?;
    let deliveries = wide(fleet.count.events.get()) - float(clients);
    let cpu = (server.cpu()? - cpu) / 1_000.0 / deliveries;
    let delays = fleet.count.delays.take();
    let (p50, p99) = (millis(delays.clone(), 0.5), millis(delays, 0.99));
    let sync = if matches!(kind, Kind::Wakelog | Kind::WakelogBin) {
        millis(syncs, 0.99)
    } else {
        0.0
    };
    Ok(vec![cpu, p50, p99, sync, p99 - sync])
}

fn idle(kind: Kind, dir: &Path, scale: Scale) -> Outcome<Vec<f64>> {
    let clients = 2 * scale.clients();
    let mut server = Server::start(kind, dir)?;
    let mut fleet = Fleet::new()?;
    // What is made once is no cost of a connection.
    fleet.launch(server.address, listeners(kind, 50, 1));
    fleet.until_ready(50)?;
    server.ask("publish 1 0")?;
    fleet.linger(Duration::from_millis(200));
    let before = server.memory()?.all;
    fleet.launch(server.address, listeners(kind, clients, 1));
    fleet.until_ready(50 + clients)?;
    server.ask("publish 1 0")?;
    fleet.until_content(50 + clients)?;
    fleet.linger(Duration::from_millis(300));
    Ok(vec![(server.memory()?.all - before) / float(clients)])
}

fn stalled(kind: Kind, dir: &Path, scale: Scale) -> Outcome<Vec<f64>> {
    let (without, _) = flood(kind, &dir.join("without"), scale, 0)?;
    let stalled = scale.clients();
    let (with, memory) = flood(kind, &dir.join("with"), scale, stalled)?;
    Ok(vec![
        without,
        with,
        100.0 * with / without,
        memory / float(stalled),
    ])
}

/// Events a second to each of 100 readers beside so many that stall, and KiB that these cost.
fn flood(kind: Kind, dir: &Path, scale: Scale, stalled: usize) -> Outcome<(f64, f64)> {
    // Before it is timed, so much is published that the stalled have more than they take.
    let (readers, fill, events) = (100, 8_000, scale.pick(40_000, 10_000));
    let mut server = Server::start(kind, dir)?;
    let mut fleet = Fleet::new()?;
    fleet.launch(server.address, listeners(kind, readers, fill + events));
    fleet.until_ready(readers)?;
    let before = server.memory()?.all;
    let stalls = |wish| Wish {
        stalls: true,
        ..wish
    };
    fleet.launch(server.address, listeners(kind, stalled, 0).map(stalls));
    fleet.until_ready(readers + stalled)?;
    fleet.linger(Duration::from_millis(500));
    server.ask(&format!("flood {fill}"))?;
    fleet.until_got(wide(fill) * float(readers))?;
    fleet.linger(Duration::from_millis(500));
    let begin = Instant::now();
    server.order(&format!("flood {events}"))?;
    fleet.until_content(readers)?;
    let rate = wide(events) / begin.elapsed().as_secs_f64();
    server.answer()?;
    Ok((rate, server.memory()?.peak - before))
}

fn backlog(kind: Kind, dir: &Path, scale: Scale) -> Outcome<Vec<f64>> {
    let events = scale.pick(1_000_000, 200_000);
    let mut server = Server::start(kind, dir)?;
    server.ask(&format!("fill 1 {events}"))?;
    let mut fleet = Fleet::new()?;
    // The index of what was filled is made behind it, and that is no cost of a client.
    let mut before = server.memory()?;
    loop {
        fleet.linger(Duration::from_secs(2));
        let own = std::mem::replace(&mut before, server.memory()?).own;
        if (before.own - own).abs() < 64.0 {
            break;
        }
    }
    server.forget_peak()?;
    let begin = Instant::now();
    fleet.launch(
        server.address,
        [Wish {
            topic: room(0),
            start: "earliest",
            events,
            stalls: false,
            binary: kind == Kind::WakelogBin,
        }],
    );
    fleet.until_content(1)?;
    let seconds = begin.elapsed().as_secs_f64();
    let after = server.memory()?;
    let mib = |kib: f64| kib / 1_024.0;
    Ok(vec![
        seconds,
        mib(after.own - before.own),
        mib(after.peak - before.all),
    ])
}
