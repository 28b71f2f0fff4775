//! The tasks of this repository, started as `cargo xtask <task>`.
//!
//! `test` is the one command that must pass before a change lands. It first installs what this
//! machine lacks ([`tools`]), then runs its stages one after the other ([`stage`]) and ends with a
//! table of their times and one line that counts the tests.

mod bench;
mod defences;
mod dependencies;
mod models;
mod pasted;
mod sabotage;
mod size;
mod soak;
mod stage;
mod tasks;
mod tools;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask <task>

  test           everything: format, lints, docs, tests, licences, client, browser;
                 installs what is missing (needs root or sudo on a bare machine)
  test --quick   the Rust part alone: needs nothing but Rust
  models         every schedule of the protocols between threads (loom), and many of the whole
                 log in memory (shuttle): WAKELOG_SCHEDULES says how many
  tsan           the whole log on a disk under ThreadSanitizer; --minutes N for longer
  sabotage       builds the library with bugs and sees that the tests find each of them
  defences [W9]  takes the defences of wakelog-ws (docs/transport.md) out of a copy of this tree,
                 one by one, and sees that the tests notice
  pasted         the first programs of wakelog-ws's README, in new projects: do they build, run, and
                 answer the README's page?
  size           counts the lines of wakelog-ws and the bytes of its browser client
  soak --minutes N [--seed S]
                 everything that is chosen at random, with fresh seeds, until the time is over;
                 ends with one screen: what was tried, what was lost
  chaos [--minutes N] [--cuts N] [--kills N] [--full N] [--flips N] [--seed S]
        [--power yes|no|try]
                 clients whose connections are cut, a server that is killed, a disk that is full:
                 does every event arrive, once for each position? With --flips each kill flips a
                 bit of the log: is what is lost told? Ends with one screen
  chaos --target socket.io [--minutes N] [--seed S]
                 the same network and events for Socket.IO and for wakelog, with clients that
                 both can have, beside each other on one screen: four runs of N minutes
  screenshot     runs the browser test and saves docs/chat.png
  bench-peers    wakelog and its rivals in one run, see crates/wakelog-bench/README.md;
                 --quick for less of it, `bench-peers help` for the rest
  bench-ws       the hub beside bare WebSocket servers in one run; --quick for less of it
  instructions   counts the instructions of append, read and ack, against
                 benches/instructions.txt; --update writes new figures there";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test"] => tasks::test(),
        ["test", "--quick"] => tasks::test_quick(),
        ["models"] => models::models(),
        ["tsan"] => models::tsan(None),
        ["tsan", "--minutes", minutes] => models::tsan(Some(minutes)),
        ["sabotage"] => tasks::sabotage(),
        ["defences"] => tasks::defences(None),
        ["defences", attack] => tasks::defences(Some(attack)),
        ["pasted"] => tasks::pasted(),
        ["size"] => tasks::size(),
        ["soak", "--minutes", minutes] => soak::soak(minutes, None),
        ["soak", "--minutes", minutes, "--seed", seed] => soak::soak(minutes, Some(seed)),
        ["chaos", options @ ..] => tasks::chaos(options),
        ["screenshot"] => tasks::screenshot(),
        ["bench-peers", options @ ..] => bench::peers(options),
        ["bench-ws", options @ ..] => bench::connections(options),
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
