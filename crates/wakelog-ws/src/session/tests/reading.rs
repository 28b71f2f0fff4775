//! What a subscription is sent: pages under credit, gaps, resets.

use super::*;

#[test]
fn what_was_missed_comes_in_pages_and_the_end_of_it_shows() {
    let mut play = Play::open(None);
    let key = play.subscribe("s", 10, "");
    assert_eq!(play.reads().0, key);
    play.session.handle_read(key, events(10..60, true));
    // One page at a time: the next is asked for when this one has been taken.
    assert_eq!(play.request(), None);
    assert_eq!(play.page(), ("s".to_owned(), 50, at(60), false));
    play.reads();
    play.session.handle_read(key, events(60..100, false));
    // Nothing more was there: nothing is read before there is.
    assert_eq!(play.request(), Some(Request::Wait { key }));
    assert_eq!(play.page(), ("s".to_owned(), 40, at(100), true));
    play.quiet();
    assert_eq!(play.session.stands()[0], None);
    play.session.handle_ready(key);
    play.reads();
    // An event that came in during the read does not make a live subscription a late one.
    play.session.handle_read(key, events(100..101, true));
    assert_eq!(play.page(), ("s".to_owned(), 1, at(101), true));
}

#[test]
fn caught_up_is_told_even_if_nothing_was_missed() {
    let mut play = Play::open(None);
    let key = play.subscribe("s", 90, "");
    play.caught_up(key, 100);
    assert_eq!(play.page(), ("s".to_owned(), 0, at(100), true));
    play.quiet();
}

