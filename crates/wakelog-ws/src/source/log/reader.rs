//! Reading a log: what is in memory inline, what may not be in another thread.

use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::task::spawn_blocking;
use wakelog::{Page, Position, ReadError, Reader};

use super::LogSource;
use super::failure::{internal, read_failure};
use crate::protocol::{ENCODING_ATTRIBUTE, EncodedPage, Encoding, EventHead, PageWriter};
use crate::session::ReadAnswer;
use crate::source::{EventSource as _, SourceReader};

/// A reader so close to the end, in offsets, reads what was just written: that is in memory.
const WARM: u64 = 4_096;

/// A reader of a log.
#[derive(Debug)]
pub struct LogReader {
    /// None while another thread reads with it, and for ever if that thread was lost.
    pub(super) reader: Option<Reader>,
    /// Why waiting is over; told by the next read.
    pub(super) ended: Option<ReadError>,
    pub(super) source: LogSource,
}

impl SourceReader for LogReader {
    fn position(&mut self) -> Position {
        self.reader
            .as_ref()
            .map_or_else(|| self.source.end(), Reader::position)
    }

    async fn read(&mut self, max_events: u32, max_bytes: u32) -> ReadAnswer {
        if let Some(error) = self.ended.take() {
            return ReadAnswer::Failed(read_failure(&error));
        }
        let Some(mut reader) = self.reader.take() else {
            return ReadAnswer::Failed(internal());
        };
        let events = usize::try_from(max_events).unwrap_or(usize::MAX);
        let bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        let end = self.source.log.durable_offset();
        let at = reader.position().offset;
        if at >= self.source.born && end.saturating_sub(at) <= WARM {
            let answer = read_page(&mut reader, events, bytes, end);
            self.reader = Some(reader);
            return answer;
        }
        let Ok(_permit) = Arc::clone(&self.source.cold).acquire_owned().await else {
            return ReadAnswer::Failed(internal());
        };
        let cold = spawn_blocking(move || {
            let answer = read_page(&mut reader, events, bytes, end);
            (reader, answer)
        });
        match cold.await {
            Ok((reader, answer)) => {
                self.reader = Some(reader);
                answer
            }
            Err(_) => ReadAnswer::Failed(internal()),
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(reader) = self.reader.as_mut() else {
            return Poll::Ready(());
        };
        reader.poll_ready(cx).map(|ready| self.ended = ready.err())
    }
}

/// Reads and writes down one page. The events are touched here, so a page that is not in memory is
/// waited for here.
fn read_page(reader: &mut Reader, events: usize, bytes: usize, end: u64) -> ReadAnswer {
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
        Err(error) => return ReadAnswer::Failed(read_failure(&error)),
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
