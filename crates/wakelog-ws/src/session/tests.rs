//! Sessions driven by hand: what the client says, what the outside answers, what comes out.

use std::time::{Duration, Instant};

use wakelog::{Gap, GapReason, Position};

use super::{
    Admission, Failure, LoadedCursor, OpenFailure, Opened, Place, ReadAnswer, Request, Session,
    SessionConfig, SubKey, Transmit,
};
use crate::protocol::{
    CloseCode, CursorState, EncodedPage, ErrorCode, EventHead, PageWriter, ResetReason,
    ServerMessage,
};

fn at(offset: u64) -> Position {
    format!("0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.{offset}").parse().unwrap()
}

fn older(offset: u64) -> Position {
    format!("0f8fad5bd9cb469fa16570867728950e.2-00c0ffee.{offset}").parse().unwrap()
}

fn page(offsets: std::ops::Range<u64>) -> EncodedPage {
    let mut page = PageWriter::new();
    for offset in offsets {
        page.push(EventHead { offset, payload: b"x", ..EventHead::default() }, ["a"], []);
    }
    page.finish()
}

fn events(offsets: std::ops::Range<u64>, more: bool) -> ReadAnswer {
    let position = at(offsets.end);
    ReadAnswer::Page { page: page(offsets), position, more }
}

/// A session and the hand that plays its client and its driver.
struct Play {
    session: Session,
    now: Instant,
}

impl Play {
    fn new(config: SessionConfig) -> Self {
        let now = Instant::now();
        Self { session: Session::new(config, now), now }
    }

    /// A session that has been welcomed; the log ends at 100, the cursor of `consumer` stands at
    /// 40.
    fn open(consumer: Option<&str>) -> Self {
        Self::open_with(SessionConfig::default(), consumer, None)
    }

