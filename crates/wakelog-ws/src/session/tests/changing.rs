//! A subscription gets other filters: nothing is lost, nothing comes twice.

use super::*;

const CHANGE: &str = r#"{"type":"change","sub":"s","filters":["b"]}"#;

/// The reader with the new filters is asked for, at this offset.
fn opens(play: &mut Play, offset: u64) -> SubKey {
    match play.request() {
        Some(Request::OpenReader {
            key,
            filters,
            start,
        }) => {
            assert_eq!(filters, ["b"]);
            assert_eq!(start, Start::Position(at(offset)));
            key
        }
        other => panic!("{other:?}"),
    }
}

fn opened(offset: u64) -> Result<Opened, OpenFailure> {
    let position = at(offset);
    Ok(Opened { position, end: 100 })
}

fn subscribed(play: &mut Play, offset: u64) {
    let sub = "s".to_owned();
    let position = at(offset);
    let wanted = ServerMessage::Subscribed {
        sub,
        position,
        end: 100,
    };
    assert_eq!(play.message(), wanted);
}

#[test]
fn the_new_filters_hold_where_the_old_ones_stand() {
    let mut play = Play::open(None);
    let old = play.subscribe("s", 10, r#","credit":{"events":60,"bytes":100000}"#);
    play.reads();
    play.session.handle_read(old, events(10..60, true));
    play.says(CHANGE);
    assert!(!play.session.wants_input());
    let new = opens(&mut play, 60);
    // What was on its way comes before the answer; the old reader reads no more.
    assert_eq!(play.page().1, 50);
    play.quiet();
    play.session.handle_opened(new, opened(60));
    subscribed(&mut play, 60);
    assert_eq!(play.request(), Some(Request::CloseReader { key: old }));
    // The credit is what it was.
    assert_eq!(play.reads(), (new, 10, 48 << 10));
    play.session.handle_read(new, events(60..65, false));
    assert_eq!(play.page(), ("s".to_owned(), 5, at(65), true));
    assert!(play.session.wants_input());
}

#[test]
fn a_page_that_is_being_read_is_sent_before() {
    let mut play = Play::open(None);
    let old = play.subscribe("s", 10, "");
    play.reads();
    play.says(CHANGE);
    play.quiet();
    assert!(!play.session.wants_input());
    play.session.handle_read(old, events(10..20, true));
    let new = opens(&mut play, 20);
    assert_eq!(play.page(), ("s".to_owned(), 10, at(20), false));
    play.session.handle_opened(new, opened(20));
    subscribed(&mut play, 20);
    assert_eq!(play.request(), Some(Request::CloseReader { key: old }));
    assert_eq!(play.reads().0, new);
}

#[test]
fn a_live_subscription_is_told_when_it_is_live_again() {
    let mut play = Play::open(None);
    let old = play.subscribe("s", 90, "");
    play.caught_up(old, 100);
    assert!(play.page().3);
    play.says(CHANGE);
    let new = opens(&mut play, 100);
    // What the old reader sees now is nobody's.
    play.session.handle_ready(old);
    play.session.handle_position(old, at(110));
    play.quiet();
    play.session.handle_opened(new, opened(100));
    subscribed(&mut play, 100);
    assert_eq!(play.request(), Some(Request::CloseReader { key: old }));
    play.caught_up(new, 105);
    assert_eq!(play.page(), ("s".to_owned(), 0, at(105), true));
}

#[test]
fn after_a_refusal_the_old_filters_go_on() {
    let mut play = Play::open(None);
    let old = play.subscribe("s", 90, "");
    play.caught_up(old, 100);
    play.page();
    play.says(CHANGE);
    let new = opens(&mut play, 100);
    let no = Failure::new(ErrorCode::Forbidden, "no");
    play.session
        .handle_opened(new, Err(OpenFailure::Failed(no)));
    let sub = Some("s".to_owned());
    assert_eq!(
        play.error(),
        (ErrorCode::Forbidden, Some("change"), sub.clone())
    );
    assert_eq!(play.reads().0, old);
    play.session.handle_read(old, events(100..103, false));
    assert_eq!(play.page().1, 3);

    play.says(r#"{"type":"change","sub":"t","filters":["b"]}"#);
    let t = Some("t".to_owned());
    assert_eq!(play.error(), (ErrorCode::NoSuchSub, Some("change"), t));
    let many = vec!["b"; 65];
    play.says(&format!(
        r#"{{"type":"change","sub":"s","filters":{many:?}}}"#
    ));
    assert_eq!(play.error(), (ErrorCode::BadMessage, Some("change"), sub));
}
