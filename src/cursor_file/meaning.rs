//! What slots and definitions mean together: the table of `docs/format.md`, section 6.

use super::chunk::{self, Chunks, Slot};
use super::load::{Newest, tell};
use super::saving::generation_of;
use super::slot::Progress;
use super::table::{Entry, NOWHERE, Table};
use crate::error::Corruption;
use crate::format::{DefinitionKind, SlotHeader, SlotKey, SlotWord, place_of};
use crate::types::{LogId, MAX_OFFSET};
use std::collections::{BTreeMap, HashMap};

/// What was found so far.
pub(super) struct Found<'a> {
    pub(super) log: LogId,
    pub(super) chunks: &'a Chunks,
    pub(super) table: Table,
    pub(super) faults: Vec<Corruption>,
    /// Whether a name has met another slot of its own.
    pub(super) met_twice: bool,
    /// Damaged slots of names whose cursor stands in another one and can be used; and the names,
    /// as hashes.
    pub(super) replaced: Vec<(u32, u64)>,
}

/// What the files say.
pub(super) struct Loaded {
    pub(super) table: Table,
    pub(super) faults: Vec<Corruption>,
    /// Bytes of the definitions that hold.
    pub(super) live: u64,
    /// The slots of all cursors that can be used.
    pub(super) used: Vec<u32>,
    /// Generations of free slots that definitions in the file still name.
    pub(super) stale: HashMap<u32, u32>,
    /// Cursors whose creation did not come to its end.
    pub(super) unwritten: Vec<Entry>,
    /// Slots in whose place their name has another one, and generations that the file may say of
    /// them. They are free once that one is on disk: until then they are all that is sure to speak
    /// of the name.
    pub(super) superseded: Vec<(u32, u32)>,
}

/// What a slot with a definition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Cursor {
        unwritten: bool,
    },
    Corrupt,
    Free,
    /// The definition is of another use of the slot than the slot itself.
    NotItsDefinition,
}

