//! The tasks, each a list of stages.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench;
use crate::dependencies;
use crate::stage::{Count, Stages, counted, plain};
use crate::tools;

/// Everything. True if all of it passed.
pub(crate) fn test() -> Result<bool, String> {
    enter_root()?;
    let chromium = tools::ready()?;
    let mut stages = Stages::default();
    rust_stages(&mut stages, true);
    stages.run("benches", || {
        plain(&mut cargo("bench --workspace --no-run"))
    });
    stages.run("instructions", || {
        let mut count = bench::count_instructions(false);
        plain(count.env("WAKELOG_REQUIRE_ALL", "1"))
    });
    stages.run("dependencies", || {
        dependencies::check(Path::new("deny.toml"))
    });
    stages.run("client", client);
    stages.run("browser", || browser(&chromium, None));
    Ok(stages.summary())
}

/// What needs nothing but Rust.
pub(crate) fn test_quick() -> Result<bool, String> {
    enter_root()?;
    let mut stages = Stages::default();
    rust_stages(&mut stages, false);
    Ok(stages.summary())
}

/// The browser test, with the picture for the README.
pub(crate) fn screenshot() -> Result<bool, String> {
    enter_root()?;
    let chromium = tools::ready()?;
    let picture = env::current_dir()
        .map_err(|error| error.to_string())?
        .join("docs/chat.png");
    let mut stages = Stages::default();
    stages.run("browser", || browser(&chromium, Some(&picture)));
    Ok(stages.summary())
}

/// Format, lints, docs and tests. In the full run nothing may be left out; in the quick one a Rust
/// without rustfmt or clippy leaves out that stage and says so.
fn rust_stages(stages: &mut Stages, full: bool) {
    if optional("fmt", full) {
        stages.run("fmt", || plain(&mut cargo("fmt --all --check")));
    }
    if optional("clippy", full) {
        let lints = "clippy --workspace --all-targets -- -D warnings";
        stages.run("clippy", || plain(&mut cargo(lints)));
    }
    stages.run("docs", || {
        let mut command = cargo("doc --workspace --no-deps");
        plain(command.env("RUSTDOCFLAGS", "-D warnings"))
    });
    stages.run("tests", || {
        let mut command = cargo("test --workspace --no-fail-fast");
        if full && tools::is_root() {
            // Tests that mount file systems skip with a sentence elsewhere; here they must run.
            command.env("WAKELOG_REQUIRE_ALL", "1");
        } else {
            println!("    tests that need root skip themselves where they cannot run");
        }
        counted(&mut command)
    });
    stages.run("serde", || {
        counted(&mut cargo("test -p wakelog --lib --features serde serial"))
    });
}

fn optional(component: &str, required: bool) -> bool {
    let run = required || tools::has_cargo_command(component);
    if !run {
        println!("==> {component}: left out, this Rust has no cargo {component}");
    }
    run
}

/// The browser client under Node, against a scripted socket.
fn client() -> Result<Count, String> {
    counted(node_tests().current_dir("crates/wakelog-ws/client"))
}

/// The chat page in Chromium, against the real server. `picture` asks for a screenshot.
fn browser(chromium: &Path, picture: Option<&Path>) -> Result<Count, String> {
    let server = chat_server()?;
    let mut packages = Command::new("npm");
    plain(
        packages
            .args(["ci", "--no-audit", "--no-fund", "--silent"])
            .current_dir("e2e"),
    )?;
    let mut tests = node_tests();
    tests
        .current_dir("e2e")
        .env("WAKELOG_CHAT", server)
        .env("WAKELOG_CHROMIUM", chromium);
    if let Some(picture) = picture {
        tests.env("WAKELOG_SCREENSHOT", picture);
    }
    counted(&mut tests)
}

/// The test script of the package.json in the directory where it is run.
fn node_tests() -> Command {
    let mut command = Command::new("npm");
    command.args(["test", "--silent"]);
    command
}

/// Builds the chat server and returns its place: next to this very program's, in the same profile.
fn chat_server() -> Result<PathBuf, String> {
    plain(&mut cargo("build --package wakelog-ws --example chat"))?;
    let this = env::current_exe().map_err(|error| error.to_string())?;
    let server = this.with_file_name("examples").join("chat");
    if server.is_file() {
        Ok(server)
    } else {
        Err(format!("{} is missing", server.display()))
    }
}

pub(crate) fn cargo(words: &str) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words.split(' '));
    command
}

/// All paths are relative to the repository.
pub(crate) fn enter_root() -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    env::set_current_dir(&root).map_err(|error| format!("{}: {error}", root.display()))
}
