//! W9: ten million events of ten thousand topics; a client has missed the thousand of one topic.

use std::path::Path;
use std::time::Instant;

use super::{Column, Fill, Scale, Unit, Work, column};
use crate::cold;
use crate::event::{Batch, Events};
use crate::goal::{Bound, Goal, Yardstick};
use crate::peers::{Does, Outcome, Peer, Setup, Store};

const WARM: &str = "warm";
const COLD: &str = "cold";
const EVENT_BYTES: usize = 100;
/// Events of each topic.
const MISSED: u64 = 1_000;
/// Topics that are read warm.
const READS: u32 = 41;
/// Events of one batch, as in W3; topics stand in it behind one another.
const BATCH: u32 = 100;

pub static WORK: Work = Work {
    id: "W9",
    title: "one topic of 10,000 in 10 M events: its 1,000 missed, 100 B",
    does: Does::Topics,
    columns: &COLUMNS,
    goals: &GOALS,
    notes: &[
        "The events of all topics lie in turns, as they come, in batches of 100. The time is that \
         of making a reader for the topic and reading its thousand. Cold: every file of the store \
         is dropped from the page cache before it is opened, and one topic is read. Warm: then \
         every topic in use is read once, and 41 of them are timed again; the median counts. \
         Quick: 1,000 topics, 1 M events.",
        "walrus takes 10 MiB a topic, and commitlog and yaque know no topics. fjall's compaction \
         goes on while it is filled and is awaited no longer.",
    ],
    rounds: (5, 2),
    fill: Fill::Once,
    prepare,
    measure,
};

static COLUMNS: [Column; 2] = [column(WARM, Unit::Micros), column(COLD, Unit::Micros)];

static GOALS: [Goal; 2] = [
    Goal {
        column: WARM,
        bound: Bound::AtMost(60.0),
    },
    Goal {
        column: COLD,
        bound: Bound::TimesOf(Yardstick::Lmdb, 0.1),
    },
];

fn topics(scale: Scale) -> u32 {
    scale.pick(10_000, 1_000)
}

fn open(peer: &Peer, dir: &Path, scale: Scale) -> Outcome<Box<dyn Store>> {
    let setup = Setup {
        topics: topics(scale),
        killed: true,
        ..Setup::plain(EVENT_BYTES)
    };
    (peer.open)(dir, &setup)
}

fn prepare(peer: &Peer, dir: &Path, scale: Scale) -> Outcome<()> {
    let store = open(peer, dir, scale)?;
    let mut batch = Batch::new();
    let mut waiting = 0;
    for number in 1..=MISSED {
        for topic in 0..topics(scale) {
            if let Some(event) = Events::new(topic, number, 1, EVENT_BYTES).next() {
                batch.push(event);
                waiting += 1;
            }
            if waiting == BATCH {
                store.append_batch(&batch)?;
                batch.clear();
                waiting = 0;
            }
        }
    }
    drop(store);
    // So that the pages can be dropped.
    cold::sync(dir)
}

fn micros(store: &dyn Store, topic: u32) -> Outcome<f64> {
    let start = Instant::now();
    let seen = store.read_topic(topic, MISSED)?;
    let micros = start.elapsed().as_secs_f64() * 1e6;
    seen.check(1, MISSED)?;
    Ok(micros)
}

fn measure(peer: &Peer, dir: &Path, scale: Scale) -> Outcome<Vec<f64>> {
    cold::drop_pages(dir)?;
    let store = open(peer, dir, scale)?;
    let cold = micros(&*store, topics(scale) / 2)?;
    let step = topics(scale) / READS;
    let mut warm = Vec::new();
    for pass in 0..2 {
        for read in 0..READS {
            let micros = micros(&*store, read * step)?;
            if pass == 1 {
                warm.push(micros);
            }
        }
    }
    Ok(vec![crate::measure::median(&mut warm), cold])
}
