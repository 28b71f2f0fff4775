//! System calls that fail on a real disk, by strace: what the process told before it died is there
//! when the log is opened again, whatever failed, once or from then on.

use crate::child::{self, Child};
use crate::host::cannot;
use std::path::Path;
use std::process::Command;
use wakelog::{Options, SyncPolicy, TrimError};

const TEST: &str = "injected::a_system_call_that_fails_loses_nothing_that_was_told";

/// Calls, the error that they give, and whether that must be told to somebody.
const CALLS: [(&str, &str, bool); 7] = [
    ("msync", "EIO", true),
    ("fdatasync", "EIO", true),
    ("fsync", "EIO", false),
    ("fallocate", "ENOSPC", true),
    ("pwrite64", "EDQUOT", true),
    ("rename,renameat,renameat2", "EIO", true),
    ("unlink,unlinkat", "EIO", false),
];

/// Each thread counts its own calls.
const WHEN: [&str; 8] = ["1", "2", "3", "5", "1+", "2+", "3+", "5+"];

fn options() -> Options {
    Options::new()
        .segment_bytes(16 << 10)
        .sync(SyncPolicy::Manual)
}

fn payload(offset: u64) -> Vec<u8> {
    format!("{offset:_>1000}").into_bytes()
}

/// Appends, syncs and trims until something fails; tells how far it has come, and what failed.
fn write(dir: &str) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let log = options().open(dir).map_err(|error| text(&error))?;
    for offset in 0..60 {
        let at = log
            .append("a", payload(offset))
            .map_err(|error| text(&error))?;
        child::tell(&format!("appended {}", at + 1));
        if offset % 7 == 6 {
            log.sync().map_err(|error| text(&error))?;
        }
    }
    match log.trim(20) {
        Ok(_) | Err(TrimError::Io(_)) => {}
        Err(error) => return Err(text(&error)),
    }
    log.sync().map_err(|error| text(&error))
}

/// What a log holds after its process has ended: all that it told, and no damage.
fn check(dir: &Path, told: u64, what: &str) {
    let log = options().open(dir).unwrap();
    assert_eq!(log.recovery().damaged, [], "{what}");
    let (first, end) = (log.first_offset(), log.next_offset());
    assert!(
        told <= end && first <= 20,
        "{what}: {first}..{end}, {told} were told"
    );
    let mut reader = log.reader().open().unwrap();
    for offset in first..end {
        let event = reader.next().unwrap().unwrap();
        assert_eq!(event.offset(), offset, "{what}");
        assert_eq!(event.payload(), payload(offset), "{what}");
    }
    assert_eq!(log.append("a", payload(end)).unwrap(), end, "{what}");
    log.sync().unwrap();
}

fn strace() -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null"]);
    command
}

/// Runs the writer with one call failing; how many appends it told, and whether it told a failure.
fn run(dir: &Path, calls: &str, error: &str, when: &str) -> (u64, bool) {
    let mut command = strace();
    command.args(["-e", &format!("trace={calls}")]);
    command.args(["-e", &format!("inject={calls}:error={error}:when={when}")]);
    command.arg(std::env::current_exe().unwrap());
    let mut child = Child::start_by(command, TEST, dir.to_str().unwrap());
    let (mut told, mut failed) = (0, false);
    while let Some(line) = child.hear() {
        match line.strip_prefix("appended ") {
            Some(count) => told = count.parse().unwrap(),
            None => failed = true,
        }
    }
    (told, failed)
}

#[test]
fn a_system_call_that_fails_loses_nothing_that_was_told() {
    if let Some(dir) = child::task() {
        if let Err(failure) = write(&dir) {
            child::tell(&failure);
        }
        // As a kill: nothing is closed.
        std::process::exit(0);
    }
    match strace().arg("true").status() {
        Ok(status) if status.success() => {}
        Ok(status) => return cannot(TEST, &format!("strace ends with {status}")),
        Err(error) => return cannot(TEST, &format!("strace: {error}")),
    }
    for (calls, error, must_tell) in CALLS {
        let mut failures = 0;
        for when in WHEN {
            let place = tempfile::tempdir().unwrap();
            let dir = place.path().join("log");
            let (told, failed) = run(&dir, calls, error, when);
            failures += u32::from(failed);
            check(&dir, told, &format!("{calls}, {error}, {when}"));
        }
        println!("{calls}: {failures} of {} were told", WHEN.len());
        assert!(failures > 0 || !must_tell, "{calls}: nothing was injected");
    }
}
