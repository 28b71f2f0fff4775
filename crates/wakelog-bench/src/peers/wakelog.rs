//! wakelog, with its default options: a sync every 10 milliseconds.

use parking_lot::Mutex;
use std::any::Any;
use std::path::Path;
use std::task::{Context, Poll, Waker};
use wakelog::{Cursor, Event, Log, NewEvent, Options, Page, Position, Reader, Start, SyncPolicy};

use super::{Does, Kind, Outcome, Peer, Setup, Store, Syncs, Tail};
use crate::event::{Batch, Seen, topic_of};

pub static PEER: Peer = Peer {
    name: "wakelog",
    kind: Kind::Ours,
    does: &[
        Does::Append,
        Does::Threads,
        Does::Batches,
        Does::Durable,
        Does::Read,
        Does::Wake,
        Does::Open,
        Does::Cursors,
        Does::Topics,
        Does::Waiters,
        Does::Tail,
    ],
    promise: |sync| match sync {
        Syncs::Background => "process crash; power loss, 10 ms",
        Syncs::Each => "each event",
    },
    note: "default options; its threads make segments and pages ahead and sync every 10 ms on \
           the same two cores",
    open,
};

const TOPIC: &str = "bench";
const PAGE_BYTES: usize = 64 << 10;
const CURSORS_MAX: u32 = 2_000_000;

struct Wakelog {
    log: Log,
    /// The names of the topics, when there is more than one.
    topics: Vec<String>,
    cursors: Mutex<Vec<Cursor>>,
}

fn open(dir: &Path, setup: &Setup) -> Outcome<Box<dyn Store>> {
    let options = Options::new().max_cursors(CURSORS_MAX);
    let options = match setup.sync {
        Syncs::Background => options,
        Syncs::Each => options.sync(SyncPolicy::Always),
    };
    let topics = match setup.topics {
        0 | 1 => Vec::new(),
        many => (0..many).map(topic_name).collect(),
    };
    Ok(Box::new(Wakelog {
        log: options.open(dir)?,
        topics,
        cursors: Mutex::default(),
    }))
}

fn topic_name(number: u32) -> String {
    format!("room.{number}")
}

fn cursor_name(number: usize) -> String {
    format!("client-{number}")
}

impl Wakelog {
    fn position(&self, number: u64) -> Position {
        Position {
            offset: number,
            ..self.log.position()
        }
    }

    #[inline]
    fn topic(&self, event: &[u8]) -> &str {
        let number = usize::try_from(topic_of(event)).ok();
        let name = number.and_then(|number| self.topics.get(number));
        name.map_or(TOPIC, String::as_str)
    }
}

fn see(seen: &mut Seen, page: &Page) {
    page.iter().for_each(|event| seen.see(event.payload()));
}

impl Store for Wakelog {
    #[inline]
    fn append(&self, event: &[u8]) -> Outcome<()> {
        self.log.append(self.topic(event), event)?;
        Ok(())
    }

    fn append_batch(&self, batch: &Batch) -> Outcome<()> {
        let events = batch.iter();
        let events = events.map(|event| NewEvent::new(self.topic(event), event));
        self.log.append_batch(events)?;
        Ok(())
    }

    fn read(&self) -> Outcome<Seen> {
        let mut reader = self.log.reader().start(Start::Earliest).open()?;
        let mut seen = Seen::default();
        while let Some(page) = reader.page(PAGE_BYTES)? {
            see(&mut seen, &page);
        }
        Ok(seen)
    }

    fn read_topic(&self, topic: u32, count: u64) -> Outcome<Seen> {
        let reader = self.log.reader().topics([topic_name(topic)]);
        let mut reader = reader.start(Start::Earliest).open()?;
        let mut seen = Seen::default();
        while seen.count < count {
            let left = usize::try_from(count - seen.count)?;
            match reader.page_of(left, usize::MAX)? {
                Some(page) => see(&mut seen, &page),
                None => break,
            }
        }
        Ok(seen)
    }

    fn commit(&self, cursor: u32, number: u64) -> Outcome<()> {
        let mut cursors = self.cursors.lock();
        let held = cursors.get_mut(usize::try_from(cursor)?);
        let held = held.ok_or("cursors are made one behind the other")?;
        held.ack_to(self.position(number))?;
        Ok(())
    }

    /// A handle that is not there yet is opened first, and kept.
    fn commit_run(&self, cursors: u32, number: u64) -> Outcome<()> {
        let mut held = self.cursors.lock();
        let position = self.position(number);
        for cursor in held.iter_mut() {
            cursor.ack_to(position)?;
        }
        for name in held.len()..usize::try_from(cursors)? {
            let named = self.log.cursor(cursor_name(name)).topics([TOPIC]);
            let mut cursor = named.start(Start::Offset(0)).open()?;
            cursor.ack_to(position)?;
            held.push(cursor);
        }
        Ok(())
    }

    /// By its handle if there is one: a second one would fence it.
    fn committed(&self, cursor: u32) -> Outcome<u64> {
        let number = usize::try_from(cursor)?;
        if let Some(held) = self.cursors.lock().get(number) {
            return Ok(held.acked());
        }
        Ok(self.log.cursor(cursor_name(number)).open()?.acked())
    }

    fn tail(&self) -> Outcome<Box<dyn Tail>> {
        let reader = self.log.reader().topics([TOPIC]);
        Ok(Box::new(End(reader.start(Start::Latest).open()?)))
    }

    fn waiters(&self, count: u32) -> Outcome<Box<dyn Any>> {
        let mut context = Context::from_waker(Waker::noop());
        let mut readers = Vec::new();
        for number in 0..count {
            let reader = self.log.reader().topics([format!("elsewhere.{number}")]);
            let mut reader = reader.start(Start::Latest).open()?;
            if let Poll::Ready(ready) = reader.poll_ready(&mut context) {
                ready?;
                return Err("a topic that nobody appends to had an event".into());
            }
            readers.push(reader);
        }
        Ok(Box::new(readers))
    }
}

struct End(Reader);

impl Tail for End {
    fn sleep(&mut self) -> Outcome<Vec<u8>> {
        Ok(self.0.recv()?.payload().to_vec())
    }

    fn spin(&mut self) -> Outcome<Vec<u8>> {
        loop {
            let event: Option<Event> = self.0.next()?;
            match event {
                Some(event) => return Ok(event.payload().to_vec()),
                None => std::hint::spin_loop(),
            }
        }
    }
}
