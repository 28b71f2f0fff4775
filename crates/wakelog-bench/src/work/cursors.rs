//! W8: named consumers note how far they are.

use std::path::Path;
use std::time::Instant;

use super::{Column, Fill, Scale, Unit, Work, column};
use super::{append_batches, nanos_each, nothing};
use crate::event::Events;
use crate::goal::{Bound, Goal};
use crate::peers::{Does, Kind, Outcome, Peer, Setup};

const CREATE: &str = "create + first ack";
const ACK: &str = "ack";
const OPEN: &str = "open a log with 1,000,000";
const EVENT_BYTES: usize = 100;
const EVENTS: u64 = 1_000;

pub static WORK: Work = Work {
    id: "W8",
    title: "100,000 named cursors",
    does: Does::Cursors,
    columns: &COLUMNS,
    goals: &GOALS,
    notes: &[
        "One commit for each cursor, one after the other; then again. wakelog: a cursor is opened \
         and its handle kept; the others put a key, a row in a transaction of its own where \
         they have those. walrus has a topic of 10 MiB for each, of which 50 are made. The last \
         column opens a log that holds 1,000,000 (quick: 10,000 are made and 100,000 opened).",
    ],
    rounds: (5, 2),
    fill: Fill::No,
    prepare: nothing,
    measure,
};

static COLUMNS: [Column; 3] = [
    column(CREATE, Unit::Nanos),
    column(ACK, Unit::Nanos),
    column(OPEN, Unit::Millis),
];

static GOALS: [Goal; 3] = [
    Goal {
        column: CREATE,
        bound: Bound::AtMost(2_000.0),
    },
    Goal {
        column: ACK,
        bound: Bound::AtMost(50.0),
    },
    Goal {
        column: OPEN,
        bound: Bound::AtMost(1_000.0),
    },
];

fn measure(peer: &Peer, dir: &Path, scale: Scale) -> Outcome<Vec<f64>> {
    let setup = Setup::plain(EVENT_BYTES);
    let store = (peer.open)(dir, &setup)?;
    append_batches(&*store, Events::new(0, 1, EVENTS, EVENT_BYTES))?;
    // A topic of walrus takes a block of 10 MiB, and a commit a millisecond.
    let walrus = peer.name.starts_with("walrus");
    let cursors = if walrus {
        50
    } else {
        scale.pick(100_000, 10_000)
    };
    let mut figures = Vec::new();
    for number in [EVENTS / 2, EVENTS] {
        let start = Instant::now();
        store.commit_run(cursors, number)?;
        figures.push(nanos_each(start, u64::from(cursors)));
    }
    if !walrus {
        for cursor in [0, cursors / 2, cursors - 1] {
            if store.committed(cursor)? != EVENTS {
                return Err(format!("cursor {cursor} is not where it was put").into());
            }
        }
    }
    if peer.kind != Kind::Ours {
        figures.push(f64::NAN);
        return Ok(figures);
    }
    let many = scale.pick(1_000_000, 100_000);
    store.commit_run(many, EVENTS)?;
    drop(store);
    let start = Instant::now();
    let store = (peer.open)(dir, &setup)?;
    figures.push(start.elapsed().as_secs_f64() * 1e3);
    if store.committed(many - 1)? != EVENTS {
        return Err("the last cursor is not where it was put".into());
    }
    Ok(figures)
}
