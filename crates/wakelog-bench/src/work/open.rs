//! W7: a process with a log of 1 GiB is killed while it appends; how long does the next one open?

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use super::{Column, Fill, Scale, Unit, Work, column};
use crate::event::{Batch, Events};
use crate::goal::{Bound, Goal};
use crate::peers::{Does, Kind, Outcome, Peer, Setup};

const ONE: &str = "1 GiB";
const LARGE: &str = "16 GiB";
const EVENT_BYTES: usize = 1024;
/// commitlog takes a million bytes at once.
const BATCH: usize = 500;

pub static WORK: Work = Work {
    id: "W7",
    title: "open after SIGKILL, 1 KiB events",
    does: Does::Open,
    columns: &COLUMNS,
    goals: &GOALS,
    notes: &[
        "Filled in batches of 500, then one by one until the SIGKILL. The time is that of open; \
         then everything is read, and what was appended before the kill must be there. The page \
         cache is warm. Quick: 64 MiB, and 1 GiB in place of 16. The large one is filled for \
         wakelog alone.",
        "commitlog and LMDB check nothing at open, and yaque has nothing to check with. \
         commitlog now and then says CorruptLog when it is read after the kill.",
    ],
    rounds: (3, 2),
    fill: Fill::Killed,
    prepare,
    measure,
};

static COLUMNS: [Column; 2] = [column(ONE, Unit::Millis), column(LARGE, Unit::Millis)];

static GOALS: [Goal; 2] = [
    Goal {
        column: ONE,
        bound: Bound::AtMost(100.0),
    },
    Goal {
        column: LARGE,
        bound: Bound::TimesColumn(ONE, 1.3),
    },
];

/// The large log is filled for us alone: the goal is that open does not see a difference.
fn sizes(peer: &Peer, scale: Scale) -> Vec<(&'static str, u64)> {
    let bytes = EVENT_BYTES as u64;
    let one = (ONE, scale.pick(1 << 30, 64 << 20) / bytes);
    let large = (LARGE, scale.pick(16 << 30, 1 << 30) / bytes);
    if peer.kind == Kind::Ours {
        vec![one, large]
    } else {
        vec![one]
    }
}

fn setup() -> Setup {
    Setup {
        killed: true,
        ..Setup::plain(EVENT_BYTES)
    }
}

/// Fills every log, says that it is ready, and appends until it is killed.
fn prepare(peer: &Peer, dir: &Path, scale: Scale) -> Outcome<()> {
    let mut stores = Vec::new();
    for (name, count) in sizes(peer, scale) {
        let dir = dir.join(name.replace(' ', "-"));
        std::fs::create_dir_all(&dir)?;
        let store = (peer.open)(&dir, &setup())?;
        let (mut events, mut batch) = (Events::new(0, 1, count, EVENT_BYTES), Batch::new());
        while events.batch(BATCH, &mut batch) {
            store.append_batch(&batch)?;
        }
        stores.push((store, count));
    }
    println!("{}", crate::child::READY);
    std::io::stdout().flush()?;
    for more in 1.. {
        for (store, count) in &stores {
            if let Some(event) = Events::new(0, count + more, 1, EVENT_BYTES).next() {
                store.append(event)?;
            }
        }
    }
    Ok(())
}

fn measure(peer: &Peer, dir: &Path, scale: Scale) -> Outcome<Vec<f64>> {
    let mut figures = vec![f64::NAN; COLUMNS.len()];
    for (figure, (name, count)) in figures.iter_mut().zip(sizes(peer, scale)) {
        let dir = dir.join(name.replace(' ', "-"));
        let start = Instant::now();
        let store = (peer.open)(&dir, &setup())?;
        *figure = start.elapsed().as_secs_f64() * 1e3;
        let seen = store.read()?;
        if seen.count < count {
            let lost = count - seen.count;
            return Err(format!("{lost} of {count} events were lost by the kill").into());
        }
        seen.check(1, seen.count)?;
    }
    Ok(figures)
}
