//! A process is killed at each of its system calls, by strace: before the first one of a kind,
//! before the second, and so on until it comes to its end. Whatever stood between two calls, the
//! next opens find no damage and lose nothing.

use crate::child::{self, Child};
use crate::host::cannot;
use crate::life::{Gate, Life};
use crate::told::{End, Told};
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const TEST: &str = "syscalls::a_kill_at_any_system_call_loses_nothing";

/// All calls that change files, and those between which something else may change; and whether
/// they come in another way under another policy.
const CALLS: [(&str, bool); 12] = [
    ("openat", false),
    ("mkdir", false),
    ("flock", false),
    ("fallocate", false),
    ("pwrite64", true),
    ("mmap", false),
    ("msync", true),
    ("fdatasync", true),
    ("fsync", true),
    ("rename,renameat,renameat2", false),
    ("unlink,unlinkat", false),
    ("madvise", false),
];

/// In each round a process of its own is killed in the same directory: the first finds nothing,
/// the second what the first has left, so that its recovery is cut short too. Each takes as long
/// as the first; `WAKELOG_CRASH_ROUNDS` says how many.
const ROUNDS: u64 = 1;

/// One call of one kind from one moment on, and the policy under which the process lives. Each
/// thread counts its own calls.
#[derive(Clone, Copy, Debug)]
struct Kill {
    gate: Gate,
    calls: &'static str,
    always: bool,
    kth: u32,
}

/// What came of it: how many appends and acks were answered.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    kills: u32,
    answered: u64,
    acks: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally {
            kills,
            answered,
            acks,
        } = self;
        write!(
            f,
            "{kills} kills at a system call, {answered} appends and {acks} acks answered"
        )
    }
}

impl Tally {
    fn add(self, other: Tally) -> Tally {
        Tally {
            kills: self.kills + other.kills,
            answered: self.answered + other.answered,
            acks: self.acks + other.acks,
        }
    }
}

impl Kill {
    /// All first ones of their kind.
    fn all() -> Vec<Kill> {
        let mut all = Vec::new();
        for gate in Gate::ALL {
            for (calls, differs) in CALLS {
                let policies = [false, true]
                    .into_iter()
                    .filter(|always| !always || differs);
                all.extend(policies.map(|always| Kill {
                    gate,
                    calls,
                    always,
                    kth: 1,
                }));
            }
        }
        all
    }

    /// This one, and those after it, until a process comes to its end.
    fn run_all(self) -> Tally {
        let mut tally = Tally::default();
        for kth in self.kth.. {
            let kill = Kill { kth, ..self };
            let place = crate::Place::new();
            match std::panic::catch_unwind(|| kill.run(&place.path().join("log"))) {
                Ok(Some(one)) => tally = tally.add(one),
                Ok(None) => break,
                Err(cause) => {
                    eprintln!("{kill:?} fails");
                    std::panic::resume_unwind(cause);
                }
            }
        }
        tally
    }

    /// Lets processes live in one directory, each up to this call. `None`: the first has none.
    fn run(self, dir: &Path) -> Option<Tally> {
        let mut told = Told::default();
        let mut kills = 0;
        for round in 0..crate::number("WAKELOG_CRASH_ROUNDS").unwrap_or(ROUNDS) {
            let life = Life {
                round,
                always: self.always,
                laps: 2,
                appends: 12,
                segment_bytes: 16 << 10,
                gate: Some(self.gate),
            };
            told.hear(round, &self.live(&life, dir));
            assert_eq!(told.failure, None);
            if told.done && round == 0 {
                return None;
            }
            kills += u32::from(!told.done);
            told.check(dir, &life, End::Killed);
        }
        Some(Tally {
            kills,
            answered: told.answered,
            acks: told.acks,
        })
    }

    /// What a process tells until it is killed.
    fn live(self, life: &Life, dir: &Path) -> Vec<String> {
        let mut child = Child::start(TEST, &format!("{life} {}", dir.display()));
        let mut told = Vec::new();
        loop {
            let line = child.hear().unwrap_or_else(|| panic!("no gate: {told:?}"));
            if line == "gate" {
                break;
            }
            told.push(line);
        }
        let (mut strace, _words) = self.attach(child.id());
        child.tell("go");
        told.extend(std::iter::from_fn(|| child.hear()));
        let _ = strace.wait().unwrap();
        told
    }

    /// Lets strace watch a process. It has more to say: without a listener it would end.
    fn attach(self, process: u32) -> (std::process::Child, impl BufRead) {
        let Kill { calls, kth, .. } = self;
        // Rarely it waits for ever for a thread that its own signal has ended.
        let mut strace = Command::new("timeout")
            .args(["-s", "KILL", "20", "strace", "-f", "-o", "/dev/null"])
            .args(["-e", &format!("trace={calls}")])
            .args(["-e", &format!("inject={calls}:signal=SIGKILL:when={kth}")])
            .args(["-p", &process.to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut words = BufReader::new(strace.stderr.take().unwrap());
        let _ = words.read_line(&mut line).unwrap();
        assert!(line.contains("attached"), "{line}");
        (strace, words)
    }
}

fn strace() -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null"]);
    command
}

#[test]
fn a_kill_at_any_system_call_loses_nothing() {
    if let Some(task) = child::task() {
        return Life::live(&task);
    }
    match strace().arg("true").status() {
        Ok(status) if status.success() => {}
        Ok(status) => return cannot(TEST, &format!("strace ends with {status}")),
        Err(error) => return cannot(TEST, &format!("strace: {error}")),
    }
    let began = Instant::now();
    let kills = Kill::all();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut tally = Tally::default();
        while let Some(kill) = kills.get(next.fetch_add(1, Ordering::Relaxed)) {
            tally = tally.add(kill.run_all());
        }
        tally
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let tally = std::thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let parts = started.into_iter().map(|thread| thread.join().unwrap());
        parts.fold(Tally::default(), Tally::add)
    });
    println!("{tally} in {:.1?}", began.elapsed());
    assert!(
        tally.kills > 300 && tally.answered > 1_000 && tally.acks > 1_000,
        "{tally}"
    );
}
