//! walrus-rust, with its mapped backend, which its own benchmarks show as the faster one.

use std::path::Path;
use walrus_rust::{FsyncSchedule, ReadConsistency, Walrus, disable_fd_backend};

use super::{Does, Kind, Outcome, Peer, Setup, Store, Syncs};
use crate::event::{Batch, Seen, topic_of};

pub static PEER: Peer = Peer {
    name: "walrus-rust (mmap)",
    kind: Kind::Rival,
    does: &[
        Does::Append,
        Does::Threads,
        Does::Batches,
        Does::Durable,
        Does::Read,
        Does::Open,
        Does::Cursors,
        Does::Tail,
    ],
    promise: |sync| match sync {
        Syncs::Background => "process crash; power loss, 200 ms",
        Syncs::Each => "each event",
    },
    note: "its default sync, every 200 ms and at each block; errors of writing back are thrown \
           away. Reading takes the events out, one by one: its batch read (0.2.0) silently leaves \
           out a block of them, so it cannot be used. Its place is kept every 1,000 reads; a \
           cursor is a topic of its own, with an event and a read for each commit",
    open,
};

const PERSIST_EVERY: u32 = 1_000;

struct Wal {
    wal: Walrus,
    topics: Vec<String>,
}

/// Its folder comes from a variable (`WALRUS_DATA_DIR`), which the parent process has set; below
/// it the whole path, as one name, is the key.
fn open(dir: &Path, setup: &Setup) -> Outcome<Box<dyn Store>> {
    disable_fd_backend();
    let key = dir.to_str().ok_or("no plain path")?;
    let schedule = match setup.sync {
        Syncs::Background => FsyncSchedule::Milliseconds(200),
        Syncs::Each => FsyncSchedule::SyncEach,
    };
    let reads = ReadConsistency::AtLeastOnce {
        persist_every: PERSIST_EVERY,
    };
    Ok(Box::new(Wal {
        wal: Walrus::with_consistency_and_schedule_for_key(key, reads, schedule)?,
        topics: (0..setup.topics.max(16)).map(|n| format!("t{n}")).collect(),
    }))
}

impl Wal {
    #[inline]
    fn topic(&self, event: &[u8]) -> Outcome<&str> {
        let number = usize::try_from(topic_of(event))?;
        Ok(self.topics.get(number).ok_or("no such topic")?)
    }
}

impl Store for Wal {
    #[inline]
    fn append(&self, event: &[u8]) -> Outcome<()> {
        self.wal.append_for_topic(self.topic(event)?, event)?;
        Ok(())
    }

    fn append_batch(&self, batch: &Batch) -> Outcome<()> {
        let events: Vec<&[u8]> = batch.iter().collect();
        let topic = self.topic(events.first().ok_or("an empty batch")?)?;
        self.wal.batch_append_for_topic(topic, &events)?;
        Ok(())
    }

    fn read(&self) -> Outcome<Seen> {
        let mut seen = Seen::default();
        for topic in &self.topics {
            while let Some(entry) = self.wal.read_next(topic, true)? {
                seen.see(&entry.data);
            }
        }
        Ok(seen)
    }

    fn commit(&self, cursor: u32, number: u64) -> Outcome<()> {
        let topic = format!("client-{cursor}");
        self.wal.append_for_topic(&topic, &number.to_le_bytes())?;
        let entry = self.wal.read_next(&topic, true)?;
        let read = entry.ok_or("walrus did not find what was appended")?;
        if read.data == number.to_le_bytes() {
            Ok(())
        } else {
            Err("walrus has read another event".into())
        }
    }

    fn committed(&self, _cursor: u32) -> Outcome<u64> {
        Err("its places cannot be asked for".into())
    }
}
