//! Soak: everything that tests have chosen at random, with fresh seeds, until the time is over.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::models;
use crate::tasks::{cargo, enter_root};
use crate::tools;

/// What a failed run has printed is kept here.
const KEPT: &str = "target/soak";

/// One kind of test, run again and again.
struct Part {
    name: &'static str,
    /// Words for cargo.
    words: &'static str,
    /// What it is told in its environment, each value with `{seed}` in the place of a seed.
    told: &'static [(&'static str, &'static str)],
    /// What it counts: the word behind the number in what it prints.
    counts: &'static [&'static str],
    needs: Needs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    Root,
    /// The library built for this model checker.
    Checker(&'static str),
    Fuzzer,
}

const LOG: &str = "test --release --package wakelog --lib -- --nocapture";
const CRASH: &str = "test --release --package wakelog --test crash -- --nocapture";

/// A run of each takes between some seconds and a minute or two, so that the time is shared.
const PARTS: [Part; 9] = [
    Part {
        name: "losses of power, simulated",
        words: "testing::power::the_power",
        told: &[
            ("WAKELOG_POWER_SEED", "{seed}"),
            ("WAKELOG_POWER_IMAGES", "300000"),
        ],
        counts: &["images"],
        needs: Needs::Nothing,
    },
    Part {
        name: "failing operations, simulated",
        words: "testing::power::errors",
        told: &[("WAKELOG_POWER_SEED", "{seed}")],
        counts: &["failures"],
        needs: Needs::Nothing,
    },
    Part {
        name: "several damages at once",
        words: "testing::corruption::several",
        told: &[
            ("WAKELOG_DAMAGE_SEED", "{seed}"),
            ("WAKELOG_DAMAGES", "30000"),
        ],
        counts: &["images"],
        needs: Needs::Nothing,
    },
    Part {
        name: "random operations beside a list",
        words: "testing::model",
        told: &[("PROPTEST_RNG_SEED", "{seed}"), ("PROPTEST_CASES", "2000")],
        counts: &[],
        needs: Needs::Nothing,
    },
    Part {
        name: "kills at random moments",
        words: "no_kill",
        told: &[
            ("WAKELOG_CRASH_SEED", "{seed}"),
            ("WAKELOG_CRASH_KILLS", "250"),
        ],
        counts: &["kills", "appends"],
        needs: Needs::Nothing,
    },
    Part {
        name: "kills at system calls",
        words: "syscalls",
        told: &[("WAKELOG_CRASH_ROUNDS", "2")],
        counts: &["kills", "appends"],
        needs: Needs::Nothing,
    },
    Part {
        name: "power cuts of ext4 and XFS",
        words: "power_cut",
        told: &[
            ("WAKELOG_CUT_SEED", "{seed}"),
            ("WAKELOG_CUTS", "60"),
            ("WAKELOG_REQUIRE_ALL", "1"),
        ],
        counts: &["cuts", "appends"],
        needs: Needs::Root,
    },
    Part {
        name: "schedules of threads",
        words: "shuttle_tests",
        told: &[
            ("SHUTTLE_RANDOM_SEED", "{seed}"),
            ("WAKELOG_SCHEDULES", "10000"),
        ],
        counts: &["schedules"],
        needs: Needs::Checker("shuttle"),
    },
    Part {
        name: "fuzzing of whole logs",
        words: "fuzz run operations -- -max_total_time=60 -max_len=1024 -malloc_limit_mb=256 \
                -print_final_stats=1 -seed={seed}",
        told: &[("RUSTC_BOOTSTRAP", "1")],
        counts: &["stat::number_of_executed_units:"],
        needs: Needs::Fuzzer,
    },
];

/// What has become of a part.
#[derive(Default)]
struct Outcome {
    runs: u32,
    /// Sums in the order of the part's words.
    counts: Vec<u64>,
    took: Duration,
    /// How to run again what has failed.
    failures: Vec<String>,
    left_out: Option<&'static str>,
}

