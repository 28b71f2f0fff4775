//! wakelog and its rivals, interleaved in one run. The README says how it is done and what is
//! unfair about it.

mod child;
mod cold;
mod event;
mod goal;
mod json;
mod machine;
mod measure;
mod peers;
mod plot;
mod table;
mod work;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use machine::Machine;
use measure::Table;
use peers::Outcome;
use work::{Scale, WORKS};

const USAGE: &str = "\
cargo xtask bench-peers [options]       wakelog and its rivals, W1 to W11, in one run

  --quick          less of everything: does it work, roughly how does it look
  --rounds N       at most N rounds of each workload: less time, wider spread
  --work W1,W5     some workloads alone
  --peers a,b      peers whose names begin so, and wakelog
  --dir DIR        where the logs are written: a folder of the disk that is meant
  --save DIR       writes peers.json, peers.txt and peers.svg there

cargo xtask bench-peers plot RUN.json PICTURE.svg      draws a run again";

/// Those whose versions are named.
const CRATES: [&str; 12] = [
    "wakelog",
    "walrus-rust",
    "commitlog",
    "yaque",
    "okaywal",
    "raft-engine",
    "fjall",
    "redb",
    "heed",
    "rusqlite",
    "crossbeam-channel",
    "crc32fast",
];

/// What was asked for.
struct Request {
    scale: Scale,
    most_rounds: usize,
    works: Vec<String>,
    peers: Vec<String>,
    dir: PathBuf,
    save: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((command, rest)) if command == child::MEASURE || command == child::PREPARE => {
            child::run(command, rest)
        }
        Some((command, [run, picture])) if command == "plot" => plot_again(run, picture),
        _ => Request::parse(&arguments).and_then(|request| request.run()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn plot_again(run: &str, picture: &str) -> Outcome<()> {
    let run = serde_json::from_str(&fs::read_to_string(run)?)?;
    Ok(fs::write(picture, plot::draw(&run)?)?)
}

impl Request {
    fn parse(arguments: &[String]) -> Outcome<Request> {
        let mut request = Request {
            scale: Scale { quick: false },
            most_rounds: usize::MAX,
            works: Vec::new(),
            peers: Vec::new(),
            dir: std::env::temp_dir(),
            save: None,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            if argument == "--quick" {
                request.scale.quick = true;
                continue;
            }
            let value = arguments.next().ok_or(USAGE)?;
            let list = || value.split(',').map(str::to_owned).collect();
            match argument.as_str() {
                "--rounds" => request.most_rounds = value.parse::<usize>()?.max(1),
                "--work" => request.works = list(),
                "--peers" => request.peers = list(),
                "--dir" => request.dir = value.into(),
                "--save" => request.save = Some(value.into()),
                _ => return Err(USAGE.into()),
            }
        }
        for id in &request.works {
            work::numbered(id)?;
        }
        Ok(request)
    }

    fn run(&self) -> Outcome<()> {
        let mut builder = tempfile::Builder::new();
        let dir = builder.prefix("wakelog-bench-").tempdir_in(&self.dir)?;
        let machine = Machine::look(dir.path())?;
        if machine.is_memory() {
            eprintln!("--dir is in memory: what is on disk there is nowhere, W4 says nothing");
        }
        let mut tables = Vec::new();
        let wanted = |id: &str| self.works.is_empty() || self.works.iter().any(|work| work == id);
        for work in WORKS.iter().filter(|work| wanted(work.id)) {
            let table = measure::run(work, dir.path(), self.scale, self.most_rounds, |peer| {
                let asked = self
                    .peers
                    .iter()
                    .any(|name| peer.name.starts_with(name.as_str()));
                self.peers.is_empty() || asked || peer.kind == peers::Kind::Ours
            })?;
            println!("{}", table::text(&table));
            tables.push(table);
        }
        println!("{}", summary(&tables, &machine));
        match &self.save {
            Some(place) => save(place, &tables, &machine, self.scale),
            None => Ok(()),
        }
    }
}

/// All goals once more, how each peer is used, and the machine.
fn summary(tables: &[Table], machine: &Machine) -> String {
    let mut out = String::from("The goals\n\n");
    for table in tables {
        for verdict in &table.verdicts {
            out.push_str(&format!("  {:<4}", table.work.id));
            out.push_str(&table::goal(verdict));
        }
    }
    out.push('\n');
    out.push_str(&table::notes(tables.iter()));
    out.push_str("\nThe machine\n\n");
    out.push_str(&machine.text());
    out
}

fn save(place: &Path, tables: &[Table], machine: &Machine, scale: Scale) -> Outcome<()> {
    fs::create_dir_all(place)?;
    let run = json::run(tables, machine, scale);
    fs::write(
        place.join("peers.json"),
        serde_json::to_string_pretty(&run)? + "\n",
    )?;
    let mut text: String = tables
        .iter()
        .map(|table| table::text(table) + "\n")
        .collect();
    text.push_str(&summary(tables, machine));
    fs::write(place.join("peers.txt"), text)?;
    fs::write(place.join("peers.svg"), plot::draw(&run)?)?;
    Ok(())
}
