//! crossbeam's bounded channel: what it costs to hand an event to another thread in memory.

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use parking_lot::Mutex;
use std::path::Path;
use std::thread::JoinHandle;

use super::{Does, Kind, Outcome, Peer, Setup, Store, Tail};
use crate::event::Seen;

pub static PEER: Peer = Peer {
    name: "crossbeam channel",
    kind: Kind::Memory,
    does: &[Does::Append, Does::Threads, Does::Wake],
    promise: |_| "nothing",
    note: "bounded to 1 MiB of events, which lie in the channel itself, without an allocation; \
           for appends another thread takes them out as fast as it can, and the time is the \
           sender's",
    open,
};

/// What stays in a cache: a longer channel is a slower one.
const CHANNEL_BYTES: usize = 1 << 20;

struct Channel<const N: usize> {
    sender: Sender<[u8; N]>,
    receiver: Receiver<[u8; N]>,
    drain: Mutex<Option<JoinHandle<Seen>>>,
}

fn open(_dir: &Path, setup: &Setup) -> Outcome<Box<dyn Store>> {
    match setup.event_bytes {
        16 => channel::<16>(setup),
        100 => channel::<100>(setup),
        1024 => channel::<1024>(setup),
        other => Err(format!("no channel for events of {other} bytes").into()),
    }
}

fn channel<const N: usize>(setup: &Setup) -> Outcome<Box<dyn Store>> {
    let (sender, receiver) = bounded::<[u8; N]>(CHANNEL_BYTES / N);
    let drain = (!setup.tail).then(|| {
        let receiver = receiver.clone();
        std::thread::spawn(move || {
            let mut seen = Seen::default();
            // An empty event ends it: senders stay, so the channel does not close by itself.
            while let Ok(event) = receiver.recv() {
                if event == [0; N] {
                    break;
                }
                seen.see(&event);
            }
            seen
        })
    });
    Ok(Box::new(Channel {
        sender,
        receiver,
        drain: Mutex::new(drain),
    }))
}

impl<const N: usize> Store for Channel<N> {
    #[inline]
    fn append(&self, event: &[u8]) -> Outcome<()> {
        let event: [u8; N] = event.try_into()?;
        self.sender.send(event).map_err(|_| "nobody receives")?;
        Ok(())
    }

    fn read(&self) -> Outcome<Seen> {
        self.sender.send([0; N]).map_err(|_| "nobody receives")?;
        let drain = self.drain.lock().take();
        let drain = drain.ok_or("nobody drains this channel")?;
        Ok(drain.join().map_err(|_| "the receiver panicked")?)
    }

    fn tail(&self) -> Outcome<Box<dyn Tail>> {
        Ok(Box::new(End(self.receiver.clone())))
    }
}

struct End<const N: usize>(Receiver<[u8; N]>);

impl<const N: usize> Tail for End<N> {
    fn sleep(&mut self) -> Outcome<Vec<u8>> {
        Ok(self.0.recv()?.to_vec())
    }

    fn spin(&mut self) -> Outcome<Vec<u8>> {
        loop {
            match self.0.try_recv() {
                Ok(event) => return Ok(event.to_vec()),
                Err(TryRecvError::Empty) => std::hint::spin_loop(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
