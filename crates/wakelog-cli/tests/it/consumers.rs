//! `tail --consumer`.

use crate::kit::Place;

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
