//! What is measured: one file a workload. A workload runs in a process of its own for each peer
//! and round, so that no peer's threads, memory or panic touch the next one.

mod append;
mod batches;
mod cursors;
mod durable;
mod open;
mod read;
mod tail;
mod threads;
mod topic;
mod waiters;
mod wake;

use std::path::Path;
use std::time::Instant;

use crate::event::{Batch, Events};
use crate::goal::Goal;
use crate::peers::{Does, Outcome, Peer, Store};

/// What a figure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Nanos,
    Micros,
    Millis,
    PerSecond,
}

impl Unit {
    /// As it stands in a table.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Nanos => "ns",
            Unit::Micros => "us",
            Unit::Millis => "ms",
            Unit::PerSecond => "/s",
        }
    }

    /// Whether more is better.
    pub fn more_is_better(self) -> bool {
        self == Unit::PerSecond
    }
}

/// A figure that a workload yields.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub name: &'static str,
    pub unit: Unit,
}

/// A column.
pub const fn column(name: &'static str, unit: Unit) -> Column {
    Column { name, unit }
}

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub quick: bool,
}

impl Scale {
    /// The one or the other.
    pub fn pick<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// Whether the directory is filled by another process before it is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// It is empty.
    No,
    /// Once, for all rounds.
    Once,
    /// For each round, by a process that is killed while it appends.
    Killed,
}

/// A workload.
pub struct Work {
    /// `W1` and so on.
    pub id: &'static str,
    pub title: &'static str,
    pub does: Does,
    pub columns: &'static [Column],
    pub goals: &'static [Goal],
    pub notes: &'static [&'static str],
    /// How many rounds it has, full and quick.
    pub rounds: (usize, usize),
    pub fill: Fill,
    /// Fills the directory.
    pub prepare: fn(&Peer, &Path, Scale) -> Outcome<()>,
    /// Measures one peer, in this process, in this directory; a figure for each column, NaN where a
    /// peer has none.
    pub measure: fn(&Peer, &Path, Scale) -> Outcome<Vec<f64>>,
}

/// All of them.
pub static WORKS: [&Work; 11] = [
    &append::WORK,
    &threads::WORK,
    &batches::WORK,
    &durable::WORK,
    &read::WORK,
    &wake::WORK,
    &open::WORK,
    &cursors::WORK,
    &topic::WORK,
    &waiters::WORK,
    &tail::WORK,
];

/// The workload of this number.
pub fn numbered(id: &str) -> Outcome<&'static Work> {
    let found = WORKS.iter().find(|work| work.id == id);
    Ok(*found.ok_or_else(|| format!("there is no workload {id}"))?)
}

/// For workloads that begin with an empty directory.
fn nothing(_peer: &Peer, _dir: &Path, _scale: Scale) -> Outcome<()> {
    Ok(())
}

/// Events of a batch.
const BATCH: usize = 100;

/// Appends `count` events from `first` on, in batches.
fn append_batches(store: &dyn Store, mut events: Events) -> Outcome<()> {
    let mut batch = Batch::new();
    while events.batch(BATCH, &mut batch) {
        store.append_batch(&batch)?;
    }
    Ok(())
}

/// Events that every store gets before it is measured: 80 MiB (quick: 16 MiB), so that wakelog's
/// segments, which begin small, have grown, and everybody's files and caches are there.
fn warm_events(event_bytes: usize, scale: Scale) -> u64 {
    let bytes: usize = scale.pick(80 << 20, 16 << 20);
    u64::try_from(bytes / (event_bytes + 40)).unwrap_or(1)
}

/// How many events take about as long as a measurement shall: by a pilot of what `append` does.
fn paced(
    scale: Scale,
    most: u64,
    pilot: u64,
    mut append: impl FnMut() -> Outcome<()>,
) -> Outcome<u64> {
    let start = Instant::now();
    append()?;
    let each = start.elapsed().as_secs_f64() / pilot as f64;
    let seconds = scale.pick(0.5, 0.1);
    Ok(((seconds / each) as u64).clamp(pilot, most))
}

/// Nanoseconds since `start` for each of `count`.
fn nanos_each(start: Instant, count: u64) -> f64 {
    start.elapsed().as_secs_f64() * 1e9 / count as f64
}

/// The value below which `share` of the sorted values are.
fn percentile(sorted: &[u64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let place = ((sorted.len() as f64 * share) as usize).min(last);
    sorted.get(place).map_or(f64::NAN, |value| *value as f64)
}
