//! Stages: named steps that run one after the other, with their times and what they counted.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How many tests a stage ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

/// What became of one stage.
#[derive(Debug)]
struct Outcome {
    name: &'static str,
    took: Duration,
    /// `Err` carries the sentence that says what went wrong.
    result: Result<Count, String>,
}

/// The stages that ran so far. A failed stage does not stop the ones after it: whoever reads the
/// table wants all that is wrong, not the first of it.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    outcomes: Vec<Outcome>,
}

impl Stages {
    /// Runs one stage and remembers how long it took.
    pub(crate) fn run(&mut self, name: &'static str, work: impl FnOnce() -> Result<Count, String>) {
        println!("\n==> {name}");
        let start = Instant::now();
        let result = work();
        let took = start.elapsed();
        match &result {
            Ok(_) => println!("    {name}: ok, {}", seconds(took)),
            Err(sentence) => println!("    {name}: FAILED, {}: {sentence}", seconds(took)),
        }
        self.outcomes.push(Outcome { name, took, result });
    }

    /// Prints the table; true if all is well. The last line counts the tests; a stage that failed
    /// without a test that failed (a lint, a page that does not build) counts as one failure.
    pub(crate) fn summary(&self) -> bool {
        let mut total = Count::default();
        println!("\n    stage                 time   tests");
        for Outcome { name, took, result } in &self.outcomes {
            let (mark, count) = match result {
                Ok(count) => ("ok    ", *count),
                Err(sentence) => ("FAILED", count_in_sentence(sentence)),
            };
            total.passed += count.passed;
            total.failed += count.failed;
            let tests = match count {
                Count {
                    passed: 0,
                    failed: 0,
                } => String::new(),
                Count { passed, failed: 0 } => format!("{passed}"),
                Count { passed, failed } => format!("{passed}, {failed} failed"),
            };
            println!("    {name:<14} {:>11}   {mark} {tests}", seconds(*took));
        }
        let all: Duration = self.outcomes.iter().map(|outcome| outcome.took).sum();
        println!("    {:<14} {:>11}", "all", seconds(all));
        let bad: Vec<&str> = self
            .outcomes
            .iter()
            .filter(|o| o.result.is_err())
            .map(|o| o.name)
            .collect();
        let silent = self
            .outcomes
            .iter()
            .filter(|o| matches!(&o.result, Err(s) if count_in_sentence(s).failed == 0))
            .count();
        total.failed += u64::try_from(silent).unwrap_or(u64::MAX);
        if !bad.is_empty() {
            println!("\nfailed stages: {}", bad.join(", "));
        }
        println!("\n{} passed, {} failed", total.passed, total.failed);
        bad.is_empty()
    }
}

/// Runs a command with its output on the terminal.
pub(crate) fn plain(command: &mut Command) -> Result<Count, String> {
    let name = words(command);
    println!("    $ {name}");
    match command.status() {
        Ok(status) if status.success() => Ok(Count::default()),
        Ok(status) => Err(format!("`{name}` ended with {status}")),
        Err(error) => Err(format!("`{name}` does not start: {error}")),
    }
}

/// Runs a command that runs tests, shows its standard output and counts the tests in it.
pub(crate) fn counted(command: &mut Command) -> Result<Count, String> {
    let name = words(command);
    println!("    $ {name}");
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("`{name}` does not start: {error}"))?;
    let mut count = Count::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.map_err(|error| format!("`{name}`: cannot read output: {error}"))?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            add_line(&mut count, &line);
        }
    }
    // Nothing is lost when the terminal went away: the exit code still tells.
    let _ = std::io::stdout().flush();
    let status = child
        .wait()
        .map_err(|error| format!("`{name}` is gone: {error}"))?;
    if status.success() && count.failed == 0 {
        return Ok(count);
    }
    Err(format!(
        "{} passed, {} failed: `{name}` ended with {status}",
        count.passed, count.failed
    ))
}

/// Adds what one line of test output counts. Two dialects: libtest's `test result: ok. 3 passed; 0
/// failed; ...` and the `pass 3`, `fail 0` lines of Node's reporter.
fn add_line(count: &mut Count, line: &str) {
    if let Some(rest) = line.trim_start().strip_prefix("test result:") {
        let number_before = |word: &str| {
            let before = &rest[..rest.find(word)?];
            before.split_whitespace().next_back()?.parse::<u64>().ok()
        };
        count.passed += number_before(" passed").unwrap_or(0);
        count.failed += number_before(" failed").unwrap_or(0);
        return;
    }
    let mut words = line.split_whitespace().skip_while(|word| !word.is_ascii());
    let (Some(word), Some(number), None) = (words.next(), words.next(), words.next()) else {
        return;
    };
    let Ok(number) = number.parse::<u64>() else {
        return;
    };
    match word {
        "pass" => count.passed += number,
        "fail" | "cancelled" => count.failed += number,
        _ => {}
    }
}

/// The counts at the head of a sentence made by [`counted`], or none.
fn count_in_sentence(sentence: &str) -> Count {
    let numbers = sentence.split_once(" passed, ").and_then(|(passed, rest)| {
        let (failed, _) = rest.split_once(" failed")?;
        Some(Count {
            passed: passed.parse().ok()?,
            failed: failed.parse().ok()?,
        })
    });
    numbers.unwrap_or_default()
}

/// A command as somebody would type it.
fn words(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let mut all = vec![name.to_string_lossy().into_owned()];
    all.extend(
        command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned()),
    );
    all.join(" ")
}

fn seconds(took: Duration) -> String {
    let (minutes, rest) = (took.as_secs() / 60, took.as_secs() % 60);
    if minutes == 0 {
        format!("{}.{} s", rest, took.subsec_millis() / 100)
    } else {
        format!("{minutes} min {rest:02} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(lines: &[&str]) -> Count {
        let mut count = Count::default();
        lines.iter().for_each(|line| add_line(&mut count, line));
        count
    }

    #[test]
    fn counts_both_dialects() {
        let cargo = "test result: FAILED. 41 passed; 2 failed; 0 ignored; 0 measured; 0 filtered";
        assert_eq!(
            count(&[cargo, "test x ... ok"]),
            Count {
                passed: 41,
                failed: 2
            }
        );
        let node = [
            "\u{2139} tests 7",
            "\u{2139} pass 6",
            "\u{2139} fail 1",
            "# pass 2",
        ];
        assert_eq!(
            count(&node),
            Count {
                passed: 6,
                failed: 1
            }
        );
    }

    #[test]
    fn a_failed_command_is_a_failed_stage() {
        let mut stages = Stages::default();
        stages.run("good", || plain(&mut Command::new("true")));
        assert!(stages.summary());
        stages.run("bad", || counted(&mut Command::new("false")));
        assert!(!stages.summary());
    }

    #[test]
    fn a_failed_test_is_counted_once() {
        let sentence = "3 passed, 2 failed: `cargo test` ended with exit status: 101";
        assert_eq!(
            count_in_sentence(sentence),
            Count {
                passed: 3,
                failed: 2
            }
        );
        assert_eq!(count_in_sentence("`x` does not start"), Count::default());
    }
}
