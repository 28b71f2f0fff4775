//! What a client sends: publishes, acks, and what is refused.

use super::*;

#[test]
fn acks_are_stored_one_after_the_other_and_the_highest_wins() {
    let mut play = Play::open(Some("alice"));
    let ack = |offset| format!(r#"{{"type":"ack","position":"{}"}}"#, at(offset));
    play.says(&ack(41));
    assert_eq!(
        play.request(),
        Some(Request::StoreCursor { position: at(41) })
    );
    play.says(&ack(45));
    play.says(&ack(43));
    play.quiet();
    play.session.handle_stored(Ok(at(41)));
    assert_eq!(play.message(), ServerMessage::AckOk { position: at(41) });
    assert_eq!(
        play.request(),
        Some(Request::StoreCursor { position: at(45) })
    );
    play.session.handle_stored(Ok(at(45)));
    assert_eq!(play.message(), ServerMessage::AckOk { position: at(45) });
    play.says(&ack(20));
    assert_eq!(play.message(), ServerMessage::AckOk { position: at(45) });
    play.quiet();
    // Of another epoch the numbers say nothing: the log decides.
    play.says(&format!(r#"{{"type":"ack","position":"{}"}}"#, older(3)));
    assert_eq!(
        play.request(),
        Some(Request::StoreCursor { position: older(3) })
    );
    play.session
        .handle_stored(Err(Failure::new(ErrorCode::AckRefused, "no")));
    assert_eq!(play.error(), (ErrorCode::AckRefused, Some("ack"), None));
}

#[test]
fn publishes_are_answered_by_id_and_bounded() {
    let mut config = SessionConfig::default();
    config.limits.publishes = 2;
    let mut play = Play::open_with(config, None, None);
    play.says(r#"{"type":"publish","id":"one","topics":["a"],"text":"1"}"#);
    assert!(play.session.wants_input());
    play.says(r#"{"type":"publish","id":"two","topics":["a"],"text":"2"}"#);
    assert!(!play.session.wants_input());
    let Some(Request::Append { key: one, event }) = play.request() else {
        panic!()
    };
    assert_eq!(event.payload.as_bytes(), b"1");
    let Some(Request::Append { key: two, .. }) = play.request() else {
        panic!()
    };
    play.session
        .handle_appended(two, Err(Failure::new(ErrorCode::Unavailable, "full")));
    assert_eq!(
        play.error(),
        (
            ErrorCode::Unavailable,
            Some("publish"),
            Some("two".to_owned())
        )
    );
    assert!(play.session.wants_input());
    play.session.handle_appended(one, Ok(at(101)));
    let (id, offset, position) = ("one".to_owned(), 100, at(101));
    assert_eq!(
        play.message(),
        ServerMessage::Published {
            id,
            offset,
            position
        }
    );
    play.quiet();
}

#[test]
fn refusals_name_what_they_refuse_and_the_session_goes_on() {
    let mut play = Play::open(None);
    let key = play.subscribe("s", 0, "");
    assert_eq!(play.reads().0, key);
    let cases = [
        (
            r#"{"type":"subscribe","sub":"s","filters":["a"]}"#,
            ErrorCode::SubInUse,
        ),
        (
            r#"{"type":"subscribe","sub":"t","filters":["a"]}"#,
            ErrorCode::NoCursor,
        ),
        (
            r#"{"type":"subscribe","sub":"t","filters":["$x"]}"#,
            ErrorCode::BadFilter,
        ),
        (
            r#"{"type":"credit","sub":"u","events":1,"bytes":1}"#,
            ErrorCode::NoSuchSub,
        ),
        (r#"{"type":"unsubscribe","sub":"u"}"#, ErrorCode::NoSuchSub),
        (
            r#"{"type":"publish","id":"i","topics":["$all"]}"#,
            ErrorCode::BadTopic,
        ),
        (r#"{"type":"dance"}"#, ErrorCode::UnknownType),
    ];
    for (text, code) in cases {
        play.says(text);
        assert_eq!(play.error().0, code, "{text}");
    }
    play.says(&format!(r#"{{"type":"ack","position":"{}"}}"#, at(1)));
    assert_eq!(play.error().0, ErrorCode::NoCursor);
    play.quiet();
    assert!(!play.session.is_closed());
}

#[test]
fn limits_hold() {
    let mut config = SessionConfig::default();
    config.limits.subscriptions = 1;
    config.limits.filters = 1;
    config.limits.message_bytes = 200;
    let mut play = Play::open_with(config, None, None);
    play.says(r#"{"type":"subscribe","sub":"s","filters":["a","b"],"start":"latest"}"#);
    assert_eq!(play.error().0, ErrorCode::BadMessage);
    play.subscribe("s", 0, "");
    play.says(r#"{"type":"subscribe","sub":"t","filters":["a"],"start":"latest"}"#);
    assert_eq!(play.error().0, ErrorCode::TooManySubs);
    let long = "x".repeat(200);
    play.says(&format!(
        r#"{{"type":"publish","id":"1","topics":["a"],"text":"{long}"}}"#
    ));
    play.closed(CloseCode::TooBig);
}

#[test]
fn a_client_that_does_not_read_is_not_listened_to() {
    let mut play = Play::open(None);
    let mut said = 0;
    while play.session.wants_input() {
        play.says(r#"{"type":"unsubscribe","sub":"u"}"#);
        said += 1;
        assert!(said < 1000);
    }
    assert_eq!(said, crate::session::MAX_QUEUED);
    play.message();
    assert!(play.session.wants_input());
}

#[test]
fn a_binary_message_closes() {
    let mut play = Play::open(None);
    play.session.handle_binary();
    play.closed(CloseCode::Binary);
}
