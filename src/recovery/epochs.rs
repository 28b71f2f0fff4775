//! `wakelog.epochs`: the history of epochs on disk.

use super::identity::replace;
use super::listing::EPOCHS;
use crate::dir::{Directory, RawFile};
use crate::format::{EPOCH_RECORD_BYTES, EpochRecord};
use crate::history::{EPOCHS_KEPT, History};
use crate::types::{Epoch, LogId, to_u64};
use std::collections::HashMap;
use std::io;

/// Above this many records the file is written anew with those that count.
const RECORDS_MAX: usize = EPOCHS_KEPT + 4_096;

/// What the file says.
#[derive(Debug, Default)]
pub(crate) struct EpochsFound {
    pub(crate) records: Vec<EpochRecord>,
    /// The records that do not verify, by number, up to the last one that does. What stands behind
    /// that one is the trace of an open that did not finish, and is written over.
    pub(crate) damaged: Vec<usize>,
    places: usize,
}

/// Reads the file, at most its last 2 * 65,536 records.
pub(crate) fn read(dir: &dyn Directory, log: LogId) -> io::Result<EpochsFound> {
    let file = match dir.open_file(EPOCHS, false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(EpochsFound::default()),
        other => other?,
    };
    let places = places(&*file)?;
    let first = places.saturating_sub(2 * EPOCHS_KEPT);
    let mut bytes = vec![0; (places - first) * EPOCH_RECORD_BYTES];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, to_u64(first * EPOCH_RECORD_BYTES + filled))? {
            0 => break,
            got => filled += got,
        }
    }
    let mut found = EpochsFound::default();
    let mut bad = Vec::new();
    found.places = first;
    for (number, record) in bytes.chunks(EPOCH_RECORD_BYTES).enumerate() {
        match EpochRecord::parse(record, log) {
            Some(record) => {
                found.records.push(record);
                found.damaged.append(&mut bad);
                found.places = first + number + 1;
            }
            None => bad.push(first + number),
        }
    }
    Ok(found)
}

fn places(file: &dyn RawFile) -> io::Result<usize> {
    let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
    Ok(len.div_ceil(EPOCH_RECORD_BYTES))
}

impl EpochsFound {
    pub(crate) fn history(&self) -> History {
        History::new(
            self.records
                .iter()
                .map(|record| (record.epoch, record.first))
                .collect(),
        )
    }

    /// Whether every epoch up to `newest` is known, the one in which the log was open last.
    pub(crate) fn is_complete(&self, newest: Option<Epoch>) -> bool {
        let known = |newest| self.records.iter().any(|record| record.epoch == newest);
        self.damaged.is_empty() && newest.is_some_and(known)
    }

    /// Puts a new epoch on disk. Where records were damaged or are too many, the file is written
    /// anew from `history`, which the caller has completed from the segments.
    pub(crate) fn append(
        &self,
        dir: &dyn Directory,
        log: LogId,
        record: EpochRecord,
        history: &History,
        complete: bool,
    ) -> io::Result<()> {
        if !complete || self.places >= RECORDS_MAX {
            return self.rewrite(dir, log, record, history);
        }
        let (file, created) = match dir.open_file(EPOCHS, true) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (dir.create_file(EPOCHS)?, true)
            }
            other => (other?, false),
        };
        file.write_at(
            &record.to_bytes(log),
            to_u64(self.places * EPOCH_RECORD_BYTES),
        )?;
        file.sync()?;
        if created { dir.sync() } else { Ok(()) }
    }

    /// Puts an epoch of a mirror on disk, behind those that are there.
    pub(super) fn enter(
        &self,
        dir: &dyn Directory,
        log: LogId,
        record: EpochRecord,
    ) -> io::Result<()> {
        let full = self.places >= RECORDS_MAX || !self.damaged.is_empty();
        self.append(dir, log, record, &self.history(), !full)
    }

    fn rewrite(
        &self,
        dir: &dyn Directory,
        log: LogId,
        newest: EpochRecord,
        history: &History,
    ) -> io::Result<()> {
        let mut bytes = self.bytes_of(log, history);
        bytes.extend_from_slice(&newest.to_bytes(log));
        replace(dir, EPOCHS, &bytes)
    }

    /// The records of a history; when an epoch began is taken from what was found.
    pub(super) fn bytes_of(&self, log: LogId, history: &History) -> Vec<u8> {
        let times: HashMap<Epoch, u64> = self
            .records
            .iter()
            .map(|record| (record.epoch, record.began))
            .collect();
        let mut bytes = Vec::new();
        for (epoch, first) in history.entries() {
            let began = times.get(epoch).copied().unwrap_or_default();
            let record = EpochRecord {
                epoch: *epoch,
                first: *first,
                began,
            };
            bytes.extend_from_slice(&record.to_bytes(log));
        }
        bytes
    }
}
