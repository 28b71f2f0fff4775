//! Every event, once per position, through anything: a server that is killed, clients whose
//! connections are cut, and a checker that reads what all of them have seen.
//!
//! `cargo xtask chaos --minutes N --seed S` starts it.

mod check;
mod child;
mod clients;
mod compare;
mod faults;
mod flips;
mod history;
mod people;
mod power;
mod producers;
mod proxy;
mod random;
mod record;
mod run;
mod server;
mod target;

use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use history::Fact;
use run::{Done, Faults, Plan, Power};
use target::Target;

const USAGE: &str = "\
wakelog-chaos run [--minutes N] [--seconds N] [--cuts N] [--kills N] [--full N] [--flips N]
                  [--seed S] [--power yes|no|try] [--healing SECONDS] [--dir DIR] [--home DIR]
                  [--node MODULES] [--python PROGRAM] [--keep FILE]
wakelog-chaos compare --socketio MODULES [--minutes N] [--seconds N] [--seed S]
                  [--pace MS] [--healing SECONDS] [--keep DIR]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    match arguments.split_first() {
        Some((word, [dir, how, consumers @ ..])) if word == "serve" => {
            match runtime.block_on(server::serve(dir.as_ref(), how == "compared", consumers)) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => failed(&error.to_string()),
            }
        }
        Some((word, options)) if word == "run" => match parse(options) {
            Ok((plan, keep)) => run(runtime, &plan, keep),
            Err(sentence) => failed(&sentence),
        },
        Some((word, options)) if word == "compare" => compare::main(options, &runtime),
        _ => failed(USAGE),
    }
}

fn run(runtime: Runtime, plan: &Plan, keep: PathBuf) -> ExitCode {
    println!("chaos, seed {}", plan.seed);
    let ended = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            done = run::run(plan) => done.map(Some),
            _ = tokio::signal::ctrl_c() => Ok(None),
            _ = terminate.recv() => Ok(None),
        }
    });
    // With its tasks everything goes that they have: processes, mounts, files.
    runtime.shutdown_timeout(Duration::from_secs(10));
    match ended {
        Ok(Some(done)) => conclude(plan, &done, keep),
        Ok(None) => failed(&format!("seed {}: stopped", plan.seed)),
        Err(error) => failed(&format!("seed {}: {error}", plan.seed)),
    }
}

fn failed(sentence: &str) -> ExitCode {
    eprintln!("{sentence}");
    ExitCode::FAILURE
}

fn parse(options: &[String]) -> Result<(Plan, PathBuf), String> {
    let mut plan = Plan {
        seed: random::any_seed(),
        target: Target::Wakelog { compared: false },
        faults: Faults::Own,
        pace: 20,
        least: Duration::from_secs(30),
        cuts: 0,
        kills: 0,
        full: 0,
        flips: None,
        healing: Duration::from_secs(30),
        power: Power::Try,
        dir: None,
        home: PathBuf::from("target/chaos"),
        node: None,
        python: None,
    };
    let mut keep = PathBuf::from("target/chaos.jsonl");
    for pair in options.chunks(2) {
        let [name, value] = pair else {
            return Err(USAGE.to_owned());
        };
        let number = value
            .parse::<u64>()
            .map_err(|_| format!("{name} {value}: no number"));
        match name.as_str() {
            "--minutes" => plan.least = Duration::from_secs(60 * number?),
            "--seconds" => plan.least = Duration::from_secs(number?),
            "--cuts" => plan.cuts = number?,
            "--kills" => plan.kills = number?,
            "--full" => plan.full = number?,
            "--flips" => plan.flips = Some(number?),
            "--healing" => plan.healing = Duration::from_secs(number?),
            "--power" => {
                plan.power = match value.as_str() {
                    "yes" => Power::Required,
                    "try" => Power::Try,
                    "no" => Power::Stays,
                    _ => return Err(USAGE.to_owned()),
                }
            }
            "--seed" => plan.seed = number?,
            "--dir" => plan.dir = Some(value.into()),
            "--home" => plan.home = value.into(),
            "--node" => plan.node = Some(value.into()),
            "--python" => plan.python = Some(value.into()),
            "--keep" => keep = value.into(),
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok((plan, keep))
}

/// What was tried.
fn tell(plan: &Plan, done: &Done) {
    let (network, counts) = (&done.network, done.verdict.counts);
    let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    println!(
        "chaos, seed {}: {} s of faults",
        plan.seed,
        done.took.as_secs()
    );
    println!(
        "  {} cuts ({} half-closed, {} black holes), {} kills ({} of them power cuts), \
         {} pauses, {} drains, {} of {} fencings came",
        load(&network.cuts),
        load(&network.half_closed),
        load(&network.black_holes),
        done.kills,
        done.power_cuts,
        done.pauses,
        done.drains,
        done.fences,
        done.to_fence
    );
    println!(
        "  {} of {} windows with a full disk in which events were refused; {} bits flipped, of \
         which {} were refused: {} events corrupt, {} resets, {} cursors lost",
        done.full,
        done.to_fill,
        done.flips,
        done.refused,
        counts.corrupt,
        counts.resets,
        counts.forgotten
    );
}

/// One screen: what was tried, what was lost.
fn conclude(plan: &Plan, done: &Done, keep: PathBuf) -> ExitCode {
    tell(plan, done);
    let verdict = &done.verdict;
    let counts = verdict.counts;
    let most = |value: fn(&Fact) -> u64| done.history.iter().map(value).max().unwrap_or(0);
    println!(
        "  {} events answered, {} without an answer; {} came, {} gaps told, {} processes resumed",
        counts.appended, counts.unanswered, counts.heard, counts.gaps, counts.resumed
    );
    println!(
        "  at most {} KiB of memory, {} files, {} KiB of disk; all at the end after {:.1} s",
        most(|fact| if let Fact::Takes { rss, .. } = fact {
            rss / 1024
        } else {
            0
        }),
        most(|fact| if let Fact::Takes { files, .. } = fact {
            *files
        } else {
            0
        }),
        most(|fact| if let Fact::Takes { disk, .. } = fact {
            disk / 1024
        } else {
            0
        }),
        done.healed.as_secs_f64()
    );
    let lost = verdict.lost;
    println!(
        "  lost: {} at the beginning, {} in the middle, {} at the end; {} violations",
        lost.prefix,
        lost.middle,
        lost.suffix,
        verdict.violations.len()
    );
    if let Some(broken) = &done.broken {
        println!("  it did not come to its end: {broken}");
    } else if verdict.violations.is_empty() {
        return ExitCode::SUCCESS;
    }
    for (which, text) in verdict.violations.iter().take(20) {
        println!("    {which}: {text}");
    }
    match save(&done.history, &keep) {
        Ok(()) => println!("  seed {}, the history is in {}", plan.seed, keep.display()),
        Err(error) => println!("  the history could not be kept: {error}"),
    }
    ExitCode::FAILURE
}

fn save(history: &[Fact], place: &PathBuf) -> std::io::Result<()> {
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut file = BufWriter::new(fs::File::create(place)?);
    for fact in history {
        serde_json::to_writer(&mut file, fact)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}
