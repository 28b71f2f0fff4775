//! Sessions driven by hand: what the client says, what the outside answers, what comes out.

mod changing;
mod life;
mod reading;
mod volatile;
mod writing;

use std::time::{Duration, Instant};

use wakelog::{Gap, GapReason, Position, Start};

use super::{
    Admission, OpenFailure, Opened, ReadAnswer, ReadPage, Request, Session, SessionConfig, SubKey,
    Transmit,
};
use crate::protocol::{
    Bare, CloseCode, CursorState, EncodedPage, ErrorCode, Failure, LoadedCursor, PageEvent, Reset,
    ResetReason, ServerMessage,
};

fn at(offset: u64) -> Position {
    format!("0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.{offset}")
        .parse()
        .unwrap()
}

fn older(offset: u64) -> Position {
    format!("0f8fad5bd9cb469fa16570867728950e.2-00c0ffee.{offset}")
        .parse()
        .unwrap()
}

fn page(offsets: std::ops::Range<u64>) -> EncodedPage {
    let events = offsets.map(|offset| PageEvent {
        offset,
        topics: vec!["a"],
        payload: Bare {
            encoding: None,
            bytes: b"x",
        },
        ..PageEvent::default()
    });
    EncodedPage::new(&events.collect::<Vec<_>>(), false)
}

fn events(offsets: std::ops::Range<u64>, more: bool) -> ReadAnswer {
    let (at, page) = (at(offsets.end), page(offsets));
    ReadAnswer::Page(ReadPage { page, at, more })
}

/// A session and the hand that plays its client and its driver.
struct Play {
    session: Session,
    now: Instant,
    expires: Option<Instant>,
}

impl Play {
    fn new(config: SessionConfig) -> Self {
        let now = Instant::now();
        Self {
            session: Session::new(config, now),
            now,
            expires: None,
        }
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
            play.admit(None, None);
            assert!(matches!(play.message(), ServerMessage::Welcome(_)));
            return play;
        };
        play.says(&format!(r#"{{"type":"hello","consumer":"{name}"}}"#));
        assert!(matches!(play.request(), Some(Request::Admit(_))));
        let loaded = LoadedCursor {
            state: CursorState::Resumed,
            position: at(40),
            gap,
        };
        play.admit(Some(name), Some(loaded));
        assert!(matches!(play.message(), ServerMessage::Welcome(_)));
        play
    }

    fn admit(&mut self, consumer: Option<&str>, cursor: Option<LoadedCursor>) {
        let from = Some("user.7".to_owned());
        let consumer = consumer.map(str::to_owned);
        let admission = Admission {
            from,
            consumer,
            end: at(100),
            expires: self.expires,
            cursor,
        };
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
            Some(Request::OpenReader {
                key,
                filters,
                start: Start::Position(asked),
            }) => {
                assert_eq!((filters, asked), (vec!["a".to_owned()], place));
                key
            }
            other => panic!("{other:?}"),
        };
        self.session.handle_opened(
            key,
            Ok(Opened {
                position: place,
                end: 100,
            }),
        );
        let sub = sub.to_owned();
        assert_eq!(
            self.message(),
            ServerMessage::Subscribed {
                sub,
                position: place,
                end: 100
            }
        );
        key
    }

    fn reads(&mut self) -> (SubKey, u32, u32) {
        match self.request() {
            Some(Request::ReadPage { key, most }) => (key, most.events, most.bytes),
            other => panic!("{other:?}"),
        }
    }

    fn page(&mut self) -> (String, u32, Position, bool) {
        match self.message() {
            ServerMessage::Events {
                sub,
                page,
                position,
                live,
                volatile,
            } => {
                assert!(!volatile, "{sub}");
                (sub, page.events(), position, live)
            }
            other => panic!("{other:?}"),
        }
    }

    fn caught_up(&mut self, key: SubKey, offset: u64) {
        assert_eq!(self.reads().0, key);
        self.session.handle_read(key, events(offset..offset, false));
        assert_eq!(self.request(), Some(Request::Wait { key }));
    }
}
