//! Those who are measured: one file each. A peer says what it can do and what it promises, and
//! opens a [`Store`].

mod channel;
mod commitlog;
mod copy_crc;
mod fjall;
mod lmdb;
mod naive;
mod okaywal;
mod pwrite;
mod raft_engine;
mod redb;
mod sqlite;
mod wakelog;
mod walrus;
mod yaque;

use std::any::Any;
use std::path::Path;

use crate::event::{Batch, Events, Seen};

/// Whatever went wrong, in a sentence.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The workloads, by their numbers in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// W1: append, one thread.
    Append,
    /// W2: append, four threads.
    Threads,
    /// W3: append in batches.
    Batches,
    /// W4: each event durable.
    Durable,
    /// W5: read on.
    Read,
    /// W6: tell another thread.
    Wake,
    /// W7: open after a SIGKILL.
    Open,
    /// W8: named cursors.
    Cursors,
    /// W9: one topic of many.
    Topics,
    /// W10: many who wait.
    Waiters,
    /// W11: the tail of append.
    Tail,
}

/// What a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// wakelog.
    Ours,
    /// Keeps events on a disk.
    Rival,
    /// Hands events over in memory.
    Memory,
    /// The machine, with next to nothing on top: no rival, a yardstick.
    Bare,
}

/// When appended events go to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syncs {
    /// In the background, or when the kernel likes.
    Background,
    /// Before the append returns.
    Each,
}

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub sync: Syncs,
    /// Bytes of every event.
    pub event_bytes: usize,
    /// The events are of many topics (W9), and numbered in each from 1 on.
    pub topics: u32,
    /// Several threads append.
    pub threads: bool,
    /// The process will be killed, and nothing may be lost by that.
    pub killed: bool,
    /// Somebody will ask for [`Store::tail`].
    pub tail: bool,
}

impl Setup {
    /// One thread, one topic, synced in the background.
    pub fn plain(event_bytes: usize) -> Setup {
        Setup {
            sync: Syncs::Background,
            event_bytes,
            topics: 1,
            threads: false,
            killed: false,
            tail: false,
        }
    }
}

/// A peer as the tables know it.
pub struct Peer {
    pub name: &'static str,
    pub kind: Kind,
    pub does: &'static [Does],
    /// What an append that has returned survives.
    pub promise: fn(Syncs) -> &'static str,
    /// How it is used, where that is not obvious.
    pub note: &'static str,
    pub open: fn(&Path, &Setup) -> Outcome<Box<dyn Store>>,
}

/// All of them, in the order of the tables.
pub static PEERS: [&Peer; 14] = [
    &wakelog::PEER,
    &walrus::PEER,
    &commitlog::PEER,
    &yaque::PEER,
    &okaywal::PEER,
    &raft_engine::PEER,
    &fjall::PEER,
    &redb::PEER,
    &lmdb::PEER,
    &sqlite::PEER,
    &channel::PEER,
    &copy_crc::PEER,
    &naive::PEER,
    &pwrite::PEER,
];

/// The peer of this name.
pub fn named(name: &str) -> Outcome<&'static Peer> {
    let found = PEERS.iter().find(|peer| peer.name == name);
    Ok(*found.ok_or_else(|| format!("there is no peer {name}"))?)
}

/// What a peer opens. A method that a peer does not have is one that its [`Peer::does`] rules out.
pub trait Store: Send + Sync {
    /// Appends one event.
    fn append(&self, event: &[u8]) -> Outcome<()>;

    /// Appends a run of events one by one: the loop that is timed. It stands here so that each
    /// peer's `append` is called directly, and not once an event through a table of functions.
    fn append_run(&self, mut events: Events) -> Outcome<()> {
        while let Some(event) = events.next() {
            self.append(event)?;
        }
        Ok(())
    }

    /// Appends some events with one call, whole or not at all where the peer knows that.
    fn append_batch(&self, batch: &Batch) -> Outcome<()> {
        batch.iter().try_for_each(|event| self.append(event))
    }

    /// Reads everything from the start on.
    fn read(&self) -> Outcome<Seen>;

    /// Reads the first `count` events of one topic.
    fn read_topic(&self, _topic: u32, _count: u64) -> Outcome<Seen> {
        Err(cannot("read a topic"))
    }

    /// Notes how far a named consumer is. The first time makes it.
    fn commit(&self, _cursor: u32, _number: u64) -> Outcome<()> {
        Err(cannot("commit cursors"))
    }

    /// Notes the same for the consumers `0..cursors`, one by one: the loop that is timed.
    fn commit_run(&self, cursors: u32, number: u64) -> Outcome<()> {
        (0..cursors).try_for_each(|cursor| self.commit(cursor, number))
    }

    /// What was noted last.
    fn committed(&self, _cursor: u32) -> Outcome<u64> {
        Err(cannot("tell cursors"))
    }

    /// A receiver of what is appended from now on.
    fn tail(&self) -> Outcome<Box<dyn Tail>> {
        Err(cannot("be followed"))
    }

    /// Makes `count` waiters, each for another topic than any that is appended; they wait until
    /// what is returned is dropped.
    fn waiters(&self, _count: u32) -> Outcome<Box<dyn Any>> {
        Err(cannot("be waited for"))
    }
}

/// One who follows.
pub trait Tail: Send {
    /// The next event, waiting for it asleep.
    fn sleep(&mut self) -> Outcome<Vec<u8>>;

    /// The next event, waiting for it awake.
    fn spin(&mut self) -> Outcome<Vec<u8>>;
}

fn cannot(what: &str) -> Box<dyn std::error::Error + Send + Sync> {
    format!("this peer cannot {what}").into()
}

/// The names of those that goals speak of.
pub fn copy_crc_name() -> &'static str {
    copy_crc::PEER.name
}

/// See [`copy_crc_name`].
pub fn channel_name() -> &'static str {
    channel::PEER.name
}

/// See [`copy_crc_name`].
pub fn raft_engine_name() -> &'static str {
    raft_engine::PEER.name
}

/// See [`copy_crc_name`].
pub fn lmdb_name() -> &'static str {
    lmdb::PEER.name
}
