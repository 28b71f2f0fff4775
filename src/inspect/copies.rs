//! The small files: what stands twice, and the history.

use super::TRIES;
use super::report::Verification;
use crate::dir::Directory;
use crate::error::Corruption;
use crate::format::{EPOCH_RECORD_BYTES, MARK_FILE_BYTES, META_BYTES, Mark, Meta, SECTOR};
use crate::mark_file;
use crate::recovery::{self, EPOCHS, META, Survey};
use crate::types::to_u64;
use std::io;

pub(super) fn check(
    dir: &dyn Directory,
    survey: &Survey,
    report: &mut Verification,
) -> io::Result<()> {
    let mut meta = [0; META_BYTES];
    let got = dir.open_file(META, false)?.read_at(&mut meta, 0)?;
    for at in [0, SECTOR] {
        let copy = meta.get(at..got.min(at + SECTOR)).unwrap_or_default();
        if Meta::parse(copy).ok().as_ref() != Some(&survey.meta) {
            report.add_damage(fault(META, at, "a copy of the identity of the log"));
        }
    }
    // With neither it is a log that was only just begun.
    let begun = survey.mark.is_some() || !survey.ending.bases.is_empty();
    for at in bad_marks(dir, survey)?.into_iter().filter(|_| begun) {
        report.add_damage(fault(mark_file::NAME, at, "a durable mark"));
    }
    let epochs = recovery::read_epochs(dir, survey.meta.log)?;
    for record in &epochs.damaged {
        report.add_damage(fault(EPOCHS, record * EPOCH_RECORD_BYTES, "an epoch"));
    }
    let of_mark = survey.mark.map(|mark| mark.epoch);
    if of_mark.is_some() && epochs.damaged.is_empty() && !epochs.is_complete(of_mark) {
        let end = epochs.records.len() * EPOCH_RECORD_BYTES;
        report.add_damage(fault(EPOCHS, end, "the epoch of the durable mark"));
    }
    Ok(())
}

/// The slots of the mark that do not verify. Only before the second mark of a log is a slot empty.
fn bad_marks(dir: &dyn Directory, survey: &Survey) -> io::Result<Vec<usize>> {
    let mut bad = Vec::new();
    for _ in 0..TRIES {
        let file = match dir.open_file(mark_file::NAME, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![0]),
            other => other?,
        };
        let mut bytes = [0; MARK_FILE_BYTES];
        let got = file.read_at(&mut bytes, 0)?;
        let cut = (got < MARK_FILE_BYTES).then_some(got);
        let slots = [0..SECTOR, SECTOR..MARK_FILE_BYTES].into_iter();
        bad = cut.into_iter().collect();
        for slot in slots {
            let mut alone = [0; MARK_FILE_BYTES];
            alone[slot.clone()].copy_from_slice(&bytes[slot.clone()]);
            let fresh = survey.mark.is_some_and(|mark| mark.sequence < 2);
            let empty = fresh && Mark::is_empty_slot(&alone[slot.clone()]);
            if !empty && Mark::parse_newest(&alone, survey.meta.log).is_none() {
                bad.push(slot.start);
            }
        }
        if bad.is_empty() {
            break;
        }
    }
    Ok(bad)
}

fn fault(file: &str, position: usize, expected: &'static str) -> Corruption {
    Corruption {
        file: file.into(),
        offset: None,
        position: to_u64(position),
        expected,
    }
}
