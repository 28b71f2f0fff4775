//! What the full test run needs beside Rust, and how it gets there.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::stage::plain;

/// Where Chromium stands, in the order of preference. `WAKELOG_CHROMIUM` names another place.
const CHROMIUM: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A program that the full run starts, and Debian's package for it.
const PROGRAMS: [(&str, &str); 6] = [
    ("node", "nodejs"),
    ("npm", "npm"),
    ("valgrind", "valgrind"),
    ("strace", "strace"),
    ("xfs_io", "xfsprogs"),
    ("python3", "python3-venv"),
];

/// The oldest Node that can run the client's tests.
const NODE_MIN: u32 = 18;

/// Installs what is missing and returns Chromium's place.
///
/// # Errors
///
/// A sentence for the terminal: which programs are missing and what to do.
pub(crate) fn ready() -> Result<PathBuf, String> {
    rust_components()?;
    let missing = missing_here();
    if !missing.is_empty() {
        install(&missing)?;
    }
    let left = missing_here();
    if !left.is_empty() {
        return Err(format!(
            "still missing after the installation: {}. {OTHERWISE}",
            left.join(", ")
        ));
    }
    node_is_new_enough()?;
    chromium().ok_or_else(|| format!("there is no Chromium here. {OTHERWISE}"))
}

/// What to do on a machine where the full run is not possible.
const OTHERWISE: &str = "`cargo xtask test --quick` runs the part that needs nothing but Rust";

/// True if this process may do anything.
pub(crate) fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// rustfmt and clippy belong to Rust, but a minimal installation leaves them out.
fn rust_components() -> Result<(), String> {
    let missing: Vec<&str> = [("rustfmt", "fmt"), ("clippy", "clippy")]
        .into_iter()
        .filter(|(_, command)| !has_cargo_command(command))
        .map(|(component, _)| component)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if find("rustup").is_none() {
        return Err(format!(
            "this Rust lacks {} and rustup is not here",
            missing.join(", ")
        ));
    }
    plain(
        Command::new("rustup")
            .args(["component", "add"])
            .args(&missing),
    )
    .map(drop)
}

/// True if `cargo <command>` exists.
pub(crate) fn has_cargo_command(command: &str) -> bool {
    Command::new("cargo")
        .args([command, "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn chromium() -> Option<PathBuf> {
    if let Some(named) = env::var_os("WAKELOG_CHROMIUM") {
        return Some(PathBuf::from(named)).filter(|path| path.is_file());
    }
    CHROMIUM.into_iter().find_map(find)
}

/// The packages whose programs are not here, by a look at this machine.
fn missing_here() -> Vec<&'static str> {
    missing(|program| find(program).is_some(), chromium().is_some())
}

fn missing(has: impl Fn(&str) -> bool, has_chromium: bool) -> Vec<&'static str> {
    let programs = PROGRAMS.into_iter().filter(|(program, _)| !has(program));
    let mut packages: Vec<&str> = programs.map(|(_, package)| package).collect();
    if !has_chromium {
        packages.push("chromium");
    }
    packages
}

fn install(packages: &[&str]) -> Result<(), String> {
    let list = packages.join(", ");
    if find("apt-get").is_none() {
        return Err(format!(
            "please install {list}: there is no apt-get here. {OTHERWISE}"
        ));
    }
    if !is_root() && find("sudo").is_none() {
        return Err(format!(
            "missing: {list}; installing them needs root or sudo, and there is neither. {OTHERWISE}"
        ));
    }
    println!("==> installing {list}");
    plain(&mut privileged(&["apt-get", "update", "-qq"]))?;
    let install = [
        "apt-get",
        "install",
        "--yes",
        "-qq",
        "--no-install-recommends",
    ];
    plain(privileged(&install).args(packages)).map(drop)
}

/// The command, as root: through sudo when we are somebody else. In CI sudo must not ask.
fn privileged(words: &[&str]) -> Command {
    let mut command;
    if is_root() {
        command = Command::new("env");
    } else {
        command = Command::new("sudo");
        if env::var_os("CI").is_some() {
            command.arg("--non-interactive");
        }
        command.arg("env");
    }
    command.arg("DEBIAN_FRONTEND=noninteractive").args(words);
    command
}

fn node_is_new_enough() -> Result<(), String> {
    let output = Command::new("node").arg("--version").output();
    let version = output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned());
    let version = version.map_err(|error| format!("node does not start: {error}"))?;
    let major = version
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|n| n.parse().ok());
    match major {
        Some(major) if NODE_MIN <= major => Ok(()),
        _ => Err(format!(
            "node {version} is too old: {NODE_MIN} is the least. {OTHERWISE}"
        )),
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|dir: PathBuf| dir.join(program))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_programs_and_misses_others() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-here").is_none());
        assert!(!has_cargo_command("no-such-command-here"));
    }

    #[test]
    fn a_bare_machine_is_named_package_by_package() {
        let all = [
            "nodejs",
            "npm",
            "valgrind",
            "strace",
            "xfsprogs",
            "python3-venv",
            "chromium",
        ];
        assert_eq!(missing(|_| false, false), all);
        assert_eq!(missing(|program| program != "npm", true), ["npm"]);
        assert!(missing(|_| true, true).is_empty());
    }
}
