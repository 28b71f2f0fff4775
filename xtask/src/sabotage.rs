//! Are the tests worth their time? Builds the library with its bugs to order (src/sabotage.rs) and
//! holds each of them against the tests that are to find it.

use std::env;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::stage::Count;
use crate::tasks::cargo;

/// A test that takes longer hangs. Without a bug none of them takes a quarter of it.
const LIMIT: Duration = Duration::from_secs(60);

/// Which test, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    /// The model test of the whole log.
    Model,
    /// The power goes at every operation of this workload.
    Power(&'static str),
    /// A test by its name.
    Named(&'static str),
}
use Test::{Model, Named, Power};

/// Each bug, and the tests that are to find it, the general ones first: one of them must.
const CATCHERS: [(&str, &[Test]); 25] = [
    ("no-directory-sync", &[Power("roll"), Model]),
    ("mark-before-sync", &[Model]),
    ("roll-without-sync", &[Model]),
    ("sync-retried", &[Model]),
    ("reopen-without-rewrite", &[Power("failed-sync")]),
    ("poison-shows-more", &[Model]),
    ("checksum-without-offset", &[FLIPS]),
    ("checksum-without-epoch", &[FLIPS]),
    ("checksum-without-salt", &[FLIPS]),
    ("checksum-without-place", &[FLIPS]),
    ("checksum-believed", &[Model]),
    (
        "end-before-copy",
        &[Named(
            "testing::basics::a_reader_right_behind_the_appender_gets_every_event_whole",
        )],
    ),
    (
        "wake-up-dropped",
        &[Named("testing::basics::a_blocked_reader_is_woken_in_time")],
    ),
    (
        "stale-index",
        &[Named(
            "index::tests::a_file_is_taken_by_its_own_segment_alone",
        )],
    ),
    ("ids-forgotten", &[Model]),
    ("gap-off-by-one", &[Model]),
    ("epoch-reused", &[Model]),
    (
        "epoch-never-over",
        &[Named(
            "testing::corruption::every_sector_of_another_moment_or_log_is_harmless_or_told",
        )],
    ),
    (
        "cursor-goes-back",
        &[Named("cursor_file::tests::cursors_come_back_as_they_were")],
    ),
    ("cursor-not-lowered", &[Power("lost-acks")]),
    (
        "kept-gap-forgotten",
        &[Named(
            "testing::promises::a_cursor_acked_beyond_a_lost_tail_is_lowered_and_told_until_acked",
        )],
    ),
    ("slot-before-definition", &[Power("definitions"), Model]),
    ("unlink-before-cursors", &[Power("acked-away")]),
    (
        "retention-without-cap",
        &[Named(
            "testing::retention::acks_let_go_and_the_cap_wins_over_a_consumer_that_is_gone",
        )],
    ),
    ("newest-goes-first", &[Power("trim")]),
];

const FLIPS: Test = Named("format::tests::frames::any_flip_in_a_frame_is_seen");

impl Test {
    fn name(self) -> String {
        match self {
            Model => "testing::model::a_log_in_memory_is_what_the_model_says".into(),
            Power(_) => "testing::power::the_power_goes_at_every_operation".into(),
            Named(name) => name.into(),
        }
    }

    fn label(self) -> String {
        match self {
            Model => "the model test".into(),
            Power(workload) => format!("power loss, `{workload}`"),
            Named(name) => name.rsplit("::").next().unwrap_or(name).into(),
        }
    }

    fn start(self, program: &str, bug: &str) -> Result<Child, String> {
        let mut command = Command::new(program);
        command
            .args(["--exact", &self.name()])
            .env("WAKELOG_SABOTAGE", bug)
            .env("PROPTEST_CASES", "400")
            .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1")
            .env("WAKELOG_POWER_IMAGES", "4000")
            .env("RUST_BACKTRACE", "0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Power(workload) = self {
            command.env("WAKELOG_POWER_WORKLOAD", workload);
        }
        command
            .spawn()
            .map_err(|error| format!("{program}: {error}"))
    }

    /// Runs it with a bug alive, or with none.
    fn run(self, program: &str, bug: &str) -> Result<Verdict, String> {
        let began = Instant::now();
        let mut child = self.start(program, bug)?;
        loop {
            let ended = child.try_wait().map_err(|error| error.to_string())?;
            if let Some(status) = ended {
                let mut output = String::new();
                if let Some(stdout) = &mut child.stdout {
                    // What is not text counts as nothing said.
                    let _ = stdout.read_to_string(&mut output);
                }
                let took = began.elapsed();
                if output.contains("running 0 tests") {
                    return Err(format!("there is no test {}", self.name()));
                }
                return Ok(if status.success() {
                    Verdict::Passed
                } else {
                    Verdict::Failed(took)
                });
            }
            if began.elapsed() > LIMIT {
                // It is over anyway if it has ended meanwhile.
                let _ = child.kill();
                let _ = child.wait();
                return Ok(Verdict::Hung);
            }
            sleep(Duration::from_millis(20));
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed(Duration),
    Hung,
}

/// Builds once, sees all tests pass without a bug, and each bug found.
pub(crate) fn run() -> Result<Count, String> {
    let program = build()?;
    let mut tests: Vec<Test> = Vec::new();
    for test in CATCHERS.iter().flat_map(|(_, tests)| tests.iter()) {
        if !tests.contains(test) {
            tests.push(*test);
        }
    }
    for test in tests {
        match test.run(&program, "")? {
            Verdict::Passed => {}
            other => return Err(format!("without a bug, {}: {other:?}", test.label())),
        }
    }
    let mut count = Count::default();
    println!("\n    bug                        found by");
    for (bug, tests) in CATCHERS {
        let line = catch(&program, bug, tests)?;
        println!("    {bug:<25}  {}", line.as_deref().unwrap_or("NOBODY"));
        match line {
            Some(_) => count.passed += 1,
            None => count.failed += 1,
        }
    }
    println!("    (a publication with too weak an ordering is for the models of `notify`)");
    if count.failed == 0 {
        return Ok(count);
    }
    let (passed, failed) = (count.passed, count.failed);
    Err(format!(
        "{passed} passed, {failed} failed: tests that should fail do not"
    ))
}

fn catch(program: &str, bug: &str, tests: &[Test]) -> Result<Option<String>, String> {
    for test in tests {
        let label = test.label();
        match test.run(program, bug)? {
            Verdict::Passed => {}
            Verdict::Failed(took) => {
                return Ok(Some(format!("{label}, {:.1} s", took.as_secs_f64())));
            }
            Verdict::Hung => return Ok(Some(format!("{label}, which hangs"))),
        }
    }
    Ok(None)
}

/// The program with the library's tests, the bugs in it.
fn build() -> Result<String, String> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let mut command = cargo("test --package wakelog --lib --no-run --target-dir");
    command
        .arg(target.join("sabotage"))
        .env("RUSTFLAGS", "--cfg sabotage")
        .stderr(Stdio::piped());
    println!("    $ cargo test --package wakelog --lib --no-run   (with --cfg sabotage)");
    let output = command.output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("the build with bugs fails:\n{text}"));
    }
    let line = text.lines().find(|line| line.contains("Executable"));
    let path = line.and_then(|line| line.split(['(', ')']).nth(1));
    path.map(str::to_owned)
        .ok_or_else(|| format!("cargo names no program:\n{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every bug that there is stands in the table, and no other.
    #[test]
    fn the_table_has_every_bug() {
        let source = include_str!("../../src/sabotage.rs");
        let list = source.split("const BUGS").nth(1).unwrap();
        let list = list.split("];").next().unwrap();
        let bugs: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
        let table: Vec<&str> = CATCHERS.iter().map(|(bug, _)| *bug).collect();
        assert_eq!(bugs, table);
    }
}
