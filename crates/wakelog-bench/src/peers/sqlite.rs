//! SQLite, through rusqlite, with its write-ahead log; the primary key is topic and number.

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;

use super::{Does, Kind, Outcome, Peer, Setup, Store, Syncs};
use crate::event::{Batch, Seen, number_of, topic_of};

pub static PEER: Peer = Peer {
    name: "SQLite (rusqlite)",
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
        Syncs::Background => "process crash; power loss, at checkpoints",
        Syncs::Each => "each event",
    },
    note: "`journal_mode = WAL`, `synchronous = NORMAL` (`FULL` for each event), prepared \
           statements, a table without rowid; a transaction an append; a cursor is a row",
    open,
};

struct Sqlite(Mutex<Connection>);

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS events (
        topic INTEGER NOT NULL, number INTEGER NOT NULL, payload BLOB NOT NULL,
        PRIMARY KEY (topic, number)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS cursors (id INTEGER PRIMARY KEY, number INTEGER NOT NULL);";
const INSERT: &str = "INSERT INTO events VALUES (?1, ?2, ?3)";
const ALL: &str = "SELECT payload FROM events ORDER BY topic, number";
const ONE_TOPIC: &str = "SELECT payload FROM events WHERE topic = ?1 AND number <= ?2 \
                         ORDER BY number";
const COMMIT: &str = "INSERT INTO cursors VALUES (?1, ?2) \
                      ON CONFLICT (id) DO UPDATE SET number = excluded.number";
const COMMITTED: &str = "SELECT number FROM cursors WHERE id = ?1";

fn open(dir: &Path, setup: &Setup) -> Outcome<Box<dyn Store>> {
    let connection = Connection::open(dir.join("sqlite"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = match setup.sync {
        Syncs::Background => "NORMAL",
        Syncs::Each => "FULL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.execute_batch(TABLES)?;
    Ok(Box::new(Sqlite(Mutex::new(connection))))
}

fn insert(connection: &Connection, event: &[u8]) -> Outcome<()> {
    let mut insert = connection.prepare_cached(INSERT)?;
    let number = i64::try_from(number_of(event))?;
    insert.execute(params![topic_of(event), number, event])?;
    Ok(())
}

impl Store for Sqlite {
    fn append(&self, event: &[u8]) -> Outcome<()> {
        insert(&self.0.lock(), event)
    }

    fn append_batch(&self, batch: &Batch) -> Outcome<()> {
        let mut connection = self.0.lock();
        let write = connection.transaction()?;
        batch.iter().try_for_each(|event| insert(&write, event))?;
        write.commit()?;
        Ok(())
    }

    fn read(&self) -> Outcome<Seen> {
        let connection = self.0.lock();
        let mut all = connection.prepare_cached(ALL)?;
        let (mut seen, mut rows) = (Seen::default(), all.query([])?);
        while let Some(row) = rows.next()? {
            seen.see(row.get_ref(0)?.as_blob()?);
        }
        Ok(seen)
    }

    fn read_topic(&self, topic: u32, count: u64) -> Outcome<Seen> {
        let connection = self.0.lock();
        let mut one = connection.prepare_cached(ONE_TOPIC)?;
        let mut rows = one.query(params![topic, i64::try_from(count)?])?;
        let mut seen = Seen::default();
        while let Some(row) = rows.next()? {
            seen.see(row.get_ref(0)?.as_blob()?);
        }
        Ok(seen)
    }

    fn commit(&self, cursor: u32, number: u64) -> Outcome<()> {
        let connection = self.0.lock();
        let mut commit = connection.prepare_cached(COMMIT)?;
        commit.execute(params![cursor, i64::try_from(number)?])?;
        Ok(())
    }

    fn committed(&self, cursor: u32) -> Outcome<u64> {
        let connection = self.0.lock();
        let mut committed = connection.prepare_cached(COMMITTED)?;
        let number: Option<i64> = committed.query_row([cursor], |row| row.get(0)).optional()?;
        Ok(u64::try_from(number.ok_or("no such cursor")?)?)
    }
}
