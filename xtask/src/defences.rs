//! Do the tests of wakelog-ws notice when a defence is gone? Takes the defences of `defences.txt`
//! out of a copy of this tree, one after the other, and sees the test fail that is there for it.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::stage::Count;
use crate::tasks::cargo;

const TABLE: &str = include_str!("defences.txt");

/// A defence, and how it is taken out; see the head of the table.
#[derive(Debug, Default)]
struct Defence {
    attack: &'static str,
    /// What is so without it.
    what: &'static str,
    file: &'static str,
    code: String,
    instead: String,
    test: &'static str,
}

impl Defence {
    fn package(&self) -> &'static str {
        self.file.split('/').nth(1).unwrap_or_default()
    }
}

fn table() -> Result<Vec<Defence>, String> {
    // The first block says what the others are.
    TABLE.split("\n\n").skip(1).map(parse).collect()
}

fn parse(block: &'static str) -> Result<Defence, String> {
    let mut defence = Defence::default();
    let (mut code, mut instead) = (Vec::new(), Vec::new());
    for line in block.lines() {
        let bad = || format!("no line of the table: {line}");
        let (mark, rest) = line.split_once(' ').ok_or_else(bad)?;
        match mark {
            "@" => defence.file = rest,
            "-" => code.push(rest),
            "+" => instead.push(rest),
            "!" => defence.test = rest,
            attack if attack.starts_with('W') => (defence.attack, defence.what) = (attack, rest),
            _ => return Err(bad()),
        }
    }
    (defence.code, defence.instead) = (code.join("\n"), instead.join("\n"));
    Ok(defence)
}

/// In seconds: a test that takes longer hangs. With its defence none takes a quarter of it.
const LIMIT: &str = "120";
const BUILD_LIMIT: &str = "3600";
/// What `timeout` ends with when it had to.
const TIMED_OUT: i32 = 124;

/// All of them, or those of the attack that is named.
pub(crate) fn run(attack: Option<&str>) -> Result<Count, String> {
    let tree = Tree::copy()?;
    let mut chosen = table()?;
    chosen.retain(|defence| attack.is_none_or(|attack| attack == defence.attack));
    for package in ["wakelog-ws", "wakelog-cli"] {
        let of_package = chosen.iter().filter(|one| one.package() == package);
        let tests: Vec<_> = of_package.map(|one| one.test).collect();
        let found = (!tests.is_empty()).then(|| tree.test(package, &tests, BUILD_LIMIT));
        if found.transpose()?.is_some_and(|found| found != "passes") {
            return Err(format!("the tests of {package} fail with all defences"));
        }
    }
    let mut count = Count::default();
    println!("\n    without                                                   test");
    for defence in &chosen {
        let found = tree.without(defence)?;
        let (attack, what, test) = (defence.attack, defence.what, defence.test);
        println!("    {attack:<4}{what:<54}{test}: {found}");
        match found {
            "passes" => count.failed += 1,
            _ => count.passed += 1,
        }
    }
    match count {
        Count { passed: 0, .. } => Err("there is no such attack".to_owned()),
        Count { failed: 0, .. } => Ok(count),
        Count { passed, failed } => Err(format!(
            "{passed} passed, {failed} failed: tests that should fail do not"
        )),
    }
}

/// A copy of what git knows of this tree, to be spoilt.
struct Tree {
    root: PathBuf,
    target: PathBuf,
}

impl Tree {
    fn copy() -> Result<Self, String> {
        let here = env::current_dir().map_err(|error| error.to_string())?;
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
        let target = here.join(target).join("defences");
        let root = target.join("tree");
        let listed = Command::new("git").args(["ls-files", "-z"]).output();
        let listed = listed.map_err(|error| format!("git: {error}"))?;
        let names = String::from_utf8_lossy(&listed.stdout);
        for name in names.split_terminator('\0') {
            let to = root.join(name);
            let copied = to.parent().map_or(Ok(()), fs::create_dir_all);
            let copied = copied.and_then(|()| fs::copy(name, &to));
            copied.map_err(|error| format!("{name}: {error}"))?;
        }
        Ok(Self { root, target })
    }

    /// What its test does without a defence.
    fn without(&self, defence: &Defence) -> Result<&'static str, String> {
        let file = self.root.join(defence.file);
        let told = |error| format!("{}: {error}", defence.file);
        let whole = fs::read_to_string(&file).map_err(told)?;
        let spoilt = whole.replacen(&defence.code, &defence.instead, 1);
        fs::write(&file, spoilt).map_err(told)?;
        let found = self.test(defence.package(), &[defence.test], LIMIT);
        fs::write(&file, whole).map_err(told)?;
        found
    }

    /// Runs tests of a package by their names.
    fn test(&self, package: &str, tests: &[&str], limit: &str) -> Result<&'static str, String> {
        // Apart, so that what does not compile is not taken for a test that fails.
        let mut build = self.cargo(package, BUILD_LIMIT);
        let built = build
            .arg("--no-run")
            .output()
            .map_err(|error| error.to_string())?;
        if !built.status.success() {
            return Err(String::from_utf8_lossy(&built.stderr).into_owned());
        }
        let mut run = self.cargo(package, limit);
        let ran = run
            .arg("--")
            .args(tests)
            .output()
            .map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&ran.stdout);
        let mut ends = said.lines().filter(|line| line.starts_with("test result:"));
        let none = ends.all(|line| line.contains(" 0 passed; 0 failed"));
        match ran.status.code() {
            Some(TIMED_OUT) => Ok("hangs"),
            _ if none => Err(format!("there is no test {tests:?}")),
            Some(0) => Ok("passes"),
            _ => {
                if tests.len() > 1 {
                    println!("{said}");
                }
                Ok("fails")
            }
        }
    }

    fn cargo(&self, package: &str, limit: &str) -> Command {
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", limit])
            .arg(cargo("test").get_program())
            .args(["test", "--quiet", "--tests", "--package", package])
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target)
            // Much is unused without a defence.
            .env("RUSTFLAGS", "--cap-lints allow");
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every line that is taken out is there, once.
    #[test]
    fn the_table_is_of_this_tree() {
        let table = table().unwrap();
        for defence in &table {
            let file = std::path::Path::new("..").join(defence.file);
            let source = fs::read_to_string(&file).unwrap();
            let (file, code) = (defence.file, &defence.code);
            assert_eq!(source.matches(code).count(), 1, "{file}: {code}");
            assert_ne!(*code, defence.instead);
        }
        for attack in (1..=20).filter(|number| *number != 16) {
            let attack = format!("W{attack}");
            assert!(table.iter().any(|one| one.attack == attack), "{attack}");
        }
    }
}
