//! Events that are not stored: to whom they go, and after what.

use super::*;

/// One that was emitted when the log ended at `offset`; whether it has to be offered again.
fn offer(play: &mut Play, key: SubKey, offset: u64) -> bool {
    let page = page(offset..offset + 1);
    play.session.handle_volatile(key, &page, at(offset))
}

fn hears(play: &mut Play, offset: u64) {
    match play.message() {
        ServerMessage::Events {
            position,
            volatile: true,
            ..
        } => assert_eq!(position, at(offset)),
        other => panic!("{other:?}"),
    }
}

/// A subscription that has caught up at 100 and has said so.
fn live(play: &mut Play, credit: &str) -> SubKey {
    let key = play.subscribe("s", 90, credit);
    play.caught_up(key, 100);
    assert!(play.page().3);
    key
}

#[test]
fn who_has_caught_up_hears_them_and_its_place_stays() {
    let mut play = Play::open(None);
    let key = live(&mut play, "");
    assert!(!offer(&mut play, key, 100));
    hears(&mut play, 100);
    play.quiet();
    assert_eq!(play.session.stands()[0], None);
    // Nothing that was emitted before it came is older than its place.
    assert!(!offer(&mut play, key, 99));
    hears(&mut play, 99);
}

#[test]
fn what_is_older_comes_first() {
    let mut play = Play::open(None);
    let key = live(&mut play, "");
    // The reader has not looked so far yet.
    assert!(offer(&mut play, key, 101));
    play.session.handle_ready(key);
    assert!(offer(&mut play, key, 101));
    play.reads();
    assert!(offer(&mut play, key, 101));
    play.session.handle_read(key, events(100..101, false));
    assert!(!offer(&mut play, key, 101));
    assert_eq!(play.page().2, at(101));
    hears(&mut play, 101);
    // Events that do not match were passed over.
    assert!(offer(&mut play, key, 110));
    play.session.handle_position(key, at(110));
    assert!(!offer(&mut play, key, 110));
    hears(&mut play, 110);
}

#[test]
fn who_is_behind_does_not_get_them() {
    let mut play = Play::open(None);
    let key = play.subscribe("s", 0, "");
    assert!(!offer(&mut play, key, 100));
    play.reads();
    assert!(!offer(&mut play, key, 100));
    play.session.handle_read(key, events(0..50, true));
    assert!(!offer(&mut play, key, 100));
    assert!(!play.page().3);
    play.reads();
    play.session.handle_read(key, events(50..100, false));
    assert!(play.page().3);
    assert_eq!(play.request(), Some(Request::Wait { key }));
    play.quiet();
    assert!(!offer(&mut play, SubKey::default(), 100));
    play.quiet();
}

#[test]
fn who_has_no_credit_for_what_is_older_does_not_get_them() {
    let mut play = Play::open(None);
    let key = live(&mut play, r#","credit":{"events":1,"bytes":9999}"#);
    play.session.handle_ready(key);
    play.reads();
    play.session.handle_read(key, events(100..101, false));
    assert_eq!(play.request(), Some(Request::Wait { key }));
    play.page();
    // Nothing older is waiting yet.
    assert!(!offer(&mut play, key, 101));
    hears(&mut play, 101);
    play.session.handle_ready(key);
    assert!(!offer(&mut play, key, 102));
    play.quiet();
}

#[test]
fn few_wait_for_a_client_that_does_not_read() {
    let mut play = Play::open(None);
    let key = live(&mut play, "");
    for _ in 0..1_000 {
        assert!(!offer(&mut play, key, 100));
    }
    let mut heard = 0;
    while play.session.has_output() {
        hears(&mut play, 100);
        heard += 1;
    }
    assert_eq!(heard, 32);
    assert!(play.session.wants_input());
}

#[test]
fn after_a_divergence_they_are_of_nobody() {
    let mut play = Play::open(None);
    let key = live(&mut play, "");
    let page = page(0..1);
    assert!(!play.session.handle_volatile(key, &page, older(100)));
    play.quiet();
}
