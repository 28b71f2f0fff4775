//! The outside: a log that is a list, readers over it, and what was asked and is not answered yet.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use wakelog::{Filter, Gap, GapReason, Position, Start};

use crate::protocol::{
    Bare, CursorState, EncodedPage, Encoding, ErrorCode, Failure, Grant, LoadedCursor, PageEvent,
    Reset, ResetReason,
};
use crate::session::{
    Admission, OpenFailure, Opened, ReadAnswer, ReadPage, Request, Session, SubKey,
};

/// Of each seventh event.
const PAYLOAD: &str = "longer than that of the others: pages end for their bytes too, at times";

/// As many as a hub keeps for a connection.
const TOLD_MAX: usize = 32;

pub(super) const TOPICS: [&str; 4] = ["a", "a.b", "b", "$sys.x"];

/// The whole world outside of a session.
pub(super) struct Driver {
    /// The topic of each event.
    log: Vec<&'static str>,
    first: u64,
    readers: BTreeMap<SubKey, Reader>,
    waiting: Vec<SubKey>,
    asked: VecDeque<Request>,
    /// Events that are not stored: for whom, the topic, and where the log ended.
    told: Vec<(SubKey, &'static str, u64)>,
    /// Where the cursor stands.
    cursor: Option<u64>,
}

struct Reader {
    filters: Vec<Filter>,
    next: u64,
}

/// A position of the one log that there is.
pub(super) fn at(offset: u64) -> Position {
    let text = format!("0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.{offset}");
    match text.parse() {
        Ok(position) => position,
        Err(error) => panic!("{error}"),
    }
}

fn caught_up(offset: u64) -> ReadAnswer {
    let (page, at, more) = (EncodedPage::default(), at(offset), false);
    ReadAnswer::Page(ReadPage { page, at, more })
}

/// Filters as a hub takes them; `None` if one is none.
pub(super) fn parsed(filters: &[String]) -> Option<Vec<Filter>> {
    let parsed = filters.iter().map(|filter| Filter::parse(filter).ok());
    parsed.collect()
}

impl Driver {
    pub(super) fn new() -> Self {
        Self {
            log: TOPICS.iter().copied().cycle().take(10).collect(),
            first: 0,
            readers: BTreeMap::new(),
            waiting: Vec::new(),
            asked: VecDeque::new(),
            told: Vec::new(),
            cursor: None,
        }
    }

