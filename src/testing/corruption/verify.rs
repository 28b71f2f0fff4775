//! What `verify` must say of a damage: exactly what is lost, and whatever else does not verify.

use super::damage::Changed;
use super::expect::{Checked, Expected};
use super::truth::{DEFINITIONS, Ended, SLOTS, Truth};
use crate::dir::{Directory, MemoryDir};
use crate::error::Corruption;
use crate::format::{DEFINITION_HEADER, Mark, SECTOR, SLOT_BYTES, definition_length, slot_at};
use crate::inspect::{VerifyOptions, verify_in};
use crate::types::to_u64;
use crate::{CorruptReason, OpenError, Position, Verification, mark_file, segment};
use std::ops::Range;
use std::sync::Arc;

/// Verifies the directory, and looks that nothing in it was changed.
pub(super) fn check(
    truth: &Truth,
    dir: &MemoryDir,
    changed: &Changed,
    expected: &Expected,
) -> Checked {
    let before = all_files(dir);
    let mut last = (0, 0);
    let mut progress = |done, all| {
        assert!(
            last.0 <= done && done <= all,
            "{done} of {all} after {last:?}"
        );
        last = (done, all);
    };
    let shared: Arc<dyn Directory> = Arc::new(dir.clone());
    let found = verify_in(&shared, VerifyOptions::new().progress(&mut progress));
    if all_files(dir) != before {
        return Err("something was changed".into());
    }
    match found {
        Ok(found) => compare(truth, changed, expected, &found),
        Err(OpenError::Damaged(_)) if expected.refusable => Ok(()),
        Err(error) => Err(format!("{error:?}")),
    }
}

fn all_files(dir: &MemoryDir) -> Vec<(String, Vec<u8>)> {
    let names = dir.list().unwrap().into_iter().map(|entry| entry.name);
    names.map(|name| (name.clone(), dir.read(&name))).collect()
}

fn compare(truth: &Truth, changed: &Changed, expected: &Expected, found: &Verification) -> Checked {
    let first = if expected.trimmed {
        truth.bases().get(1).copied().unwrap_or(expected.end)
    } else {
        0
    };
    let due: Vec<u64> = expected
        .lost
        .iter()
        .copied()
        .filter(|lost| *lost >= first)
        .collect();
    let told: Vec<u64> = found
        .corrupt
        .iter()
        .flat_map(|range| range.from..range.to)
        .collect();
    let whole = expected.end - first - u64::try_from(due.len()).unwrap();
    let numbers = (found.first, found.next, found.events);
    if told != due || numbers != (first, expected.end, whole) {
        return Err(format!(
            "lost are {due:?}, {first}..{}, not {found:?}",
            expected.end
        ));
    }
    let must = changed
        .iter()
        .any(|(file, bytes)| harm(truth, file, bytes.as_deref()));
    if must && found.damaged.is_empty() {
        return Err("the damage is not told".into());
    }
    if found.ok != (found.corrupt.is_empty() && found.damaged.is_empty()) {
        return Err(format!("{found:?}"));
    }
    if changed.is_empty() && !found.ok {
        return Err(format!("told without damage: {found:?}"));
    }
    let torn = found.torn_tail_bytes > 0;
    let cut = expected.end < truth.end();
    if torn && !cut && changed.is_empty() {
        return Err(format!("{} bytes of a torn tail", found.torn_tail_bytes));
    }
    Ok(())
}

/// Whether bytes of a small file that a checksum covers are not what they were.
fn harm(truth: &Truth, file: &str, bytes: Option<&[u8]>) -> bool {
    let original = &truth.files[file];
    let now = |range: Range<usize>| bytes.and_then(|bytes| bytes.get(range));
    let differs = |range: Range<usize>| {
        let was = &original[range.clone()];
        now(range) != Some(was) && was.iter().any(|byte| *byte != 0)
    };
    match file {
        "wakelog.meta" | "wakelog.mark" => differs(0..64) || differs(512..576),
        "wakelog.epochs" => differs(0..original.len()),
        SLOTS => {
            let slots = original.len().saturating_sub(slot_at(0)) / SLOT_BYTES;
            let used = (0..u32::try_from(slots).unwrap()).map(slot_at);
            // A slot of zeros is a free one: its creation did not come to the disk.
            let freed = |range: &Range<usize>| {
                now(range.clone()).is_some_and(|words| words.iter().all(|byte| *byte == 0))
            };
            let mut words = used.map(|at| at..at + 48).filter(|range| !freed(range));
            differs(0..64) || differs(512..576) || words.any(differs)
        }
        DEFINITIONS => {
            let mut records = (0..original.len()).step_by(64).filter_map(|at| {
                let head = original.get(at..at + DEFINITION_HEADER)?;
                Some(at..at + definition_length(head)?)
            });
            records.any(differs)
        }
        _ => false,
    }
}

