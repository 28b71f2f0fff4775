//! Copying the cursors while they are used: what is copied is what a kill could have left.
//!
//! No lock is taken. A slot's words are loaded one by one, each whole, and every order in which
//! they can be met is one that open understands. What is not is a slot that was given to another
//! cursor between the copy of the slots and that of the definitions; so definitions that were
//! added meanwhile, and whose slot was not seen with their generation, are left out: their cursors
//! were made later.

use super::chunk;
use super::definitions::{self, Definitions, Seen};
use crate::dir::{self, Directory, RawFile};
use crate::format::{MAX_CHUNKS, SLOT_BYTES, chunk_bytes, definition_padded, place_of, slot_at};
use crate::map::RegionFollower;
use crate::types::{LogId, to_u64};
use std::io;
use std::sync::atomic::Ordering;

/// How often the definitions may be written anew (each time the log is opened or reopened) before
/// the copy gives up.
const TRIES: usize = 10;
const WINDOW: usize = 1 << 20;
const _: () = assert!(WINDOW % SLOT_BYTES == 0);

/// Copies the cursors of the log in `from` into `to`, which has none, and syncs them (not their
/// names). Returns how many bytes those are.
///
/// # Errors
/// `ResourceBusy` when the log is being opened again and again; and what the file system says.
pub(crate) fn copy(from: &dyn Directory, to: &dyn Directory, log: LogId) -> io::Result<u64> {
    for _ in 0..TRIES {
        let before = Prefix::of(open(from, definitions::NAME)?.as_deref(), u64::MAX)?;
        let mut bytes = 0;
        for number in 0..MAX_CHUNKS {
            bytes += copy_chunk(from, to, number)?;
        }
        if let Some(more) = copy_definitions(from, to, &before)? {
            drop_unseen(to, log, before.bytes)?;
            return Ok(bytes + more);
        }
        definitions::remove(to, definitions::NAME)?;
        for number in 0..MAX_CHUNKS {
            definitions::remove(to, &chunk::name_of(number))?;
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// What a file begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Prefix {
    bytes: u64,
    crc: u32,
}

impl Prefix {
    fn of(file: Option<&dyn RawFile>, most: u64) -> io::Result<Prefix> {
        let mut crc = crc32fast::Hasher::new();
        let mut bytes = 0;
        let mut window = vec![0; WINDOW];
        while let Some(file) = file.filter(|_| bytes < most) {
            let wanted = usize::try_from(most - bytes).unwrap_or(WINDOW).min(WINDOW);
            let got = file.read_at(&mut window[..wanted], bytes)?;
            if got == 0 {
                break;
            }
            crc.update(&window[..got]);
            bytes += to_u64(got);
        }
        Ok(Prefix {
            bytes,
            crc: crc.finalize(),
        })
    }
}

/// `None`: it is not there.
pub(super) fn open(dir: &dyn Directory, name: &str) -> io::Result<Option<Box<dyn RawFile>>> {
    match dir.open_file(name, false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

fn copy_chunk(from: &dyn Directory, to: &dyn Directory, number: u16) -> io::Result<u64> {
    let name = chunk::name_of(number);
    let Some(file) = open(from, &name)? else {
        return Ok(0);
    };
    let target = to.create_file(&name)?;
    let bytes = match from.follow_region(&name, chunk_bytes(number)) {
        Ok(map) => copy_words(&map, &*target)?,
        // Too short to hold cursors: as damaged there as here.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => dir::copy(&*file, &*target)?,
        Err(error) => return Err(error),
    };
    target.sync()?;
    Ok(bytes)
}

fn copy_words(map: &RegionFollower, to: &dyn RawFile) -> io::Result<u64> {
    let words = map.region().words();
    let mut window = Vec::with_capacity(WINDOW);
    let mut at = 0;
    while at < words {
        let end = words.min(at + WINDOW);
        window.clear();
        for slot in (at..end).step_by(SLOT_BYTES) {
            let mut bytes = [0; SLOT_BYTES];
            // The last word first: a gap that is kept is not missed beside an ack that ends it.
            let places = bytes.chunks_exact_mut(8).enumerate().rev();
            for (number, place) in places {
                let word = map.region().load_word(slot + 8 * number, Ordering::Acquire);
                place.copy_from_slice(&word.to_le_bytes());
            }
            window.extend_from_slice(&bytes);
        }
        to.write_at(&window, to_u64(at))?;
        at = end;
    }
    Ok(to_u64(words))
}

/// `None`: the file is not the one from `before`, with more behind it.
fn copy_definitions(
    from: &dyn Directory,
    to: &dyn Directory,
    before: &Prefix,
) -> io::Result<Option<u64>> {
    let Some(file) = open(from, definitions::NAME)? else {
        return Ok((before.bytes == 0).then_some(0));
    };
    let target = to.create_file(definitions::NAME)?;
    let bytes = dir::copy(&*file, &*target)?;
    let same = Prefix::of(Some(&*target), before.bytes)? == *before;
    if same {
        target.sync()?;
    }
    Ok(same.then_some(bytes))
}

/// Blanks the definitions from byte `from` on whose slot was not seen with their generation.
fn drop_unseen(to: &dyn Directory, log: LogId, from: u64) -> io::Result<()> {
    let (mut late, mut blank, mut torn) = (Vec::new(), Vec::new(), None);
    Definitions::open(to)?.search(log, |seen| match seen {
        Seen::Damage(at) => torn = Some(at).filter(|at| *at >= from),
        Seen::Definition(position, definition) => {
            let at = definitions::bytes_at(position);
            // It was being written when it was copied.
            blank.extend(torn.take().map(|torn| torn..at));
            if at >= from {
                let end = at + to_u64(definition_padded(definition.bytes()));
                late.push((at..end, definition.head));
            }
        }
    })?;
    for (place, head) in late {
        if generation_of(to, head.slot)? != Some(head.generation) {
            blank.push(place);
        }
    }
    if blank.is_empty() {
        return Ok(());
    }
    let file = to.open_file(definitions::NAME, true)?;
    for place in blank {
        let bytes = usize::try_from(place.end - place.start).map_err(io::Error::other)?;
        file.write_at(&vec![0; bytes], place.start)?;
    }
    file.sync()
}

/// The generation in word 1 of a slot; `None` if its chunk is not there.
fn generation_of(dir: &dyn Directory, slot: u32) -> io::Result<Option<u32>> {
    let Some((number, index)) = place_of(slot) else {
        return Ok(None);
    };
    let Some(chunk) = open(dir, &chunk::name_of(number))? else {
        return Ok(None);
    };
    let mut generation = [0; 4];
    let got = chunk.read_at(&mut generation, to_u64(slot_at(index) + 8))?;
    Ok((got == generation.len()).then(|| u32::from_le_bytes(generation)))
}
