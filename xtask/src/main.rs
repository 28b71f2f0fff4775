//! The tasks of this repository, started as `cargo xtask <task>`.
//!
//! `test` is the one command that must pass before a change lands. It first installs what this
//! machine lacks ([`tools`]), then runs its stages one after the other ([`stage`]) and ends with a
//! table of their times and one line that counts the tests.

mod bench;
mod dependencies;
mod stage;
mod tasks;
mod tools;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask <task>

  test           everything: format, lints, docs, tests, licences, client, browser;
                 installs what is missing (needs root or sudo on a bare machine)
  test --quick   the Rust part alone: needs nothing but Rust
  screenshot     runs the browser test and saves docs/chat.png
  bench-peers    wakelog and its rivals in one run, see crates/wakelog-bench/README.md;
                 --quick for less of it, `bench-peers help` for the rest
  instructions   counts the instructions of append, read and ack, against
                 benches/instructions.txt; --update writes new figures there";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test"] => tasks::test(),
        ["test", "--quick"] => tasks::test_quick(),
        ["screenshot"] => tasks::screenshot(),
        ["bench-peers", options @ ..] => bench::peers(options),
        ["instructions"] => bench::instructions(false),
        ["instructions", "--update"] => bench::instructions(true),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(true)
        }
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}
