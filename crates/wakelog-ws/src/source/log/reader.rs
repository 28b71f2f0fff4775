//! Reading a log: what is in memory inline, what may not be in another thread.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::task::spawn_blocking;
use wakelog::{Position, ReadError, Reader};

use super::LogSource;
use super::pages::Pages;
use crate::protocol::{Failure, Grant};
use crate::session::ReadAnswer;
use crate::source::{EventSource as _, SourceReader};

/// A reader so close to the end, in offsets, reads what was just written: that is in memory.
const WARM: u64 = 4_096;

/// A reader of a log.
#[derive(Debug)]
pub struct LogReader {
    /// None while another thread reads with it, and for ever if that thread was lost.
    reader: Option<Reader>,
    /// Why waiting is over; told by the next read.
    ended: Option<ReadError>,
    source: LogSource,
}

impl LogReader {
    pub(super) fn new(reader: Reader, source: LogSource) -> Self {
        Self {
            reader: Some(reader),
            ended: None,
            source,
        }
    }
}

impl SourceReader for LogReader {
    fn position(&mut self) -> Position {
        let at = self.reader.as_ref().map(Reader::position);
        at.unwrap_or_else(|| self.source.end())
    }

    fn read_now(&mut self, most: Grant) -> Option<ReadAnswer> {
        if let Some(error) = self.ended.take() {
            return Some(ReadAnswer::Failed(error.into()));
        }
        let (from, end) = (self.position().offset, self.source.log.durable_offset());
        let new = from >= self.source.born && end.saturating_sub(from) <= WARM;
        let warm = new || self.source.pages.were_read(from);
        let reader = self.reader.as_mut().filter(|_| warm)?;
        Some(read_page(reader, &self.source.pages, most, end))
    }

    async fn read(&mut self, most: Grant) -> ReadAnswer {
        let _permit = Arc::clone(&self.source.cold).acquire_owned().await;
        // While this one waited, another may have read it.
        if let Some(answer) = self.read_now(most) {
            return answer;
        }
        let (from, end) = (self.position().offset, self.source.log.durable_offset());
        let (Some(mut reader), pages) = (self.reader.take(), Arc::clone(&self.source.pages)) else {
            return ReadAnswer::Failed(Failure::internal());
        };
        let read = move || (read_page(&mut reader, &pages, most, end), reader);
        let Ok((answer, reader)) = spawn_blocking(read).await else {
            return ReadAnswer::Failed(Failure::internal());
        };
        self.source.pages.note_read(from..reader.position().offset);
        self.reader = Some(reader);
        answer
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(reader) = self.reader.as_mut() {
            self.ended = ready!(reader.poll_ready(cx)).err();
        }
        Poll::Ready(())
    }
}

