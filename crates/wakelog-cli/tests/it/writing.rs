//! `append`: bytes, objects, offsets, and what it refuses.

use crate::kit::{Place, json_lines};
use std::path::{Path, PathBuf};

/// What goes in comes out of `cat --raw`.
#[track_caller]
fn comes_back(words: &[&str], input: &[u8]) {
    let place = Place::new();
    place.append(words, input);
    let back = place.run("cat", &["--raw"]).good().out;
    let differs = back.iter().zip(input).position(|(a, b)| a != b);
    assert_eq!(differs, None, "first byte that differs");
    assert_eq!(back.len(), input.len());
}

#[test]
fn lines_are_bytes() {
    let every: Vec<u8> = (0..=255).collect();
    let inputs: [&[u8]; 8] = [
        b"",
        b"\n",
        b"\n\n\n",
        b"one\ntwo\n",
        b"no newline at the end",
        b"one\n\ntwo\r\n\r\n\rthree",
        b"\xff\xfe\xc3\n\x00\n\x1b[31m\n",
        &every,
    ];
    for input in inputs {
        for batch in ["1", "2", "100"] {
            comes_back(&["--batch", batch], input);
        }
    }
}

#[test]
fn a_real_file_comes_back() {
    let sample = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/packages.tsv");
    let file = std::env::var_os("WAKELOG_PYPI_TSV").map_or_else(sample, PathBuf::from);
    let input = std::fs::read(file).unwrap();
    comes_back(&[], &input);
    comes_back(&["--batch", "64", "--segment-bytes", "65536"], &input);
}

#[test]
fn inputs_without_a_last_newline_join_as_files_do() {
    let place = Place::new();
    place.append(&[], b"one\ntw");
    place.append(&[], b"o\nthree");
    assert_eq!(
        place.run("cat", &["--raw"]).good().text(),
        "one\ntwo\nthree"
    );
}

#[test]
fn offsets_and_the_summary() {
    let place = Place::new();
    let answer = place.feed("append", &["--offsets"], b"a\nb\n").good();
    assert_eq!(answer.text(), "0\n1\n");
    let words = ["--offsets", "--durable", "--batch", "2"];
    let answer = place.feed("append", &words, b"c\nd\ne\n").good();
    assert_eq!(answer.text(), "2\n3\n4\n");
    let answer = place.feed("append", &["--json"], b"f\ng\n").good();
    assert_eq!(answer.text(), "{\"first\":5,\"last\":6,\"events\":2}\n");
    let answer = place.feed("append", &["--json"], b"").good();
    assert_eq!(
        answer.text(),
        "{\"first\":null,\"last\":null,\"events\":0}\n"
    );
}

#[test]
fn objects_say_everything_about_an_event() {
    let place = Place::new();
    let input = br#"{"topic":"a","name":"n","id":"i","data":"text \u00e4\n"}
{"to":["a","b"],"not_to":["c"],"from":"me","data64":"/wA="}

{"data":{"x": 1}}
"#;
    place.append(
        &["--json-input", "--topic", "rest", "--name", "usual"],
        input,
    );
    let lines = json_lines(&place.run("cat", &["--json"]).good());
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["topics"], serde_json::json!(["a"]));
    assert_eq!(
        (&lines[0]["name"], &lines[0]["id"]),
        (&"n".into(), &"i".into())
    );
    assert_eq!(lines[0]["data"], "text \u{e4}\n");
    assert_eq!(lines[1]["topics"], serde_json::json!(["a", "b"]));
    assert_eq!(
        (&lines[1]["data64"], &lines[1]["from"]),
        (&"/wA=".into(), &"me".into())
    );
    assert_eq!(lines[1]["not_to"], serde_json::json!(["c"]));
    assert_eq!(
        (&lines[2]["topics"][0], &lines[2]["name"]),
        (&"rest".into(), &"usual".into())
    );
    assert_eq!(lines[2]["data"], "{\"x\": 1}");

    let copy = Place::new();
    copy.append(&["--json-input"], &place.run("cat", &["--json"]).good().out);
    let again = json_lines(&copy.run("cat", &["--json"]).good());
    for (one, other) in lines.iter().zip(&again) {
        for key in ["topics", "not_to", "name", "id", "from", "data", "data64"] {
            assert_eq!(one.get(key), other.get(key));
        }
    }
}

