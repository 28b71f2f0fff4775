//! Where a run was made: without that its figures say nothing.

use rustix::fs::statfs;
use rustix::system::uname;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::{Instant, SystemTime};

use crate::{CRATES, Outcome};

/// The versions that were built, of wakelog and of all rivals.
const LOCK: &str = include_str!("../Cargo.lock");

const TMPFS: &str = "tmpfs";

/// The machine at the begin of a run.
pub struct Machine {
    file_system: String,
    load: String,
    begin: SystemTime,
    start: Instant,
}

impl Machine {
    /// Looks at the machine and at the file system of the directory.
    pub fn look(dir: &Path) -> Outcome<Machine> {
        let kind = statfs(dir)?.f_type;
        let file_system = match kind {
            0xEF53 => "ext4".to_owned(),
            0x5846_5342 => "XFS".to_owned(),
            0x0102_1994 => TMPFS.to_owned(),
            other => format!("{other:#x}"),
        };
        Ok(Machine {
            file_system,
            load: load(),
            begin: SystemTime::now(),
            start: Instant::now(),
        })
    }

    /// Whether there is no disk below the directory.
    pub fn is_memory(&self) -> bool {
        self.file_system == TMPFS
    }

    /// All facts; the load now, too.
    pub fn facts(&self) -> Value {
        let since = self.begin.duration_since(SystemTime::UNIX_EPOCH);
        json!({
            "processor": line_of("/proc/cpuinfo", "model name"),
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "memory": line_of("/proc/meminfo", "MemTotal"),
            "kernel": uname().release().to_string_lossy(),
            "file system": self.file_system,
            "rustc": said("rustc", &["--version"]),
            "commit": said("git", &["describe", "--always", "--dirty"]),
            "versions": versions(),
            "load before": self.load,
            "load after": load(),
            "begin, unix seconds": since.map_or(0, |since| since.as_secs()),
            "seconds": self.start.elapsed().as_secs(),
        })
    }

    /// The facts, a line each.
    pub fn text(&self) -> String {
        let facts = self.facts();
        let Some(facts) = facts.as_object() else {
            return String::new();
        };
        let line = |(name, value): (&String, &Value)| match value {
            Value::String(text) => format!("  {name}: {text}\n"),
            Value::Array(list) => {
                let list: Vec<_> = list.iter().filter_map(Value::as_str).collect();
                format!("  {name}: {}\n", list.join(", "))
            }
            other => format!("  {name}: {other}\n"),
        };
        facts.iter().map(line).collect()
    }
}

fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn line_of(file: &str, key: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(key));
    let value = line.and_then(|line| line.split_once(':'));
    value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

fn versions() -> Vec<String> {
    let packages = LOCK.split("[[package]]");
    let field = |package: &str, name: &str| {
        let start = format!("{name} = \"");
        let line = package.lines().find_map(|line| line.strip_prefix(&start))?;
        line.strip_suffix('"').map(str::to_owned)
    };
    let all: Vec<(String, String)> = packages
        .filter_map(|package| Some((field(package, "name")?, field(package, "version")?)))
        .collect();
    let version = |name: &&str| {
        let found = all.iter().find(|(package, _)| package == name);
        found.map(|(name, version)| format!("{name} {version}"))
    };
    CRATES.iter().filter_map(version).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rival_has_a_version() {
        assert_eq!(versions().len(), CRATES.len());
    }
}
