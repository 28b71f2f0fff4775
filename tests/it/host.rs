//! What a test needs of the machine beyond a directory, and how it says that it did not get it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Says loudly that a test could not do its work here; with `WAKELOG_REQUIRE_ALL=1` that is an
/// error.
pub(crate) fn cannot(test: &str, why: &str) {
    let required = std::env::var_os("WAKELOG_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!required, "{test} cannot run: {why}");
    // Straight to the stream, past the harness, which hides what a good test prints.
    let line = format!("\n!!! NOT TESTED: {test}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs a program with these words and a path.
///
/// # Errors
/// What it says, if it fails.
pub(crate) fn run(program: &str, words: &[&str], path: &Path) -> Result<(), String> {
    let mut command = Command::new(program);
    let output = command.args(words).arg(path).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {}", text.trim()))
}

/// A file system in memory with a size of its own, gone when this is dropped.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    /// Mounts one of so many KiB.
    ///
    /// # Errors
    /// Why it cannot be mounted here.
    pub(crate) fn mount(kib: u32) -> Result<SmallDisk, String> {
        if !is_root() {
            return Err("mounting needs root".into());
        }
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={kib}k,mode=700");
        let words = ["-t", "tmpfs", "-o", &size, "wakelog-test"];
        run("mount", &words, dir.path())?;
        Ok(SmallDisk { dir })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Fills all but so many KiB with one file, which can be removed again.
    pub(crate) fn fill_all_but(&self, kib: u64) -> PathBuf {
        let ballast = self.path().join("ballast");
        let mut file = std::fs::File::create(&ballast).unwrap();
        let kilobyte = [1; 1_024];
        let mut written = 0;
        while file.write_all(&kilobyte).is_ok() {
            written += 1;
        }
        file.set_len(u64::saturating_sub(written, kib) * 1_024)
            .unwrap();
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a log that a failed test still holds must not keep the mount for ever.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
