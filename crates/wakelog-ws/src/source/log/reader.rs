//! Reading a log: what was read for another, what is in memory inline, what may not be in another
//! thread.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::task::spawn_blocking;
use wakelog::{Position, ReadError, Reader, Start};

use super::pages::{Asked, Pages};
use super::{LogSource, at};
use crate::protocol::{EncodedPage, Failure, Grant};
use crate::session::{ReadAnswer, ReadPage};
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
    pages: Arc<Pages>,
    /// Filters and identities: what decides which events it sees. None for one that picks events
    /// from many places.
    pub(super) who: Option<Arc<str>>,
    /// It has found nothing that is still to be told: its place alone says what it reads next.
    settled: bool,
}

impl LogReader {
    pub(super) fn new(reader: Reader, mut spec: ReaderSpec, source: LogSource) -> Self {
        spec.filters.sort_unstable();
        // Strings are quoted in it, so different ones do not look the same.
        let who = format!("{:?}", (&spec.filters, &spec.identities));
        let who = (spec.start != Start::LastPerTopic).then(|| who.into());
        // A position that is not what it was may have a gap before it.
        let at = reader.position();
        let moved = matches!(spec.start, Start::Position(position) if position != at);
        Self {
            reader: Some(reader),
            ended: None,
            pages: Arc::clone(&source.pages[usize::from(spec.binary)]),
            source,
            who,
            settled: !moved,
        }
    }

    /// What this one asks, if that alone decides what it is answered.
    pub(super) fn asked(&mut self, most: Grant) -> Option<Asked> {
        let who = self.who.as_ref().filter(|_| self.settled)?.clone();
        Some((who, self.position(), most))
    }

    /// A page that was read for another, if all of it would be read now too: the log is what it
    /// was, and nothing of the page has left it.
    fn known(&mut self, asked: &Asked, end: u64) -> Option<ReadAnswer> {
        let (log, (_, from, _)) = (&self.source.log, asked);
        if log.position().epoch != from.epoch || log.first_offset() > from.offset {
            return None;
        }
        let read = self.pages.answer(asked, end)?;
        // If the log is reopened just now, this judges the place anew, and the next read tells what
        // has become of it.
        let reader = self.reader.as_mut()?;
        reader.seek(Start::Position(read.at)).ok()?;
        self.settled = reader.position() == read.at;
        Some(ReadAnswer::Page(read))
    }

    /// After a read of its own. A gap of another epoch that was found behind a page shows in the
    /// place; other gaps are found again from there.
    fn settle(&mut self, from: Position, asked: Option<Asked>, answer: ReadAnswer) -> ReadAnswer {
        self.settled = self.position().epoch == from.epoch;
        let asked = asked.filter(|_| self.settled);
        if let (ReadAnswer::Page(read), Some(asked)) = (&answer, asked) {
            if read.page.events() > 0 {
                self.pages.keep(asked, read.clone());
            }
        }
        answer
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
        let (from, end) = (self.position(), self.source.log.durable_offset());
        let asked = self.asked(most);
        let known = asked.as_ref().and_then(|asked| self.known(asked, end));
        if known.is_some() {
            return known;
        }
        let new = from.offset >= self.source.born && end.saturating_sub(from.offset) <= WARM;
        let warm = new || self.pages.were_read(from.offset);
        let reader = self.reader.as_mut().filter(|_| warm)?;
        let answer = read_page(reader, &self.pages, most, end);
        Some(self.settle(from, asked, answer))
    }

    async fn read(&mut self, most: Grant) -> ReadAnswer {
        let _permit = Arc::clone(&self.source.cold).acquire_owned().await;
        // While this one waited, another may have read it.
        if let Some(answer) = self.read_now(most) {
            return answer;
        }
        let (from, end) = (self.position(), self.source.log.durable_offset());
        let (asked, pages) = (self.asked(most), Arc::clone(&self.pages));
        let Some(mut reader) = self.reader.take() else {
            return ReadAnswer::Failed(Failure::internal());
        };
        let read = move || (read_page(&mut reader, &pages, most, end), reader);
        let Ok((answer, reader)) = spawn_blocking(read).await else {
            return ReadAnswer::Failed(Failure::internal());
        };
        let range = from.offset..reader.position().offset;
        self.pages.note_read(range);
        self.reader = Some(reader);
        self.settle(from, asked, answer)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(reader) = self.reader.as_mut() {
            self.ended = ready!(reader.poll_ready(cx)).err();
            self.settled = false;
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
            let (page, at, more) = (EncodedPage::default(), reader.position(), false);
            return ReadAnswer::Page(ReadPage { page, at, more });
        }
        Err(ReadError::Gap(gap)) => {
            let position = at(gap.resume_at(), reader.position());
            return ReadAnswer::Gap { gap, position };
        }
        Err(error) => return ReadAnswer::Failed(error.into()),
    };
    // Behind the page a gap of another epoch may wait: who comes back before it was told is to meet
    // it too.
    let last = page.iter().next_back().map(|event| event.position());
    let other = last.filter(|last| last.epoch != reader.position().epoch);
    let (page, at) = (pages.write(&page), other.unwrap_or(reader.position()));
    let more = at.offset < end;
    ReadAnswer::Page(ReadPage { page, at, more })
}
