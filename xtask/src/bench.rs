//! Speed: beside the rivals, and as counted instructions.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::tasks::{cargo, enter_root};

/// The log beside its rivals.
pub(crate) fn peers(options: &[&str]) -> Result<bool, String> {
    compare("wakelog-bench", options)
}

/// The hub beside bare servers.
pub(crate) fn connections(options: &[&str]) -> Result<bool, String> {
    compare("wakelog-bench-ws", options)
}

/// Builds and runs a package that compares; it is no part of the workspace, so that nobody else
/// builds the rivals. `options` are its own.
fn compare(package: &str, options: &[&str]) -> Result<bool, String> {
    enter_root()?;
    // A folder of its own, since its profile is another one.
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let manifest = "run --release --manifest-path crates/wakelog-bench/Cargo.toml --target-dir";
    let mut command = cargo(manifest);
    command.arg(target.join("peers"));
    command.args(["--package", package, "--"]).args(options);
    let status = command.status();
    Ok(status.map_err(|error| error.to_string())?.success())
}

/// Counts the instructions of append, read and ack, and holds them against the figures that are
/// checked in, or writes those anew.
pub(crate) fn instructions(update: bool) -> Result<bool, String> {
    enter_root()?;
    let status = count_instructions(update).status();
    Ok(status.map_err(|error| error.to_string())?.success())
}

/// The command that does it.
pub(crate) fn count_instructions(update: bool) -> Command {
    let mut command = cargo("bench --package wakelog --bench instructions");
    if update {
        command.args(["--", "--update"]);
    }
    command
}
