//! All cursors at a glance, read from the files without a lock and without changing a byte: so it
//! works beside a writer, in its process and in others.

use super::chunk::name_of;
use super::copy::open;
use super::definitions::{Definitions, Seen};
use crate::dir::{Directory, RawFile};
use crate::format::{
    DefinitionKind, DefinitionRef, MAX_CHUNKS, Meta, SLOT_BYTES, SlotHeader, SlotKey, SlotWord,
    chunk_slots, name_hash, slot_at, slot_number,
};
use crate::types::{to_u64, to_usize};
use std::collections::HashMap;
use std::io;

/// Slots that are read at a time.
const WINDOW: u32 = 16_384;

/// A cursor as it stands in the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) filters: Vec<String>,
    /// `None`: they follow from the filters.
    pub(crate) identities: Option<Vec<String>>,
    pub(crate) slot: u32,
    /// `None`: its words are damaged.
    pub(crate) acked: Option<u64>,
    /// UTC microseconds, if it is known.
    pub(crate) used: Option<u64>,
    /// Microseconds; 0 is for ever.
    pub(crate) time_to_live: u64,
    generation: u32,
    id: u32,
    kind: DefinitionKind,
    /// The slot was met, and has this cursor.
    found: bool,
}

/// The cursors in a directory, by name.
///
/// # Errors
/// What the file system says.
pub(crate) fn list(dir: &dyn Directory, meta: &Meta) -> io::Result<Vec<Listed>> {
    // The definitions first: what is made later is not listed, and a slot that was given to another
    // cursor since has another generation.
    let mut newest: HashMap<u32, Listed> = HashMap::new();
    Definitions::open_to_read(dir)?.search(meta.log, |seen| {
        if let Seen::Definition(_, definition) = seen {
            let this = listed(&definition);
            let known = newest.get(&this.slot);
            if known.is_none_or(|known| (known.generation, known.id) <= (this.generation, this.id))
            {
                newest.insert(this.slot, this);
            }
        }
    })?;
    newest.retain(|_, listed| listed.kind == DefinitionKind::InUse);
    for chunk in 0..MAX_CHUNKS {
        if let Some(file) = open(dir, &name_of(chunk))? {
            read_slots(&*file, chunk, meta, &mut newest)?;
        } else {
            // Its slots are lost, if there were any.
            let slots = slot_number(chunk, 0)..slot_number(chunk + 1, 0);
            let lost = newest
                .values_mut()
                .filter(|listed| slots.contains(&listed.slot));
            lost.for_each(|listed| listed.found = true);
        }
    }
    let mut all: Vec<Listed> = newest.into_values().filter(|listed| listed.found).collect();
    all.sort_unstable_by(|a, b| (&a.name, b.id).cmp(&(&b.name, a.id)));
    // Two of a name are damage; the later one is meant.
    all.dedup_by(|later, kept| later.name == kept.name);
    Ok(all)
}

fn listed(definition: &DefinitionRef<'_>) -> Listed {
    let head = &definition.head;
    Listed {
        name: definition.name.into(),
        filters: definition.filters.map(String::from).collect(),
        identities: definition
            .identities
            .map(|names| names.map(String::from).collect()),
        slot: head.slot,
        acked: None,
        used: None,
        time_to_live: head.time_to_live,
        generation: head.generation,
        id: head.id,
        kind: head.kind,
        found: false,
    }
}

fn read_slots(
    file: &dyn RawFile,
    chunk: u16,
    meta: &Meta,
    cursors: &mut HashMap<u32, Listed>,
) -> io::Result<()> {
    let mut window = Vec::new();
    for first in (0..chunk_slots(chunk)).step_by(to_usize(WINDOW)) {
        let count = WINDOW.min(chunk_slots(chunk) - first);
        window.clear();
        window.resize(to_usize(count) * SLOT_BYTES, 0);
        let got = file.read_at(&mut window, to_u64(slot_at(first)))?;
        window.truncate(got);
        for (index, bytes) in (first..).zip(window.chunks_exact(SLOT_BYTES)) {
            let number = slot_number(chunk, index);
            if let Some(listed) = cursors.get_mut(&number) {
                read_slot(bytes, number, meta, listed);
            }
        }
    }
    Ok(())
}

fn read_slot(bytes: &[u8], number: u32, meta: &Meta, listed: &mut Listed) {
    let word = |index: usize| {
        let rest = bytes.get(index * 8..).unwrap_or_default();
        rest.first_chunk()
            .map_or(0, |word| u64::from_le_bytes(*word))
    };
    let hash = name_hash(&meta.secret, &listed.name);
    let generation = listed.generation;
    let header = SlotHeader::parse([word(0), word(1), word(2)], meta.log, number);
    if header.is_some_and(|header| header != SlotHeader { hash, generation }) {
        return;
    }
    let key = SlotKey::new(number, generation);
    let get = |kind: SlotWord| key.unpack(kind, word(usize::from(kind.number())));
    listed.acked = get(SlotWord::Acked).or_else(|| get(SlotWord::Saved));
    listed.used = get(SlotWord::Used);
    // Without a word that says *in use*, one that has no place is not there.
    listed.found = listed.acked.is_some() || word(2) != 0;
}
