//! The life of cursors through the public API: listed, deleted, set, waited for.

use crate::executor::block_on;
use std::time::Duration;
use wakelog::{
    AckError, CursorError, CursorState, Log, Opened, Options, ReadError, Retention, Start,
    SyncPolicy,
};

fn log() -> Log {
    let log = Log::in_memory().unwrap();
    for number in 0..10 {
        let topic = if number % 2 == 0 { "even" } else { "odd" };
        log.append(topic, [number]).unwrap();
    }
    log
}

#[test]
fn a_list_says_where_each_cursor_stands() {
    let log = log();
    let ttl = Duration::from_secs(3_600);
    let earliest = |name: &str| log.cursor(name).start(Start::Earliest);
    let mut even = earliest("b").topics(["even"]).ttl(ttl).open().unwrap();
    let event = even.next().unwrap().unwrap();
    even.ack(&event).unwrap();
    drop(earliest("a").identities(["me"]).open().unwrap());
    let list = log.cursor_list().unwrap();
    let names: Vec<_> = list.iter().map(|info| info.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let (a, b) = (&list[0], &list[1]);
    assert_eq!(
        (a.acked, a.lag, a.state),
        (Some(0), Some(10), CursorState::Live)
    );
    assert_eq!(a.identities.as_deref(), Some(&["me".into()][..]));
    assert_eq!(
        (b.acked, b.lag, b.state),
        (Some(1), Some(4), CursorState::Open)
    );
    assert_eq!((b.ttl, &b.filters[..]), (Some(ttl), &["even".into()][..]));
    assert_eq!(b.position.unwrap().offset, 1);
}

#[test]
fn a_deleted_cursor_is_fenced_and_new_again() {
    let log = log();
    let mut old = log.cursor("c").start(Start::Earliest).open().unwrap();
    let event = old.next().unwrap().unwrap();
    assert!(matches!(
        log.delete_cursor("other"),
        Err(CursorError::Unknown { .. })
    ));
    log.delete_cursor("c").unwrap();
    assert!(matches!(old.next(), Err(ReadError::Fenced)));
    assert!(matches!(old.ack(&event), Err(AckError::Fenced)));
    drop(old);
    assert_eq!((log.cursors(), log.cursor_list().unwrap().len()), (0, 0));
    let new = log.cursor("c").start(Start::Offset(7)).open().unwrap();
    assert_eq!((new.opened(), new.acked()), (Opened::New, 7));
}

#[test]
fn a_cursor_is_set_without_reading() {
    let log = log();
    let mut open = log.cursor("c").start(Start::Earliest).open().unwrap();
    assert_eq!(log.set_cursor("c", Start::Offset(6)).unwrap(), 6);
    assert!(matches!(open.next(), Err(ReadError::Fenced)));
    assert!(matches!(
        log.set_cursor("c", Start::Offset(99)),
        Err(CursorError::Offset { .. })
    ));
    assert!(matches!(
        log.set_cursor("d", Start::Latest),
        Err(CursorError::Unknown { .. })
    ));
    let again = log.cursor("c").open().unwrap();
    assert_eq!((again.opened(), again.acked()), (Opened::Resumed, 6));
    assert_eq!(log.set_cursor("c", Start::Earliest).unwrap(), 0);
}

#[test]
fn a_producer_waits_for_its_consumer() {
    let log = log();
    let mut cursor = log
        .cursor("c")
        .topics(["even"])
        .start(Start::Earliest)
        .open()
        .unwrap();
    let short = Duration::from_millis(5);
    assert!(!log.wait_acked_timeout("c", 3, short).unwrap());
    let (waiting, asked) = (log.clone(), log.acked("c", 9));
    let waits = std::thread::spawn(move || waiting.wait_acked("c", 8));
    let asks = std::thread::spawn(move || block_on(asked));
    while let Some(event) = cursor.next().unwrap() {
        cursor.ack(&event).unwrap();
    }
    waits.join().unwrap().unwrap();
    // The last event is not for it, and is passed with the others.
    asks.join().unwrap().unwrap();
    assert!(log.wait_acked_timeout("c", 9, short).unwrap());
    assert!(!log.wait_acked_timeout("c", 10, short).unwrap());
}

#[test]
fn who_waits_is_told_when_it_will_never_be() {
    let log = log();
    let unknown = log.wait_acked("c", 0);
    assert!(matches!(unknown, Err(CursorError::Unknown { .. })));
    for delete in [true, false] {
        let cursor = log.cursor("c").start(Start::Earliest).open().unwrap();
        let waiting = log.clone();
        let waits = std::thread::spawn(move || waiting.wait_acked("c", 8));
        std::thread::sleep(Duration::from_millis(10));
        if delete {
            log.delete_cursor("c").unwrap();
        } else {
            log.close().unwrap();
        }
        let told = waits.join().unwrap();
        let good = match told {
            Err(CursorError::Unknown { .. }) => delete,
            Err(CursorError::Closed) => !delete,
            _ => false,
        };
        assert!(good, "{told:?}");
        drop(cursor);
    }
}

#[test]
fn a_list_beside_a_writer_changes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log");
    let options = Options::new().sync(SyncPolicy::Manual);
    let log = options.open(&path).unwrap();
    log.append("a", b"x").unwrap();
    let mut cursor = log.cursor("c").start(Start::Earliest).open().unwrap();
    let reader = Log::open_read_only(&path).unwrap();
    let seen = || reader.cursor_list().unwrap()[0].acked;
    assert_eq!(seen(), Some(0));
    let event = cursor.next().unwrap().unwrap();
    cursor.ack(&event).unwrap();
    assert_eq!(seen(), Some(1));
    assert!(matches!(
        reader.delete_cursor("c"),
        Err(CursorError::ReadOnly)
    ));
    assert!(matches!(
        reader.wait_acked("c", 0),
        Err(CursorError::ReadOnly)
    ));
}

#[test]
fn retention_is_an_option_with_bounds() {
    let fails = Options::new()
        .retention(Retention::new().until_acked())
        .in_memory();
    assert!(fails.unwrap_err().to_string().contains("retention"));
    let short = Log::in_memory().unwrap();
    let ttl = short.cursor("c").ttl(Duration::from_secs(59)).open();
    assert!(matches!(ttl, Err(CursorError::TimeToLive)));
}
