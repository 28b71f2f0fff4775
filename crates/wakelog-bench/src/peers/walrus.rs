//! walrus-rust, with its mapped backend, which its own benchmarks show as the faster one.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
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
           away. Reading takes the events out, in batches of 1 MiB, and keeps its place every \
           1,000; while a block is being written its batch read (0.2.0) silently leaves out the \
           rest of the one before, so what was just appended is checked through a second handle. \
           A cursor is a topic of its own, with an event and a read for each commit",
    open,
};

const READ_BYTES: usize = 1 << 20;
const PERSIST_EVERY: u32 = 1_000;

struct Wal {
    wal: Walrus,
    /// To open it again.
    key: String,
    schedule: FsyncSchedule,
    appended: AtomicBool,
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
    Ok(Box::new(Wal {
        wal: walrus(key, schedule)?,
        key: key.to_owned(),
        schedule,
        appended: AtomicBool::new(false),
        topics: (0..setup.topics.max(16)).map(|n| format!("t{n}")).collect(),
    }))
}

fn walrus(key: &str, schedule: FsyncSchedule) -> Outcome<Walrus> {
    let reads = ReadConsistency::AtLeastOnce {
        persist_every: PERSIST_EVERY,
    };
    let make = Walrus::with_consistency_and_schedule_for_key;
    Ok(make(key, reads, schedule)?)
}

fn read_all(wal: &Walrus, topics: &[String]) -> Outcome<Seen> {
    let mut seen = Seen::default();
    for topic in topics {
        loop {
            let entries = wal.batch_read_for_topic(topic, READ_BYTES, true)?;
            if entries.is_empty() {
                break;
            }
            entries.iter().for_each(|entry| seen.see(&entry.data));
        }
    }
    Ok(seen)
}

impl Wal {
    #[inline]
    fn topic(&self, event: &[u8]) -> Outcome<&str> {
        self.appended.store(true, Ordering::Relaxed);
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

    /// While a block is being written, its batch read leaves out the rest of the block before it,
    /// and its single read syncs its place at each event. So after appends this opens a second one
    /// beside it, which takes all blocks for written.
    fn read(&self) -> Outcome<Seen> {
        if self.appended.load(Ordering::Relaxed) {
            read_all(&walrus(&self.key, self.schedule)?, &self.topics)
        } else {
            read_all(&self.wal, &self.topics)
        }
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
