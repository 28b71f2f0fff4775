//! An endless append is killed, many times: what it has told is there.

use crate::kit::Place;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Duration;

const KILLS: u64 = 100;

/// Payloads tell their number, so that each is another one.
fn line(number: u64) -> String {
    format!(
        "event {number} {}",
        "x".repeat(usize::try_from(number % 50).unwrap())
    )
}

/// Appends until a kill, and returns the numbers of the lines and the offsets that were told, in
/// the order of the lines.
fn killed(place: &Place, first: u64, round: u64) -> Vec<u64> {
    let durable: &[&str] = if round % 4 == 0 { &["--durable"] } else { &[] };
    let batch: &[&str] = if round % 3 == 0 {
        &["--batch", "7"]
    } else {
        &[]
    };
    let words = [&["--offsets", "--segment-bytes", "65536"], durable, batch].concat();
    let mut command = place.command("append", &words);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    std::thread::scope(|scope| {
        // An endless stream: the kill ends it.
        scope.spawn(move || {
            for number in first.. {
                if writeln!(input, "{}", line(number)).is_err() {
                    break;
                }
            }
        });
        let reader = scope.spawn(move || {
            let mut output = output;
            let (mut told, mut text) = (Vec::new(), String::new());
            // A line that the kill has cut short was not told.
            while output.read_line(&mut text).unwrap() > 0 && text.ends_with('\n') {
                told.push(text.trim_end().parse().unwrap());
                text.clear();
            }
            told
        });
        std::thread::sleep(Duration::from_millis(5 + round * 7 % 40));
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap()
    })
}

#[test]
fn what_was_told_before_a_kill_is_there() {
    let place = Place::new();
    let (mut told, mut first) = (0, 0);
    for round in 0..KILLS {
        let offsets = killed(&place, first, round);
        let Some(begin) = offsets.first().copied() else {
            continue;
        };
        let dense = (begin..)
            .zip(&offsets)
            .all(|(expected, offset)| *offset == expected);
        assert!(dense, "round {round}: {offsets:?}");
        told += offsets.len();
        let count = offsets.len().to_string();
        let words = ["--raw", "--from", &begin.to_string(), "--count", &count];
        let answer = place.run("cat", &words).good();
        let lines = answer.text().lines().zip(first..);
        let same = lines
            .map(|(text, number)| assert_eq!(text, line(number)))
            .count();
        assert_eq!(same, offsets.len(), "round {round}");
        first += u64::try_from(offsets.len()).unwrap();
        let verified = place.run("verify", &["--json"]).good();
        assert!(
            verified.text().starts_with("{\"ok\":true,"),
            "{}",
            verified.text()
        );
    }
    assert!(told > 1_000, "only {told} events were told");
}
