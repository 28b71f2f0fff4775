//! `wakelog.mark`: the durable mark on disk, a lower bound of what is there.

use crate::dir::{Directory, RawFile};
use crate::format::{MARK_FILE_BYTES, Mark};
use crate::types::{LogId, to_u64};
use std::io;

pub(crate) const NAME: &str = "wakelog.mark";

/// The open file. A slot is written only while the other one is on disk, so a torn write leaves
/// that.
#[derive(Debug)]
pub(crate) struct MarkFile {
    file: Box<dyn RawFile>,
    log: LogId,
    sequence: u64,
    /// The slot of `sequence` may not be on disk.
    unsynced: bool,
}

/// The newest mark in the file, if a slot verifies.
pub(crate) fn read(file: &dyn RawFile, log: LogId) -> io::Result<Option<Mark>> {
    let mut bytes = [0; MARK_FILE_BYTES];
    let got = file.read_at(&mut bytes, 0)?;
    Ok(Mark::parse_newest(
        bytes.get(..got).unwrap_or_default(),
        log,
    ))
}

impl MarkFile {
    pub(crate) fn open(dir: &dyn Directory, log: LogId) -> io::Result<(Self, Option<Mark>)> {
        let file = match dir.open_file(NAME, true) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => dir.create_file(NAME)?,
            other => other?,
        };
        let newest = read(&*file, log)?;
        // Both slots have their room from the start: a full disk must not fail a sync.
        let len = file.len()?;
        if let Ok(len @ ..MARK_FILE_BYTES) = usize::try_from(len) {
            let zeros = [0; MARK_FILE_BYTES];
            file.write_at(zeros.get(len..).unwrap_or_default(), to_u64(len))?;
        }
        // The newest slot may not be on disk, and after a failed sync only writing helps.
        if let Some(mark) = newest {
            file.write_at(&mark.slot_bytes(log), Mark::slot_at(mark.sequence))?;
        }
        file.sync()?;
        let opened = Self {
            file,
            log,
            sequence: newest.map_or(0, |mark| mark.sequence),
            unsynced: false,
        };
        Ok((opened, newest))
    }

    /// Writes `mark` (its sequence is not taken) into the older slot, or once more into the newest
    /// as long as that is not on disk. Not on disk before [`MarkFile::sync`].
    pub(crate) fn write(&mut self, mark: Mark) -> io::Result<()> {
        let step = if self.unsynced { 2 } else { 1 };
        let used_up = || io::Error::other("the sequence of the mark is used up");
        self.sequence = self.sequence.checked_add(step).ok_or_else(used_up)?;
        self.unsynced = true;
        let mark = Mark {
            sequence: self.sequence,
            ..mark
        };
        self.file
            .write_at(&mark.slot_bytes(self.log), Mark::slot_at(self.sequence))
    }

    /// Writes `mark` into both slots, one durable before the other is touched.
    pub(crate) fn write_both(&mut self, mark: Mark) -> io::Result<()> {
        self.write(mark)?;
        self.sync()?;
        self.write(mark)?;
        self.sync()
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.file.sync()?;
        self.unsynced = false;
        Ok(())
    }
}
