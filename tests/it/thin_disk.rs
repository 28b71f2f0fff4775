//! A disk that has promised more room than there is: blocks are allocated, and what is stored in
//! them cannot be written back. The failed sync poisons; with room again, `reopen` heals.

use crate::host::{cannot, is_root, run};
use std::path::PathBuf;
use wakelog::{AppendError, Log, Options, SyncError, SyncPolicy};

/// An ext4 in a sparse file, 64 MiB by its own account, on a file system in memory that has less.
struct ThinDisk {
    dir: tempfile::TempDir,
}

impl ThinDisk {
    fn mount() -> Result<ThinDisk, String> {
        if !is_root() {
            return Err("mounting needs root".into());
        }
        let disk = ThinDisk {
            dir: tempfile::tempdir().unwrap(),
        };
        let memory = disk.memory();
        std::fs::create_dir_all(&memory).unwrap();
        std::fs::create_dir_all(disk.path()).unwrap();
        let small = ["-t", "tmpfs", "-o", "size=8m", "wakelog-test"];
        run("mount", &small, &memory)?;
        let image = memory.join("image");
        run("truncate", &["-s", "64M"], &image)?;
        run("mkfs.ext4", &["-q", "-F", "-O", "^has_journal"], &image)?;
        let image = image.to_str().unwrap().to_owned();
        run("mount", &["-o", "loop", &image], &disk.path())?;
        Ok(disk)
    }

    fn memory(&self) -> PathBuf {
        self.dir.path().join("memory")
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// There is room now for what was promised.
    fn keep_the_promise(&self) {
        run("mount", &["-o", "remount,size=128m"], &self.memory()).unwrap();
    }
}

impl Drop for ThinDisk {
    fn drop(&mut self) {
        for path in [self.path(), self.memory()] {
            // Lazily: a log that a failed test still holds must not keep the mount for ever.
            let _ = run("umount", &["-l"], &path);
        }
    }
}

fn payload(offset: u64) -> Vec<u8> {
    format!("{offset:_>1000}").into_bytes()
}

fn check(log: &Log, least: u64) -> u64 {
    let end = log.next_offset();
    assert!(least <= end, "{least} were durable, {end} are there");
    let mut reader = log.reader().open().unwrap();
    for offset in 0..end {
        let event = reader.next().unwrap().unwrap();
        assert_eq!(
            (event.offset(), event.payload()),
            (offset, &payload(offset)[..])
        );
    }
    assert!(reader.next().unwrap().is_none());
    end
}

#[test]
fn what_cannot_be_written_back_poisons_and_heals_with_room() {
    let disk = match ThinDisk::mount() {
        Ok(disk) => disk,
        Err(why) => {
            return cannot(
                "thin_disk::what_cannot_be_written_back_poisons_and_heals_with_room",
                &why,
            );
        }
    };
    let options = Options::new()
        .segment_bytes(256 << 10)
        .sync(SyncPolicy::Manual);
    let log = options.open(disk.path().join("log")).unwrap();
    let mut durable = 0;
    loop {
        let offset = log.next_offset();
        assert!(offset < 50_000, "the disk is not thin");
        let appended = log.append("a", payload(offset));
        if appended.is_ok() && offset % 100 != 99 {
            continue;
        }
        match log.sync() {
            Ok(()) => durable = log.next_offset(),
            Err(SyncError::Poisoned(_)) => break,
            Err(other) => panic!("{other:?}"),
        }
        appended.unwrap();
    }
    println!("the sync fails above {durable}");
    assert!(durable > 1_000, "{durable}");
    // The kernel holds the pages for clean, and would say that all is well.
    for _ in 0..3 {
        assert!(matches!(log.sync(), Err(SyncError::Poisoned(_))));
        assert!(matches!(log.append("a", b""), Err(AppendError::Poisoned)));
    }
    assert_eq!(log.next_offset(), log.durable_offset());
    check(&log, durable);

    disk.keep_the_promise();
    log.reopen().unwrap();
    let end = check(&log, durable);
    assert_eq!(log.append("a", payload(end)).unwrap(), end);
    log.sync().unwrap();
    check(&log, end + 1);
    log.close().unwrap();
    drop(log);
    let log = options.open(disk.path().join("log")).unwrap();
    check(&log, end + 1);
}
