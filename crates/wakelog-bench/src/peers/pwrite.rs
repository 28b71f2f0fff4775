//! The bare file: blocks written before, `pwrite` for each event, `fdatasync` after each or every
//! 10 milliseconds. What the disk takes when nothing else is asked for.

use parking_lot::Mutex;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Does, Kind, Outcome, Peer, Setup, Store, Syncs};
use crate::event::Seen;

pub static PEER: Peer = Peer {
    name: "pwrite + fdatasync",
    kind: Kind::Bare,
    does: &[Does::Durable, Does::Tail],
    promise: |sync| match sync {
        Syncs::Background => "process crash; power loss, 10 ms",
        Syncs::Each => "each event",
    },
    note: "a file of 128 MiB whose blocks are written and synced before; no checksum, and no \
           group commit: each event has an fdatasync of its own",
    open,
};

const FILE_BYTES: usize = 128 << 20;
/// Small writes, so that the file's pages stay small: in large folios a sync of one event would
/// write 2 MiB.
const FILL_BYTES: usize = 4 << 10;
const SYNC_EVERY: Duration = Duration::from_millis(10);

struct Pwrite {
    file: Arc<File>,
    end: Mutex<u64>,
    event_bytes: usize,
    each: bool,
    stop: Arc<AtomicBool>,
    syncer: Option<std::thread::JoinHandle<()>>,
}

fn open(dir: &Path, setup: &Setup) -> Outcome<Box<dyn Store>> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true);
    let file = Arc::new(options.truncate(false).open(dir.join("pwrite.log"))?);
    let zeros = vec![0; FILL_BYTES];
    for block in 0..FILE_BYTES / FILL_BYTES {
        file.write_all_at(&zeros, u64::try_from(block * FILL_BYTES)?)?;
    }
    file.sync_all()?;
    let stop = Arc::new(AtomicBool::new(false));
    let each = setup.sync == Syncs::Each;
    let syncer = (!each).then(|| {
        let (file, stop) = (Arc::clone(&file), Arc::clone(&stop));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(SYNC_EVERY);
                let _ = file.sync_data();
            }
        })
    });
    Ok(Box::new(Pwrite {
        file,
        end: Mutex::new(0),
        event_bytes: setup.event_bytes,
        each,
        stop,
        syncer,
    }))
}

impl Drop for Pwrite {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(syncer) = self.syncer.take() {
            let _ = syncer.join();
        }
    }
}

impl Store for Pwrite {
    fn append(&self, event: &[u8]) -> Outcome<()> {
        let at = {
            let mut end = self.end.lock();
            *end += u64::try_from(event.len())?;
            *end - u64::try_from(event.len())?
        };
        self.file.write_all_at(event, at)?;
        if self.each {
            self.file.sync_data()?;
        }
        Ok(())
    }

    fn read(&self) -> Outcome<Seen> {
        let mut seen = Seen::default();
        let mut event = vec![0; self.event_bytes];
        let mut at = 0;
        while at < *self.end.lock() {
            self.file.read_exact_at(&mut event, at)?;
            seen.see(&event);
            at += u64::try_from(self.event_bytes)?;
        }
        Ok(seen)
    }
}
