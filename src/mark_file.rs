//! `wakelog.mark`: the durable mark on disk, a lower bound of what is there.

use crate::dir::{Directory, RawFile};
use crate::format::{MARK_FILE_BYTES, Mark};
use crate::types::LogId;
use std::io;

pub(crate) const NAME: &str = "wakelog.mark";

/// The open file. Slots alternate, so a torn write leaves the other one.
#[derive(Debug)]
pub(crate) struct MarkFile {
    file: Box<dyn RawFile>,
    log: LogId,
    sequence: u64,
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
        let sequence = newest.map_or(0, |mark| mark.sequence);
        Ok((
            Self {
                file,
                log,
                sequence,
            },
            newest,
        ))
    }

    /// Writes `mark` (its sequence is not taken) into the older slot. Not on disk before
    /// [`MarkFile::sync`].
    pub(crate) fn write(&mut self, mark: Mark) -> io::Result<()> {
        self.sequence += 1;
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

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}
