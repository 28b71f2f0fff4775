//! Threads: model checkers and ThreadSanitizer. Each needs the library built for it, in a folder
//! of its own.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::stage::{Count, Stages, counted};
use crate::tasks::{cargo, enter_root};

/// The models, alone.
pub(crate) fn models() -> Result<bool, String> {
    enter_root()?;
    let mut stages = Stages::default();
    checkers(&mut stages);
    Ok(stages.summary())
}

/// ThreadSanitizer, alone.
pub(crate) fn tsan(minutes: Option<&str>) -> Result<bool, String> {
    enter_root()?;
    let seconds = match minutes.map(str::parse::<u64>) {
        None => SECONDS,
        Some(Ok(minutes)) => 60 * minutes,
        Some(Err(error)) => return Err(format!("--minutes: {error}")),
    };
    let mut stages = Stages::default();
    stages.run("tsan", || sanitized(seconds));
    Ok(stages.summary())
}

/// What of this the full test run has.
pub(crate) fn stages(stages: &mut Stages) {
    checkers(stages);
    stages.run("tsan", || sanitized(SECONDS));
}

/// How long the log is watched in a full test run.
const SECONDS: u64 = 10;

fn checkers(stages: &mut Stages) {
    stages.run("loom", || checker("loom", "loom_tests"));
    stages.run("shuttle", || checker("shuttle", "shuttle_tests"));
}

/// Runs the tests that one of the checkers is for.
fn checker(name: &str, tests: &str) -> Result<Count, String> {
    let words = format!("test --package wakelog --lib -- {tests} model::");
    let mut command = cargo(&words);
    counted(built_for(&mut command, name, &format!("--cfg {name}")))
}

/// Builds and runs with flags of its own, in a folder of its own.
pub(crate) fn built_for<'a>(command: &'a mut Command, name: &str, flags: &str) -> &'a mut Command {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let target = target.join(name);
    command
        .env("RUSTFLAGS", flags)
        .env("CARGO_TARGET_DIR", target)
}

const SANITIZED: &str = "--cfg sabotage -Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer";
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// What ThreadSanitizer ends a program with that has a race.
const RACE: i32 = 66;

/// The log under ThreadSanitizer: no race, and a race when one is planted.
fn sanitized(seconds: u64) -> Result<Count, String> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        println!("!!! NOT TESTED: ThreadSanitizer runs on {TARGET} only");
        return Ok(Count::default());
    }
    let words = format!("test --package wakelog --test threads --target {TARGET}");
    let under = |plant: &str, seconds: u64| {
        let mut command = cargo(&words);
        let supp = Path::new("tests/threads/tsan.supp").canonicalize();
        let supp = supp.unwrap_or_default();
        let options = format!("halt_on_error=1 suppressions={}", supp.display());
        built_for(&mut command, "tsan", SANITIZED)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("TSAN_OPTIONS", options)
            .env("WAKELOG_PLANT", plant)
            .env("WAKELOG_THREADS_SECONDS", seconds.to_string());
        command
    };
    let count = counted(&mut under("", seconds))?;
    println!("    now with a race planted");
    let output = under("RelaxedPublish", 60).output();
    let output = output.map_err(|error| error.to_string())?;
    let told = String::from_utf8_lossy(&output.stderr);
    if output.status.success() || !told.contains("data race") {
        return Err(format!("the planted race is not found: {told}"));
    }
    let summary = told.lines().find(|line| line.starts_with("SUMMARY"));
    println!(
        "    found: {} (exit code {RACE})",
        summary.unwrap_or_default()
    );
    Ok(count)
}
