//! Looking at the cursors of a log that somebody else may be writing: what is damaged?

use super::chunk;
use super::definitions::{self, Definitions};
use super::load::{Newest, newest, tell};
use crate::dir::{Directory, RawFile};
use crate::error::{Corruption, OpenError};
use crate::format::{
    CHUNK_PAGE_BYTES, ChunkFault, ChunkPage, DefinitionKind, MAX_CHUNKS, Meta, SECTOR, SLOT_BYTES,
    SlotHeader, SlotKey, SlotWord, VERSION, chunk_bytes, chunk_slots, place_of, slot_at,
    slot_number,
};
use crate::types::{LogId, to_u64};
use std::collections::BTreeMap;
use std::io;

/// Slots that are read by one call.
const SLOTS_AT_ONCE: usize = 1_024;

/// Damage in the files of the cursors, at most a thousand faults. Nothing is changed.
///
/// # Errors
/// [`OpenError::Foreign`] and [`OpenError::Newer`] for slots of another log or release, and what
/// the file system says.
pub(crate) fn check(dir: &dyn Directory, meta: &Meta) -> Result<Vec<Corruption>, OpenError> {
    let io = |name: &str| {
        let path = dir.path().join(name);
        move |error| OpenError::from_io(path, "read", error)
    };
    let mut faults = Vec::new();
    let mut definitions = Definitions::open_to_read(dir).map_err(io(definitions::NAME))?;
    let defined = newest(&mut definitions, meta.log, &meta.secret, &mut faults)
        .map_err(io(definitions::NAME))?;
    let entries = dir.list().map_err(io(""))?;
    for number in 0..MAX_CHUNKS {
        let name = chunk::name_of(number);
        let named = defined.iter().any(|(slot, newest)| {
            let chunk = place_of(*slot).map(|(chunk, _)| chunk);
            chunk == Some(number) && newest.kind == DefinitionKind::InUse
        });
        let whole = entries.iter().find(|entry| entry.name == name);
        let whole = whole.filter(|entry| entry.file && entry.bytes >= to_u64(chunk_bytes(number)));
        if whole.is_some() {
            let file = dir.open_file(&name, false).map_err(io(&name))?;
            refuse(&*file, &name, meta.log)?;
            check_chunk(&*file, number, meta.log, &defined, named, &mut faults)
                .map_err(io(&name))?;
        } else if named {
            // One that is not named is being made: its definitions come after it.
            tell(
                &mut faults,
                fault(number, 0, "a whole chunk of cursor slots"),
            );
        }
    }
    Ok(faults)
}

/// Slots of another log or release, which nobody opens.
fn refuse(file: &dyn RawFile, name: &str, log: LogId) -> Result<(), OpenError> {
    let mut page = [0; CHUNK_PAGE_BYTES];
    // What cannot be read is told with the slots.
    let _ = file.read_at(&mut page, 0);
    match ChunkPage::parse(&page) {
        Ok(page) if page.log != log => Err(OpenError::Foreign { file: name.into() }),
        Err(ChunkFault::Newer(found)) => Err(OpenError::Newer {
            file: name.into(),
            found,
            supported: VERSION,
        }),
        _ => Ok(()),
    }
}

fn check_chunk(
    file: &dyn RawFile,
    number: u16,
    log: LogId,
    defined: &BTreeMap<u32, Newest>,
    named: bool,
    faults: &mut Vec<Corruption>,
) -> io::Result<()> {
    let mut page = [0; CHUNK_PAGE_BYTES];
    file.read_at(&mut page, 0)?;
    // Its first bytes come a moment after its length.
    if !named && page.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    for at in [0, SECTOR] {
        let copy = ChunkPage::parse(&page[at..at + SECTOR]);
        if !copy.is_ok_and(|page| page.log == log && page.chunk == number) {
            let expected = "a copy of the page of a chunk of cursor slots";
            tell(faults, fault(number, at, expected));
        }
    }
    let mut bytes = vec![0; SLOTS_AT_ONCE * SLOT_BYTES];
    for first in (0..chunk_slots(number)).step_by(SLOTS_AT_ONCE) {
        let got = file.read_at(&mut bytes, to_u64(slot_at(first)))?;
        for (index, slot) in (first..).zip(bytes[..got].chunks_exact(SLOT_BYTES)) {
            let slot_number = slot_number(number, index);
            let newest = defined.get(&slot_number);
            if let Some(expected) = check_slot(slot, slot_number, log, newest) {
                tell(faults, fault(number, slot_at(index), expected));
            }
        }
    }
    Ok(())
}

/// What of a slot does not verify.
fn check_slot(
    bytes: &[u8],
    number: u32,
    log: LogId,
    newest: Option<&Newest>,
) -> Option<&'static str> {
    let words: Vec<u64> = bytes
        .chunks_exact(8)
        .map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()))
        .collect();
    let word = |at: u8| words.get(usize::from(at)).copied().unwrap_or_default();
    // Word 2 comes last: without it the slot is free, or its creation did not finish, or is under
    // way.
    if word(2) == 0 {
        return None;
    }
    let header = SlotHeader::parse([word(0), word(1), word(2)], log, number);
    let Some(header) = header else {
        return Some("the header of a cursor slot");
    };
    let fits =
        |newest: &&Newest| (newest.hash, newest.generation) == (header.hash, header.generation);
    match newest.filter(fits) {
        None => return Some("a cursor with a definition"),
        // The slot is about to be cleared, here or at the next open.
        Some(newest) if newest.kind == DefinitionKind::Deleted => return None,
        Some(_) => {}
    }
    let key = SlotKey::new(number, header.generation);
    let good = |kind: SlotWord| key.unpack(kind, word(kind.number())).is_some();
    if !good(SlotWord::Acked) {
        return Some("an acked offset that verifies");
    }
    if !good(SlotWord::Saved) {
        return Some("a saved offset that verifies");
    }
    (!good(SlotWord::Kept)).then_some("the kept end of a gap that verifies")
}

fn fault(chunk: u16, position: usize, expected: &'static str) -> Corruption {
    Corruption {
        file: chunk::name_of(chunk),
        offset: None,
        position: to_u64(position),
        expected,
    }
}
