//! Style as a test: which room may import which, where `unsafe` may stand, how long things get.
//!
//! The tables below are the architecture. ARCHITECTURE.md draws the same floors, and a test holds
//! the two together. The checkers stand in [`floors`] (imports) and [`source`] (everything about
//! one file), and `seeded` shows for each rule that breaking it is found.

mod floors;
mod seeded;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use floors::House;

/// The log itself. A room is a module of the crate root; it may import rooms of lower floors only,
/// never one of its own floor. Floor 0 stands on the ground.
const LOG: House = House {
    name: "wakelog",
    src: "src",
    floors: &[
        &["types", "host", "error", "options", "sabotage", "sync"],
        &["format", "map", "dir", "history", "notify", "waiters"],
        &["segment", "cursor_file", "dedup", "mark_file"],
        &["recovery", "index"],
        &["store", "inspect"],
        &["reader"],
        &["cursor", "dispatch", "follow", "snapshot"],
        &["listen"],
        &["log"],
    ],
    // Errors and options speak of the values in `types`, which itself imports nothing. A directory
    // hands out regions.
    same_floor: &[("error", "types"), ("options", "types"), ("dir", "map")],
};

/// The WebSocket adapter: what builders share, bytes, the state machine, what it asks of a log, and
/// sockets.
const WS: House = House {
    name: "wakelog-ws",
    src: "crates/wakelog-ws/src",
    floors: &[
        &["settings"],
        &["protocol"],
        &["session"],
        &["source"],
        &["serve", "client"],
    ],
    same_floor: &[],
};

/// The command line: how things are said and printed, and the commands.
const CLI: House = House {
    name: "wakelog-cli",
    src: "crates/wakelog-cli/src",
    floors: &[
        &["failure", "time"],
        &["output", "place", "stop"],
        &["form"],
        &["cmd"],
    ],
    same_floor: &[],
};

const HOUSES: [&House; 3] = [&LOG, &WS, &CLI];

/// The one room where the keyword `unsafe` may stand.
const UNSAFE_ROOM: &str = "src/map/";

/// Compares, is not published, and opens rivals whose own way in is `unsafe`.
const BENCH: &str = "crates/wakelog-bench/";

/// Where sources are looked for, from the root of the repository.
const TREES: [&str; 8] = [
    "src", "crates", "xtask", "tests", "benches", "examples", "e2e", "fuzz",
];

/// Folders that hold what others wrote or what a build made.
const NOT_OURS: [&str; 3] = ["node_modules", "target", "fixtures"];

#[test]
fn rooms_import_only_from_lower_floors() {
    let mut faults = Vec::new();
    let all = sources(&["rs"]);
    for house in HOUSES {
        let mut own = all.iter().filter(|(path, _)| house.owns(path)).peekable();
        assert!(
            own.peek().is_some(),
            "no sources of {} in {}",
            house.name,
            house.src
        );
        for (path, text) in own {
            faults.extend(house.faults(path, text));
        }
    }
    report(&faults);
}

#[test]
fn the_picture_shows_every_floor() {
    let picture = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    report(&LOG.missing_from(&picture));
}

#[test]
fn unsafe_stands_in_one_room() {
    let library = |path: &str| path.starts_with("src/") || path.starts_with("crates/");
    let exempt = |path: &str| path.starts_with(UNSAFE_ROOM) || path.starts_with(BENCH);
    let elsewhere = |path: &str| library(path) && !exempt(path);
    let mut faults = Vec::new();
    for (path, text) in sources(&["rs"]).iter().filter(|(path, _)| elsewhere(path)) {
        faults.extend(source::unsafe_keywords(path, text));
    }
    report(&faults);
}

#[test]
fn files_and_functions_are_short_and_plain() {
    let mut faults = Vec::new();
    let mut long = Vec::new();
    for (path, text) in &sources(&["rs", "js", "mjs", "ts", "css", "html"]) {
        faults.extend(source::text_faults(path, text));
        if path.ends_with(".rs") {
            faults.extend(source::long_functions(path, text));
        }
        let lines = text.lines().count();
        if lines > source::FILE_LINES_AIM {
            long.push(format!("{path}: {lines} lines"));
        }
    }
    if !long.is_empty() {
        println!(
            "longer than {} lines:\n{}",
            source::FILE_LINES_AIM,
            long.join("\n")
        );
    }
    report(&faults);
}

#[test]
fn the_log_needs_neither_serde_nor_a_runtime() {
    let tree = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--package", "wakelog"])
        .args(["--edges", "normal", "--prefix", "none"])
        .current_dir(root())
        .output()
        .unwrap();
    let tree = String::from_utf8(tree.stdout).unwrap();
    assert!(tree.contains("parking_lot"), "no tree: {tree}");
    for unwanted in ["serde", "tokio", "async-std", "smol"] {
        let found = tree.lines().find(|line| line.starts_with(unwanted));
        assert_eq!(found, None);
    }
}

fn report(faults: &[String]) {
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source with one of these endings: its path from the root, and its text.
fn sources(endings: &[&str]) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for tree in TREES {
        walk(&root().join(tree), &mut files);
    }
    files.sort();
    let wanted = files.into_iter().filter(|file| {
        file.extension()
            .and_then(|e| e.to_str())
            .is_some_and(|ending| endings.contains(&ending))
    });
    let named = wanted.map(|file| {
        let path = file
            .strip_prefix(root())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        (path, fs::read_to_string(&file).unwrap())
    });
    named.collect()
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap();
        if path.is_dir() && !NOT_OURS.contains(&name) {
            walk(&path, files);
        } else if path.is_file() {
            files.push(path);
        }
    }
}
