//! The hub of wakelog-ws beside bare WebSocket servers, interleaved in one run. The README one
//! folder above says how.

mod fleet;
#[path = "../../src/machine.rs"]
mod machine;
mod process;
mod report;
mod server;
mod words;
mod work;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use machine::Machine;
use report::{Line, Table};
use serde_json::json;
use work::{Scale, WORKS, Work};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Whose versions are named.
const CRATES: [&str; 7] = [
    "wakelog-ws",
    "axum",
    "fastwebsockets",
    "tokio-tungstenite",
    "tungstenite",
    "hyper",
    "tokio",
];

const USAGE: &str = "\
cargo xtask bench-ws [options]        the hub beside bare servers, on two cores

  --quick          less of everything: does it work, roughly how does it look
  --work WORD      works whose titles begin so: storm, live, idle, stalled, backlog
  --rounds N       so many rounds of each
  --dir DIR        where the logs are written: a folder of the disk that is meant
  --save DIR       writes ws.json and ws.txt there";

struct Request {
    scale: Scale,
    work: String,
    rounds: Option<usize>,
    dir: PathBuf,
    save: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["serve", kind, dir] => server::run(kind, dir),
        _ => Request::parse(&words).and_then(|request| request.run()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

impl Request {
    fn parse(words: &[&str]) -> Outcome<Request> {
        let mut request = Request {
            scale: Scale { quick: false },
            work: String::new(),
            rounds: None,
            dir: std::env::temp_dir(),
            save: None,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if *word == "--quick" {
                request.scale.quick = true;
                continue;
            }
            let value = *words.next().ok_or(USAGE)?;
            match *word {
                "--work" => value.clone_into(&mut request.work),
                "--rounds" => request.rounds = Some(value.parse()?),
                "--dir" => request.dir = value.into(),
                "--save" => request.save = Some(value.into()),
                _ => return Err(USAGE.into()),
            }
        }
        Ok(request)
    }

    fn run(&self) -> Outcome<()> {
        let mut builder = tempfile::Builder::new();
        let dir = builder.prefix("wakelog-bench-").tempdir_in(&self.dir)?;
        let machine = Machine::look(dir.path())?;
        if machine.is_memory() {
            eprintln!("--dir is in memory: a sync costs nothing there");
        }
        process::pin(process::CLIENT_CORE)?;
        let mut tables = Vec::new();
        for work in WORKS
            .iter()
            .filter(|work| work.title.starts_with(&self.work))
        {
            let table = measure(work, dir.path(), self.scale, self.rounds)?;
            println!("{}", table.text());
            tables.push(table);
        }
        println!("{}", machine.text());
        match &self.save {
            Some(place) => save(place, &tables, &machine, self.scale),
            None => Ok(()),
        }
    }
}

/// A B C, A B C, each round beginning with another.
fn measure(work: &'static Work, dir: &Path, scale: Scale, rounds: Option<usize>) -> Outcome<Table> {
    let mut lines: Vec<_> = work.kinds.iter().map(|kind| (*kind, Vec::new())).collect();
    let usual = if scale.quick {
        work.rounds.1
    } else {
        work.rounds.0
    };
    for round in 0..rounds.unwrap_or(usual) {
        for turn in 0..lines.len() {
            let at = (round + turn) % lines.len();
            let (kind, figures): &mut Line = &mut lines[at];
            let place = dir.join("log");
            fs::create_dir(&place)?;
            let outcome = (work.run)(*kind, &place, scale);
            fs::remove_dir_all(&place)?;
            eprintln!("{:.8} {}: {outcome:.3?}", work.title, kind.name());
            figures.push(outcome?);
        }
    }
    Ok(Table { work, lines })
}

fn save(place: &Path, tables: &[Table], machine: &Machine, scale: Scale) -> Outcome<()> {
    fs::create_dir_all(place)?;
    let run = json!({
        "machine": machine.facts(),
        "scale": if scale.quick { "quick" } else { "full" },
        "tables": tables.iter().map(Table::json).collect::<Vec<_>>(),
    });
    let mut text: Vec<_> = tables.iter().map(Table::text).collect();
    text.push(machine.text());
    fs::write(place.join("ws.json"), serde_json::to_string_pretty(&run)?)?;
    Ok(fs::write(place.join("ws.txt"), text.join("\n"))?)
}
