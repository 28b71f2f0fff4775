//! Real losses of power: a file system in a file is shut down while a process writes a log on it,
//! without its journal being written, and mounted again. What was told durable is there.
//!
//! `WAKELOG_CUTS` says how many for each file system, `WAKELOG_CUT_SEED` repeats the choices of a
//! run (not its timing).

use crate::child::{self, Child, until};
use crate::content::Random;
use crate::host::{cannot, is_root, run};
use crate::life::Life;
use crate::told::{End, Told};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const CUTS: u64 = 25;
/// After so many a log is left for a new one, so that first opens are cut too.
const CUTS_A_LOG: u64 = 8;

/// A file system in a file, mounted.
struct Disk {
    dir: crate::Place,
    mounts: u64,
}

impl Disk {
    /// Makes and mounts one of so many MiB, by a program with its options.
    fn make(mib: u32, make: &[&str]) -> Result<Disk, String> {
        if !is_root() {
            return Err("mounting needs root".into());
        }
        let disk = Disk {
            dir: crate::Place::new(),
            mounts: 0,
        };
        std::fs::create_dir(disk.path()).unwrap();
        let image = disk.image();
        run("truncate", &["-s", &format!("{mib}M")], &image)?;
        run(make[0], &make[1..], &image)?;
        run("xfs_io", &["-V"], Path::new("/"))?;
        disk.mount()?;
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join(format!("image-{}", self.mounts))
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    fn mount(&self) -> Result<(), String> {
        let image = self.image();
        run(
            "mount",
            &["-o", "loop", image.to_str().unwrap()],
            &self.path(),
        )
    }

    /// What is not on the disk now never will be.
    fn cut(&self) {
        run("xfs_io", &["-x", "-c", "shutdown"], &self.path()).unwrap();
    }

    /// Goes on with a copy of what has reached the device: a process with mounts of its own may
    /// still hold the file system that was shut down, and then the same image gives that again.
    fn restart(&mut self) {
        run("umount", &["-l"], &self.path()).unwrap();
        let old = self.image();
        self.mounts += 1;
        let words = ["--sparse=always", old.to_str().unwrap()];
        run("cp", &words, &self.image()).unwrap();
        std::fs::remove_file(old).unwrap();
        self.mount().unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a log that a failed test still holds must not keep the mount for ever.
        let _ = run("umount", &["-l"], &self.path());
    }
}

/// A process lives on the disk until the power goes.
fn live(disk: &Disk, test: &str, life: &Life, dir: &Path, random: &mut Random) -> Vec<String> {
    let mut child = Child::start(test, &format!("{life} {}", dir.display()));
    let mut told = Vec::new();
    if random.below(3) > 0 {
        told.extend(child.hear());
    }
    let pause = Duration::from_micros(random.below(120_000));
    let process = child.id();
    told.extend(child.hear_while(|| {
        std::thread::sleep(pause);
        stop(process);
        disk.cut();
    }));
    told
}

/// Stops a process, so that it tells nothing from here on. A sync that is under way while a file
/// system is shut down may say that all is well, and after a loss of power nobody would hear it.
fn stop(process: u32) {
    let id = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    kill_process(id, Signal::STOP).unwrap();
    // A thread in the middle of a call stops at its end.
    until("a process that stands still", || {
        let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
        threads.flatten().all(|thread| {
            let state = std::fs::read_to_string(thread.path().join("stat"));
            state.is_ok_and(|state| state.contains(") T ") || state.contains(") D "))
        })
    });
}

fn cut_again_and_again(name: &str, mib: u32, make: &[&str]) {
    let test = format!("power_cut::{name}");
    if let Some(task) = child::task() {
        return Life::live(&task);
    }
    let mut disk = match Disk::make(mib, make) {
        Ok(disk) => disk,
        Err(why) => return cannot(&test, &why),
    };
    let began = Instant::now();
    let cuts = crate::number("WAKELOG_CUTS").unwrap_or(CUTS);
    let seed = crate::number("WAKELOG_CUT_SEED").unwrap_or_else(crate::any_seed);
    println!("WAKELOG_CUT_SEED={seed}");
    let mut random = Random::new(seed);
    let mut told = Told::default();
    let (mut answered, mut acks, mut durable) = (0, 0, 0);
    for round in 0..cuts {
        let dir = disk.path().join(format!("log-{}", round / CUTS_A_LOG));
        let life = Life {
            round,
            always: random.below(2) == 0,
            laps: u64::MAX,
            appends: 12,
            segment_bytes: 16 << 10,
            gate: None,
        };
        told.hear(round, &live(&disk, &test, &life, &dir, &mut random));
        disk.restart();
        durable += told.check(&dir, &life, End::Cut);
        if round % CUTS_A_LOG == CUTS_A_LOG - 1 || round + 1 == cuts {
            answered += told.answered;
            acks += told.acks;
            told = Told::default();
            std::fs::remove_dir_all(&dir).unwrap();
        }
    }
    println!(
        "{cuts} power cuts ({name}), {answered} appends, {durable} of them durable, and {acks} \
         acks answered, in {:.1?}",
        began.elapsed()
    );
    assert!(durable > cuts && acks > cuts, "too little was tried");
}

#[test]
fn on_ext4_nothing_durable_is_lost() {
    let make = ["mkfs.ext4", "-q", "-F"];
    cut_again_and_again("on_ext4_nothing_durable_is_lost", 64, &make);
}

#[test]
fn on_xfs_nothing_durable_is_lost() {
    let make = ["mkfs.xfs", "-q", "-f"];
    cut_again_and_again("on_xfs_nothing_durable_is_lost", 320, &make);
}
