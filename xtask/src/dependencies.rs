//! Licences, sources and bans of the dependency tree, by the lists in deny.toml.
//!
//! `cargo tree` knows every licence and `Cargo.lock` every source, so this takes a second where
//! building cargo-deny takes minutes. cargo-deny reads the same file and says more (advisories);
//! where it is installed it runs too.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::stage::{Count, plain};
use crate::tools;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks the tree of this workspace against `rules`.
///
/// # Errors
///
/// A sentence that names the first crates that break a rule.
pub(crate) fn check(rules: &Path) -> Result<Count, String> {
    let rules = Rules::parse(&read(rules)?)?;
    let tree = Command::new("cargo")
        .args(["tree", "--workspace", "--prefix", "none", "--target", "all"])
        .args(["--edges", "normal,build,dev", "--format", "{p}\t{l}"])
        .output()
        .map_err(|error| format!("`cargo tree` does not start: {error}"))?;
    if !tree.status.success() {
        return Err(format!(
            "`cargo tree`: {}",
            String::from_utf8_lossy(&tree.stderr).trim()
        ));
    }
    let mut faults = rules.faults_in_tree(&String::from_utf8_lossy(&tree.stdout));
    faults.extend(foreign_sources(&read(Path::new("Cargo.lock"))?));
    if !faults.is_empty() {
        return Err(faults.into_iter().collect::<Vec<_>>().join("; "));
    }
    if tools::has_cargo_command("deny") {
        return plain(Command::new("cargo").args(["deny", "check", "bans", "licenses", "sources"]));
    }
    Ok(Count::default())
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

#[derive(Debug)]
struct Rules {
    licences: BTreeSet<String>,
    banned: BTreeSet<String>,
}

impl Rules {
    /// Reads the two lists out of deny.toml: `allow` of `[licenses]`, `deny` of `[bans]`.
    fn parse(text: &str) -> Result<Self, String> {
        let strings = |section: &str, key: &str| -> Option<BTreeSet<String>> {
            let rest = &text[text.find(section)?..];
            let rest = &rest[rest.find(&format!("\n{key} = ["))?..];
            let list = &rest[..rest.find("\n]")?];
            let lines = list
                .lines()
                .filter(|line| !line.trim_start().starts_with('#'));
            Some(
                lines
                    .filter_map(|line| line.split('"').nth(1))
                    .map(str::to_owned)
                    .collect(),
            )
        };
        let missing = |what: &str| format!("deny.toml has no {what}");
        Ok(Self {
            licences: strings("[licenses]", "allow").ok_or_else(|| missing("licenses.allow"))?,
            banned: strings("[bans]", "deny").ok_or_else(|| missing("bans.deny"))?,
        })
    }

    /// One fault for each crate of `tree` (lines of `name version<tab>licence`) that breaks a rule.
    fn faults_in_tree(&self, tree: &str) -> BTreeSet<String> {
        let mut faults = BTreeSet::new();
        for line in tree.lines() {
            let Some((package, licence)) = line.split_once('\t') else {
                continue;
            };
            let name = package.split(' ').next().unwrap_or(package);
            if self.banned.contains(name) {
                faults.insert(format!("{name} is banned"));
            }
            let licence = licence.trim_end_matches("(*)").trim();
            if !self.permits(licence) {
                faults.insert(format!("{package} has the licence '{licence}'"));
            }
        }
        faults
    }

    /// True if the expression can be met with allowed licences: every term joined by AND holds, and
    /// of the terms joined by OR (or by the old slash) one does.
    fn permits(&self, expression: &str) -> bool {
        let expression = expression.replace('/', " OR ");
        if let Some(close) = expression.find(')') {
            // Innermost parentheses first: they become the name of a licence, allowed or not.
            let Some(open) = expression[..close].rfind('(') else {
                return false;
            };
            let known = self.permits(&expression[open + 1..close]);
            let value = self
                .licences
                .first()
                .filter(|_| known)
                .map_or("none", String::as_str);
            let (before, after) = (&expression[..open], &expression[close + 1..]);
            return self.permits(&format!("{before}{value}{after}"));
        }
        let holds = |term: &str| self.licences.contains(term.trim());
        expression
            .split(" OR ")
            .any(|choice| choice.split(" AND ").all(holds))
    }
}

/// Every source in Cargo.lock that is not the public registry.
fn foreign_sources(lock: &str) -> Vec<String> {
    lock.lines()
        .filter_map(|line| line.strip_prefix("source = \"")?.strip_suffix('"'))
        .filter(|source| *source != REGISTRY)
        .map(|source| format!("a dependency comes from {source}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "[licenses]\nallow = [\n  # why\n  \"MIT\",\n  \"Apache-2.0\",\n]\n\
                         [bans]\ndeny = [\n  { name = \"openssl\" },\n]\n";

    #[test]
    fn reads_the_two_lists() {
        let rules = Rules::parse(RULES).unwrap();
        assert_eq!(rules.licences.len(), 2);
        assert!(rules.banned.contains("openssl"));
        assert!(Rules::parse("[licenses]").is_err());
    }

    #[test]
    fn understands_expressions() {
        let rules = Rules::parse(RULES).unwrap();
        let good = [
            "MIT",
            "MIT OR GPL-3.0",
            "MIT/X",
            "MIT AND Apache-2.0",
            "(MIT OR X) AND MIT",
        ];
        assert!(good.iter().all(|expression| rules.permits(expression)));
        let bad = ["GPL-3.0", "", "MIT AND GPL-3.0", "(X OR Y) AND MIT", "MIT)"];
        assert!(bad.iter().all(|expression| !rules.permits(expression)));
    }

    #[test]
    fn finds_each_kind_of_fault() {
        let rules = Rules::parse(RULES).unwrap();
        let tree = "fine v1.0.0\tMIT\nopenssl v0.9.0\tApache-2.0\ncopyleft v1.0.0\tGPL-3.0 (*)\n";
        let faults: Vec<String> = rules.faults_in_tree(tree).into_iter().collect();
        let expected = [
            "copyleft v1.0.0 has the licence 'GPL-3.0'",
            "openssl is banned",
        ]
        .map(str::to_owned);
        assert_eq!(faults, expected);
        let lock = format!("source = \"{REGISTRY}\"\nsource = \"git+https://example.org/x\"\n");
        assert_eq!(foreign_sources(&lock).len(), 1);
    }
}