/// Reads and writes down one page. The events are touched here, so a page that is not in memory is
/// waited for here.
fn read_page(reader: &mut Reader, pages: &Pages, most: Grant, end: u64) -> ReadAnswer {
    let events = usize::try_from(most.events).unwrap_or(usize::MAX);
    let bytes = usize::try_from(most.bytes).unwrap_or(usize::MAX);
    let page = match reader.page_of(events, bytes) {
        Ok(Some(page)) => page,
        Ok(None) => {
            return ReadAnswer::CaughtUp {
                position: reader.position(),
            };
        }
        Err(ReadError::Gap(gap)) => {
            let position = Position {
                offset: gap.resume_at(),
                ..reader.position()
            };
            return ReadAnswer::Gap { gap, position };
        }
        Err(error) => return ReadAnswer::Failed(error.into()),
    };
    let position = reader.position();
    let more = position.offset < end;
    ReadAnswer::Page {
        page: pages.write(&page),
        position,
        more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Outgoing, Payload, ServerMessage};
    use crate::source::ReaderSpec;
    use std::future::poll_fn;
    use wakelog::{Log, Start};

    const MOST: Grant = Grant {
        events: 10,
        bytes: 1 << 20,
    };

    async fn append(source: &LogSource, event: Outgoing) {
        let position = source.append(event).await.unwrap();
        source.durable(position).await.unwrap();
    }

    async fn open(source: &LogSource, identity: &str, start: Start) -> LogReader {
        let spec = ReaderSpec {
            filters: vec!["room".to_owned()],
            identities: vec![identity.to_owned()],
            start,
        };
        source.open_reader(spec).await.unwrap()
    }

    /// The events of the next page, as they are sent.
    async fn text(reader: &mut LogReader) -> Arc<str> {
        let ReadAnswer::Page { page, position, .. } = reader.read(MOST).await else {
            panic!("no page");
        };
        assert_eq!(reader.position(), position);
        let (sub, live) = (String::new(), false);
        let message = ServerMessage::Events {
            sub,
            page,
            position,
            live,
        };
        Arc::clone(&message.encode_page().unwrap().events)
    }

    fn source() -> (tempfile::TempDir, LogSource) {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(dir.path().join("log")).unwrap();
        (dir, LogSource::new(log).unwrap())
    }

    #[tokio::test]
    async fn a_page_is_shared_with_those_who_may_see_it_and_with_nobody_else() {
        let (_dir, source) = source();
        append(&source, Outgoing::to("room", Payload::text("for all"))).await;
        let secret = Outgoing::to("room", Payload::text("a secret")).not_to("bob");
        append(&source, secret).await;
        let mut hers = Vec::new();
        for _ in 0..3 {
            let mut ann = open(&source, "ann", Start::Earliest).await;
            hers.push(text(&mut ann).await);
        }
        assert!(hers[0].contains("a secret"));
        assert!(Arc::ptr_eq(&hers[0], &hers[1]) && Arc::ptr_eq(&hers[1], &hers[2]));
        let mut bob = open(&source, "bob", Start::Earliest).await;
        let his = text(&mut bob).await;
        assert!(
            his.contains("for all") && !his.contains("a secret"),
            "{his}"
        );
    }

    /// However it was found, and whoever has found it.
    #[tokio::test]
    async fn an_event_is_written_once_for_all_who_hear_it() {
        let (_dir, source) = source();
        let mut ann = open(&source, "ann", Start::Latest).await;
        let spec = ReaderSpec {
            filters: vec!["room".to_owned(), "*".to_owned(), ">".to_owned()],
            identities: Vec::new(),
            start: Start::Latest,
        };
        let mut all = source.open_reader(spec).await.unwrap();
        append(&source, Outgoing::to("room", Payload::text("one"))).await;
        assert!(Arc::ptr_eq(&text(&mut ann).await, &text(&mut all).await));
        append(&source, Outgoing::to("other", Payload::text("two"))).await;
        append(&source, Outgoing::to("room", Payload::text("three"))).await;
        let (hers, other) = (text(&mut ann).await, text(&mut all).await);
        assert!(
            !hers.contains("two") && other.contains("two"),
            "{hers} {other}"
        );
    }

    /// One whose pages came from elsewhere meets each event once, whether it comes later or was
    /// there.
    #[tokio::test]
    async fn readers_go_on_behind_a_shared_page() {
        let (_dir, source) = source();
        for n in 0..25 {
            append(
                &source,
                Outgoing::to("room", Payload::text(format!("<{n}>"))),
            )
            .await;
        }
        let mut seen = [Vec::new(), Vec::new(), Vec::new()];
        let mut readers = Vec::new();
        for _ in &seen {
            readers.push(open(&source, "ann", Start::Earliest).await);
        }
        // The first and the second fill the cache, the third is given what it has.
        for (reader, seen) in readers.iter_mut().zip(&mut seen) {
            for _ in 0..3 {
                seen.push(text(reader).await);
            }
            assert!(matches!(
                reader.read(MOST).await,
                ReadAnswer::CaughtUp { .. }
            ));
        }
        assert_eq!(seen[0], seen[1]);
        assert!(seen[1] == seen[2] && Arc::ptr_eq(&seen[1][2], &seen[2][2]));
        append(&source, Outgoing::to("room", Payload::text("live"))).await;
        for reader in &mut readers {
            poll_fn(|cx| reader.poll_ready(cx)).await;
            let live = text(reader).await;
            assert!(
                live.contains(r#""offset":25"#) && live.contains("live"),
                "{live}"
            );
            assert!(matches!(
                reader.read(MOST).await,
                ReadAnswer::CaughtUp { .. }
            ));
        }
    }

    /// Pages are still kept, but what stands in them is gone from the log.
    #[tokio::test]
    async fn a_gap_comes_before_any_shared_page() {
        let dir = tempfile::tempdir().unwrap();
        let options = wakelog::Options::new().segment_bytes(16 << 10);
        let log = options.open(dir.path().join("log")).unwrap();
        let source = LogSource::new(log).unwrap();
        for _ in 0..200 {
            let payload = Payload::text("x".repeat(200));
            append(&source, Outgoing::to("room", payload)).await;
        }
        for _ in 0..2 {
            let mut other = open(&source, "ann", Start::Earliest).await;
            text(&mut other).await;
            text(&mut other).await;
        }
        let mut at_first = open(&source, "ann", Start::Earliest).await;
        let mut behind_one = open(&source, "ann", Start::Earliest).await;
        text(&mut behind_one).await;
        let first = source.log.trim(190).unwrap();
        assert!(first > 20, "{first}");
        // What this one has at hand it may still tell; then it knows where the gap begins.
        assert!(text(&mut behind_one).await.contains(r#""offset":10,"#));
        let from = behind_one.position().offset;
        for (reader, from) in [(&mut at_first, 0), (&mut behind_one, from)] {
            let ReadAnswer::Gap { gap, .. } = reader.read(MOST).await else {
                panic!("no gap");
            };
            assert_eq!((gap.from, gap.to), (from, first));
            text(reader).await;
        }
    }
}