#[test]
fn input_that_is_no_event_is_refused_with_its_line() {
    let cases = [
        ("{", "not an event"),
        ("3", "not an event"),
        ("{\"toppic\":\"a\"}", "unknown field"),
        ("{\"topic\":\"a\",\"to\":[\"b\"]}", "both topic and to"),
        ("{\"to\":[]}", "list of topics is empty"),
        ("{\"data\":\"a\",\"data64\":\"\"}", "both data and data64"),
        ("{\"data64\":\"?\"}", "not base64"),
        ("{\"topic\":\"a b\"}", "audience"),
        (
            "{\"gap\":{\"from\":1,\"to\":2,\"reason\":\"corrupt\"}}",
            "unknown field",
        ),
    ];
    for (line, why) in cases {
        let place = Place::new();
        let input = format!("{{\"data\":\"good\"}}\n{line}\n{{}}\n");
        let answer = place.feed("append", &["--json-input"], input.as_bytes());
        answer.refused(2, &["line 2 of the input", why]);
        assert_eq!(place.run("cat", &["--raw"]).good().text(), "good\n");
    }
}

#[test]
fn a_line_that_is_too_long_is_refused() {
    let place = Place::new();
    let mut input = b"short\n".to_vec();
    input.resize(input.len() + (3 << 20), b'x');
    let answer = place.feed("append", &["--offsets"], &input);
    assert_eq!(answer.text(), "0\n");
    assert_eq!(answer.code, 2);
    assert!(answer.err.contains("line 2 of the input"), "{}", answer.err);
    let answer = place.feed("append", &["--segment-bytes", "16384"], &input);
    answer.refused(2, &["line 2 of the input", "split it"]);
}

#[test]
fn a_log_that_somebody_writes_is_locked() {
    let place = Place::new();
    let log = wakelog::Log::open(place.log()).unwrap();
    log.append("a", "b").unwrap();
    place
        .feed("append", &[], b"c\n")
        .refused(3, &["open for writing elsewhere", "wakelog cat"]);
    assert_eq!(place.run("cat", &["--raw"]).good().text(), "b\n");
}

#[test]
fn an_id_is_appended_once() {
    let place = Place::new();
    let input = b"{\"id\":\"a\"}\n{\"id\":\"b\"}\n{\"id\":\"a\"}\n";
    let words = ["--json-input", "--offsets"];
    assert_eq!(
        place.feed("append", &words, input).good().text(),
        "0\n1\n0\n"
    );
    let again = [&words[..], &["--batch", "3"]].concat();
    assert_eq!(
        place.feed("append", &again, input).good().text(),
        "0\n1\n0\n"
    );
    let answer = place
        .feed("append", &["--json-input", "--json"], input)
        .good();
    assert_eq!(
        answer.text(),
        "{\"first\":null,\"last\":null,\"events\":0}\n"
    );
}

#[test]
fn input_is_appended_though_nobody_reads_the_offsets() {
    let input: String = (0..200_000).map(|number| format!("{number}\n")).collect();
    for words in [
        &["--offsets"][..],
        &["--offsets", "--batch", "7"],
        &["--json"],
    ] {
        let place = Place::new();
        place.feed_unheard("append", words, input.as_bytes()).good();
        assert!(place.run("cat", &["--raw"]).good().text() == input);
    }
}

#[test]
fn a_batch_that_is_not_full_is_appended_before_a_line_is_refused() {
    let place = Place::new();
    let words = ["--json-input", "--batch", "100", "--offsets"];
    let input = b"{\"data\":\"a\"}\n{\"data\":\"b\"}\n{\n{\"data\":\"c\"}\n";
    let answer = place.feed("append", &words, input);
    assert_eq!((answer.code, answer.text()), (2, "0\n1\n"), "{answer:?}");
    assert!(answer.err.contains("line 3 of the input"), "{}", answer.err);
    assert_eq!(place.run("cat", &["--raw"]).good().text(), "a\nb\n");

    let place = Place::new();
    let mut input = b"a\nb\n".to_vec();
    input.resize(3 << 20, b'x');
    let words = ["--batch", "100", "--segment-bytes", "16384"];
    let answer = place.feed("append", &words, &input);
    answer.refused(2, &["line 3 of the input", "split it"]);
    assert_eq!(place.run("cat", &["--raw"]).good().text(), "a\nb\n");
}

#[test]
fn null_is_data() {
    let place = Place::new();
    place.append(
        &["--json-input"],
        b"{\"data\":null}\n{}\n{\"data\":\"null\"}\n",
    );
    assert_eq!(place.run("cat", &["--raw"]).good().text(), "null\n\nnull\n");
    place
        .feed(
            "append",
            &["--json-input"],
            b"{\"data\":null,\"data64\":\"\"}\n",
        )
        .refused(2, &["both data and data64"]);
}