impl Found<'_> {
    /// Judges each slot that has a definition, and then the others.
    pub(super) fn load(mut self, mut newest: BTreeMap<u32, Newest>) -> Loaded {
        let (mut used, mut unwritten) = (Vec::new(), Vec::new());
        let (mut stale, mut live) = (HashMap::new(), 0);
        let in_use = |newest: &&Newest| newest.kind == DefinitionKind::InUse;
        self.table.reserve(newest.values().filter(in_use).count());
        newest.retain(|slot, definition| {
            let meaning = self.meaning(*slot, definition);
            let corrupt = meaning == Meaning::Corrupt;
            let entry = Entry {
                slot: *slot,
                position: definition.position,
                corrupt,
            };
            match meaning {
                Meaning::Cursor {
                    unwritten: is_unwritten,
                } => {
                    used.push((*slot, definition.hash, definition.generation));
                    unwritten.extend(is_unwritten.then_some(entry));
                    self.know(definition.hash, entry);
                    live += u64::from(definition.bytes);
                }
                Meaning::Corrupt => {
                    self.tell(*slot, "a cursor whose words verify");
                    self.know(definition.hash, entry);
                    live += u64::from(definition.bytes);
                }
                Meaning::Free => {
                    stale.insert(*slot, definition.generation);
                }
                Meaning::NotItsDefinition => return false,
            }
            true
        });
        self.look_at_the_rest(&newest);
        let mut superseded = self.replaced(&newest);
        let Found {
            table,
            faults,
            met_twice,
            ..
        } = self;
        // A name that was deleted, or had expired, and was made again, when the power went before
        // the first of the two was on disk: the later one holds.
        used.retain(|(slot, hash, generation)| {
            let holds = !met_twice || table.get(*hash).is_some_and(|entry| entry.slot == *slot);
            superseded.extend((!holds).then_some((*slot, *generation)));
            holds
        });
        unwritten.retain(|entry: &Entry| superseded.iter().all(|(slot, _)| *slot != entry.slot));
        let used = used.into_iter().map(|(slot, ..)| slot).collect();
        Loaded {
            table,
            faults,
            live,
            used,
            stale,
            unwritten,
            superseded,
        }
    }

    /// Damaged slots whose name has a cursor in another one, and what the file may say of each.
    fn replaced(&self, newest: &BTreeMap<u32, Newest>) -> Vec<(u32, u32)> {
        let generation = |(slot, _): &(u32, u64)| {
            let (chunk, index) = self.chunks.place_of(*slot)?;
            // Without a definition the slot was damage because its header verifies.
            let named = newest.get(slot).map(|newest| newest.generation);
            let generation = named.unwrap_or_else(|| generation_of(chunk, index));
            Some((*slot, generation))
        };
        self.replaced.iter().filter_map(generation).collect()
    }

    /// The first four rows of the table: there is a good definition.
    fn meaning(&mut self, number: u32, definition: &Newest) -> Meaning {
        let in_use = definition.kind == DefinitionKind::InUse;
        let Some((chunk, index)) = self.chunks.place_of(number) else {
            // A file that should be here is not. Nothing new is put in its place, or else the
            // next open would take this cursor for one that was never made.
            let chunk = place_of(number).filter(|_| in_use);
            chunk
                .into_iter()
                .for_each(|(chunk, _)| self.chunks.set_unusable(chunk));
            return if in_use {
                Meaning::Corrupt
            } else {
                Meaning::Free
            };
        };
        let slot = chunk.slot(index);
        let header = self.header(number, slot);
        let (hash, generation) = (definition.hash, definition.generation);
        let own = SlotHeader { hash, generation };
        if header.is_some_and(|header| header != own) {
            return Meaning::NotItsDefinition;
        }
        if !in_use {
            slot.clear();
            return Meaning::Free;
        }
        let unwritten = slot.load(2) == 0;
        let progress = Progress::new(slot, SlotKey::new(number, generation));
        match (progress.get(SlotWord::Acked), progress.get(SlotWord::Saved)) {
            (Some(_), saved) => {
                if saved.is_none() && !unwritten {
                    self.tell(number, "a saved offset that verifies");
                }
            }
            (None, Some(saved)) => {
                // Of a creation that did not finish, any of the words may be on disk.
                if !unwritten {
                    self.tell(number, "an acked offset that verifies");
                }
                progress.set(SlotWord::Acked, saved);
            }
            (None, None) if unwritten => {
                slot.clear();
                return Meaning::Free;
            }
            (None, None) => return Meaning::Corrupt,
        }
        if progress.get(SlotWord::Kept).is_none() {
            if !unwritten {
                self.tell(number, "the kept end of a gap that verifies");
            }
            progress.set(SlotWord::Kept, 0);
        }
        if progress.time_to_live() != definition.time_to_live.min(MAX_OFFSET) {
            progress.live_for(definition.time_to_live);
        }
        if header.is_none() {
            if !unwritten {
                self.tell(number, "the header of a cursor slot");
            }
            self.mend_header(number, slot, own);
        }
        Meaning::Cursor { unwritten }
    }

    /// The header follows from the definition. Word 2 is stored when the rest is on disk.
    fn mend_header(&self, number: u32, slot: Slot<'_>, header: SlotHeader) {
        let [first, second, _] = header.words(self.log, number);
        slot.store(2, 0);
        slot.store(0, first);
        slot.store(1, second);
    }

    /// The last two rows: there is no good definition.
    fn look_at_the_rest(&mut self, defined: &BTreeMap<u32, Newest>) {
        let chunks = self.chunks;
        // Both in the order of the slots.
        let mut defined = defined.keys().peekable();
        for chunk in chunks.iter() {
            for index in 0..chunk.slots() {
                let number = chunk.slot_number(index);
                let slot = chunk.slot(index);
                while defined.next_if(|other| **other < number).is_some() {}
                if defined.peek() == Some(&&number) || slot.is_zero() {
                    continue;
                }
                match self.header(number, slot) {
                    Some(header) => {
                        self.tell(number, "a cursor with a definition");
                        let entry = Entry {
                            slot: number,
                            position: NOWHERE,
                            corrupt: true,
                        };
                        self.know(header.hash, entry);
                    }
                    None => slot.clear(),
                }
            }
        }
    }

    fn header(&self, number: u32, slot: Slot<'_>) -> Option<SlotHeader> {
        let words = [slot.load(0), slot.load(1), slot.load(2)];
        SlotHeader::parse(words, self.log, number)
    }

    /// Of two slots of one name, one that can be used holds, and of two of these the one that was
    /// defined later. Beside damage the other one is damage too.
    fn know(&mut self, hash: u64, entry: Entry) {
        let known = self.table.get(hash);
        self.met_twice |= known.is_some();
        let worth = |entry: &Entry| (!entry.corrupt, entry.position);
        let holds = known.is_none_or(|known| worth(&known) < worth(&entry));
        let other = if holds { known } else { Some(entry) };
        if holds {
            self.table.insert(hash, entry);
        }
        let holder = if holds { Some(entry) } else { known };
        if let Some(other) = other.filter(|other| other.corrupt || entry.corrupt) {
            self.tell(other.slot, "one cursor of a name");
            if other.corrupt && holder.is_some_and(|holder| !holder.corrupt) {
                self.replaced.push((other.slot, hash));
            }
        }
    }

    fn tell(&mut self, slot: u32, expected: &'static str) {
        tell(&mut self.faults, chunk::corruption(slot, expected));
    }
}
