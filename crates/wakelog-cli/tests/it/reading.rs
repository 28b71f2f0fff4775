//! `cat`, `tail`, `stat`: what they print, and what they refuse.

use crate::kit::{Place, feed, interrupt_by, json_lines, until, wakelog};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

#[test]
fn columns_have_no_control_characters() {
    let place = Place::new();
    place.append(&["--topic", "t", "--name", "n"], b"plain\n\x1b[2J\xff\t\n");
    let text = place.run("cat", &[]).good();
    let lines: Vec<Vec<&str>> = text
        .text()
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(
        (lines[0][0], lines[0][2], lines[0][3], lines[0][4]),
        ("0", "t", "n", "plain")
    );
    assert!(lines[0][1].ends_with('Z'), "{}", lines[0][1]);
    assert_eq!(lines[1][4], "\\u{1b}[2J\\xff\\t");
    let coloured = place.run("cat", &["--color", "always"]);
    assert_eq!(
        coloured.text(),
        text.text(),
        "columns are for terminals alone"
    );
}

#[test]
fn from_count_and_topics() {
    let place = Place::new();
    place.append(&["--topic", "a.x"], b"0\n1\n2\n");
    place.append(&["--topic", "b"], b"3\n4\n");
    let cases: [(&[&str], &str); 9] = [
        (&[], "0\n1\n2\n3\n4\n"),
        (&["--from", "earliest", "--count", "2"], "0\n1\n"),
        (&["--from", "latest"], ""),
        (&["--from", "3"], "3\n4\n"),
        (&["--from", "5"], ""),
        (&["--count", "0"], ""),
        (&["--topics", "b"], "3\n4\n"),
        (&["--topics", "a.*,b", "--from", "2", "-n", "2"], "2\n3\n"),
        (&["--topics", "none"], ""),
    ];
    for (words, expected) in cases {
        let words = [words, &["--raw"]].concat();
        assert_eq!(
            place.run("cat", &words).good().text(),
            expected,
            "{words:?}"
        );
    }
    let lines = json_lines(
        &place
            .run("cat", &["--json", "--from", "1", "--count", "1"])
            .good(),
    );
    let position = lines[0]["position"].as_str().unwrap();
    let answer = place.run("cat", &["--raw", "--from", position]).good();
    assert_eq!(answer.text(), "2\n3\n4\n");
}

#[test]
fn places_that_are_none() {
    let place = Place::new();
    place.append(&[], b"0\n");
    place
        .run("cat", &["--from", "2"])
        .refused(1, &["beyond the end", "1"]);
    let foreign = "0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.0";
    place
        .run("cat", &["--from", foreign])
        .refused(1, &["another log", "--from earliest"]);
    for wrong in ["yesterday", "-1", "", "1.2.3", "99999999999999999999"] {
        let answer = place.run("cat", &[&format!("--from={wrong}")]);
        assert_eq!((answer.code, answer.text()), (2, ""), "{wrong}");
    }
    place
        .run("cat", &["--topics", "a..b"])
        .refused(2, &["filter"]);
}

#[test]
fn no_directory_and_no_log() {
    for command in ["cat", "tail", "stat"] {
        let place = Place::new();
        place
            .run(command, &[])
            .refused(3, &["there is no log", "wakelog append"]);
        std::fs::create_dir(place.log()).unwrap();
        std::fs::write(place.log().join("notes.txt"), "mine").unwrap();
        place.run(command, &[]).refused(3, &["no log"]);
    }
    let place = Place::new();
    std::fs::create_dir(place.log()).unwrap();
    std::fs::write(place.log().join("notes.txt"), "mine").unwrap();
    place
        .feed("append", &[], b"x\n")
        .refused(3, &["holds no log", "empty one"]);
}