    pub(super) fn end(&self) -> u64 {
        u64::try_from(self.log.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn topic(&self, offset: u64) -> Option<&'static str> {
        self.log.get(usize::try_from(offset).ok()?).copied()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.asked.is_empty()
    }

    pub(super) fn append(&mut self, topic: u8) {
        self.log.push(TOPICS[usize::from(topic) % TOPICS.len()]);
    }

    /// Emits an event that is not stored.
    pub(super) fn tell(&mut self, topic: u8) {
        let (topic, end) = (TOPICS[usize::from(topic) % TOPICS.len()], self.end());
        let hears = |reader: &Reader| reader.filters.iter().any(|filter| filter.matches(topic));
        let room = TOLD_MAX.saturating_sub(self.told.len());
        let keys = self.readers.iter().filter(|(_, reader)| hears(reader));
        self.told
            .extend(keys.take(room).map(|(key, _)| (*key, topic, end)));
    }

    /// Offers what was emitted, until it is taken or dropped.
    pub(super) fn offer(&mut self, session: &mut Session) {
        self.told.retain(|(key, topic, end)| {
            let event = PageEvent {
                offset: *end,
                topics: vec![topic],
                ..PageEvent::default()
            };
            let page = EncodedPage::new(&[event], false);
            session.handle_volatile(*key, &page, at(*end))
        });
    }

    pub(super) fn trim(&mut self, events: u8) {
        self.first = (self.first + u64::from(events)).min(self.end());
    }

    /// Readers that wait are told that there is something.
    pub(super) fn wake(&mut self, session: &mut Session) {
        for key in std::mem::take(&mut self.waiting) {
            session.handle_ready(key);
        }
    }

    /// Readers that wait tell where they stand.
    pub(super) fn positions(&self, session: &mut Session) {
        for key in &self.waiting {
            if let Some(reader) = self.readers.get(key) {
                session.handle_position(*key, at(reader.next));
            }
        }
    }

    /// An answer that was under way comes for a key of long ago, too.
    pub(super) fn forget(&mut self, number: u8) {
        let key = self.readers.keys().nth(usize::from(number)).copied();
        if let Some(key) = key {
            self.waiting.push(key);
        }
    }

    pub(super) fn hear(&mut self, request: Request) {
        match request {
            Request::CloseReader { key } => {
                assert!(self.readers.remove(&key).is_some(), "{key:?} is not open");
                self.waiting.retain(|waiting| *waiting != key);
            }
            Request::Wait { key } => {
                assert!(self.readers.contains_key(&key), "{key:?} is not open");
                self.waiting.push(key);
            }
            other => self.asked.push_back(other),
        }
    }

    /// Answers one of the requests, well or not. `false`: there was none.
    pub(super) fn answer(
        &mut self,
        session: &mut Session,
        now: Instant,
        number: usize,
        well: bool,
    ) -> bool {
        let number = number.min(self.asked.len().saturating_sub(1));
        let Some(request) = self.asked.remove(number) else {
            return false;
        };
        let failure = || Failure::new(ErrorCode::Unavailable, "not now");
        match request {
            Request::Admit(hello) if well => {
                let cursor = hello.consumer.is_some().then(|| self.load());
                let admission = Admission {
                    from: Some("user.7".to_owned()),
                    consumer: hello.consumer,
                    end: at(self.end()),
                    expires: None,
                    cursor,
                };
                session.handle_admitted(now, Ok(admission));
            }
            Request::Admit(_) => session.handle_admitted(now, Err(failure())),
            Request::OpenReader {
                key,
                filters,
                start,
            } => {
                let answer = self.open(key, &filters, &start);
                let failed = || Err(OpenFailure::Failed(failure()));
                if !well {
                    self.readers.remove(&key);
                }
                session.handle_opened(key, if well { answer } else { failed() });
            }
            Request::ReadPage { key, most } => {
                let answer = if well {
                    self.read(key, most)
                } else {
                    ReadAnswer::Failed(failure())
                };
                session.handle_read(key, answer);
            }
            Request::Append { key, event } => {
                let topic = TOPICS
                    .iter()
                    .find(|topic| event.topics.iter().any(|t| t == *topic));
                let answer = match topic.filter(|_| well) {
                    Some(topic) => {
                        self.log.push(topic);
                        Ok(at(self.end()))
                    }
                    None => Err(failure()),
                };
                session.handle_appended(key, answer);
            }
            Request::StoreCursor { position } => session.handle_stored(self.store(position, well)),
            other => panic!("{other:?}"),
        }
        true
    }

    fn load(&mut self) -> LoadedCursor {
        let cursor = *self.cursor.get_or_insert(2);
        let gap = Gap {
            from: cursor,
            to: self.first,
            reason: GapReason::Trimmed,
        };
        let lost = cursor < self.first;
        LoadedCursor {
            state: CursorState::Resumed,
            position: at(cursor.max(self.first)),
            gap: lost.then_some(gap),
        }
    }

    fn store(&mut self, position: Position, well: bool) -> Result<Position, Failure> {
        let known = at(position.offset) == position && position.offset <= self.end();
        if !known || !well {
            return Err(Failure::new(ErrorCode::BadPosition, "not of this log"));
        }
        let cursor = self.cursor.unwrap_or(0).max(position.offset);
        self.cursor = Some(cursor);
        Ok(at(cursor))
    }

    fn open(
        &mut self,
        key: SubKey,
        filters: &[String],
        start: &Start,
    ) -> Result<Opened, OpenFailure> {
        let Some(filters) = parsed(filters) else {
            let failure = Failure::new(ErrorCode::BadFilter, "not a filter");
            return Err(OpenFailure::Failed(failure));
        };
        let next = match start {
            Start::Earliest => self.first,
            Start::Offset(offset) => (*offset).min(self.end()),
            Start::Position(position) if at(position.offset) != *position => {
                return Err(OpenFailure::Reset(Reset {
                    reason: ResetReason::Log,
                    earliest: at(self.first),
                    end: at(self.end()),
                }));
            }
            Start::Position(position) => position.offset.min(self.end()),
            _ => self.end(),
        };
        self.readers.insert(key, Reader { filters, next });
        Ok(Opened {
            position: at(next),
            end: self.end(),
        })
    }

    fn read(&mut self, key: SubKey, most: Grant) -> ReadAnswer {
        assert!(most.events > 0 && most.bytes > 0, "{most:?}");
        let (first, end) = (self.first, self.end());
        let Some(reader) = self.readers.get_mut(&key) else {
            // It was closed meanwhile.
            return caught_up(end);
        };
        if reader.next < first {
            let gap = Gap {
                from: reader.next,
                to: first,
                reason: GapReason::Trimmed,
            };
            reader.next = first;
            return ReadAnswer::Gap {
                gap,
                position: at(first),
            };
        }
        let (mut events, mut bytes) = (Vec::new(), 0);
        for offset in reader.next..end {
            let most_events = usize::try_from(most.events).unwrap_or(usize::MAX);
            if events.len() >= most_events || bytes >= most.bytes {
                break;
            }
            reader.next = offset + 1;
            let topic = self.log[usize::try_from(offset).unwrap_or_default()];
            if reader.filters.iter().any(|filter| filter.matches(topic)) {
                let payload = ["", PAYLOAD][usize::from(offset % 7 == 0)];
                let payload = Bare {
                    encoding: Some(Encoding::Text),
                    bytes: payload.as_bytes(),
                };
                let event = PageEvent {
                    offset,
                    topics: vec![topic],
                    payload,
                    ..PageEvent::default()
                };
                let written = serde_json::to_string(&event).unwrap_or_default().len();
                bytes += u32::try_from(written).unwrap_or_default();
                events.push(event);
            }
        }
        if events.is_empty() {
            return caught_up(reader.next);
        }
        let (page, more) = (EncodedPage::new(&events, false), reader.next < end);
        let at = at(reader.next);
        ReadAnswer::Page(ReadPage { page, at, more })
    }
}
