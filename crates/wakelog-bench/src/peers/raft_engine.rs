//! raft-engine: TiKV's log. Each topic is a Raft group, each event an entry of it.

use parking_lot::Mutex;
use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};
use std::path::Path;

use super::{Does, Kind, Outcome, Peer, Setup, Store, Syncs};
use crate::event::{Batch, Seen, number_of, topic_of};

pub static PEER: Peer = Peer {
    name: "raft-engine",
    kind: Kind::Rival,
    does: &[
        Does::Append,
        Does::Threads,
        Does::Batches,
        Does::Durable,
        Does::Read,
        Does::Open,
        Does::Cursors,
        Does::Topics,
        Does::Tail,
    ],
    promise: |sync| match sync {
        Syncs::Background => "process crash",
        Syncs::Each => "each event",
    },
    note: "default options, but for the compression of batches, which is off; it keeps an index of \
           all entries in memory; a cursor is a key",
    open,
};

/// Entries that are fetched at once.
const READ_ENTRIES: u64 = 1_000;
/// The group that has the cursors.
const CURSORS: u64 = u64::MAX;

type Raft = Engine;

struct Log {
    engine: Raft,
    sync: bool,
    /// Batches that were written and may be filled again.
    spare: Mutex<Vec<LogBatch>>,
}

struct Stamped;

impl MessageExt for Stamped {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        number_of(&entry.value)
    }
}

fn open(dir: &Path, setup: &Setup) -> Outcome<Box<dyn Store>> {
    let config = Config {
        // Our filler compresses too well to say anything, and a compressed batch is unpacked for
        // each entry that is read of it.
        batch_compression_threshold: ReadableSize(0),
        dir: dir.to_str().ok_or("no plain path")?.to_owned(),
        ..Config::default()
    };
    Ok(Box::new(Log {
        engine: Engine::open(config)?,
        sync: setup.sync == Syncs::Each,
        spare: Mutex::default(),
    }))
}

fn entry(event: &[u8]) -> BytesValue {
    let mut entry = BytesValue::new();
    entry.set_value(event.to_vec());
    entry
}

/// Group 0 is not allowed.
fn group(topic: u32) -> u64 {
    u64::from(topic) + 1
}

impl Log {
    fn write(&self, fill: impl FnOnce(&mut LogBatch) -> Outcome<()>) -> Outcome<()> {
        let mut batch = self.spare.lock().pop().unwrap_or_default();
        fill(&mut batch)?;
        self.engine.write(&mut batch, self.sync)?;
        self.spare.lock().push(batch);
        Ok(())
    }

    fn fetch(&self, group: u64, first: u64, end: u64, seen: &mut Seen) -> Outcome<()> {
        let mut entries = Vec::new();
        let engine = &self.engine;
        engine.fetch_entries_to::<Stamped>(group, first, end, None, &mut entries)?;
        entries.iter().for_each(|entry| seen.see(&entry.value));
        Ok(())
    }
}

impl Store for Log {
    fn append(&self, event: &[u8]) -> Outcome<()> {
        self.write(|batch| {
            batch.add_entries::<Stamped>(group(topic_of(event)), &[entry(event)])?;
            Ok(())
        })
    }

    fn append_batch(&self, batch: &Batch) -> Outcome<()> {
        let mut events = batch.iter().peekable();
        self.write(|batch| {
            let mut entries = Vec::new();
            while let Some(event) = events.next() {
                let topic = topic_of(event);
                entries.push(entry(event));
                if events.peek().map(|next| topic_of(next)) != Some(topic) {
                    batch.add_entries::<Stamped>(group(topic), &entries)?;
                    entries.clear();
                }
            }
            Ok(())
        })
    }

    fn read(&self) -> Outcome<Seen> {
        let mut seen = Seen::default();
        for group in self.engine.raft_groups() {
            let bounds = self
                .engine
                .first_index(group)
                .zip(self.engine.last_index(group));
            let Some((mut next, last)) = bounds else {
                continue;
            };
            while next <= last {
                let end = (next + READ_ENTRIES).min(last + 1);
                self.fetch(group, next, end, &mut seen)?;
                next = end;
            }
        }
        Ok(seen)
    }

    fn read_topic(&self, topic: u32, count: u64) -> Outcome<Seen> {
        let mut seen = Seen::default();
        self.fetch(group(topic), 1, count + 1, &mut seen)?;
        Ok(seen)
    }

    fn commit(&self, cursor: u32, number: u64) -> Outcome<()> {
        self.write(|batch| {
            let key = cursor.to_be_bytes().to_vec();
            batch.put(CURSORS, key, number.to_le_bytes().to_vec())?;
            Ok(())
        })
    }

    fn committed(&self, cursor: u32) -> Outcome<u64> {
        let value = self.engine.get(CURSORS, &cursor.to_be_bytes());
        Ok(u64::from_le_bytes(
            value.ok_or("no such cursor")?.as_slice().try_into()?,
        ))
    }
}
