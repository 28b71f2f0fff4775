//! `cursors.defs`: appended to, searched once at open, compacted by rename.

use crate::dir::{Directory, RawFile};
use crate::error::Corruption;
use crate::format::{
    DEFINITION_ALIGNMENT, DEFINITION_HEADER, DefinitionHead, DefinitionRef, MAX_DEFINITION_BYTES,
    definition_length, definition_padded,
};
use crate::types::{FilterSet, LogId, to_u64};
use std::io;
use std::sync::Arc;

pub(super) const NAME: &str = "cursors.defs";
const NEW: &str = "cursors.defs.new";

/// How much of the file is in memory while it is searched or copied.
const WINDOW: usize = 1 << 20;
const _: () = assert!(WINDOW >= 2 * MAX_DEFINITION_BYTES);
/// How much is read to find one definition; nearly all are shorter.
const FIRST_READ: usize = 512;
const UNIT: u64 = 64;
const _: () = assert!(DEFINITION_ALIGNMENT == 64);

/// Damage of the definition at this place.
pub(super) fn corruption(position: u32) -> Corruption {
    damaged_at(u64::from(position) * UNIT)
}

/// Where the definition at this place begins, in bytes.
pub(super) fn bytes_at(position: u32) -> u64 {
    u64::from(position) * UNIT
}

pub(super) fn damaged_at(at: u64) -> Corruption {
    let expected = "the definition of a cursor";
    Corruption {
        file: NAME.into(),
        offset: None,
        position: at,
        expected,
    }
}

/// The open file, if there is one yet.
#[derive(Debug)]
pub(super) struct Definitions {
    file: Option<Arc<dyn RawFile>>,
    /// Where the next record goes, a multiple of the alignment.
    end: u64,
    /// Up to here stands what is left of appends that were not finished, if that is behind `end`.
    rests: u64,
    next_id: u32,
    unsynced: bool,
}

/// What a search meets.
pub(super) enum Seen<'a> {
    /// A definition, and its place in units of the alignment.
    Definition(u32, DefinitionRef<'a>),
    /// Bytes that are no definition, with definitions behind them.
    Damage(u64),
}

