//! commitlog: Kafka's files in Rust. One writer, so a lock stands around it.

use commitlog::message::{MessageBuf, MessageSet};
use commitlog::{CommitLog, LogOptions, ReadLimit};
use parking_lot::Mutex;
use std::path::Path;

use super::{Does, Kind, Outcome, Peer, Setup, Store};
use crate::event::{Batch, Seen};

pub static PEER: Peer = Peer {
    name: "commitlog",
    kind: Kind::Rival,
    does: &[
        Does::Append,
        Does::Threads,
        Does::Batches,
        Does::Read,
        Does::Open,
        Does::Tail,
    ],
    promise: |_| "process crash",
    note: "nothing is ever synced: its `flush` flushes a buffer that a file does not have, and \
           only the index is written back. It checks the checksums of what is read; open checks \
           nothing",
    open,
};

const READ_BYTES: usize = 1 << 20;

struct Clog(Mutex<CommitLog>);

fn open(dir: &Path, _setup: &Setup) -> Outcome<Box<dyn Store>> {
    let log = CommitLog::new(LogOptions::new(dir))?;
    Ok(Box::new(Clog(Mutex::new(log))))
}

impl Store for Clog {
    #[inline]
    fn append(&self, event: &[u8]) -> Outcome<()> {
        let appended = self.0.lock().append_msg(event);
        appended.map_err(|error| format!("{error:?}"))?;
        Ok(())
    }

    fn append_batch(&self, batch: &Batch) -> Outcome<()> {
        let mut messages: MessageBuf = batch.iter().collect();
        let appended = self.0.lock().append(&mut messages);
        appended.map_err(|error| format!("{error:?}"))?;
        Ok(())
    }

    fn read(&self) -> Outcome<Seen> {
        let log = self.0.lock();
        let (mut seen, mut next) = (Seen::default(), 0);
        while next < log.next_offset() {
            let messages = log.read(next, ReadLimit::max_bytes(READ_BYTES));
            let messages = messages.map_err(|error| format!("{error:?}"))?;
            let before = next;
            for message in messages.iter() {
                seen.see(message.payload());
                next = message.offset() + 1;
            }
            if next == before {
                return Err(format!("it does not come beyond {next}").into());
            }
        }
        Ok(seen)
    }
}
