//! A disk that loses power: an ext4 in a file, which is shut down without its journal being
//! written.

use std::io::{Error, Result};
use std::path::{Path, PathBuf};

use tokio::process::Command;

/// A file system in a file, mounted; needs root.
#[derive(Debug)]
pub(crate) struct Disk {
    dir: tempfile::TempDir,
    mounts: u64,
}

impl Disk {
    /// Makes and mounts one.
    ///
    /// # Errors
    /// Why that cannot be done here.
    pub(crate) async fn make() -> Result<Self> {
        let disk = Self {
            dir: tempfile::tempdir()?,
            mounts: 0,
        };
        std::fs::create_dir(disk.path())?;
        let image = disk.image();
        std::fs::File::create(&image)?.set_len(64 << 20)?;
        run("mkfs.ext4", &["-q", "-F"], &image).await?;
        run("xfs_io", &["-V"], Path::new("/")).await?;
        disk.mount().await?;
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join(format!("image-{}", self.mounts))
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    async fn mount(&self) -> Result<()> {
        let image = self.image();
        let image = image.to_string_lossy();
        run("mount", &["-o", "loop", &image], &self.path()).await
    }

    /// What is not on the disk now never will be.
    pub(crate) async fn cut(&self) -> Result<()> {
        run("xfs_io", &["-x", "-c", "shutdown"], &self.path()).await
    }

    /// Goes on with a copy of what has reached the device: a process with mounts of its own may
    /// still hold the file system that was shut down, and then the same image gives that again.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        run("umount", &["-l"], &self.path()).await?;
        let old = self.image();
        self.mounts += 1;
        let words = ["--sparse=always", &*old.to_string_lossy()];
        run("cp", &words, &self.image()).await?;
        std::fs::remove_file(&old)?;
        self.mount().await
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a server that is still there must not keep the mount for ever.
        let mut umount = std::process::Command::new("umount");
        let _ = umount.arg("-l").arg(self.path()).output();
    }
}

/// Waits until all threads of a process that was stopped stand still: one in the midst of a call
/// stops at its end.
pub(crate) async fn stands_still(pid: u32) -> Result<()> {
    loop {
        let mut threads = std::fs::read_dir(format!("/proc/{pid}/task"))?.flatten();
        let stopped = threads.all(|thread| {
            let state = std::fs::read_to_string(thread.path().join("stat"));
            state.is_ok_and(|state| state.contains(") T ") || state.contains(") D "))
        });
        if stopped {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

/// Runs a program with these words and a path.
async fn run(program: &str, words: &[&str], path: &Path) -> Result<()> {
    let output = Command::new(program).args(words).arg(path).output().await;
    let output = output.map_err(|error| Error::other(format!("{program}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(Error::other(format!("{program}: {}", text.trim())))
}
