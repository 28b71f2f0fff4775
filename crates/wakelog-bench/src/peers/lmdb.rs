//! LMDB, through heed: a mapped copy-on-write tree; the key is topic and number.

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, PutFlags, WithoutTls};
use std::ops::Bound;
use std::path::Path;
use std::ptr::NonNull;

use super::{Does, Kind, Outcome, Peer, Setup, Store, Syncs};
use crate::event::{Batch, Seen, key, key_of};

pub static PEER: Peer = Peer {
    name: "LMDB (heed)",
    kind: Kind::Rival,
    does: &[
        Does::Append,
        Does::Batches,
        Does::Durable,
        Does::Read,
        Does::Open,
        Does::Cursors,
        Does::Topics,
    ],
    promise: |sync| match sync {
        Syncs::Background => "process crash",
        Syncs::Each => "each event",
    },
    note: "`NOSYNC` where others sync in the background: a power loss may damage the file; keys \
           that grow are put with `APPEND`; no checksums; a cursor is a key",
    open,
};

const MAP_BYTES: usize = 64 << 30;

type Table = Database<'static, Bytes, Bytes>;

/// An environment that its databases can borrow for as long as they like. Freed with the store.
struct Owned(NonNull<Env<WithoutTls>>);

// SAFETY: it owns an `Env`, which may be sent.
unsafe impl Send for Owned {}
// SAFETY: it hands out shared references alone, and an `Env` may be shared.
unsafe impl Sync for Owned {}

impl Owned {
    fn get(&self) -> &'static Env<WithoutTls> {
        // SAFETY: it came from a box and is freed in `drop` alone; nothing that borrows from it
        // leaves the store, which is used up by then.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: it came from a box, and nobody else frees it.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

struct Tree {
    env: Owned,
    events: Table,
    cursors: Table,
    put: PutFlags,
}

fn open(dir: &Path, setup: &Setup) -> Outcome<Box<dyn Store>> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(MAP_BYTES).max_dbs(2);
    if setup.sync == Syncs::Background {
        // SAFETY: the flag risks the file at a power loss, and the file lives for one measurement.
        unsafe { options.flags(EnvFlags::NO_SYNC) };
    }
    // SAFETY: the directory is this run's own; it is opened once in this process.
    let env = unsafe { options.open(dir)? };
    let env = Owned(NonNull::from(Box::leak(Box::new(env))));
    let write = env.get().write_txn()?;
    let made = env
        .get()
        .create_databases_and_commit(write, |opener, write| {
            let events = opener.create_database::<Bytes, Bytes>(write, Some("events"))?;
            let cursors = opener.create_database::<Bytes, Bytes>(write, Some("cursors"))?;
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit((events, cursors)))
        })?;
    let (events, cursors) = made.commit().ok_or("LMDB made no tables")?;
    let grow = setup.topics <= 1 && !setup.threads;
    Ok(Box::new(Tree {
        env,
        events,
        cursors,
        put: if grow {
            PutFlags::APPEND
        } else {
            PutFlags::empty()
        },
    }))
}

impl Store for Tree {
    fn append(&self, event: &[u8]) -> Outcome<()> {
        let mut write = self.env.get().write_txn()?;
        let key = key_of(event);
        self.events
            .put_with_flags(&mut write, self.put, &key, event)?;
        write.commit()?;
        Ok(())
    }

    fn append_batch(&self, batch: &Batch) -> Outcome<()> {
        let mut write = self.env.get().write_txn()?;
        for event in batch.iter() {
            let key = key_of(event);
            self.events
                .put_with_flags(&mut write, self.put, &key, event)?;
        }
        write.commit()?;
        Ok(())
    }

    fn read(&self) -> Outcome<Seen> {
        let (mut seen, read) = (Seen::default(), self.env.get().read_txn()?);
        for entry in self.events.iter(&read)? {
            seen.see(entry?.1);
        }
        Ok(seen)
    }

    fn read_topic(&self, topic: u32, count: u64) -> Outcome<Seen> {
        let (mut seen, read) = (Seen::default(), self.env.get().read_txn()?);
        let (first, end) = (key(topic, 1), key(topic, count + 1));
        let range = (
            Bound::Included(first.as_slice()),
            Bound::Excluded(end.as_slice()),
        );
        for entry in self.events.range(&read, &range)? {
            seen.see(entry?.1);
        }
        Ok(seen)
    }

    fn commit(&self, cursor: u32, number: u64) -> Outcome<()> {
        let mut write = self.env.get().write_txn()?;
        let key = cursor.to_be_bytes();
        self.cursors.put(&mut write, &key, &number.to_le_bytes())?;
        write.commit()?;
        Ok(())
    }

    fn committed(&self, cursor: u32) -> Outcome<u64> {
        let read = self.env.get().read_txn()?;
        let value = self.cursors.get(&read, &cursor.to_be_bytes())?;
        Ok(u64::from_le_bytes(
            value.ok_or("no such cursor")?.try_into()?,
        ))
    }
}
