//! Logs that were written by version 1 of the format, clean and damaged, as `tests/golden/v1/`
//! keeps them for ever: this release, and each later one, must find in them what stands beside.
//!
//! `v1/bare/` are the clean logs that the cases of `cases.rs` spoil, with what came of each in
//! `outcomes.txt`. `v1/rich/` are logs with something of everything, and damaged ones; what each
//! holds stands in the file `.txt` of the same name. `WAKELOG_GOLDEN=keep` writes all of this where
//! there is nothing yet, which is done once for each version of the format.

mod dump;
mod make;

use super::logs::{Files, Logs};
use super::{cases, outcomes};
use std::fs;
use std::path::{Path, PathBuf};

/// The checksum of all that is kept of version 1: it was written once.
const KEPT: u32 = 0x717a_62e5;

fn kept() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = root.join("tests/golden/v1");
    let keeping = std::env::var("WAKELOG_GOLDEN").is_ok_and(|value| value == "keep");
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        if keeping && !dir.exists() {
            make::all(&dir);
        }
    });
    dir
}

/// The directories in this one, by name.
fn directories(of: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(of).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    all.sort();
    all
}

fn bare(dir: &Path) -> Logs {
    let read = |name: &str| -> Files { super::logs::files(&dir.join("bare").join(name)) };
    Logs {
        closed: read("closed"),
        killed: read("killed"),
        trimmed: read("trimmed"),
        earlier: read("earlier"),
        other: read("other"),
    }
}

#[test]
fn bad_directories_of_version_1_come_out_as_written_down() {
    let dir = kept();
    let text = outcomes(&bare(&dir), &cases::all());
    super::compare(&dir.join("outcomes.txt"), &text);
}

#[test]
fn logs_of_version_1_hold_what_is_written_down() {
    let dir = kept().join("rich");
    let logs = directories(&dir);
    assert!(logs.len() >= 8, "{logs:?}");
    for log in logs {
        super::compare(&log.with_extension("txt"), &dump::of(&log));
    }
}

#[test]
fn what_is_kept_of_version_1_stays_as_it_was() {
    let mut all = crc32fast::Hasher::new();
    let mut dirs = vec![kept()];
    while let Some(dir) = dirs.pop() {
        let mut entries: Vec<PathBuf> = fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let name = path.strip_prefix(kept()).unwrap();
            all.update(name.to_str().unwrap().as_bytes());
            all.update(&fs::read(&path).unwrap());
        }
    }
    assert_eq!(all.finalize(), KEPT);
}
