//! fjall: a log-structured tree; the key is topic and number.

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use std::path::Path;

use super::{Does, Kind, Outcome, Peer, Setup, Store, Syncs};
use crate::event::{Batch, Seen, key, key_of};

pub static PEER: Peer = Peer {
    name: "fjall",
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
    note: "default options; each event durable is `insert`, then `persist(SyncData)`; a cursor is \
           a key",
    open,
};

struct Tree {
    database: Database,
    events: Keyspace,
    cursors: Keyspace,
    each: bool,
}

fn open(dir: &Path, setup: &Setup) -> Outcome<Box<dyn Store>> {
    let database = Database::builder(dir).open()?;
    Ok(Box::new(Tree {
        events: database.keyspace("events", KeyspaceCreateOptions::default)?,
        cursors: database.keyspace("cursors", KeyspaceCreateOptions::default)?,
        database,
        each: setup.sync == Syncs::Each,
    }))
}

impl Store for Tree {
    fn append(&self, event: &[u8]) -> Outcome<()> {
        self.events.insert(key_of(event), event)?;
        if self.each {
            self.database.persist(PersistMode::SyncData)?;
        }
        Ok(())
    }

    fn append_batch(&self, batch: &Batch) -> Outcome<()> {
        let mut write = self.database.batch();
        for event in batch.iter() {
            write.insert(&self.events, key_of(event), event);
        }
        write.commit()?;
        Ok(())
    }

    fn read(&self) -> Outcome<Seen> {
        let mut seen = Seen::default();
        for entry in self.events.iter() {
            seen.see(&entry.value()?);
        }
        Ok(seen)
    }

    fn read_topic(&self, topic: u32, count: u64) -> Outcome<Seen> {
        let mut seen = Seen::default();
        for entry in self.events.range(key(topic, 1)..key(topic, count + 1)) {
            seen.see(&entry.value()?);
        }
        Ok(seen)
    }

    fn commit(&self, cursor: u32, number: u64) -> Outcome<()> {
        let value = number.to_le_bytes();
        self.cursors.insert(cursor.to_be_bytes(), value)?;
        Ok(())
    }

    fn committed(&self, cursor: u32) -> Outcome<u64> {
        let value = self.cursors.get(cursor.to_be_bytes())?;
        let value = value.ok_or("no such cursor")?;
        Ok(u64::from_le_bytes(value.as_ref().try_into()?))
    }
}
