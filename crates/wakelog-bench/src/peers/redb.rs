//! redb: a copy-on-write tree; the key is topic and number, each append a transaction.

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use std::path::Path;

use super::{Does, Kind, Outcome, Peer, Setup, Store, Syncs};
use crate::event::{Batch, Seen, key, key_of};

pub static PEER: Peer = Peer {
    name: "redb",
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
        Syncs::Background => "nothing",
        Syncs::Each => "each event",
    },
    note: "`Durability::None` where others sync in the background: it has nothing between that, \
           which a process crash takes, and a sync of each transaction. Where the process is \
           killed each batch is synced",
    open,
};

const EVENTS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("events");
const CURSORS: TableDefinition<u32, u64> = TableDefinition::new("cursors");

struct Tree {
    database: Database,
    durability: Durability,
}

fn open(dir: &Path, setup: &Setup) -> Outcome<Box<dyn Store>> {
    let database = Database::create(dir.join("redb"))?;
    let write = database.begin_write()?;
    write.open_table(EVENTS)?;
    write.open_table(CURSORS)?;
    write.commit()?;
    let durability = match (setup.sync, setup.killed) {
        (Syncs::Background, false) => Durability::None,
        _ => Durability::Immediate,
    };
    Ok(Box::new(Tree {
        database,
        durability,
    }))
}

impl Tree {
    fn write<'e>(&self, events: impl Iterator<Item = &'e [u8]>) -> Outcome<()> {
        let mut write = self.database.begin_write()?;
        write.set_durability(self.durability)?;
        {
            let mut table = write.open_table(EVENTS)?;
            for event in events {
                table.insert(key_of(event).as_slice(), event)?;
            }
        }
        write.commit()?;
        Ok(())
    }
}

impl Store for Tree {
    fn append(&self, event: &[u8]) -> Outcome<()> {
        self.write(std::iter::once(event))
    }

    fn append_batch(&self, batch: &Batch) -> Outcome<()> {
        self.write(batch.iter())
    }

    fn read(&self) -> Outcome<Seen> {
        let mut seen = Seen::default();
        for entry in self.database.begin_read()?.open_table(EVENTS)?.iter()? {
            seen.see(entry?.1.value());
        }
        Ok(seen)
    }

    fn read_topic(&self, topic: u32, count: u64) -> Outcome<Seen> {
        let mut seen = Seen::default();
        let table = self.database.begin_read()?.open_table(EVENTS)?;
        let (first, end) = (key(topic, 1), key(topic, count + 1));
        for entry in table.range(first.as_slice()..end.as_slice())? {
            seen.see(entry?.1.value());
        }
        Ok(seen)
    }

    fn commit(&self, cursor: u32, number: u64) -> Outcome<()> {
        let mut write = self.database.begin_write()?;
        write.set_durability(self.durability)?;
        write.open_table(CURSORS)?.insert(cursor, number)?;
        write.commit()?;
        Ok(())
    }

    fn committed(&self, cursor: u32) -> Outcome<u64> {
        let table = self.database.begin_read()?.open_table(CURSORS)?;
        Ok(table.get(cursor)?.ok_or("no such cursor")?.value())
    }
}
