//! yaque: a queue in files. One sender and one receiver, so locks stand around them.

use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use yaque::{Receiver, Sender, TryRecvError};

use super::{Does, Kind, Outcome, Peer, Setup, Store};
use crate::event::{Batch, Events, Seen};

pub static PEER: Peer = Peer {
    name: "yaque",
    kind: Kind::Rival,
    does: &[
        Does::Append,
        Does::Threads,
        Does::Batches,
        Does::Read,
        Does::Open,
        Does::Tail,
    ],
    promise: |_| "process crash, by hand",
    note: "no checksum, never synced; after a SIGKILL it does not open before its recovery \
           module was called, which is in the time. Reading takes the events out, 100 at a time, \
           and deletes their files",
    open,
};

const READ_EVENTS: usize = 100;

struct Queue {
    path: PathBuf,
    sender: Mutex<Sender>,
}

fn open(dir: &Path, setup: &Setup) -> Outcome<Box<dyn Store>> {
    let path = dir.join("queue");
    if setup.killed && path.exists() {
        yaque::recovery::recover(&path)?;
    }
    Ok(Box::new(Queue {
        sender: Mutex::new(Sender::open(&path)?),
        path,
    }))
}

impl Store for Queue {
    #[inline]
    fn append(&self, event: &[u8]) -> Outcome<()> {
        let sent = self.sender.lock().try_send(event);
        sent.map_err(|error| error.unwrap_io())?;
        Ok(())
    }

    fn append_run(&self, mut events: Events) -> Outcome<()> {
        while let Some(event) = events.next() {
            self.append(event)?;
        }
        Ok(())
    }

    fn append_batch(&self, batch: &Batch) -> Outcome<()> {
        let sent = self.sender.lock().try_send_batch(batch.iter());
        sent.map_err(|error| error.unwrap_io())?;
        Ok(())
    }

    fn read(&self) -> Outcome<Seen> {
        let mut receiver = Receiver::open(&self.path)?;
        let mut seen = Seen::default();
        loop {
            match receiver.try_recv_batch_up_to(READ_EVENTS) {
                Ok(events) => {
                    events.iter().for_each(|event| seen.see(event));
                    events.commit()?;
                }
                Err(TryRecvError::QueueEmpty) => return Ok(seen),
                Err(error) => return Err(error.unwrap_io().into()),
            }
        }
    }
}
