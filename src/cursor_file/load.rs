//! Opening: reading what stands on disk, and mending it once `meaning` has said what it is.

use super::chunk::{self, Chunk, Chunks};
use super::definitions::{self, Definitions, Seen};
use super::dirty::Dirty;
use super::meaning::{Found, Loaded};
use super::table::Table;
use super::{CursorFile, Inner, State};
use crate::dir::Directory;
use crate::error::{Corruption, OpenError};
use crate::format::{
    ChunkFault, ChunkPage, DefinitionKind, DefinitionRef, MAX_CHUNKS, Meta, VERSION, chunk_bytes,
    definition_padded, name_hash, place_of,
};
use crate::sync::Mutex;
use crate::types::{LogId, to_u64};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// How many faults an open tells; each cursor tells its own when it is opened, too.
const MOST_FAULTS: usize = 1_000;
/// A file of definitions that is shorter is not worth compacting.
const COMPACTED_BYTES: u64 = 64 << 10;

impl CursorFile {
    /// Opens the cursors of a log that ends at `end`. What had to be mended is on disk before
    /// this returns. Nothing is made where there are no cursors.
    ///
    /// # Errors
    /// [`OpenError::Foreign`] and [`OpenError::Newer`] for a file of another log or release, and
    /// what the file system says. Damage is not an error: it is told, and the other cursors work.
    pub(crate) fn open(
        dir: Arc<dyn Directory>,
        meta: &Meta,
        end: u64,
        max_cursors: u32,
    ) -> Result<(CursorFile, Vec<Corruption>), OpenError> {
        let (log, secret) = (meta.log, meta.secret);
        let mut faults = Vec::new();
        let chunks = open_chunks(&*dir, log, &mut faults)?;
        let path = dir.path().to_path_buf();
        let failed = |error| OpenError::from_io(&path, "read the cursors in", error);
        let mut definitions = Definitions::open(&*dir).map_err(failed)?;
        let newest = newest(&mut definitions, log, &secret, &mut faults).map_err(failed)?;

        let found = Found {
            log,
            chunks: &chunks,
            table: Table::default(),
            faults,
            met_twice: false,
            replaced: Vec::new(),
        };
        let mut loaded = found.load(newest);
        let faults = std::mem::take(&mut loaded.faults);
        let state = State {
            table: std::mem::take(&mut loaded.table),
            definitions,
            next_slot: 0,
            free: Vec::new(),
            stale: std::mem::take(&mut loaded.stale),
            unfinished: Vec::new(),
            retiring: Vec::new(),
            tombs: Vec::new(),
            ticked: Vec::new(),
        };
        let inner = Inner {
            dir,
            log,
            secret,
            max_cursors,
            chunks,
            state: Mutex::new(state),
            saving: Mutex::new(()),
            dirty: Dirty::default(),
        };
        let failed = |error| OpenError::from_io(&path, "mend the cursors in", error);
        inner.mend(&loaded, end).map_err(failed)?;
        Ok((
            CursorFile {
                inner: Arc::new(inner),
            },
            faults,
        ))
    }
}

impl Inner {
    /// Brings the cursors in a state in which they may be used, on disk.
    fn mend(&self, loaded: &Loaded, end: u64) -> io::Result<()> {
        let Loaded {
            unwritten,
            superseded,
            ..
        } = loaded;
        let mut state = self.state.lock();
        // The definition of a slot that is not cleared yet must not go.
        let worth_it = superseded.is_empty()
            && state.definitions.bytes() > COMPACTED_BYTES.max(2 * loaded.live);
        if !(worth_it && self.try_compact(&mut state)?) {
            // A creation that did not come to its end may be one whose sync has failed: then the
            // kernel holds for clean what is not on the disk.
            for entry in unwritten {
                state.definitions.rewrite(entry.position)?;
            }
            if let Some(file) = state.definitions.take_unsynced() {
                file.sync()?;
            }
        }
        for entry in unwritten {
            if let Some((chunk, index)) = self.chunks.place_of(entry.slot) {
                chunk.rewrite(index, index)?;
            }
        }
        self.settle(&loaded.used, end)?;
        self.free(superseded)?;
        state.stale.extend(superseded.iter().copied());
        Ok(())
    }

