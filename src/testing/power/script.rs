//! Short workloads: the written ones, and ones that are made up from a seed.

use crate::{Options, Retention, SyncPolicy};

/// Cursors that there may be.
pub(super) const CURSORS: usize = 3;

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// So many events of so many bytes each.
    Append(usize, usize),
    Batch(usize, usize),
    /// An event with this id.
    Id(u8),
    Sync,
    Cursor(usize),
    /// A cursor takes so many events and acks each.
    Take(usize, usize),
    Saved(usize),
    Delete(usize),
    /// Lets go what is below this part of the log, in 256ths.
    Trim(u8),
    Retain,
    /// Reads on a filter, so that an index is made.
    Read(u8),
    Close,
    Kill,
    /// The power goes, and comes back.
    Lose(u64),
    /// The so manieth sync from here on fails; the log is synced and reopened.
    FailSync(u64),
}

use Step::{
    Append, Batch, Close, Cursor, Delete, FailSync, Id, Kill, Lose, Read, Retain, Saved, Sync,
    Take, Trim,
};

/// What is let go of its own accord, and when appends are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Plain,
    /// Each append waits for the disk.
    Always,
    /// What all cursors have acked leaves.
    Acked,
}

pub(super) const FIXED: [(&str, Manner, &[Step]); 16] = [
    (
        "append",
        Manner::Plain,
        &[Append(5, 300), Sync, Append(3, 900), Sync, Append(2, 100)],
    ),
    (
        "batch",
        Manner::Plain,
        &[
            Batch(6, 200),
            Sync,
            Batch(9, 500),
            Append(1, 5),
            Sync,
            Batch(4, 700),
        ],
    ),
    (
        "roll",
        Manner::Plain,
        &[
            Append(13, 1000),
            Sync,
            Append(12, 1000),
            Sync,
            Append(9, 1000),
            Sync,
            Append(1, 9),
        ],
    ),
    ("rolls", Manner::Plain, &[Append(45, 1000), Append(2, 10)]),
    (
        "roll-batch",
        Manner::Plain,
        &[
            Append(10, 1000),
            Sync,
            Batch(6, 1000),
            Batch(7, 1000),
            Sync,
            Batch(3, 20),
        ],
    ),
    (
        "trim",
        Manner::Plain,
        &[
            Cursor(0),
            Append(44, 1000),
            Sync,
            Take(0, 9),
            Trim(160),
            Append(14, 1000),
            Sync,
            Trim(250),
            Append(1, 50),
        ],
    ),
    (
        "acks",
        Manner::Plain,
        &[
            Cursor(0),
            Cursor(1),
            Append(10, 100),
            Take(0, 5),
            Sync,
            Take(0, 3),
            Take(1, 10),
            Sync,
            Take(0, 1),
            Append(3, 100),
            Take(0, 9),
            Saved(0),
            Take(1, 1),
        ],
    ),
    (
        "definitions",
        Manner::Plain,
        &[
            Append(4, 50),
            Cursor(0),
            Sync,
            Cursor(1),
            Take(1, 2),
            Sync,
            Delete(0),
            Cursor(2),
            Sync,
            Close,
            Cursor(0),
            Take(0, 3),
            Sync,
            Delete(1),
            Close,
            Cursor(1),
            Sync,
        ],
    ),
    (
        "ids",
        Manner::Plain,
        &[
            Id(1),
            Id(2),
            Append(14, 1000),
            Id(3),
            Append(13, 1000),
            Sync,
            Id(1),
            Id(4),
            Append(14, 1000),
            Sync,
            Trim(180),
            Id(2),
            Close,
            Id(5),
            Id(3),
        ],
    ),
    (
        "indexes",
        Manner::Plain,
        &[
            Append(20, 1000),
            Sync,
            Read(0),
            Append(12, 1000),
            Sync,
            Read(1),
            Close,
            Read(2),
            Append(3, 1000),
        ],
    ),
    (
        "lost-tail",
        Manner::Plain,
        &[
            Append(5, 300),
            Sync,
            Append(4, 300),
            Lose(11),
            Append(5, 300),
            Sync,
            Append(3, 300),
            Lose(0),
            Append(4, 300),
            Sync,
            Append(2, 40),
        ],
    ),
    (
        "lost-acks",
        Manner::Plain,
        &[
            Cursor(0),
            Append(5, 300),
            Sync,
            Append(4, 300),
            Take(0, 9),
            Lose(5),
            Append(3, 30),
            Take(0, 1),
            Sync,
            Append(3, 300),
            Take(0, 4),
            Lose(0),
            Append(2, 300),
            Sync,
        ],
    ),
    (
        "acked-away",
        Manner::Acked,
        &[
            Cursor(0),
            Cursor(1),
            Append(30, 1000),
            Sync,
            Take(0, 28),
            Take(1, 25),
            Retain,
            Append(14, 1000),
            Take(0, 9),
            Take(1, 16),
            Retain,
            Sync,
        ],
    ),
    (
        "always",
        Manner::Always,
        &[
            Append(4, 200),
            Batch(3, 100),
            Append(15, 1000),
            Append(1, 1),
        ],
    ),
    (
        "epochs",
        Manner::Plain,
        &[
            Append(2, 100),
            Close,
            Append(2, 100),
            Kill,
            Append(3, 100),
            Close,
            Close,
            Append(1, 7),
        ],
    ),
    (
        "failed-sync",
        Manner::Plain,
        &[
            Cursor(0),
            Append(6, 700),
            Sync,
            Append(4, 700),
            Take(0, 7),
            FailSync(1),
            Append(3, 700),
            Sync,
            Append(8, 1000),
            FailSync(3),
            Append(2, 10),
            Take(0, 3),
            Sync,
        ],
    ),
];

