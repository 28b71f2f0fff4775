//! The tasks, each a list of stages.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench;
use crate::defences;
use crate::dependencies;
use crate::models;
use crate::pasted;
use crate::sabotage;
use crate::size;
use crate::stage::{Count, Stages, counted, plain};
use crate::tools;

/// Everything. True if all of it passed.
pub(crate) fn test() -> Result<bool, String> {
    enter_root()?;
    let chromium = tools::ready()?;
    let mut stages = Stages::default();
    rust_stages(&mut stages, true);
    stages.run("sabotage", sabotage::run);
    // The log alone has benches: the next stage runs with what this one builds.
    stages.run("benches", || {
        plain(&mut cargo("bench --package wakelog --no-run"))
    });
    stages.run("instructions", || {
        let mut count = bench::count_instructions(false);
        plain(count.env("WAKELOG_REQUIRE_ALL", "1"))
    });
    models::stages(&mut stages);
    stages.run("dependencies", || {
        dependencies::check(Path::new("deny.toml"))
    });
    stages.run("size", size::check);
    stages.run("client", client);
    stages.run("browser", || browser(&chromium, None));
    stages.run("pasted", pasted::check);
    Ok(stages.summary())
}

/// What needs nothing but Rust.
pub(crate) fn test_quick() -> Result<bool, String> {
    enter_root()?;
    let mut stages = Stages::default();
    rust_stages(&mut stages, false);
    Ok(stages.summary())
}

/// Do the tests find bugs?
pub(crate) fn sabotage() -> Result<bool, String> {
    enter_root()?;
    let mut stages = Stages::default();
    stages.run("sabotage", sabotage::run);
    Ok(stages.summary())
}

/// Do the tests of wakelog-ws notice when a defence is gone?
pub(crate) fn defences(attack: Option<&str>) -> Result<bool, String> {
    enter_root()?;
    let mut stages = Stages::default();
    stages.run("defences", || defences::run(attack));
    Ok(stages.summary())
}

/// Do the programs of wakelog-ws's README work in a new project?
pub(crate) fn pasted() -> Result<bool, String> {
    enter_root()?;
    let mut stages = Stages::default();
    stages.run("pasted", pasted::check);
    Ok(stages.summary())
}

/// Is wakelog-ws as small as it is meant to be?
pub(crate) fn size() -> Result<bool, String> {
    enter_root()?;
    let mut stages = Stages::default();
    stages.run("size", size::check);
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
    // wakelog-ws asks for the log's feature `serde`, so the tests of that are among these.
    stages.run("tests", || {
        let mut command = cargo("test --workspace --no-fail-fast");
        if full {
            command.env("WAKELOG_PYTHON", python()?);
        }
        if full && tools::is_root() {
            // Tests that mount file systems skip with a sentence elsewhere; here they must run.
            command.env("WAKELOG_REQUIRE_ALL", "1");
        } else {
            println!("    tests that need root skip themselves where they cannot run");
        }
        counted(&mut command)
    });
    stages.run("chaos", || chaos_stage(full));
}

/// A Python that has the packages `websockets` and `kosoku`, in an environment of its own.
fn python() -> Result<PathBuf, String> {
    let home = env::current_dir().map_err(|error| error.to_string())?;
    let home = home.join("target/python");
    let python = home.join("bin/python");
    let mut check = Command::new(&python);
    let check = check.args(["-c", "import websockets, kosoku"]).status();
    if !check.is_ok_and(|status| status.success()) {
        plain(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
        let install = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "websockets>=13",
            "kosoku",
        ];
        plain(Command::new(&python).args(install))?;
    }
    Ok(python)
}

fn optional(component: &str, required: bool) -> bool {
    let run = required || tools::has_cargo_command(component);
    if !run {
        println!("==> {component}: left out, this Rust has no cargo {component}");
    }
    run
}

/// The delivery test. `options` are its own, but for `--target`, which stands first.
pub(crate) fn chaos(options: &[&str]) -> Result<bool, String> {
    enter_root()?;
    let mut command = cargo("run --release --package wakelog-chaos --");
    match options {
        ["--target", "socket.io", options @ ..] => {
            command.arg("compare").args(options);
            command.arg("--socketio").arg(socketio()?);
        }
        ["--target", "wakelog", options @ ..] | options => {
            command.arg("run").args(options);
            foreign_clients(&mut command)?;
        }
    }
    let status = command.status();
    Ok(status.map_err(|error| error.to_string())?.success())
}

/// Installs Socket.IO, of the versions that are written down, and says where.
fn socketio() -> Result<PathBuf, String> {
    let home = env::current_dir().map_err(|error| error.to_string())?;
    let home = home.join("target/socketio");
    let from = Path::new("crates/wakelog-chaos/clients/socketio");
    fs::create_dir_all(&home).map_err(|error| error.to_string())?;
    for file in ["package.json", "package-lock.json"] {
        fs::copy(from.join(file), home.join(file)).map_err(|error| format!("{file}: {error}"))?;
    }
    let install = ["ci", "--no-audit", "--no-fund", "--silent"];
    plain(Command::new("npm").args(install).current_dir(&home))?;
    Ok(home.join("node_modules"))
}

/// So many faults that each kind is among them, always from the same seed unless
/// `WAKELOG_CHAOS_SEED` is another; then a run in which bits of the log are flipped. Nothing in
/// them depends on how fast the machine is, but for how long they take.
fn chaos_stage(full: bool) -> Result<Count, String> {
    let seed = env::var("WAKELOG_CHAOS_SEED").unwrap_or_else(|_| "1".to_owned());
    let program = built("wakelog-chaos")?;
    let run = |options: &str| {
        let mut command = Command::new(&program);
        command.args(["run", "--healing", "120", "--seed", &seed]);
        command.args(options.split(' '));
        command
    };
    let mut command = run("--seconds 15 --cuts 300 --kills 30 --full 1");
    if full {
        foreign_clients(&mut command)?;
    }
    if full && tools::is_root() {
        command.args(["--power", "yes"]);
    }
    plain(&mut command)?;
    plain(&mut run("--seconds 8 --kills 15 --flips 15"))
}

/// Gives the delivery test what its clients in other languages need.
fn foreign_clients(command: &mut Command) -> Result<(), String> {
    let here = env::current_dir().map_err(|error| error.to_string())?;
    // Node has a WebSocket of its own from 22 on.
    let install = "install --prefix target/node --no-audit --no-fund --silent ws@8";
    plain(Command::new("npm").args(install.split(' ')))?;
    command
        .arg("--node")
        .arg(here.join("target/node/node_modules"));
    command.arg("--python").arg(python()?);
    Ok(())
}

/// The browser client under Node, against a scripted socket.
fn client() -> Result<Count, String> {
    counted(node_tests().current_dir("crates/wakelog-ws/client"))
}

/// The chat page in Chromium, against the real server. `picture` asks for a screenshot.
fn browser(chromium: &Path, picture: Option<&Path>) -> Result<Count, String> {
    let server = built("examples/chat")?;
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

/// Builds a program, and says where it is: next to this very one, in the same profile. All that
/// stages need is built at once and with the whole workspace, as the tests have built it.
fn built(name: &str) -> Result<PathBuf, String> {
    plain(&mut cargo(
        "build --workspace --bin wakelog-chaos --example chat",
    ))?;
    let this = env::current_exe().map_err(|error| error.to_string())?;
    let program = this.with_file_name(name);
    if program.is_file() {
        Ok(program)
    } else {
        Err(format!("{} is missing", program.display()))
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