/// Runs all parts in turns for so long. True if nothing has failed.
pub(crate) fn soak(minutes: &str, seed: Option<&str>) -> Result<bool, String> {
    let number = |text: &str| {
        text.parse::<u64>()
            .map_err(|error| format!("{text}: {error}"))
    };
    let (minutes, seed) = (number(minutes)?, seed.map_or_else(fresh_seed, number)?);
    enter_root()?;
    fs::create_dir_all(KEPT).map_err(|error| format!("{KEPT}: {error}"))?;
    let (began, limit) = (Instant::now(), Duration::from_secs(60 * minutes));
    let mut outcomes: Vec<Outcome> = PARTS.iter().map(Part::outcome).collect();
    let mut seed_of_run = seed;
    while began.elapsed() < limit {
        // Whoever had the least time so far is the next, so that all get the same.
        let waiting = PARTS.iter().zip(&mut outcomes);
        let waiting = waiting.filter(|(_, outcome)| outcome.left_out.is_none());
        let Some((part, outcome)) = waiting.min_by_key(|(_, outcome)| outcome.took) else {
            return Err("nothing can be run here".into());
        };
        println!("==> {}, seed {seed_of_run}", part.name);
        part.run(seed_of_run, outcome)?;
        seed_of_run = seed_of_run.wrapping_add(1);
    }
    Ok(screen(minutes, seed, &outcomes))
}

fn fresh_seed() -> Result<u64, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map(|now| now.as_secs())
        .map_err(|error| error.to_string())
}

/// The one screen at the end.
fn screen(minutes: u64, seed: u64, outcomes: &[Outcome]) -> bool {
    println!("\n    {:<34} {:>5} {:>8}   tried", "what", "runs", "time");
    for (part, outcome) in PARTS.iter().zip(outcomes) {
        let counts = part.counts.iter().zip(&outcome.counts);
        let counts: Vec<String> = counts
            .map(|(word, sum)| format!("{sum} {}", plain_word(word)))
            .collect();
        let tried = match outcome.left_out {
            Some(why) => format!("LEFT OUT: {why}"),
            None => counts.join(", "),
        };
        let seconds = outcome.took.as_secs();
        println!(
            "    {:<34} {:>5} {:>6} s   {tried}",
            part.name, outcome.runs, seconds
        );
    }
    let failures: Vec<&String> = outcomes.iter().flat_map(|one| &one.failures).collect();
    println!("\ncargo xtask soak --minutes {minutes} --seed {seed}");
    if let Ok(commit) = Command::new("git")
        .args(["log", "-1", "--format=%h, %cI"])
        .output()
    {
        print!("commit {}", String::from_utf8_lossy(&commit.stdout));
    }
    for failure in &failures {
        println!("FAILED: {failure}");
    }
    if failures.is_empty() {
        println!("lost: nothing");
    }
    failures.is_empty()
}

fn plain_word(word: &str) -> &str {
    if word.contains("executed") {
        "inputs"
    } else {
        word
    }
}

impl Part {
    fn outcome(&self) -> Outcome {
        let left_out = match self.needs {
            Needs::Root if !tools::is_root() => Some("needs root"),
            Needs::Fuzzer if !tools::has_cargo_command("fuzz") => Some("cargo-fuzz is not here"),
            _ => None,
        };
        Outcome {
            counts: vec![0; self.counts.len()],
            left_out,
            ..Outcome::default()
        }
    }

    fn command(&self, seed: u64) -> Command {
        let seed = seed.to_string();
        let words = self.words.replace("{seed}", &seed);
        let words = match self.needs {
            Needs::Fuzzer => words,
            Needs::Checker(_) => {
                format!("test --package wakelog --lib -- --nocapture {words}")
            }
            _ if self.words.starts_with("testing") => format!("{LOG} {words}"),
            _ => format!("{CRASH} {words}"),
        };
        let mut command = cargo(&words);
        if let Needs::Checker(name) = self.needs {
            models::built_for(&mut command, name, &format!("--cfg {name}"));
        }
        for (name, value) in self.told {
            command.env(name, value.replace("{seed}", &seed));
        }
        command
    }