impl Definitions {
    pub(super) fn open(dir: &dyn Directory) -> io::Result<Definitions> {
        remove(dir, NEW)?;
        let file = match dir.open_file(NAME, true) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            other => Some(Arc::from(other?)),
        };
        Ok(Definitions {
            file,
            end: 0,
            rests: 0,
            next_id: 1,
            unsynced: false,
        })
    }

    /// Opens the file to be searched, while somebody else may be writing it.
    pub(super) fn open_to_read(dir: &dyn Directory) -> io::Result<Definitions> {
        let file = match dir.open_file(NAME, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            other => Some(Arc::from(other?)),
        };
        Ok(Definitions {
            file,
            end: 0,
            rests: 0,
            next_id: 1,
            unsynced: false,
        })
    }

    /// Bytes of the file up to where the next record goes.
    pub(super) fn bytes(&self) -> u64 {
        self.end
    }

    /// Looks at the whole file once, and finds where it goes on.
    pub(super) fn search(&mut self, log: LogId, mut visit: impl FnMut(Seen<'_>)) -> io::Result<()> {
        let Some(file) = self.file.clone() else {
            return Ok(());
        };
        let mut window = Window::new(&*file)?;
        let mut damage = None;
        let mut at = 0;
        while at < window.len {
            let head = window.at(at, DEFINITION_HEADER)?;
            let record = match definition_length(head) {
                Some(length) => window.at(at, length)?,
                None => head,
            };
            let unit = at / UNIT;
            let found = u32::try_from(unit)
                .ok()
                .zip(DefinitionRef::parse(record, log));
            if let Some((position, definition)) = found {
                damage
                    .take()
                    .into_iter()
                    .for_each(|at| visit(Seen::Damage(at)));
                self.next_id = self.next_id.max(definition.head.id.saturating_add(1));
                visit(Seen::Definition(position, definition));
                let length = definition_length(record).unwrap_or(DEFINITION_ALIGNMENT);
                at += to_u64(definition_padded(length));
                self.end = at;
                continue;
            }
            let unit = &record[..record.len().min(DEFINITION_ALIGNMENT)];
            if damage.is_none() && unit.iter().any(|byte| *byte != 0) {
                damage = Some(at);
            }
            at += UNIT;
        }
        // What stands behind the last definition is an append that was not finished.
        self.rests = damage.map_or(self.end, |_| window.len);
        Ok(())
    }

    /// Hands the definition at this place to `look`; `None` if there is none.
    pub(super) fn read<T>(
        &self,
        position: u32,
        log: LogId,
        look: impl FnOnce(&DefinitionRef<'_>) -> T,
    ) -> io::Result<Option<T>> {
        let bytes = self.read_raw(position)?;
        Ok(DefinitionRef::parse(&bytes, log).map(|definition| look(&definition)))
    }

    fn read_raw(&self, position: u32) -> io::Result<Vec<u8>> {
        let Some(file) = &self.file else {
            return Ok(Vec::new());
        };
        let at = u64::from(position) * UNIT;
        let mut bytes = vec![0; FIRST_READ];
        let got = file.read_at(&mut bytes, at)?;
        bytes.truncate(got);
        if let Some(length) = definition_length(&bytes).filter(|length| *length > got) {
            bytes.resize(length, 0);
            let got = file.read_at(&mut bytes, at)?;
            bytes.truncate(got);
        }
        Ok(bytes)
    }

    /// Adds a definition, whose id is given here, and returns its place.
    pub(super) fn append(
        &mut self,
        dir: &dyn Directory,
        head: DefinitionHead,
        name: &str,
        filters: &FilterSet,
        log: LogId,
    ) -> io::Result<u32> {
        let position = u32::try_from(self.end / UNIT).map_err(io::Error::other)?;
        let head = DefinitionHead {
            id: self.next_id,
            ..head
        };
        let mut record = Vec::new();
        head.encode(name, filters, log, &mut record);
        let (end, rests) = (self.end, self.rests);
        // What it leaves if it fails halfway.
        self.rests = rests.max(end + to_u64(record.len()));
        let file = self.file(dir)?;
        if rests > end {
            // Else a part of this record, over what is left of another, could make that one whole.
            file.write_at(&vec![0; usize::try_from(rests - end).unwrap_or(0)], end)?;
            file.sync()?;
        }
        file.write_at(&record, end)?;
        self.unsynced = true;
        self.end += to_u64(record.len());
        self.rests = self.end;
        self.next_id = self.next_id.saturating_add(1);
        Ok(position)
    }

    fn file(&mut self, dir: &dyn Directory) -> io::Result<&dyn RawFile> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let file = dir.create_file(NAME)?;
                if let Err(error) = dir.sync() {
                    // The caller hears of the error; without its name the file is of no use.
                    let _ = dir.unlink(NAME);
                    return Err(error);
                }
                Arc::from(file)
            }
        };
        Ok(&**self.file.insert(file))
    }

    /// The file, if it has something that is not on the disk. The caller syncs it.
    pub(super) fn take_unsynced(&mut self) -> Option<Arc<dyn RawFile>> {
        std::mem::take(&mut self.unsynced)
            .then(|| self.file.clone())
            .flatten()
    }

    /// Writes a record again with the same bytes: after a failed sync the kernel may hold it for
    /// clean.
    pub(super) fn rewrite(&mut self, position: u32) -> io::Result<()> {
        let bytes = self.read_raw(position)?;
        let length = definition_length(&bytes).unwrap_or(0).min(bytes.len());
        if let Some(file) = &self.file {
            file.write_at(&bytes[..length], u64::from(position) * UNIT)?;
            self.unsynced = true;
        }
        Ok(())
    }

    /// Writes the definitions at these rising places into a new file, which takes the place of
    /// the old one, on disk. Calls `moved` with each old and new place.
    ///
    /// # Errors
    /// What the file system says. Whichever file has the name then is whole.
    pub(super) fn compact(
        &mut self,
        dir: &dyn Directory,
        positions: impl Iterator<Item = u32>,
        mut moved: impl FnMut(u32, u32),
    ) -> io::Result<()> {
        let Some(old) = self.file.clone() else {
            return Ok(());
        };
        remove(dir, NEW)?;
        let new: Arc<dyn RawFile> = Arc::from(dir.create_file(NEW)?);
        let mut places = Vec::new();
        let copied = copy(&*old, &*new, positions, &mut places);
        let renamed = copied.and_then(|end| {
            new.sync()?;
            dir.rename(NEW, NAME)?;
            Ok(end)
        });
        let end = renamed.inspect_err(|_| {
            // The old file holds. The caller hears of the error; this one only takes room.
            let _ = dir.unlink(NEW);
        })?;
        (self.file, self.end, self.unsynced) = (Some(new), end, false);
        self.rests = end;
        places.into_iter().for_each(|(from, to)| moved(from, to));
        dir.sync()
    }
}

