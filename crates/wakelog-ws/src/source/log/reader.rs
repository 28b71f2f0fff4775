//! Reading a log: what is in memory inline, what may not be in another thread.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::task::spawn_blocking;
use wakelog::{Epoch, Page, Position, ReadError, Reader, Start};

use super::LogSource;
use super::failure::internal;
use super::pages::Asked;
use crate::protocol::{ENCODING_ATTRIBUTE, EncodedPage, Encoding, EventHead, Grant, PageWriter};
use crate::session::ReadAnswer;
use crate::source::{EventSource as _, ReaderSpec, SourceReader};

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
    asked: Arc<Asked>,
    /// The epoch in which it stands, if no gap of another waits to be told.
    settled: Option<Epoch>,
    /// Where it stands, if pages came from elsewhere and the reader itself has not moved.
    ahead: Option<Position>,
}

impl LogReader {
    pub(super) fn new(reader: Reader, spec: ReaderSpec, source: LogSource) -> Self {
        let at = reader.position();
        let moved = matches!(spec.start, Start::Position(position) if position != at);
        Self {
            reader: Some(reader),
            ended: None,
            source,
            asked: Arc::new((spec.filters, spec.identities)),
            settled: (!moved).then_some(at.epoch),
            ahead: None,
        }
    }

    /// A page that was read from there before, if all of it would be read now too: no gap is to be
    /// told first, and the log is what it was.
    fn known(&mut self, from: Position, most: Grant, end: u64) -> Option<ReadAnswer> {
        let (log, key) = (&self.source.log, (Arc::clone(&self.asked), from, most));
        let same = self.settled == Some(from.epoch) && log.position().epoch == from.epoch;
        if self.reader.is_none() || !same || log.first_offset() > from.offset {
            return None;
        }
        let (page, position) = self.source.pages.0.lock().get(&key)?.clone()?;
        self.ahead = Some(position);
        let more = position.offset < end;
        Some(ReadAnswer::Page {
            page,
            position,
            more,
        })
    }
}

impl SourceReader for LogReader {
    fn position(&mut self) -> Position {
        let reader = self.reader.as_ref();
        let at = self.ahead.or_else(|| reader.map(Reader::position));
        at.unwrap_or_else(|| self.source.end())
    }

    async fn read(&mut self, most: Grant) -> ReadAnswer {
        if let Some(error) = self.ended.take() {
            return ReadAnswer::Failed(error.into());
        }
        let end = self.source.log.durable_offset();
        let from = self.position();
        if let Some(answer) = self.known(from, most, end) {
            return answer;
        }
        let warm = from.offset >= self.source.born && end.saturating_sub(from.offset) <= WARM;
        let cold = (!warm).then(|| Arc::clone(&self.source.cold).acquire_owned());
        let _permit = futures_util::future::OptionFuture::from(cold).await;
        // While this one waited, another may have read it.
        if let Some(answer) = self.known(from, most, end) {
            return answer;
        }
        let Some(mut reader) = self.reader.take() else {
            return ReadAnswer::Failed(internal());
        };
        let ahead = self.ahead.take();
        let read = move || (read_page(&mut reader, ahead, most, end), reader);
        let done = if warm {
            Ok(read())
        } else {
            spawn_blocking(read).await
        };
        let Ok((answer, reader)) = done else {
            return ReadAnswer::Failed(internal());
        };
        // Behind a page a gap may wait that was found already. One of another epoch shows in the
        // position; others stand in the range that cannot be read, of which nobody has pages.
        let epoch = reader.position().epoch;
        let settled = !matches!(answer, ReadAnswer::Page { .. }) || epoch == from.epoch;
        self.settled = settled.then_some(epoch);
        self.reader = Some(reader);
        if let (true, ReadAnswer::Page { page, position, .. }) = (settled, &answer) {
            let key = (Arc::clone(&self.asked), from, most);
            let mut pages = self.source.pages.0.lock();
            let wanted = pages.get(&key).is_some();
            pages.insert(key, wanted.then(|| (page.clone(), *position)));
        }
        answer
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(reader) = self.reader.as_mut() else {
            return Poll::Ready(());
        };
        let ready = match catch_up(reader, self.ahead.take()) {
            Ok(()) => ready!(reader.poll_ready(cx)),
            Err(error) => Err(error),
        };
        self.ended = ready.err();
        Poll::Ready(())
    }
}

/// Moves a reader to where its client stands.
fn catch_up(reader: &mut Reader, ahead: Option<Position>) -> Result<(), ReadError> {
    ahead.map_or(Ok(()), |at| reader.seek(Start::Position(at)))
}

/// Reads and writes down one page. The events are touched here, so a page that is not in memory is
/// waited for here.
fn read_page(reader: &mut Reader, ahead: Option<Position>, most: Grant, end: u64) -> ReadAnswer {
    let events = usize::try_from(most.events).unwrap_or(usize::MAX);
    let bytes = usize::try_from(most.bytes).unwrap_or(usize::MAX);
    let page = match catch_up(reader, ahead).and_then(|()| reader.page_of(events, bytes)) {
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
        page: encode(&page),
        position,
        more,
    }
}

fn encode(page: &Page) -> EncodedPage {
    let mut writer = PageWriter::new();
    for event in page.iter() {
        let head = EventHead {
            offset: event.offset(),
            time: event.time(),
            name: event.name(),
            id: event.id(),
            from: event.from(),
            encoding: Encoding::from_attribute(event.attribute(ENCODING_ATTRIBUTE)),
            payload: event.payload(),
        };
        writer.push(head, event.topics(), event.not_to());
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Payload, ServerMessage};
    use crate::source::Outgoing;
    use std::future::poll_fn;
    use wakelog::Log;

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
        let [_, body, _] = message.encode_page().unwrap();
        body
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
        // Kept when it was asked for a second time.
        assert!(Arc::ptr_eq(&hers[1], &hers[2]) && !Arc::ptr_eq(&hers[0], &hers[1]));
        let mut bob = open(&source, "bob", Start::Earliest).await;
        let his = text(&mut bob).await;
        assert!(
            his.contains("for all") && !his.contains("a secret"),
            "{his}"
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
        assert!(behind_one.ahead.is_some(), "the page was read again");
        let first = source.log.trim(190).unwrap();
        assert!(first > 20, "{first}");
        for (reader, from) in [(&mut at_first, 0), (&mut behind_one, 10)] {
            let ReadAnswer::Gap { gap, .. } = reader.read(MOST).await else {
                panic!("no gap");
            };
            assert_eq!((gap.from, gap.to), (from, first));
            text(reader).await;
        }
    }
}
