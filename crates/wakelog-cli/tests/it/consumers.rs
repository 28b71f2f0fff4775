//! `tail --consumer` and `cursors`.

use crate::kit::{Place, json_lines};

const TAIL: [&str; 3] = ["--raw", "--consumer", "alice"];

#[test]
fn a_consumer_goes_on_where_it_stopped() {
    let place = Place::new();
    place.append(&["--topic", "a"], b"0\n1\n2\n");
    let first = place
        .run("tail", &[&TAIL[..], &["-n", "2"]].concat())
        .good();
    assert_eq!(first.text(), "1\n2\n");
    assert_eq!(place.run("tail", &TAIL).good().text(), "");
    place.append(&["--topic", "a"], b"3\n4\n");
    assert_eq!(place.run("tail", &TAIL).good().text(), "3\n4\n");

    let filtered = [&TAIL[..], &["--topics", "b"]].concat();
    place
        .run("tail", &filtered)
        .refused(2, &["other filters", "another name"]);
    let log = wakelog::Log::open(place.log()).unwrap();
    place
        .run("tail", &TAIL)
        .refused(3, &["open for writing elsewhere", "leave out --consumer"]);
    drop(log);
    Place::new()
        .run("tail", &TAIL)
        .refused(3, &["there is no log"]);
}

#[test]
fn cursors_are_listed_put_elsewhere_and_ended() {
    let place = Place::new();
    place.append(&["--topic", "a"], b"0\n1\n2\n");
    assert_eq!(place.run("cursors", &["--json"]).good().text(), "");
    place.run("tail", &TAIL).good();
    place
        .run("tail", &["--consumer", "bob", "--topics", "a,b.*"])
        .good();
    place.append(&["--topic", "a"], b"3\n4\n");

    let cursors = json_lines(&place.run("cursors", &["--json"]).good());
    assert_eq!(
        (&cursors[0]["name"], &cursors[1]["name"]),
        (&"alice".into(), &"bob".into())
    );
    assert_eq!(
        (&cursors[0]["acked"], &cursors[0]["lag"]),
        (&3.into(), &2.into())
    );
    assert_eq!(cursors[1]["filters"], serde_json::json!(["a", "b.*"]));
    assert!(cursors[0]["position"].as_str().unwrap().ends_with(".3"));
    assert!(place.run("cursors", &[]).good().text().contains("alice"));

    place
        .run("cursors", &["--quiet", "set", "alice", "earliest"])
        .good();
    assert_eq!(place.run("tail", &TAIL).good().text(), "0\n1\n2\n3\n4\n");
    place
        .run("cursors", &["set", "alice", "99"])
        .refused(1, &["beyond the end"]);
    place
        .run("cursors", &["set", "carol", "0"])
        .refused(1, &["there is no cursor"]);
    place
        .run("cursors", &["--quiet", "rm", "alice", "bob"])
        .good();
    assert_eq!(place.run("cursors", &["--json"]).good().text(), "");
    place
        .run("cursors", &["rm", "alice"])
        .refused(1, &["there is no cursor"]);
}
