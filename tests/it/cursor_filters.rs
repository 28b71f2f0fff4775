//! What a cursor reads is kept with it, and changes only when asked.

use crate::cursors::{advance, append, manual, next, open};
use wakelog::{CursorError, Opened, Start};

#[test]
fn the_filters_of_a_cursor_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let log = manual().open(dir.path()).unwrap();
    append(&log, "a", 2);
    append(&log, "b", 2);
    let begin = || log.cursor("alice").start(Start::Earliest);
    let mut cursor = begin()
        .topics(["b", "c.*"])
        .identities(["me"])
        .open()
        .unwrap();
    assert_eq!(next(&mut cursor), Some(2));
    drop(cursor);
    // The same in another order, or none at all.
    drop(
        begin()
            .topics(["c.*", "b", "b"])
            .identities(["me"])
            .open()
            .unwrap(),
    );
    let mut cursor = log.cursor("alice").open().unwrap();
    assert_eq!(next(&mut cursor), Some(2));

    let others = [
        begin().topics(["a"]).identities(["me"]),
        begin().topics(["b", "c.*"]),
        begin().topics(["b", "c.*"]).identities(["you"]),
        begin().topics(["b", "c.*", "d"]).identities(["me"]),
    ];
    for builder in others {
        match builder.open() {
            Err(CursorError::FilterDiffers { mut stored }) => {
                stored.sort();
                assert_eq!(stored, ["b", "c.*"]);
            }
            other => panic!("{other:?}"),
        }
    }
    // A refusal fences nobody.
    let event = cursor.next().unwrap().unwrap();
    cursor.ack(&event).unwrap();
    drop((cursor, log));
    let log = manual().open(dir.path()).unwrap();
    assert_eq!(log.cursor("alice").open().unwrap().acked(), 4);
}

#[test]
fn filters_change_when_asked_and_the_place_stays() {
    let dir = tempfile::tempdir().unwrap();
    let log = manual().open(dir.path()).unwrap();
    for topic in ["a", "b", "a", "b"] {
        append(&log, topic, 1);
    }
    let mut cursor = open(&log, "alice", "a");
    advance(&mut cursor, 1);
    drop(cursor);
    let refiltered = log.cursor("alice").topics(["b"]).refilter().open();
    let mut cursor = refiltered.unwrap();
    assert_eq!((cursor.opened(), cursor.acked()), (Opened::Resumed, 1));
    assert_eq!(next(&mut cursor), Some(1));
    let old = log.cursor("alice").topics(["a"]).open();
    assert!(matches!(old, Err(CursorError::FilterDiffers { .. })));
    drop((cursor, log));
    let log = manual().open(dir.path()).unwrap();
    let mut cursor = log.cursor("alice").topics(["b"]).open().unwrap();
    assert_eq!(next(&mut cursor), Some(1));
    assert_eq!(next(&mut cursor), Some(3));
    // A cursor that is not known yet may ask for it too.
    let new = log.cursor("bob").topics(["b"]).refilter().open().unwrap();
    assert_eq!(new.opened(), Opened::New);
}