#[test]
fn nothing_is_read_without_credit() {
    let mut play = Play::open(None);
    let key = play.subscribe("s", 0, r#","credit":{"events":3,"bytes":100000}"#);
    assert_eq!(play.reads(), (key, 3, 48 << 10));
    play.session.handle_read(key, events(0..3, true));
    assert_eq!(play.page().1, 3);
    play.quiet();
    play.says(r#"{"type":"credit","sub":"s","events":2,"bytes":0}"#);
    assert_eq!(play.reads(), (key, 2, 48 << 10));
    play.session.handle_read(key, events(3..5, true));
    assert_eq!(play.page().1, 2);
    play.quiet();
}

#[test]
fn a_page_may_overdraw_the_bytes_and_is_paid_back_first() {
    let mut play = Play::open(None);
    let key = play.subscribe("s", 0, r#","credit":{"events":100,"bytes":10}"#);
    assert_eq!(play.reads(), (key, 100, 10));
    let large = events(0..1, true);
    let taken = page(0..1).bytes();
    play.session.handle_read(key, large);
    play.page();
    play.quiet();
    let owed = taken - 10;
    play.says(&format!(
        r#"{{"type":"credit","sub":"s","events":0,"bytes":{owed}}}"#
    ));
    play.quiet();
    play.says(r#"{"type":"credit","sub":"s","events":0,"bytes":7}"#);
    assert_eq!(play.reads(), (key, 99, 7));
}

#[test]
fn credit_is_capped() {
    let mut play = Play::open(None);
    let key = play.subscribe(
        "s",
        0,
        r#","credit":{"events":4294967295,"bytes":4294967295}"#,
    );
    play.says(r#"{"type":"credit","sub":"s","events":4294967295,"bytes":4294967295}"#);
    let mut total = 0;
    while let Some(Request::ReadPage { most, .. }) = play.request() {
        let from = total;
        total += u64::from(most.events);
        play.session.handle_read(key, events(from..total, true));
        play.page();
    }
    // The bytes of 4,096 small events stay below the cap of bytes.
    assert_eq!(total, 4096);
}

#[test]
fn subscriptions_take_turns() {
    let mut play = Play::open(None);
    let one = play.subscribe("one", 0, "");
    assert_eq!(play.reads().0, one);
    let two = play.subscribe("two", 0, "");
    let mut turns = Vec::new();
    let mut key = one;
    for n in 0..4 {
        play.session.handle_read(key, events(n..n + 1, true));
        turns.push(play.page().0);
        key = play.reads().0;
    }
    assert_eq!(turns, ["one", "two", "one", "two"]);
    assert_ne!(one, two);
}

#[test]
fn a_gap_comes_in_its_place_and_takes_no_credit() {
    let mut play = Play::open(None);
    let key = play.subscribe("s", 10, r#","credit":{"events":1,"bytes":9999}"#);
    play.reads();
    let gap = Gap {
        from: 10,
        to: 50,
        reason: GapReason::Trimmed,
    };
    play.session.handle_read(
        key,
        ReadAnswer::Gap {
            gap,
            position: at(50),
        },
    );
    assert_eq!(play.request(), None);
    let sub = "s".to_owned();
    assert_eq!(
        play.message(),
        ServerMessage::Gap {
            sub,
            gap,
            position: at(50)
        }
    );
    assert_eq!(play.reads(), (key, 1, 9999));
}

#[test]
fn a_reset_leaves_the_name_free() {
    let mut play = Play::open(None);
    play.says(&format!(
        r#"{{"type":"subscribe","sub":"s","filters":["a"],"position":"{}"}}"#,
        older(7)
    ));
    let Some(Request::OpenReader { key, .. }) = play.request() else {
        panic!()
    };
    assert!(!play.session.wants_input());
    let reset = Reset {
        reason: ResetReason::Epoch,
        earliest: at(0),
        end: at(100),
    };
    play.session
        .handle_opened(key, Err(OpenFailure::Reset(reset)));
    let sub = "s".to_owned();
    assert_eq!(play.message(), ServerMessage::Reset { sub, reset });
    assert!(play.session.wants_input());
    play.quiet();
    play.subscribe("s", 0, "");
}

#[test]
fn without_a_place_the_cursor_is_the_place_and_its_gap_is_told() {
    let gap = Gap {
        from: 40,
        to: 55,
        reason: GapReason::Diverged,
    };
    let mut play = Play::open_with(SessionConfig::default(), Some("alice"), Some(gap));
    play.says(r#"{"type":"subscribe","sub":"s","filters":["a"]}"#);
    let Some(Request::OpenReader { key, start, .. }) = play.request() else {
        panic!()
    };
    assert_eq!(start, Start::Position(at(40)));
    play.session.handle_opened(
        key,
        Ok(Opened {
            position: at(40),
            end: 100,
        }),
    );
    assert!(matches!(play.message(), ServerMessage::Subscribed { .. }));
    let sub = "s".to_owned();
    assert_eq!(
        play.message(),
        ServerMessage::Gap {
            sub,
            gap,
            position: at(40)
        }
    );
    // The ack of the gap's own position is not an old one: it is the gap's acknowledgement.
    assert_eq!(play.reads().0, key);
    let ack = format!(r#"{{"type":"ack","position":"{}"}}"#, at(40));
    play.says(&ack);
    assert_eq!(
        play.request(),
        Some(Request::StoreCursor { position: at(40) })
    );
    play.session.handle_stored(Ok(at(40)));
    assert_eq!(play.message(), ServerMessage::AckOk { position: at(40) });
    play.says(&ack);
    assert_eq!(play.message(), ServerMessage::AckOk { position: at(40) });
    play.quiet();
}

#[test]
fn a_place_of_the_client_wins_over_the_cursor() {
    let mut play = Play::open(Some("alice"));
    play.says(r#"{"type":"subscribe","sub":"t","filters":["a"],"start":"earliest"}"#);
    let request = play.request();
    assert!(matches!(
        request,
        Some(Request::OpenReader {
            start: Start::Earliest,
            ..
        })
    ));
    play.subscribe("back", 5, "");
    assert_eq!(play.session.stands()[1], Some(40));
}

#[test]
fn unsubscribing_drops_what_is_under_way() {
    let mut play = Play::open(None);
    let key = play.subscribe("s", 10, "");
    play.reads();
    play.says(r#"{"type":"unsubscribe","sub":"s"}"#);
    let sub = "s".to_owned();
    assert_eq!(
        play.message(),
        ServerMessage::Unsubscribed {
            sub,
            position: at(10)
        }
    );
    assert_eq!(play.request(), Some(Request::CloseReader { key }));
    // The name is free at once; the late answer for the old reader changes nothing.
    let again = play.subscribe("s", 20, "");
    assert_ne!(key, again);
    assert_eq!(play.reads().0, again);
    play.session.handle_read(key, events(10..11, false));
    play.session.handle_ready(key);
    play.quiet();
}

#[test]
fn a_reader_that_fails_ends_its_subscription_alone() {
    let mut play = Play::open(None);
    let key = play.subscribe("s", 10, "");
    play.reads();
    let failure = Failure::new(ErrorCode::Unavailable, "disk");
    play.session.handle_read(key, ReadAnswer::Failed(failure));
    assert_eq!(
        play.error(),
        (
            ErrorCode::Unavailable,
            Some("subscribe"),
            Some("s".to_owned())
        )
    );
    assert_eq!(play.request(), Some(Request::CloseReader { key }));
    play.quiet();
    play.subscribe("s", 10, "");
}