#[test]
fn wrong_usage() {
    for words in [
        &["cat"][..],
        &["concat", "x"],
        &["cat", "x", "--raw", "--json"],
        &["append", "x", "--batch", "0"],
    ] {
        let answer = feed(&mut wakelog(words), b"");
        assert_eq!((answer.code, answer.text()), (2, ""), "{words:?}");
    }
    for words in [&["--help"][..], &["--version"], &["cat", "--help"]] {
        let answer = feed(&mut wakelog(words), b"").good();
        assert!(answer.text().contains("wakelog"));
    }
    for command in [
        "append", "cat", "tail", "stat", "cursors", "verify", "trim", "snapshot", "serve", "bench",
    ] {
        let answer = feed(&mut wakelog([command, "--help"]), b"").good();
        assert!(
            answer.text().contains("Example"),
            "{command} has no example"
        );
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    let place = Place::new();
    place.append(&["--batch", "1000"], &b"a line\n".repeat(100_000));
    let mut command = place.command("cat", &[]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    drop(out);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(
        (ended.status.code(), ended.stderr.as_slice()),
        (Some(0), &b""[..])
    );
}

#[test]
fn tail_shows_the_last_and_follows() {
    let place = Place::new();
    place.append(&[], b"0\n1\n2\n3\n");
    assert_eq!(
        place.run("tail", &["-n", "2", "--raw"]).good().text(),
        "2\n3\n"
    );
    assert_eq!(place.run("tail", &["-n", "0", "--raw"]).good().text(), "");
    assert_eq!(place.run("tail", &["--raw"]).good().text(), "0\n1\n2\n3\n");

    let mut command = place.command("tail", &["-f", "-n", "1", "--raw"]);
    let mut tail = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(tail.stdout.take().unwrap()).lines();
    assert_eq!(out.next().unwrap().unwrap(), "3");
    let mut command = place.command("append", &[]);
    let mut append = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = append.stdin.take().unwrap();
    for line in ["4", "5"] {
        writeln!(input, "{line}").unwrap();
        assert_eq!(out.next().unwrap().unwrap(), line);
    }
    drop(input);
    assert!(append.wait().unwrap().success());
    interrupt_by("-INT", &tail);
    assert!(tail.wait().unwrap().success());
    assert!(out.next().is_none());
}

#[test]
fn ctrl_c_ends_an_append_in_order() {
    let place = Place::new();
    let mut command = place.command("append", &["--json"]);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut append = command.spawn().unwrap();
    let mut input = append.stdin.take().unwrap();
    input.write_all(b"whole\nhalf a li").unwrap();
    until("the first line", || {
        place.run("cat", &["--raw"]).out == b"whole\n"
    });
    interrupt_by("-INT", &append);
    let ended = append.wait_with_output().unwrap();
    assert!(ended.status.success());
    assert_eq!(ended.stdout, b"{\"first\":0,\"last\":0,\"events\":1}\n");
}

#[test]
fn stat_in_numbers() {
    let place = Place::new();
    place.append(&["--durable"], b"a\nb\nc\n");
    let answer = place.run("stat", &["--json"]).good();
    let stat: serde_json::Value = serde_json::from_slice(&answer.out).unwrap();
    assert_eq!(
        (&stat["first"], &stat["next"], &stat["durable"]),
        (&0.into(), &3.into(), &3.into())
    );
    assert_eq!((&stat["segments"], &stat["topics"]), (&1.into(), &1.into()));
    assert_eq!(stat["log"].as_str().unwrap().len(), 32);
    assert!(stat["oldest_time"].as_str() <= stat["newest_time"].as_str());
    assert!(place.run("stat", &[]).good().text().contains("3"));
}

#[test]
fn the_last_ones_and_times() {
    let place = Place::new();
    place.append(&["--topic", "a"], b"0\n1\n");
    place.append(&["--topic", "b"], b"2\n3\n4\n");
    let lines = json_lines(&place.run("cat", &["--json"]).good());
    let time = lines[2]["time"].as_str().unwrap();
    let cases: [(&[&str], &str); 7] = [
        (&["--from", "last:2"], "3\n4\n"),
        (&["--from", "last:1", "--topics", "a"], "1\n"),
        (&["--from", "last:0"], ""),
        (&["--from", "last-per-topic"], "1\n4\n"),
        (&["--from", "1970-01-01T00:00:00Z", "-n", "1"], "0\n"),
        (&["--from", "2100-01-01T00:00:00Z"], ""),
        (&["--from", time, "--topics", "b"], "2\n3\n4\n"),
    ];
    for (words, expected) in cases {
        let words = [words, &["--raw"]].concat();
        assert_eq!(
            place.run("cat", &words).good().text(),
            expected,
            "{words:?}"
        );
    }
    let topics = json_lines(&place.run("stat", &["--topics", "--json"]).good());
    let b = serde_json::json!({"topic": "b", "events": 3, "last": 4});
    assert_eq!((topics.len(), &topics[1]), (2, &b));
    assert!(place.run("stat", &["--topics"]).good().text().contains("a"));
}
