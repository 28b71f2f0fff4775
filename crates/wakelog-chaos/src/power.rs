//! A disk that loses power and fills up: an ext4 in a file, which is shut down without its journal
//! being written, and given a file that takes all there is.

use std::fs::{self, File};
use std::io::{Error, Result};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use tokio::process::Command;

/// What the directory of a disk is called, before the id of the process that has made it.
const PREFIX: &str = "disk-";

/// The smallest piece of a disk.
const BLOCK: u64 = 4096;

/// A file system in a file, mounted; needs root.
#[derive(Debug)]
pub(crate) struct Disk {
    dir: tempfile::TempDir,
    mounts: u64,
}

impl Disk {
    /// Makes and mounts one in a folder. What runs that were killed have left there goes first.
    ///
    /// # Errors
    /// Why that cannot be done here.
    pub(crate) async fn make(home: &Path) -> Result<Self> {
        fs::create_dir_all(home)?;
        let home = home.canonicalize()?;
        sweep(&home).await?;
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let disk = Self {
            dir: tempfile::Builder::new().prefix(&prefix).tempdir_in(home)?,
            mounts: 0,
        };
        fs::create_dir(disk.path())?;
        let image = disk.image();
        File::create(&image)?.set_len(64 << 20)?;
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
        fs::remove_file(&old)?;
        self.mount().await?;
        // That it had been given back may be lost.
        self.free()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Takes all room that there is; again, what has become free since.
    pub(crate) fn fill(&self) -> Result<()> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(self.ballast())?;
        let (mut at, mut bytes) = (file.metadata()?.len(), 4096 * BLOCK);
        while bytes >= BLOCK {
            match fallocate(&file, FallocateFlags::empty(), at, bytes) {
                Ok(()) => at += bytes,
                Err(Errno::NOSPC) => bytes /= 4,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Gives the room back.
    pub(crate) fn free(&self) -> Result<()> {
        match fs::remove_file(self.ballast()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            // A loss of power may have taken it.
            _ => Ok(()),
        }
    }
}

/// Unmounts and removes the disks of processes that are gone.
async fn sweep(home: &Path) -> Result<()> {
    for entry in fs::read_dir(home)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let pid = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once('-'));
        let Some(pid) = pid.and_then(|(pid, _)| pid.parse::<u32>().ok()) else {
            continue;
        };
        let lives = fs::read_to_string(format!("/proc/{pid}/comm"));
        if lives.is_ok_and(|comm| comm.trim() == env!("CARGO_PKG_NAME")) {
            continue;
        }
        println!("a run that was killed has left {}: it goes", path.display());
        // Not mounted any more, if that fails.
        let _ = run("umount", &["-l"], &path.join("disk")).await;
        fs::remove_dir_all(&path)?;
    }
    Ok(())
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
        let mut threads = fs::read_dir(format!("/proc/{pid}/task"))?.flatten();
        let stopped = threads.all(|thread| {
            let state = fs::read_to_string(thread.path().join("stat"));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Seed 20261130: the disk was full again, and the server did not start.
    #[tokio::test]
    async fn room_that_was_given_back_is_there_after_a_loss_of_power() {
        let home = tempfile::tempdir().unwrap();
        let mut disk = match Disk::make(home.path()).await {
            Ok(disk) => disk,
            Err(error) if std::env::var_os("WAKELOG_REQUIRE_ALL").is_none() => {
                return eprintln!("NOT TESTED: {error}");
            }
            Err(error) => panic!("{error}"),
        };
        let room = || {
            let file = File::create(disk_path(home.path()).join("file")).unwrap();
            fallocate(&file, FallocateFlags::empty(), 0, 256 * BLOCK)
        };
        disk.fill().unwrap();
        assert_eq!(room(), Err(Errno::NOSPC));
        File::open(disk.ballast()).unwrap().sync_all().unwrap();
        disk.free().unwrap();
        disk.cut().await.unwrap();
        disk.restart().await.unwrap();
        assert_eq!(room(), Ok(()));
    }

    /// Where the only disk of a folder is mounted.
    fn disk_path(home: &Path) -> PathBuf {
        let entry = fs::read_dir(home).unwrap().next().unwrap().unwrap();
        entry.path().join("disk")
    }
}