    /// Compacts the definitions; `false` if there is no room, which is no reason not to open.
    fn try_compact(&self, state: &mut State) -> io::Result<bool> {
        match self.compact(state) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::QuotaExceeded => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn open_chunks(
    dir: &dyn Directory,
    log: LogId,
    faults: &mut Vec<Corruption>,
) -> Result<Chunks, OpenError> {
    let chunks = Chunks::default();
    let entries = dir
        .list()
        .map_err(|error| OpenError::from_io(dir.path(), "list", error))?;
    for number in 0..MAX_CHUNKS {
        let file = chunk::name_of(number);
        let Some(entry) = entries.iter().find(|entry| entry.name == file) else {
            continue;
        };
        let fault = |position, expected| Corruption {
            file: file.clone(),
            offset: None,
            position,
            expected,
        };
        let bytes = chunk_bytes(number);
        if !entry.file || entry.bytes < to_u64(bytes) {
            chunks.set_unusable(number);
            faults.push(fault(entry.bytes, "a whole chunk of cursor slots"));
            continue;
        }
        let map = dir.open_region(&file, bytes);
        let map = map.map_err(|error| OpenError::from_io(dir.path().join(&file), "map", error))?;
        let chunk = Chunk::new(number, map);
        match ChunkPage::parse(&chunk.page()) {
            Ok(page) if page.log != log => return Err(OpenError::Foreign { file }),
            Ok(page) if page.chunk == number => {}
            Err(ChunkFault::Newer(found)) => {
                return Err(OpenError::Newer {
                    file,
                    found,
                    supported: VERSION,
                });
            }
            // The slots are bound to log and number themselves.
            Ok(_) | Err(ChunkFault::NotOurs | ChunkFault::Damaged) => {
                faults.push(fault(0, "the page of a chunk of cursor slots"));
            }
        }
        chunks.add(chunk);
    }
    Ok(chunks)
}

/// The definition that holds for a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newest {
    pub(super) generation: u32,
    pub(super) id: u32,
    pub(super) position: u32,
    pub(super) hash: u64,
    pub(super) bytes: u32,
    pub(super) time_to_live: u64,
    pub(super) kind: DefinitionKind,
}

/// Of each slot the definition with the highest generation, and of that the highest id. In the
/// order of the slots, so that whoever goes through them goes through the slots' files.
pub(super) fn newest(
    definitions: &mut Definitions,
    log: LogId,
    secret: &[u8; 16],
    faults: &mut Vec<Corruption>,
) -> io::Result<BTreeMap<u32, Newest>> {
    let mut newest: BTreeMap<u32, Newest> = BTreeMap::new();
    definitions.search(log, |seen| match seen {
        Seen::Damage(at) => tell(faults, definitions::damaged_at(at)),
        Seen::Definition(position, definition) => {
            let DefinitionRef { head, name, .. } = definition;
            let bytes = u32::try_from(definition_padded(definition.bytes())).unwrap_or(0);
            let hash = name_hash(secret, name);
            let (generation, id, kind) = (head.generation, head.id, head.kind);
            let this = Newest {
                generation,
                id,
                position,
                hash,
                bytes,
                time_to_live: head.time_to_live,
                kind,
            };
            let known = newest.entry(head.slot).or_insert(this);
            if (known.generation, known.id) <= (generation, id) {
                *known = this;
            }
        }
    })?;
    newest.retain(|slot, _| place_of(*slot).is_some());
    Ok(newest)
}

pub(super) fn tell(faults: &mut Vec<Corruption>, fault: Corruption) {
    if faults.len() < MOST_FAULTS {
        faults.push(fault);
    }
}
