//! The bare log: one writer, one mapped file, made and touched before; length, checksum, bytes.
//! What mapping costs when nothing else is asked for. A thread syncs it every 10 milliseconds.

use memmap2::MmapMut;
use parking_lot::Mutex;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Does, Kind, Outcome, Peer, Setup, Store};
use crate::event::{Batch, Events, Seen};

pub static PEER: Peer = Peer {
    name: "naive mmap",
    kind: Kind::Bare,
    does: &[
        Does::Append,
        Does::Threads,
        Does::Batches,
        Does::Read,
        Does::Tail,
    ],
    promise: |_| "process crash; power loss, 10 ms",
    note: "a file of 384 MiB, every page touched before; no offsets, no times, \
           no topics, no recovery, and a full file is an error",
    open,
};

const FILE_BYTES: usize = 384 << 20;
const HEADER_BYTES: usize = 8;
const SYNC_EVERY: Duration = Duration::from_millis(10);

struct Log {
    map: MmapMut,
    at: usize,
}

struct Naive {
    log: Arc<Mutex<Log>>,
    stop: Arc<AtomicBool>,
    syncer: Option<std::thread::JoinHandle<()>>,
}

fn open(dir: &Path, _setup: &Setup) -> Outcome<Box<dyn Store>> {
    let path = dir.join("naive.log");
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true);
    let file = options.truncate(false).open(path)?;
    file.set_len(u64::try_from(FILE_BYTES)?)?;
    // SAFETY: the file stands in a directory of this run's own; nobody else maps or changes it.
    let mut map = unsafe { MmapMut::map_mut(&file)? };
    // SAFETY: as above; this second map is only synced, never looked into.
    let sync_map = unsafe { MmapMut::map_mut(&file)? };
    map.fill(0);
    let log = Arc::new(Mutex::new(Log { map, at: 0 }));
    let stop = Arc::new(AtomicBool::new(false));
    let syncer = std::thread::spawn({
        let (log, stop) = (Arc::clone(&log), Arc::clone(&stop));
        move || sync(&log, &sync_map, &stop)
    });
    Ok(Box::new(Naive {
        log,
        stop,
        syncer: Some(syncer),
    }))
}

/// Syncs what was appended since the last time, through a map of its own: no lock is held.
fn sync(log: &Mutex<Log>, map: &MmapMut, stop: &AtomicBool) {
    let mut synced = 0;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(SYNC_EVERY);
        let end = log.lock().at;
        if synced < end && map.flush_range(synced, end - synced).is_ok() {
            synced = end;
        }
    }
}

impl Drop for Naive {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(syncer) = self.syncer.take() {
            let _ = syncer.join();
        }
    }
}

impl Log {
    #[inline]
    fn append(&mut self, event: &[u8]) -> Outcome<()> {
        let end = self.at + HEADER_BYTES + event.len();
        if self.map.len() < end + HEADER_BYTES {
            return Err("the file of the naive log is full".into());
        }
        let frame = &mut self.map[self.at..end];
        frame[HEADER_BYTES..].copy_from_slice(event);
        frame[4..HEADER_BYTES].copy_from_slice(&crc32fast::hash(event).to_le_bytes());
        frame[..4].copy_from_slice(&u32::try_from(event.len())?.to_le_bytes());
        self.at = end;
        Ok(())
    }
}

impl Store for Naive {
    fn append(&self, event: &[u8]) -> Outcome<()> {
        self.log.lock().append(event)
    }

    fn append_batch(&self, batch: &Batch) -> Outcome<()> {
        let mut log = self.log.lock();
        batch.iter().try_for_each(|event| log.append(event))
    }

    fn append_run(&self, mut events: Events) -> Outcome<()> {
        while let Some(event) = events.next() {
            self.log.lock().append(event)?;
        }
        Ok(())
    }

    fn read(&self) -> Outcome<Seen> {
        let log = self.log.lock();
        let (mut seen, mut at) = (Seen::default(), 0);
        loop {
            let header = &log.map[at..at + HEADER_BYTES];
            let length = usize::try_from(u32::from_le_bytes(header[..4].try_into()?))?;
            if length == 0 {
                return Ok(seen);
            }
            let event = &log.map[at + HEADER_BYTES..at + HEADER_BYTES + length];
            if crc32fast::hash(event).to_le_bytes() != header[4..] {
                return Err("a frame of the naive log does not verify".into());
            }
            seen.see(event);
            at += HEADER_BYTES + length;
        }
    }
}
