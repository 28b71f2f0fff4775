//! `verify`, and what `cat` says, after bytes were changed, cut and torn.

use crate::kit::{Answer, Place, json_lines};
use std::fs::{self, OpenOptions};
use std::path::PathBuf;

const EVENTS: u64 = 2_000;

fn line(number: u64) -> String {
    format!("event {number} {}", "y".repeat(40))
}

/// Some sealed segments of 16 KiB, all on disk.
fn long_log() -> Place {
    let place = Place::new();
    let lines: Vec<String> = (0..EVENTS).map(line).collect();
    let input = lines.join("\n") + "\n";
    place.append(&["--segment-bytes", "16384", "--durable"], input.as_bytes());
    place
}

fn json(answer: &Answer) -> serde_json::Value {
    serde_json::from_slice(&answer.out).unwrap()
}

/// The segments, oldest first.
fn segments(place: &Place) -> Vec<PathBuf> {
    let names = fs::read_dir(place.log())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let segment = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.ends_with(".log") && name.len() == 24
    };
    let mut found: Vec<PathBuf> = names.filter(segment).collect();
    found.sort();
    found
}

#[test]
fn a_whole_log_is_ok() {
    let place = long_log();
    let found = json(&place.run("verify", &["--json"]).good());
    assert_eq!(
        (&found["ok"], &found["events"]),
        (&true.into(), &EVENTS.into()),
        "{found}"
    );
    assert_eq!(
        (&found["corrupt"], &found["torn_tail_bytes"]),
        (&serde_json::json!([]), &0.into())
    );
    assert!(found["bytes"].as_u64().unwrap() > 16_384);
    let text = place.run("verify", &[]).good();
    assert!(
        text.text().starts_with("ok  2,000 events"),
        "{}",
        text.text()
    );
    Place::new()
        .run("verify", &[])
        .refused(3, &["there is no log"]);
}

#[test]
fn a_changed_byte_in_a_sealed_segment() {
    let place = long_log();
    let all = segments(&place);
    assert!(all.len() > 3, "{all:?}");
    let file = &all[1];
    let mut bytes = fs::read(file).unwrap();
    let needle = b"event ";
    let middle = bytes.len() / 2;
    let at = middle
        + bytes[middle..]
            .windows(6)
            .position(|window| window == needle)
            .unwrap();
    let number = bytes[at + 6..].split(|byte| *byte == b' ').next().unwrap();
    let offset: u64 = std::str::from_utf8(number).unwrap().parse().unwrap();
    bytes[at + 2] ^= 1;
    fs::write(file, bytes).unwrap();

    let answer = place.run("verify", &["--json"]);
    assert_eq!((answer.code, answer.err.as_str()), (1, ""));
    let found = json(&answer);
    assert_eq!(found["ok"], false);
    let lost = &found["corrupt"][0];
    assert_eq!(lost["segment"], file.file_name().unwrap().to_str().unwrap());
    assert_eq!(
        (&lost["from"], &lost["to"]),
        (&offset.into(), &(offset + 1).into()),
        "{found}"
    );
    assert!(!lost["why"].as_str().unwrap().is_empty());
    assert_eq!(found["corrupt"].as_array().unwrap().len(), 1);

    let answer = place.run("cat", &["--json"]);
    assert_eq!(answer.code, 1);
    let lines = json_lines(&answer);
    let gap = serde_json::json!({"gap": {"from": offset, "to": offset + 1, "reason": "corrupt"}});
    let gaps: Vec<_> = lines
        .iter()
        .filter(|line| line.get("gap").is_some())
        .collect();
    assert_eq!(gaps, [&gap]);
    let rest: Vec<u64> = lines
        .iter()
        .filter_map(|line| line["offset"].as_u64())
        .collect();
    let expected: Vec<u64> = (0..EVENTS).filter(|number| *number != offset).collect();
    assert_eq!(rest, expected);

    // That nobody reads it changes nothing about the answer.
    for (command, words) in [
        ("verify", &[][..]),
        ("verify", &["--json"]),
        ("cat", &["--count", "900"]),
    ] {
        let code = place.feed_unheard(command, words, b"").code;
        assert_eq!(code, 1, "{command} {words:?}");
    }

    let answer = place.run("cat", &["--raw"]);
    assert_eq!(
        (answer.code, answer.text().lines().count()),
        (1, rest.len())
    );
    let told = format!("events {offset}..{} are corrupt", offset + 1);
    assert!(
        answer.err.contains(&told) && answer.err.lines().count() == 1,
        "{}",
        answer.err
    );
}

