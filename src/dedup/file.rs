//! `wakelog.ids`: written whole and put in place by a rename, so that a write that is torn leaves
//! the file from before. It says nothing that the log does not say, only sooner.

use crate::dir::{Directory, RawFile};
use crate::format::{EntriesCrc, ID_ENTRY_BYTES, IDS_HEADER, IdEntry, IdsHead};
use crate::types::{Epoch, LogId, to_u64, to_usize};
use std::io;

pub(crate) const NAME: &str = "wakelog.ids";
const NEW: &str = "wakelog.ids.new";

/// Bytes read at a time.
const CHUNK: usize = 4_096 * ID_ENTRY_BYTES;

/// What a file says: all ids of [since, until), the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saved {
    pub(crate) entries: Vec<IdEntry>,
    pub(crate) since: u64,
    pub(crate) until: u64,
    pub(crate) epoch: Epoch,
}

/// Reads at most `most` of the newest entries. `None` if there is no file, or not a good one.
pub(crate) fn read(dir: &dyn Directory, log: LogId, most: u32) -> io::Result<Option<Saved>> {
    match dir.open_file(NAME, false) {
        Ok(file) => read_from(&*file, log, to_usize(most)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::InvalidData => Ok(None),
            _ => Err(error),
        },
    }
}

fn read_from(file: &dyn RawFile, log: LogId, most: usize) -> io::Result<Option<Saved>> {
    let mut header = [0; IDS_HEADER];
    let got = file.read_at(&mut header, 0)?;
    let Some(head) = IdsHead::parse(&header, log).filter(|_| got == IDS_HEADER) else {
        return Ok(None);
    };
    let bytes = to_u64(ID_ENTRY_BYTES) * u64::from(head.count);
    if file.len()? != to_u64(IDS_HEADER) + bytes {
        return Ok(None);
    }
    let mut reading = Reading {
        // What is reserved is bounded by the option, whatever the file says.
        entries: Vec::with_capacity(most.min(to_usize(head.count))),
        most,
        since: head.since,
        below: head.until,
        cut: false,
    };
    let mut sum = EntriesCrc::new(log);
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    while at < bytes {
        let want = usize::try_from(bytes - at).map_or(CHUNK, |rest| rest.min(CHUNK));
        let part = &mut chunk[..want];
        if file.read_at(part, to_u64(IDS_HEADER) + at)? != want {
            return Ok(None);
        }
        sum.add(part);
        let mut entries = part
            .chunks_exact(ID_ENTRY_BYTES)
            .filter_map(<[u8]>::first_chunk);
        if !entries.all(|bytes| reading.take(IdEntry::parse(bytes))) {
            return Ok(None);
        }
        at += to_u64(want);
    }
    let good = sum == head.entries;
    Ok(good.then_some(Saved {
        entries: reading.entries,
        since: reading.since,
        until: head.until,
        epoch: head.epoch,
    }))
}

struct Reading {
    entries: Vec<IdEntry>,
    most: usize,
    since: u64,
    /// The next entry is below this.
    below: u64,
    /// Something was left out.
    cut: bool,
}

impl Reading {
    /// `false`: the entry is out of order.
    fn take(&mut self, entry: IdEntry) -> bool {
        let good = entry.offset < self.below && (self.cut || entry.offset >= self.since);
        self.below = entry.offset;
        if self.entries.len() < self.most {
            self.entries.push(entry);
        } else if !self.cut {
            self.cut = true;
            self.since = entry.offset + 1;
        }
        good
    }
}

/// A file on its way.
#[derive(Debug)]
pub(crate) struct Draft<'d> {
    dir: &'d dyn Directory,
    file: Box<dyn RawFile>,
    log: LogId,
    count: u32,
    sum: EntriesCrc,
}

impl<'d> Draft<'d> {
    pub(crate) fn begin(dir: &'d dyn Directory, log: LogId) -> io::Result<Self> {
        Ok(Self {
            dir,
            file: dir.create_file(NEW)?,
            log,
            count: 0,
            sum: EntriesCrc::new(log),
        })
    }

    /// Adds the next entries, the newest first.
    pub(crate) fn add(&mut self, entries: &[IdEntry]) -> io::Result<()> {
        let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_bytes()).collect();
        let at = IDS_HEADER + to_usize(self.count) * ID_ENTRY_BYTES;
        self.file.write_at(&bytes, to_u64(at))?;
        self.sum.add(&bytes);
        // Bounded by the option.
        self.count += u32::try_from(entries.len()).unwrap_or(u32::MAX);
        Ok(())
    }

    /// Puts it in the place of the one before. Its bytes are on disk then, its name with the next
    /// sync of the directory: an error of that sync is for those whose events rest on it.
    pub(crate) fn finish(self, since: u64, until: u64, epoch: Epoch) -> io::Result<()> {
        let head = IdsHead {
            count: self.count,
            since,
            until,
            epoch,
            entries: self.sum,
        };
        self.file.write_at(&head.to_bytes(self.log), 0)?;
        self.file.sync()?;
        self.dir.rename(NEW, NAME)
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        // One that was not finished keeps no room. A finished one has another name.
        let _ = self.dir.unlink(NEW);
    }
}