/// Copies the records at these rising places, notes where each went, and says where they end.
fn copy(
    old: &dyn RawFile,
    new: &dyn RawFile,
    positions: impl Iterator<Item = u32>,
    places: &mut Vec<(u32, u32)>,
) -> io::Result<u64> {
    let mut window = Window::new(old)?;
    let mut buffer = Vec::new();
    let mut end = 0;
    for position in positions {
        let at = u64::from(position) * UNIT;
        let Some(length) = definition_length(window.at(at, DEFINITION_HEADER)?) else {
            continue;
        };
        let to = (end + to_u64(buffer.len())) / UNIT;
        places.push((position, u32::try_from(to).map_err(io::Error::other)?));
        let begin = buffer.len();
        let record = window.at(at, length)?;
        buffer.extend_from_slice(&record[..length.min(record.len())]);
        buffer.resize(begin + definition_padded(length), 0);
        if buffer.len() >= WINDOW {
            new.write_at(&buffer, end)?;
            end += to_u64(buffer.len());
            buffer.clear();
        }
    }
    new.write_at(&buffer, end)?;
    Ok(end + to_u64(buffer.len()))
}

/// Takes a file away, if it is there.
pub(super) fn remove(dir: &dyn Directory, name: &str) -> io::Result<()> {
    match dir.unlink(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A part of a file in memory, read on as it is asked for.
struct Window<'f> {
    file: &'f dyn RawFile,
    len: u64,
    bytes: Vec<u8>,
    /// Where in the file `bytes` begins.
    begin: u64,
}

impl<'f> Window<'f> {
    fn new(file: &'f dyn RawFile) -> io::Result<Window<'f>> {
        Ok(Window {
            file,
            len: file.len()?,
            bytes: Vec::new(),
            begin: 0,
        })
    }

    /// The bytes from `at` on: at least `need` of them, unless the file ends before. `need` is at
    /// most the longest definition.
    fn at(&mut self, at: u64, need: usize) -> io::Result<&[u8]> {
        let have = self.begin + to_u64(self.bytes.len());
        let wanted = (at + to_u64(need)).min(self.len);
        if at < self.begin || wanted > have {
            let left = self.len.saturating_sub(at).min(to_u64(WINDOW));
            self.bytes
                .resize(usize::try_from(left).unwrap_or(WINDOW), 0);
            let got = self.file.read_at(&mut self.bytes, at)?;
            self.bytes.truncate(got);
            self.begin = at;
        }
        let from = usize::try_from(at - self.begin).unwrap_or(usize::MAX);
        Ok(self.bytes.get(from..).unwrap_or_default())
    }
}