#[derive(Clone, Debug)]
pub(super) struct Workload {
    pub(super) name: String,
    pub(super) manner: Manner,
    pub(super) steps: Vec<Step>,
}

impl Workload {
    pub(super) fn fixed((name, manner, steps): &(&str, Manner, &[Step])) -> Self {
        let (name, steps) = ((*name).to_owned(), steps.to_vec());
        let manner = *manner;
        Self {
            name,
            manner,
            steps,
        }
    }

    /// The one of this name. `random-<seed>` is made up.
    pub(super) fn named(name: &str) -> Self {
        if let Some(seed) = name.strip_prefix("random-") {
            return Self::random(seed.parse().unwrap());
        }
        let found = FIXED.iter().find(|(other, ..)| *other == name);
        Self::fixed(found.expect("a workload"))
    }

    pub(super) fn random(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let manner = match dice.below(4) {
            0 => Manner::Acked,
            _ => Manner::Plain,
        };
        let steps = (0..dice.below(9) + 8)
            .map(|_| any_step(&mut dice))
            .collect();
        let name = format!("random-{seed}");
        Self {
            name,
            manner,
            steps,
        }
    }

    /// The same without the syncs that fail by themselves.
    pub(super) fn that_syncs(mut self) -> Self {
        self.steps.retain(|step| !matches!(step, FailSync(_)));
        self
    }

    /// Whether it lets go what nobody has acked.
    pub(super) fn trims(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Trim(_)))
    }

    pub(super) fn options(&self) -> Options {
        let sync = match self.manner {
            Manner::Always => SyncPolicy::Always,
            Manner::Plain | Manner::Acked => SyncPolicy::Manual,
        };
        let retention = match self.manner {
            Manner::Acked => Retention::new().until_acked().max_events(1 << 40),
            Manner::Plain | Manner::Always => Retention::new(),
        };
        Options::new()
            .segment_bytes(16 << 10)
            .sync(sync)
            .retention(retention)
            .index_everything()
            .dedup_ids(32)
    }
}

fn any_step(dice: &mut Dice) -> Step {
    let cursor = dice.below(CURSORS);
    match dice.below(40) {
        0..=5 => Append(dice.below(6) + 1, dice.below(900)),
        6..=8 => Append(dice.below(14) + 8, 1000),
        9..=11 => Batch(dice.below(6) + 1, dice.below(700)),
        12..=14 => Id(u8::try_from(dice.below(9)).unwrap()),
        15..=19 => Sync,
        20..=22 => Cursor(cursor),
        23..=27 => Take(cursor, dice.below(12) + 1),
        28 => Saved(cursor),
        29 => Delete(cursor),
        30..=31 => Trim(u8::try_from(dice.below(256)).unwrap()),
        32 => Retain,
        33 => Read(u8::try_from(dice.below(3)).unwrap()),
        34 => Close,
        35 => Kill,
        36..=37 => Lose(dice.next()),
        _ => FailSync(u64::try_from(dice.below(6) + 1).unwrap()),
    }
}

/// Numbers that follow from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % limit
    }
}