/// A log that was left as a kill leaves it: its last segment has room behind the last frame.
fn cut(place: &Place, by: impl Fn(u64) -> u64) -> u64 {
    let stat = json(&place.run("stat", &["--json"]).good());
    let byte = stat["durable_at"]["byte"].as_u64().unwrap();
    let name = stat["durable_at"]["segment"].as_str().unwrap();
    assert!(byte > 4_096, "{stat}");
    let file = OpenOptions::new()
        .write(true)
        .open(place.log().join(name))
        .unwrap();
    file.set_len(by(byte)).unwrap();
    stat["next"].as_u64().unwrap()
}

#[test]
fn a_file_that_was_cut_below_the_durable_mark() {
    let place = long_log();
    let next = cut(&place, |byte| byte - 30);
    let answer = place.run("verify", &["--json"]);
    assert_eq!(answer.code, 1, "{answer:?}");
    let found = json(&answer);
    let lost = &found["corrupt"][0];
    let range = (&lost["from"], &lost["to"]);
    assert_eq!(range, (&(next - 1).into(), &next.into()), "{found}");
}

#[test]
fn a_file_that_was_cut_above_the_durable_mark() {
    let place = long_log();
    cut(&place, |byte| byte + 8);
    let answer = place.run("verify", &["--json"]);
    assert_eq!(answer.code, 1, "{answer:?}");
    // Nothing is lost, but no crash makes a file shorter.
    let found = json(&answer);
    let lost = found["corrupt"].as_array().unwrap().len();
    assert_eq!((lost, &found["events"]), (0, &EVENTS.into()), "{found}");
    let expected = found["damaged"].to_string();
    assert!(expected.contains("as long as its header says"), "{found}");
}

#[test]
fn a_torn_tail_is_no_damage() {
    let place = long_log();
    let stat = json(&place.run("stat", &["--json"]).good());
    let byte = usize::try_from(stat["durable_at"]["byte"].as_u64().unwrap()).unwrap();
    let file = place
        .log()
        .join(stat["durable_at"]["segment"].as_str().unwrap());
    let mut bytes = fs::read(&file).unwrap();
    bytes[byte..byte + 24].fill(0x77);
    fs::write(&file, bytes).unwrap();
    let found = json(&place.run("verify", &["--json"]).good());
    assert_eq!(found["ok"], true);
    assert!(found["torn_tail_bytes"].as_u64().unwrap() >= 24, "{found}");
}

#[test]
fn a_log_that_cannot_be_opened_at_all() {
    let place = long_log();
    let file = place.log().join("wakelog.meta");
    let length = fs::read(&file).unwrap().len();
    fs::write(&file, vec![0x55; length]).unwrap();
    let answer = place.run("verify", &["--json"]);
    let found = json(&answer);
    assert_eq!(
        (answer.code, &found["ok"]),
        (1, &false.into()),
        "{answer:?}"
    );
    assert_eq!(found["damaged"][0]["file"], "wakelog.meta");
    place
        .run("cat", &[])
        .refused(1, &["wakelog.meta is damaged", "restore"]);
}

#[test]
fn indexes_are_removed_when_asked() {
    let place = long_log();
    let indexes = || {
        let names = fs::read_dir(place.log())
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| name.to_str().unwrap().ends_with(".index"))
            .count()
    };
    let before = indexes();
    let found = json(&place.run("verify", &["--json"]).good());
    assert!(found.get("indexes_removed").is_none() && indexes() == before);
    let found = json(&place.run("verify", &["--json", "--repair-index"]).good());
    assert_eq!((&found["indexes_removed"], indexes()), (&before.into(), 0));
    let answer = place
        .run("cat", &["--raw", "--topics", "events", "--from", "last:1"])
        .good();
    assert_eq!(answer.text(), line(EVENTS - 1) + "\n");
}
