//! From hello to the close: welcome, heartbeats, fencing, drain.

use super::*;

#[test]
fn hello_comes_first_and_once() {
    let mut play = Play::new(SessionConfig::default());
    play.says(r#"{"type":"heartbeat"}"#);
    assert_eq!(play.error().0, ErrorCode::HelloExpected);
    play.closed(CloseCode::Broken);

    let mut play = Play::open(None);
    play.says(r#"{"type":"hello"}"#);
    assert_eq!(play.error().0, ErrorCode::HelloExpected);
    play.closed(CloseCode::Broken);
}

#[test]
fn welcome_tells_the_cursor_and_nothing_is_taken_before() {
    let mut play = Play::new(SessionConfig::default());
    assert!(play.session.wants_input());
    play.says(r#"{"type":"hello","consumer":"alice"}"#);
    assert!(matches!(play.request(), Some(Request::Admit(hello)) if hello.consumer.is_some()));
    assert!(!play.session.wants_input());
    let cursor = LoadedCursor {
        state: CursorState::Expired,
        position: at(100),
        gap: None,
    };
    play.admit(Some("alice"), Some(cursor));
    let ServerMessage::Welcome(welcome) = play.message() else {
        panic!()
    };
    let cursor = welcome.cursor.unwrap();
    assert_eq!(
        (cursor.state, cursor.position),
        (CursorState::Expired, at(100))
    );
    assert_eq!(welcome.from.as_deref(), Some("user.7"));
    assert!(play.session.wants_input());
    play.quiet();
}

#[test]
fn a_refused_hello_closes() {
    let mut play = Play::new(SessionConfig::default());
    play.says(r#"{"type":"hello","token":"no"}"#);
    assert!(matches!(play.request(), Some(Request::Admit(_))));
    let failure = Failure::new(ErrorCode::Unauthorized, "no");
    play.session.handle_admitted(play.now, Err(failure));
    assert_eq!(play.error().0, ErrorCode::Unauthorized);
    play.closed(CloseCode::Unauthorized);
}

#[test]
fn the_newer_connection_fences_the_older_at_once() {
    let mut play = Play::open(Some("alice"));
    let key = play.subscribe("s", 10, "");
    play.reads();
    play.session.handle_read(key, events(10..20, true));
    play.session.handle_fenced();
    assert_eq!(play.message(), ServerMessage::Fenced);
    play.closed(CloseCode::Fenced);
    play.says(r#"{"type":"heartbeat"}"#);
    play.session.handle_stored(Ok(at(50)));
    assert_eq!(play.session.poll_transmit(), None);
}

#[test]
fn heartbeats_move_quiet_subscriptions() {
    let mut play = Play::open(None);
    let key = play.subscribe("s", 10, "");
    play.caught_up(key, 100);
    play.page();
    let beat = SessionConfig::default().heartbeat;
    assert_eq!(play.session.poll_timeout(), Some(play.now + beat));
    play.now += beat;
    play.session.handle_position(key, at(170));
    play.session.handle_timeout(play.now);
    let positions = [("s".to_owned(), at(170))].into();
    assert_eq!(play.message(), ServerMessage::Heartbeat { positions });
    play.says(r#"{"type":"heartbeat"}"#);
    play.now += beat;
    play.session.handle_position(key, at(170));
    play.session.handle_timeout(play.now);
    let positions = [].into();
    assert_eq!(play.message(), ServerMessage::Heartbeat { positions });
}

#[test]
fn silence_and_a_missing_hello_end_the_connection() {
    let config = SessionConfig::default();
    let mut play = Play::new(config);
    play.now += config.hello_deadline;
    assert_eq!(play.session.poll_timeout(), Some(play.now));
    play.session.handle_timeout(play.now);
    play.closed(CloseCode::Silent);

    let mut play = Play::open(None);
    for _ in 0..2 {
        play.now += config.heartbeat;
        play.session.handle_timeout(play.now);
        assert!(matches!(play.message(), ServerMessage::Heartbeat { .. }));
    }
    play.now += config.heartbeat / 2;
    assert_eq!(play.session.poll_timeout(), Some(play.now));
    play.session.handle_timeout(play.now);
    play.closed(CloseCode::Silent);
}

#[test]
fn drain_says_bye_and_answers_what_was_accepted() {
    let mut play = Play::open(None);
    play.says(r#"{"type":"publish","id":"one","topics":["a"]}"#);
    let Some(Request::Append { key, .. }) = play.request() else {
        panic!()
    };
    play.session.handle_drain(play.now, [0, 5000]);
    assert_eq!(play.message(), ServerMessage::Bye { window: [0, 5000] });
    play.quiet();
    assert!(!play.session.wants_input());
    play.session.handle_appended(key, Ok(at(101)));
    assert!(matches!(play.message(), ServerMessage::Published { .. }));
    play.closed(CloseCode::Restart);

    let mut play = Play::open(None);
    play.says(r#"{"type":"publish","id":"one","topics":["a"]}"#);
    play.session.handle_drain(play.now, [0, 1]);
    play.message();
    play.now += Duration::from_secs(5);
    play.session.handle_timeout(play.now);
    play.closed(CloseCode::Restart);
}

/// As PROTOCOL.md says of `hello`: what is no message ends the connection, what is none of its
/// bounds does not, and what the outside cannot decide ends it too.
#[test]
fn a_hello_may_be_mended_but_not_after_it_was_refused() {
    let config = SessionConfig::default();
    let mut play = Play::new(config);
    for bad in [
        r#"{"type":"dance"}"#,
        r#"{"type":"hello","client":""}"#,
        r#"{"type":"hello","token":7}"#,
    ] {
        play.says(bad);
        assert!(matches!(play.message(), ServerMessage::Error(_)));
        assert!(!play.session.is_closed(), "{bad}");
    }
    play.says(r#"{"type":"hello"}"#);
    assert!(matches!(play.request(), Some(Request::Admit(_))));
    let busy = Failure::new(ErrorCode::Unavailable, "not now");
    play.session.handle_admitted(play.now, Err(busy));
    let ServerMessage::Error(told) = play.message() else {
        panic!("no error");
    };
    assert_eq!((told.re, told.after_ms), (Some("hello"), Some(1_000)));
    play.closed(CloseCode::Internal);

    for broken in ["dance", r#"{"type":"heartbeat"}"#] {
        let mut play = Play::new(config);
        play.says(broken);
        assert!(matches!(play.message(), ServerMessage::Error(_)));
        play.closed(CloseCode::Broken);
    }
}

/// Pings between the frames of a message that never ends keep nothing alive.
#[test]
fn pings_are_no_sign_of_life() {
    let mut play = Play::open(None);
    let heartbeat = SessionConfig::default().heartbeat;
    for _ in 0..3 {
        play.now += heartbeat;
        play.session.handle_alive(play.now);
        play.session.handle_timeout(play.now);
    }
    assert!(play.session.is_closed());
}

#[test]
fn who_sends_too_much_is_not_listened_to_for_a_while() {
    let config = SessionConfig {
        messages_per_second: 10,
        ..SessionConfig::default()
    };
    let floods: [fn(&mut Play); 2] = [
        |play| play.says(r#"{"type":"heartbeat"}"#),
        |play| play.session.handle_alive(play.now),
    ];
    for flood in floods {
        let mut play = Play::open_with(config, None, None);
        let mut taken = 0;
        while play.session.wants_input() {
            flood(&mut play);
            taken += 1;
            assert!(taken <= 40, "no end");
        }
        let until = play.session.poll_timeout().unwrap();
        assert_eq!(until, play.now + Duration::from_millis(100));
        play.now = until;
        play.session.handle_timeout(play.now);
        assert!(play.session.wants_input() && !play.session.is_closed());
    }
}

#[test]
fn a_session_is_over_when_its_credentials_are() {
    let mut play = Play::new(SessionConfig::default());
    let end = play.now + Duration::from_secs(3);
    play.expires = Some(end);
    play.says(r#"{"type":"hello"}"#);
    assert!(matches!(play.request(), Some(Request::Admit(_))));
    play.admit(None, None);
    assert!(matches!(play.message(), ServerMessage::Welcome(_)));
    assert_eq!(play.session.poll_timeout(), Some(end));
    play.session.handle_timeout(end - Duration::from_millis(1));
    play.quiet();
    play.session.handle_timeout(end);
    assert_eq!(play.error().0, ErrorCode::Expired);
    play.closed(CloseCode::Unauthorized);
}
