//! okaywal: a write-ahead log that syncs each entry, with group commit.

use okaywal::{
    Configuration, Entry, EntryId, LogManager, ReadChunkResult, SegmentReader, WriteAheadLog,
};
use parking_lot::Mutex;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Does, Kind, Outcome, Peer, Setup, Store};
use crate::event::Seen;

pub static PEER: Peer = Peer {
    name: "okaywal",
    kind: Kind::Rival,
    does: &[Does::Durable],
    promise: |_| "each event",
    note: "it knows no other mode. Segments of 64 MiB as ours, preallocated; its default is 1 MiB",
    open,
};

const SEGMENT_BYTES: u32 = 64 << 20;

struct Wal {
    wal: WriteAheadLog,
    seen: Arc<Mutex<Seen>>,
}

/// Sees what recovery finds, and what was checkpointed and thereby leaves the log.
#[derive(Debug)]
struct Manager(Arc<Mutex<Seen>>);

fn open(dir: &Path, _setup: &Setup) -> Outcome<Box<dyn Store>> {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let configuration = Configuration::default_for(dir)
        .preallocate_bytes(SEGMENT_BYTES)
        .checkpoint_after_bytes(u64::from(SEGMENT_BYTES / 4 * 3));
    Ok(Box::new(Wal {
        wal: configuration.open(Manager(Arc::clone(&seen)))?,
        seen,
    }))
}

impl Manager {
    fn see(&self, entry: &mut Entry<'_>) -> io::Result<()> {
        while let ReadChunkResult::Chunk(mut chunk) = entry.read_chunk()? {
            self.0.lock().see(&chunk.read_all()?);
        }
        Ok(())
    }
}

impl LogManager for Manager {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        self.see(entry)
    }

    fn checkpoint_to(
        &mut self,
        _last: EntryId,
        entries: &mut SegmentReader,
        _wal: &WriteAheadLog,
    ) -> io::Result<()> {
        while let Some(mut entry) = entries.read_entry()? {
            self.see(&mut entry)?;
        }
        Ok(())
    }
}

impl Store for Wal {
    fn append(&self, event: &[u8]) -> Outcome<()> {
        let mut entry = self.wal.begin_entry()?;
        entry.write_chunk(event)?;
        entry.commit()?;
        Ok(())
    }

    /// What the log holds is told to its manager alone, so everything is checkpointed.
    fn read(&self) -> Outcome<Seen> {
        self.wal.checkpoint_active()?;
        let wait = std::time::Duration::from_millis(20);
        let mut before = Seen::default();
        for _ in 0..500 {
            std::thread::sleep(wait);
            let now = *self.seen.lock();
            if 0 < now.count && now == before {
                return Ok(now);
            }
            before = now;
        }
        Ok(before)
    }
}