    fn run(&self, seed: u64, outcome: &mut Outcome) -> Result<(), String> {
        let began = Instant::now();
        let command = self.command(seed);
        let again = self.again(&command);
        // In one stream, as somebody would see it.
        let mut shell = Command::new("sh");
        shell
            .args(["-c", r#"exec "$@" 2>&1"#, "sh"])
            .arg(command.get_program())
            .args(command.get_args())
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = shell.spawn().map_err(|error| format!("sh: {error}"))?;
        let Some(reader) = child.stdout.take() else {
            return Err("a child without its output".into());
        };
        let mut printed = Vec::new();
        for line in BufReader::new(reader).split(b'\n') {
            let line = line.map_err(|error| error.to_string())?;
            self.add_counts(&String::from_utf8_lossy(&line), &mut outcome.counts);
            printed.extend_from_slice(&line);
            printed.push(b'\n');
        }
        let status = child.wait().map_err(|error| error.to_string())?;
        outcome.runs += 1;
        outcome.took += began.elapsed();
        if !status.success() {
            let name = self.name.replace([' ', ','], "-");
            let place = PathBuf::from(KEPT).join(format!("{name}-{seed}.txt"));
            fs::write(&place, printed).map_err(|error| error.to_string())?;
            println!("    FAILED: {again}");
            outcome
                .failures
                .push(format!("{again}\n        {}", place.display()));
        }
        Ok(())
    }

    /// The command as somebody would type it.
    fn again(&self, command: &Command) -> String {
        let told = command.get_envs().filter_map(|(name, value)| {
            let (name, value) = (name.to_string_lossy(), value?.to_string_lossy());
            Some(format!("{name}='{value}'"))
        });
        let words = command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned());
        let all: Vec<String> = told.chain(["cargo".to_owned()]).chain(words).collect();
        all.join(" ")
    }

    /// Adds the numbers in a line that stand before, or behind, the words that this part counts.
    fn add_counts(&self, line: &str, counts: &mut [u64]) {
        let words: Vec<&str> = line
            .split([' ', ',', '('])
            .filter(|w| !w.is_empty())
            .collect();
        for (word, sum) in self.counts.iter().zip(counts) {
            let Some(at) = words.iter().position(|one| one == word) else {
                continue;
            };
            let number = if word.ends_with(':') {
                words.get(at + 1)
            } else {
                // "100 power cuts": an adjective may stand between.
                let before = words[..at].iter().rev().take(2);
                before.into_iter().find(|one| one.parse::<u64>().is_ok())
            };
            *sum += number.and_then(|one| one.parse::<u64>().ok()).unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(name: &str, line: &str) -> Vec<u64> {
        let part = PARTS.iter().find(|part| part.name == name);
        let part = part.unwrap_or_else(|| unreachable!("a part"));
        let mut counts = vec![0; part.counts.len()];
        part.add_counts(line, &mut counts);
        counts
    }

    #[test]
    fn numbers_are_found_in_what_is_printed() {
        let kills = "100 kills, 19739 events, 8822 appends answered, 102 segments";
        assert_eq!(counted("kills at random moments", kills), [100, 8822]);
        let cuts = "25 power cuts (on_xfs), 812 appends, 90 of them durable, in 7.1s";
        assert_eq!(counted("power cuts of ext4 and XFS", cuts), [25, 812]);
        let units = "stat::number_of_executed_units: 4711";
        assert_eq!(counted("fuzzing of whole logs", units), [4711]);
        assert_eq!(counted("kills at random moments", "no kills"), [0, 0]);
    }

    #[test]
    fn a_run_is_told_its_seed() {
        for part in &PARTS {
            let again = part.again(&part.command(4711));
            let has_none = part.name == "kills at system calls";
            assert!(again.contains("4711") || has_none, "{again}");
        }
    }
}
