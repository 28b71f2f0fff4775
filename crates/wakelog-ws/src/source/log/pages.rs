//! Pages that were read and written down a moment ago. After a cut all clients of a room come back
//! at once and have missed the same: what was read for one is sent to all who would read the same.
//! What comes live is read by each for itself, and written down once for all who may have it.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use quick_cache::{Weighter, unsync::Cache};
use wakelog::{Epoch, EventRef, Page, Position};

use crate::protocol::{Bare, ENCODING_ATTRIBUTE, EncodedPage, Encoding, Grant, PageEvent};
use crate::session::ReadPage;

/// So many bytes of pages are kept that were read, and so many that were written. Most are both,
/// and stand in memory once.
const BYTES_MAX: u64 = 4 << 20;

/// Beside its events a page keeps what a message said of it last, which is about so long.
const HEAD: u64 = 256;

/// Who reads (filters and identities, as one text), from where on, and how much at most: whoever
/// has the same key would read the same, as long as the log is what it was.
pub(super) type Asked = (Arc<str>, Position, Grant);

/// Which events a page has. Who may not see one of them has read another page, whose key is another
/// one.
type Offsets = (Epoch, Box<[u64]>);

/// So many ranges of the log are known to have been read a moment ago, each of so many events at
/// most: who finds little in a long one has passed over the rest of it.
const RANGES_MAX: usize = 256;
const RANGE_MAX: u64 = 16 << 10;

/// The pages of a source that may be wanted again, of all readers that want them written so.
#[derive(Debug)]
pub(super) struct Pages {
    asked: Mutex<Cache<Asked, ReadPage, Bytes>>,
    written: Mutex<Cache<Offsets, EncodedPage, Bytes>>,
    /// What was fetched from the disk last, by whoever, and so is in memory.
    read: Mutex<VecDeque<Range<u64>>>,
    binary: bool,
}

#[derive(Clone, Debug)]
struct Bytes;

/// What clients have chosen counts as well: many long filters with short pages are not for free.
impl Weighter<Asked, ReadPage> for Bytes {
    fn weight(&self, (who, ..): &Asked, read: &ReadPage) -> u64 {
        let names = u64::try_from(who.len()).unwrap_or(u64::MAX);
        read.page.bytes().saturating_add(HEAD + names)
    }
}

impl Weighter<Offsets, EncodedPage> for Bytes {
    fn weight(&self, _: &Offsets, page: &EncodedPage) -> u64 {
        page.bytes().saturating_add(HEAD)
    }
}

impl Pages {
    /// No pages yet; they are written in binary, or as JSON.
    pub(super) fn new(binary: bool) -> Self {
        Self {
            asked: Mutex::new(Cache::with_weighter(64, BYTES_MAX, Bytes)),
            written: Mutex::new(Cache::with_weighter(64, BYTES_MAX, Bytes)),
            read: Mutex::default(),
            binary,
        }
    }

    /// What was read for this, if a read would bring the same now, with the end of the log at
    /// `end`: a page that was cut by the end goes on when the log does.
    pub(super) fn answer(&self, asked: &Asked, end: u64) -> Option<ReadPage> {
        let read = self.asked.lock().get(asked)?.clone();
        (read.more || read.at.offset == end).then_some(read)
    }

    /// Keeps a page for those who ask the same.
    pub(super) fn keep(&self, asked: Asked, read: ReadPage) {
        self.asked.lock().insert(asked, read);
    }

    /// Whether somebody has read what stands there a moment ago.
    pub(super) fn were_read(&self, offset: u64) -> bool {
        self.read.lock().iter().any(|range| range.contains(&offset))
    }

    pub(super) fn note_read(&self, range: Range<u64>) {
        let mut read = self.read.lock();
        if range.end.saturating_sub(range.start) <= RANGE_MAX {
            read.truncate(RANGES_MAX - 1);
            read.push_front(range);
        }
    }

    /// These events as they stand in a message.
    pub(super) fn write(&self, page: &Page) -> EncodedPage {
        let events = page.iter();
        let Some(epoch) = events.clone().next().map(|event| event.position().epoch) else {
            return EncodedPage::default();
        };
        let key = (epoch, events.clone().map(|event| event.offset()).collect());
        if let Some(written) = self.written.lock().get(&key) {
            return written.clone();
        }
        let events: Vec<_> = events.map(describe).collect();
        let written = EncodedPage::new(&events, self.binary);
        self.written.lock().insert(key, written.clone());
        written
    }
}

fn describe(event: EventRef<'_>) -> PageEvent<'_> {
    let encoding = Encoding::from_attribute(event.attribute(ENCODING_ATTRIBUTE));
    let bytes = event.payload();
    PageEvent {
        offset: event.offset(),
        time: event.time(),
        topics: event.topics().collect(),
        not_to: event.not_to().collect(),
        name: event.name(),
        id: event.id(),
        from: event.from(),
        payload: Bare { encoding, bytes },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wakelog::{Log, ReadLevel};

    impl Pages {
        pub(in crate::source::log) fn forget_texts(&self) {
            self.written.lock().clear();
        }
    }

    #[test]
    fn bytes_are_bounded_and_others_take_the_place_of_old_pages() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(dir.path().join("log")).unwrap();
        for _ in 0..200 {
            log.append("a", vec![b'x'; 100_000]).unwrap();
        }
        let mut reader = log.reader().level(ReadLevel::Visible).open().unwrap();
        let pages = Pages::new(false);
        let mut last = None;
        while let Some(page) = reader.page_of(1, usize::MAX).unwrap() {
            last = Some((pages.write(&page), page));
            let kept = pages.written.lock();
            let bytes: u64 = kept.iter().map(|(key, kept)| Bytes.weight(key, kept)).sum();
            assert!(bytes <= BYTES_MAX, "{bytes}");
        }
        let (written, page) = last.unwrap();
        assert!(written.is_shared_with(&pages.write(&page)));
        let kept = pages.written.lock().len();
        assert!(kept > 30, "{kept}");
    }

    /// Clients choose filters and identities, and many of them take more room than a short page.
    #[test]
    fn what_is_asked_has_a_bound_as_well() {
        let position = "0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.0";
        let position: Position = position.parse().unwrap();
        let page: EncodedPage = EncodedPage::new(&[PageEvent::default()], false);
        let pages = Pages::new(false);
        let asked = |n: usize| -> Asked {
            let who = format!("{n:010000}");
            (who.into(), position, Grant::default())
        };
        for n in 0..1_000 {
            let (page, at, more) = (page.clone(), position, true);
            pages.keep(asked(n), ReadPage { page, at, more });
            let most = usize::try_from(BYTES_MAX).unwrap() / 10_000;
            assert!(pages.asked.lock().len() <= most);
        }
        assert!(pages.answer(&asked(999), 1).is_some());
    }
}
