//! Readers that meet each other's pages, each held beside what it would have read alone.

use super::*;
use crate::protocol::EncodedPage;

const ROOMS: [&str; 2] = ["room", "other"];
const NAMES: [&str; 3] = ["ann", "bob", "cid"];
const STEPS: usize = 10_000;

#[tokio::test]
async fn whatever_is_kept_each_reads_what_it_would_have_read_alone() {
    let options = wakelog::Options::new().segment_bytes(16 << 10);
    let options = options.sync(SyncPolicy::Always);
    let mut world = World {
        source: LogSource::new(options.in_memory().unwrap()).unwrap(),
        events: Vec::new(),
        first: 0,
        readers: Vec::new(),
        shared: 0,
        dice: 0x9e37_79b9_7f4a_7c15,
    };
    for step in 0..STEPS {
        match world.pick(60) {
            dice if dice < 4 || step < 100 => world.append().await,
            4 => world.trim(),
            5..15 => world.open().await,
            15 => world.close(),
            _ => world.read().await,
        }
    }
    let (shared, first) = (world.shared, world.first);
    assert!(shared > STEPS / 20, "{shared} pages were another's");
    assert!(first > 100, "nothing was trimmed above {first}");
}

/// A log as a list, and its readers.
struct World {
    source: LogSource,
    /// To which rooms, as bits, and not to whom.
    events: Vec<(usize, usize)>,
    first: usize,
    readers: Vec<Alone>,
    /// How many pages were read for somebody else.
    shared: usize,
    dice: u64,
}

struct Alone {
    reader: LogReader,
    /// As bits.
    rooms: usize,
    identity: usize,
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap()
}

fn narrow(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

fn named(rooms: usize) -> impl Iterator<Item = String> {
    let named = (0..ROOMS.len()).filter(move |room| rooms & (1 << room) != 0);
    named.map(|room| ROOMS[room].to_owned())
}

impl World {
    fn pick(&mut self, below: usize) -> usize {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        narrow(self.dice % wide(below))
    }

    async fn append(&mut self) {
        let (rooms, not_to) = (1 + self.pick(3), self.pick(NAMES.len()));
        let text = format!("<{}>{}", self.events.len(), "x".repeat(300));
        let mut event = Outgoing::to("nowhere", Payload::text(text)).not_to(NAMES[not_to]);
        event.topics.extend(named(rooms));
        append(&self.source, event).await;
        self.events.push((rooms, not_to));
    }

    fn trim(&mut self) {
        // Seldom all of it.
        let before = self
            .pick(self.events.len())
            .min(self.pick(self.events.len()));
        self.first = narrow(self.source.log.trim(wide(before)).unwrap());
    }

    async fn open(&mut self) {
        let (rooms, identity) = (1 + self.pick(3), self.pick(NAMES.len()));
        let mut filters: Vec<_> = named(rooms).collect();
        if self.pick(2) == 0 {
            filters.reverse();
        }
        let near = (self.first + 7 * self.pick(3)).min(self.events.len());
        let start = match self.pick(3) {
            0 => Start::Earliest,
            1 => Start::Offset(wide(self.first / 2)),
            _ => Start::Position(Position {
                offset: wide(near),
                ..self.source.end()
            }),
        };
        let spec = ReaderSpec {
            filters,
            identities: vec![NAMES[identity].to_owned()],
            start,
            binary: false,
        };
        let reader = self.source.open_reader(spec).await.unwrap();
        self.readers.push(Alone {
            reader,
            rooms,
            identity,
        });
        if self.readers.len() > 30 {
            self.close();
        }
    }

    fn close(&mut self) {
        if !self.readers.is_empty() {
            let which = self.pick(self.readers.len());
            self.readers.swap_remove(which);
        }
    }

    async fn read(&mut self) {
        if self.readers.is_empty() {
            return;
        }
        let which = self.pick(self.readers.len());
        let most = Grant {
            events: [5, 9][self.pick(2)],
            ..MOST
        };
        let waits = self.pick(2) == 0;
        let (pages, end) = (Arc::clone(&self.source.pages[0]), self.source.end().offset);
        let Alone { reader, .. } = &mut self.readers[which];
        let from = narrow(reader.position().offset);
        let kept = reader
            .asked(most)
            .and_then(|asked| pages.answer(&asked, end));
        let answer = reader.read(most).await;
        if waits && is_caught_up(&answer) {
            let _ = poll_fn(|cx| Poll::Ready(reader.poll_ready(cx))).await;
        }
        let page = self.check(&self.readers[which], from, &answer, most);
        if let (Some(kept), Some(page)) = (kept, page) {
            self.shared += usize::from(kept.page.is_shared_with(page));
        }
    }

    /// Whether the answer is what this reader is to be told; the page, if it is one.
    fn check<'a>(
        &self,
        who: &Alone,
        from: usize,
        answer: &'a ReadAnswer,
        most: Grant,
    ) -> Option<&'a EncodedPage> {
        let wanted = |to: u64| -> Vec<usize> {
            let hears = |&n: &usize| {
                let (rooms, not_to) = self.events[n];
                rooms & who.rooms != 0 && not_to != who.identity
            };
            (from..narrow(to)).filter(hears).collect()
        };
        match answer {
            ReadAnswer::Page(ReadPage { page, at, .. }) => {
                assert!(page.events() <= most.events);
                assert_eq!(offsets(page), wanted(at.offset));
                if page.events() > 0 {
                    return Some(page);
                }
                assert_eq!(at.offset, wide(self.events.len()));
            }
            ReadAnswer::Gap { gap, position } => {
                let expected = (wide(from), wide(self.first), wide(self.first));
                assert_eq!((gap.from, gap.to, position.offset), expected);
            }
            ReadAnswer::Failed(failure) => panic!("{failure}"),
        }
        None
    }
}

/// The events of a page, which say by themselves which ones they are.
fn offsets(page: &EncodedPage) -> Vec<usize> {
    let text = format!("[{}]", &**page);
    let events: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let offset = |event: &serde_json::Value| {
        let (offset, text) = (event["offset"].as_u64(), event["text"].as_str());
        let (offset, text) = (offset.unwrap(), text.unwrap());
        assert!(text.starts_with(&format!("<{offset}>")), "{offset}: {text}");
        narrow(offset)
    };
    events.iter().map(offset).collect()
}