/// A frame that verifies and whose records are nonsense is lost, and is told as what it is.
#[test]
fn a_frame_whose_records_are_not_whole_is_told() {
    let truth = Truth::new(Ended::Closed);
    let frame = truth
        .frames
        .iter()
        .find(|frame| frame.offsets.start > 30)
        .unwrap();
    let name = segment::name_of(frame.base);
    let mut bytes = truth.files[&name].clone();
    let salt: [u8; 16] = bytes[32..48].try_into().unwrap();
    // More topics than there may be.
    let nonsense = |frame: &mut [u8]| frame[32 + 8] = 200;
    let place = u32::try_from(frame.bytes.start).unwrap();
    let checksum = |frame: &[u8], position: &Position| {
        let mut context = crc32fast::Hasher::new();
        context.update(&salt);
        context.update(&truth.log.0);
        context.update(&position.epoch.counter.to_le_bytes());
        context.update(&position.epoch.tag.to_le_bytes());
        let length = u32::try_from(frame.len()).unwrap();
        let body = crc32fast::hash(&frame[24..]) ^ length ^ context.finalize() ^ place;
        let mut whole = crc32fast::Hasher::new_with_initial(body);
        whole.update(&frame[8..24]);
        whole.finalize().to_le_bytes()
    };
    let stands = &mut bytes[frame.bytes.clone()];
    let epoch = truth.positions.iter().map(|(position, _)| position);
    let epoch = epoch
        .into_iter()
        .find(|epoch| checksum(stands, epoch) == stands[4..8]);
    nonsense(stands);
    let sealed = checksum(stands, epoch.unwrap());
    stands[4..8].copy_from_slice(&sealed);
    let dir = truth.dir();
    dir.write(&name, &bytes);
    let shared: Arc<dyn Directory> = Arc::new(dir);
    let found = verify_in(&shared, VerifyOptions::new()).unwrap();
    let [range] = &found.corrupt[..] else {
        panic!("{found:?}")
    };
    assert_eq!(
        (range.from..range.to, &range.segment),
        (frame.offsets.clone(), &name)
    );
    assert_eq!(range.why, CorruptReason::Records);
}

/// Whether `verify` tells damage, and where.
fn told(dir: &MemoryDir) -> Vec<(String, u64)> {
    let shared: Arc<dyn Directory> = Arc::new(dir.clone());
    let found = verify_in(&shared, VerifyOptions::new()).unwrap();
    let place = |damage: &Corruption| (damage.file.clone(), damage.position);
    found.damaged.iter().map(place).collect()
}

/// What stands twice stands once before it is written for the second time.
#[test]
fn a_copy_that_was_never_written_is_no_damage() {
    let truth = Truth::new(Ended::Closed);
    let dir = truth.dir();
    assert_eq!(told(&dir), []);
    let second = |sequence| {
        let mut file = truth.files[mark_file::NAME].clone();
        let mark = Mark::parse_newest(&file, truth.log).unwrap();
        file[..64].copy_from_slice(&Mark { sequence, ..mark }.slot_bytes(truth.log));
        file[SECTOR..].fill(0);
        dir.write(mark_file::NAME, &file);
        file
    };
    let at = to_u64(SECTOR);
    let of_mark = [(String::from(mark_file::NAME), at)];
    second(2);
    assert_eq!(told(&dir), of_mark);
    let mut file = second(0);
    assert_eq!(told(&dir), []);
    file[SECTOR + 9] = 1;
    dir.write(mark_file::NAME, &file);
    assert_eq!(told(&dir), of_mark);

    let dir = truth.dir();
    let name = segment::name_of(truth.bases()[0]);
    let mut bytes = truth.files[&name].clone();
    bytes[SECTOR + 64..SECTOR + 120].fill(0);
    dir.write(&name, &bytes);
    assert_eq!(told(&dir), []);
    bytes[SECTOR + 70] = 1;
    dir.write(&name, &bytes);
    assert_eq!(told(&dir), [(name, at)]);
}