    fn open_with(config: SessionConfig, consumer: Option<&str>, gap: Option<Gap>) -> Self {
        let mut play = Self::new(config);
        let Some(name) = consumer else {
            play.says(r#"{"type":"hello"}"#);
            assert!(matches!(play.request(), Some(Request::Admit(_))));
            play.admit(None);
            assert!(matches!(play.message(), ServerMessage::Welcome(_)));
            return play;
        };
        play.says(&format!(r#"{{"type":"hello","consumer":"{name}"}}"#));
        assert!(matches!(play.request(), Some(Request::Admit(_))));
        play.admit(Some(name));
        assert_eq!(play.request(), Some(Request::LoadCursor { consumer: name.to_owned() }));
        let loaded = LoadedCursor { new: false, position: at(40), gap };
        play.session.handle_cursor(play.now, Ok(loaded));
        assert!(matches!(play.message(), ServerMessage::Welcome(_)));
        play
    }

    fn admit(&mut self, consumer: Option<&str>) {
        let from = Some("user.7".to_owned());
        let consumer = consumer.map(str::to_owned);
        let admission = Admission { from, consumer, end: at(100) };
        self.session.handle_admitted(self.now, Ok(admission));
    }

    fn says(&mut self, text: &str) {
        self.session.handle_text(self.now, text);
    }

    fn request(&mut self) -> Option<Request> {
        self.session.poll_request()
    }

    fn message(&mut self) -> ServerMessage {
        match self.session.poll_transmit() {
            Some(Transmit::Message(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    fn quiet(&mut self) {
        assert_eq!(self.session.poll_transmit(), None);
        assert_eq!(self.session.poll_request(), None);
    }

    fn closed(&mut self, code: CloseCode) {
        assert_eq!(self.session.poll_transmit(), Some(Transmit::Close(code)));
        assert_eq!(self.session.poll_transmit(), None);
        assert_eq!(self.session.poll_request(), None);
        assert!(self.session.is_closed());
    }

    fn error(&mut self) -> (ErrorCode, Option<&'static str>, Option<String>) {
        match self.message() {
            ServerMessage::Error(error) => (error.code, error.re, error.sub.or(error.id)),
            other => panic!("{other:?}"),
        }
    }

    /// Opens a subscription at `position` and returns its key.
    fn subscribe(&mut self, sub: &str, position: u64, credit: &str) -> SubKey {
        let place = at(position);
        self.says(&format!(
            r#"{{"type":"subscribe","sub":"{sub}","filters":["a"],"position":"{place}"{credit}}}"#
        ));
        let key = match self.request() {
            Some(Request::OpenReader { key, filters, place: Place::Position(asked) }) => {
                assert_eq!((filters, asked), (vec!["a".to_owned()], place));
                key
            }
            other => panic!("{other:?}"),
        };
        self.session.handle_opened(key, Ok(Opened { position: place, end: 100 }));
        let sub = sub.to_owned();
        assert_eq!(self.message(), ServerMessage::Subscribed { sub, position: place, end: 100 });
        key
    }

    fn reads(&mut self) -> (SubKey, u32, u32) {
        match self.request() {
            Some(Request::ReadPage { key, max_events, max_bytes }) => (key, max_events, max_bytes),
            other => panic!("{other:?}"),
        }
    }

    fn page(&mut self) -> (String, u32, Position, bool) {
        match self.message() {
            ServerMessage::Events { sub, page, position, live } => {
                (sub, page.events(), position, live)
            }
            other => panic!("{other:?}"),
        }
    }

    fn caught_up(&mut self, key: SubKey, offset: u64) {
        assert_eq!(self.reads().0, key);
        self.session.handle_read(key, ReadAnswer::CaughtUp { position: at(offset) });
        assert_eq!(self.request(), Some(Request::Wait { key }));
    }
}

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
    play.admit(Some("alice"));
    assert!(!play.session.wants_input());
    assert!(matches!(play.request(), Some(Request::LoadCursor { .. })));
    play.session.handle_cursor(
        play.now,
        Ok(LoadedCursor { new: true, position: at(100), gap: None }),
    );
    let ServerMessage::Welcome(welcome) = play.message() else { panic!() };
    let cursor = welcome.cursor.unwrap();
    assert_eq!((cursor.state, cursor.position), (CursorState::New, at(100)));
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
    assert_eq!(play.page(), ("s".to_owned(), 40, at(100), true));
    play.caught_up(key, 100);
    play.quiet();
    assert_eq!(play.session.reading_from(), None);
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
    play.says(&format!(r#"{{"type":"credit","sub":"s","events":0,"bytes":{owed}}}"#));
    play.quiet();
    play.says(r#"{"type":"credit","sub":"s","events":0,"bytes":7}"#);
    assert_eq!(play.reads(), (key, 99, 7));
}

#[test]
fn credit_is_capped() {
    let mut play = Play::open(None);
    let key = play.subscribe("s", 0, r#","credit":{"events":4294967295,"bytes":4294967295}"#);
    play.says(r#"{"type":"credit","sub":"s","events":4294967295,"bytes":4294967295}"#);
    let mut total = 0;
    while let Some(Request::ReadPage { max_events, .. }) = play.request() {
        let from = total;
        total += u64::from(max_events);
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
    let gap = Gap { from: 10, to: 50, reason: GapReason::Trimmed };
    play.session.handle_read(key, ReadAnswer::Gap { gap, position: at(50) });
    assert_eq!(play.request(), None);
    let sub = "s".to_owned();
    assert_eq!(play.message(), ServerMessage::Gap { sub, gap, position: at(50) });
    assert_eq!(play.reads(), (key, 1, 9999));
}

#[test]
fn a_reset_leaves_the_name_free() {
    let mut play = Play::open(None);
    play.says(&format!(
        r#"{{"type":"subscribe","sub":"s","filters":["a"],"position":"{}"}}"#,
        older(7)
    ));
    let Some(Request::OpenReader { key, .. }) = play.request() else { panic!() };
    assert!(!play.session.wants_input());
    let (reason, earliest, end) = (ResetReason::Epoch, at(0), at(100));
    play.session.handle_opened(key, Err(OpenFailure::Reset { reason, earliest, end }));
    let sub = "s".to_owned();
    assert_eq!(play.message(), ServerMessage::Reset { sub, reason, earliest, end });
    assert!(play.session.wants_input());
    play.quiet();
    play.subscribe("s", 0, "");
}

#[test]
fn without_a_place_the_cursor_is_the_place_and_its_gap_is_told() {
    let gap = Gap { from: 40, to: 55, reason: GapReason::Diverged };
    let mut play = Play::open_with(SessionConfig::default(), Some("alice"), Some(gap));
    play.says(r#"{"type":"subscribe","sub":"s","filters":["a"]}"#);
    let Some(Request::OpenReader { key, place, .. }) = play.request() else { panic!() };
    assert_eq!(place, Place::Position(at(40)));
    play.session.handle_opened(key, Ok(Opened { position: at(40), end: 100 }));
    assert!(matches!(play.message(), ServerMessage::Subscribed { .. }));
    let sub = "s".to_owned();
    assert_eq!(play.message(), ServerMessage::Gap { sub, gap, position: at(40) });
    // The ack of the gap's own position is not an old one: it is the gap's acknowledgement.
    assert_eq!(play.reads().0, key);
    let ack = format!(r#"{{"type":"ack","position":"{}"}}"#, at(40));
    play.says(&ack);
    assert_eq!(play.request(), Some(Request::StoreCursor { position: at(40) }));
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
    assert!(matches!(request, Some(Request::OpenReader { place: Place::Earliest, .. })));
    play.subscribe("back", 5, "");
    assert_eq!(play.session.acked(), Some(40));
}

#[test]
fn acks_are_stored_one_after_the_other_and_the_highest_wins() {
    let mut play = Play::open(Some("alice"));
    let ack = |offset| format!(r#"{{"type":"ack","position":"{}"}}"#, at(offset));
    play.says(&ack(41));
    assert_eq!(play.request(), Some(Request::StoreCursor { position: at(41) }));
    play.says(&ack(45));
    play.says(&ack(43));
    play.quiet();
    play.session.handle_stored(Ok(at(41)));
    assert_eq!(play.message(), ServerMessage::AckOk { position: at(41) });
    assert_eq!(play.request(), Some(Request::StoreCursor { position: at(45) }));
    play.session.handle_stored(Ok(at(45)));
    assert_eq!(play.message(), ServerMessage::AckOk { position: at(45) });
    play.says(&ack(20));
    assert_eq!(play.message(), ServerMessage::AckOk { position: at(45) });
    play.quiet();
    // Of another epoch the numbers say nothing: the log decides.
    play.says(&format!(r#"{{"type":"ack","position":"{}"}}"#, older(3)));
    assert_eq!(play.request(), Some(Request::StoreCursor { position: older(3) }));
    play.session.handle_stored(Err(Failure::new(ErrorCode::AckRefused, "no")));
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
    let Some(Request::Append { key: one, event }) = play.request() else { panic!() };
    assert_eq!(event.payload.as_bytes(), b"1");
    let Some(Request::Append { key: two, .. }) = play.request() else { panic!() };
    play.session.handle_appended(two, Err(Failure::new(ErrorCode::Unavailable, "full")));
    assert_eq!(play.error(), (ErrorCode::Unavailable, Some("publish"), Some("two".to_owned())));
    assert!(play.session.wants_input());
    play.session.handle_appended(one, Ok((100, at(101))));
    let (id, offset, position) = ("one".to_owned(), 100, at(101));
    assert_eq!(play.message(), ServerMessage::Published { id, offset, position });
    play.quiet();
}

#[test]
fn refusals_name_what_they_refuse_and_the_session_goes_on() {
    let mut play = Play::open(None);
    let key = play.subscribe("s", 0, "");
    assert_eq!(play.reads().0, key);
    let cases = [
        (r#"{"type":"subscribe","sub":"s","filters":["a"]}"#, ErrorCode::SubInUse),
        (r#"{"type":"subscribe","sub":"t","filters":["a"]}"#, ErrorCode::NoCursor),
        (r#"{"type":"subscribe","sub":"t","filters":["$x"]}"#, ErrorCode::BadFilter),
        (r#"{"type":"credit","sub":"u","events":1,"bytes":1}"#, ErrorCode::NoSuchSub),
        (r#"{"type":"unsubscribe","sub":"u"}"#, ErrorCode::NoSuchSub),
        (r#"{"type":"publish","id":"i","topics":["$all"]}"#, ErrorCode::BadTopic),
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
    play.says(&format!(r#"{{"type":"publish","id":"1","topics":["a"],"text":"{long}"}}"#));
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
    assert_eq!(said, super::MAX_QUEUED);
    play.message();
    assert!(play.session.wants_input());
}

#[test]
fn unsubscribing_drops_what_is_under_way() {
    let mut play = Play::open(None);
    let key = play.subscribe("s", 10, "");
    play.reads();
    play.says(r#"{"type":"unsubscribe","sub":"s"}"#);
    let sub = "s".to_owned();
    assert_eq!(play.message(), ServerMessage::Unsubscribed { sub, position: at(10) });
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
    assert_eq!(play.error(), (ErrorCode::Unavailable, Some("subscribe"), Some("s".to_owned())));
    assert_eq!(play.request(), Some(Request::CloseReader { key }));
    play.quiet();
    play.subscribe("s", 10, "");
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
    let positions = vec![("s".to_owned(), at(170))];
    assert_eq!(play.message(), ServerMessage::Heartbeat { positions });
    play.says(r#"{"type":"heartbeat"}"#);
    play.now += beat;
    play.session.handle_position(key, at(170));
    play.session.handle_timeout(play.now);
    assert_eq!(play.message(), ServerMessage::Heartbeat { positions: Vec::new() });
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
    let Some(Request::Append { key, .. }) = play.request() else { panic!() };
    play.session.handle_drain(play.now, [0, 5000]);
    assert_eq!(play.message(), ServerMessage::Bye { window: [0, 5000] });
    play.quiet();
    assert!(!play.session.wants_input());
    play.session.handle_appended(key, Ok((100, at(101))));
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

#[test]
fn a_binary_message_closes() {
    let mut play = Play::open(None);
    play.session.handle_binary();
    play.closed(CloseCode::Binary);
}
