//! The same seed, the same faults and the same events for wakelog and for Socket.IO, beside each
//! other on one screen.

use std::io::Result;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::time::sleep;

use crate::check::{Tally, tally};
use crate::random::any_seed;
use crate::run::{Done, Faults, Plan, Power, Stage, run};
use crate::target::Target;
use crate::{USAGE, failed, save};

/// One run, and what came of it.
struct Column {
    name: &'static str,
    faults: Faults,
    done: Done,
    tally: Tally,
}

/// Runs all, one after the other, and prints the screen. It fails if wakelog breaks a promise or if
/// a run does not come to its end, and for nothing else.
pub(crate) fn main(options: &[String], runtime: &Runtime) -> ExitCode {
    let (plan, modules, keep) = match parse(options) {
        Ok(parsed) => parsed,
        Err(sentence) => return failed(&sentence),
    };
    let socketio = Target::SocketIo(modules.clone());
    let wakelog = Target::Wakelog { compared: true };
    let targets = [("wakelog", wakelog), ("socket.io", socketio)];
    let mut columns = Vec::new();
    for faults in [Faults::Cuts, Faults::CutsAndKills] {
        for (name, target) in &targets {
            let plan = Plan {
                target: target.clone(),
                faults,
                ..plan.clone()
            };
            eprintln!("{name}, {}, seed {}", sentence(faults), plan.seed);
            let done = match runtime.block_on(run(&plan)) {
                Ok(done) => done,
                Err(error) => return failed(&format!("{name}: {error}")),
            };
            let place = keep.join(format!(
                "chaos-{name}-{}.jsonl",
                sentence(faults).replace(' ', "-")
            ));
            if let Err(error) = save(&done.history, &place) {
                return failed(&format!("{}: {error}", place.display()));
            }
            columns.push(Column {
                name,
                faults,
                tally: tally(&done.history),
                done,
            });
        }
    }
    screen(&plan, &modules, &columns);
    println!("  the histories are in {}", keep.display());
    conclude(&columns)
}

fn parse(options: &[String]) -> std::result::Result<(Plan, PathBuf, PathBuf), String> {
    let mut plan = Plan {
        seed: any_seed(),
        target: Target::Wakelog { compared: true },
        faults: Faults::Cuts,
        pace: 20,
        least: Duration::from_secs(60),
        cuts: 0,
        kills: 0,
        full: 0,
        flips: None,
        healing: Duration::from_secs(120),
        power: Power::Stays,
        dir: None,
        home: PathBuf::from("target/chaos"),
        node: None,
        python: None,
    };
    let mut keep = PathBuf::from("target");
    let mut modules = None;
    for pair in options.chunks(2) {
        let [name, value] = pair else {
            return Err(USAGE.to_owned());
        };
        let number = value
            .parse()
            .map_err(|_| format!("{name} {value}: no number"));
        match name.as_str() {
            "--minutes" => plan.least = Duration::from_secs(60 * number?),
            "--seconds" => plan.least = Duration::from_secs(number?),
            "--healing" => plan.healing = Duration::from_secs(number?),
            "--pace" => plan.pace = number?,
            "--seed" => plan.seed = number?,
            "--socketio" => modules = Some(value.into()),
            "--keep" => keep = value.into(),
            _ => return Err(USAGE.to_owned()),
        }
    }
    let modules = modules.ok_or(USAGE)?;
    Ok((plan, modules, keep))
}

impl Stage {
    /// What a server may have to survive in a comparison, and rarely enough that clients who wait
    /// for some seconds are there in between.
    pub(crate) async fn few_faults(&self, plan: &Plan, done: &mut Done) -> Result<()> {
        if plan.faults == Faults::Cuts {
            sleep(plan.least).await;
            return Ok(());
        }
        let start = Instant::now();
        let mut random = self.random.branch("faults");
        loop {
            let rest = Duration::from_millis(5_000 + random.below(10_000));
            let left = plan.least.saturating_sub(start.elapsed());
            sleep(rest.min(left)).await;
            if rest >= left {
                return Ok(());
            }
            let mut server = self.server.lock().await;
            match random.below(20) {
                0 | 1 => {
                    let length = Duration::from_millis(random.below(1_000));
                    server.pause(length).await?;
                    done.pauses += 1;
                }
                2 => {
                    server.drain().await?;
                    server.start().await?;
                    done.drains += 1;
                }
                _ => {
                    server.kill().await?;
                    done.kills += 1;
                }
            }
        }
    }
}

const fn sentence(faults: Faults) -> &'static str {
    match faults {
        Faults::Own => "everything",
        Faults::Cuts => "cuts only",
        Faults::CutsAndKills => "cuts and kills",
    }
}

/// The version of a package.
fn version(modules: &Path, package: &str) -> String {
    let text = std::fs::read(modules.join(package).join("package.json"));
    let value = text
        .ok()
        .and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
    let version = value.as_ref().and_then(|value| value["version"].as_str());
    format!("{package} {}", version.unwrap_or("of an unknown version"))
}

fn screen(plan: &Plan, modules: &Path, columns: &[Column]) {
    println!(
        "chaos, seed {}, {} s of faults each, pace {} ms; wakelog, {}, {}",
        plan.seed,
        plan.least.as_secs(),
        plan.pace,
        version(modules, "socket.io"),
        version(modules, "socket.io-client"),
    );
    let row = |what: &str, value: &dyn Fn(&Column) -> String| {
        print!("  {what:<44}");
        for column in columns {
            print!("{:>16}", value(column));
        }
        println!();
    };
    row("", &|column| sentence(column.faults).to_owned());
    row("", &|column| column.name.to_owned());
    let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed).to_string();
    row("connections cut", &|column| load(&column.done.network.cuts));
    row("kills, drains, pauses", &|column| {
        let done = &column.done;
        format!("{}, {}, {}", done.kills, done.drains, done.pauses)
    });
    let count =
        |what: &str, of: fn(&Tally) -> u64| row(what, &|column| of(&column.tally).to_string());
    count("events answered", |tally| tally.answered);
    count("without an answer", |tally| tally.unanswered);
    count("owed to clients", |tally| tally.owed);
    count("delivered", |tally| tally.delivered);
    row("lost, silently", &|column| {
        share(column.tally.silent.sum(), &column.tally)
    });
    count("  before the first that came", |tally| tally.silent.prefix);
    count("  in the middle", |tally| tally.silent.middle);
    count("  after the last that came", |tally| tally.silent.suffix);
    row("lost, told", &|column| {
        share(column.tally.told, &column.tally)
    });
    count("the same again", |tally| tally.duplicated);
    count("out of order", |tally| tally.reordered);
    count("altered, or not to that client", |tally| tally.strange);
    count("gaps told, with their numbers", |tally| tally.gaps);
    count("connections told to be complete", |tally| tally.recovered);
    count("connections told not to be", |tally| tally.unrecovered);
}

/// A count, and how much of what is owed that is.
fn share(count: u64, tally: &Tally) -> String {
    // In thousandths of a percent.
    let share = (count * 100_000).checked_div(tally.owed).unwrap_or(0);
    format!("{count} {}.{:03}%", share / 1_000, share % 1_000)
}

fn conclude(columns: &[Column]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for column in columns {
        let done = &column.done;
        if let Some(broken) = &done.broken {
            let faults = sentence(column.faults);
            println!(
                "  {}, {faults}, did not come to its end: {broken}",
                column.name
            );
            code = ExitCode::FAILURE;
        }
        for (which, text) in done.verdict.violations.iter().take(20) {
            println!("    {which}: {text}");
            code = ExitCode::FAILURE;
        }
    }
    code
}
