//! Operations on a log and damage to its files, both out of one input, beside a plain list of what
//! was appended.

use super::damage;
use super::input::Input;
use crate::dir::MemoryDir;
use crate::{
    AckError, AppendError, Cursor, Event, GapReason, Log, NewEvent, Options, ReadError, Start,
    SyncPolicy,
};
use rustix::io::Errno;
use std::sync::Arc;

const TOPICS: [&str; 4] = ["a", "a.b", "b", "$sys.x"];

/// So many operations are enough for every state; more only take time.
const STEPS_MAX: usize = 64;

/// One operation after the other: appends, batches, syncs, acks, trims, failing syncs and full
/// disks; closes, kills and losses of power, with files damaged in between.
///
/// # Panics
/// When what is read is not what was appended, something durable is gone without damage, a cursor
/// stands where it cannot, or the log is refused without damage.
pub fn operations(data: &[u8]) {
    let mut input = Input::new(data);
    let Some(mut world) = World::new() else {
        panic!("a new log is refused");
    };
    for _ in 0..STEPS_MAX {
        if input.is_empty() || !world.step(&mut input) {
            break;
        }
    }
}

fn options() -> Options {
    Options::new()
        .segment_bytes(16 << 10)
        .sync(SyncPolicy::Manual)
        .index_everything()
        .dedup_ids(0)
}

struct World {
    dir: MemoryDir,
    /// `None` while nobody has it open.
    log: Option<Log>,
    cursor: Option<Cursor>,
    /// What was appended. `None`: it may be damaged, or another event has its offset.
    events: Vec<Option<(usize, Vec<u8>)>>,
    /// Everything below is on disk.
    durable: usize,
    /// The least and the most that the cursor may have acked.
    acked: std::ops::RangeInclusive<u64>,
    /// What the cursor had acked of a tail that was lost ends here at most; it may be told of that.
    lost: u64,
    damaged: bool,
}

impl World {
    fn new() -> Option<Self> {
        let dir = MemoryDir::new();
        let log = options().open_in(Arc::new(dir.clone())).ok()?;
        Some(Self {
            dir,
            log: Some(log),
            cursor: None,
            events: Vec::new(),
            durable: 0,
            acked: 0..=0,
            lost: 0,
            damaged: false,
        })
    }

    /// `false`: the log cannot be opened any more, because it is damaged.
    fn step(&mut self, input: &mut Input<'_>) -> bool {
        match input.byte() % 16 {
            0..=3 => self.append(input),
            4 => self.batch(input),
            5 => self.sync(),
            6 | 7 => self.ack(input),
            8 => drop(self.log().trim(self.end() * u64::from(input.byte()) / 256)),
            9 => self.failing(input),
            10 => {
                self.dir
                    .fail_creates(1, Errno::NOSPC, input.byte() % 2 == 0);
                self.append(input);
                self.dir.fail_creates(u64::MAX, Errno::NOSPC, false);
            }
            11 => {
                self.read();
            }
            12 => return self.close(input),
            13 => return self.die(None, input),
            _ => {
                let seed = u64::from(input.byte());
                return self.die(Some(seed), input);
            }
        }
        true
    }

    fn log(&self) -> &Log {
        match &self.log {
            Some(log) => log,
            None => panic!("nobody has the log open"),
        }
    }

    fn end(&self) -> u64 {
        u64::try_from(self.events.len()).unwrap_or(u64::MAX)
    }

    fn event(&self, input: &mut Input<'_>) -> (usize, Vec<u8>) {
        let topic = input.below(TOPICS.len());
        let bytes = usize::from(input.byte()) * 6;
        let number = self.events.len().to_string();
        let payload = number.bytes().cycle().take(bytes).collect();
        (topic, payload)
    }

    fn append(&mut self, input: &mut Input<'_>) {
        let (topic, payload) = self.event(input);
        match self.log().append(TOPICS[topic], &payload) {
            Ok(offset) => {
                assert_eq!(offset, self.end());
                self.events.push(Some((topic, payload)));
            }
            Err(AppendError::DiskFull(_) | AppendError::Io(_) | AppendError::Poisoned) => {}
            Err(error) => panic!("{error:?}"),
        }
    }

    fn batch(&mut self, input: &mut Input<'_>) {
        let count = 1 + input.below(5);
        let events: Vec<_> = (0..count).map(|_| self.event(input)).collect();
        let batch = events
            .iter()
            .map(|(topic, payload)| NewEvent::new(TOPICS[*topic], payload));
        match self.log().append_batch(batch) {
            Ok(appended) => {
                assert_eq!(appended.offsets.start, self.end());
                self.events.extend(events.into_iter().map(Some));
                assert_eq!(appended.offsets.end, self.end());
            }
            Err(AppendError::DiskFull(_) | AppendError::Io(_) | AppendError::Poisoned) => {}
            Err(error) => panic!("{error:?}"),
        }
    }

    fn sync(&mut self) {
        if self.log().sync().is_ok() {
            self.durable = self.events.len();
            self.saved();
        }
    }

    /// Where the cursor stands is on disk, if we know where that is.
    fn saved(&mut self) {
        if self.cursor.is_some() {
            self.acked = *self.acked.end()..=*self.acked.end();
        }
    }

    /// The next events of the cursor, which is made when there is none.
    fn ack(&mut self, input: &mut Input<'_>) {
        if self.cursor.is_none() {
            let builder = self.log().cursor("c").topics([">", "$sys.>"]);
            let opened = builder.start(Start::Earliest).open();
            assert!(opened.is_ok() || self.damaged, "{opened:?}");
            let Ok(cursor) = opened else {
                return;
            };
            let acked = cursor.acked();
            let first = self.log().first_offset();
            let good = self.acked.contains(&acked) || acked == first && *self.acked.start() == 0;
            assert!(self.damaged || good, "{acked} is not in {:?}", self.acked);
            self.acked = acked.min(*self.acked.start())..=acked;
            self.cursor = Some(cursor);
        }
        let Some(mut cursor) = self.cursor.take() else {
            return;
        };
        for _ in 0..input.below(9) {
            match cursor.next() {
                Ok(None) => break,
                Ok(Some(event)) => {
                    self.check(&event);
                    match cursor.ack(&event) {
                        Ok(()) => {}
                        Err(AckError::Poisoned) => break,
                        Err(error) => panic!("{error:?}"),
                    }
                }
                Err(ReadError::Gap(gap)) => {
                    let told = match gap.reason {
                        GapReason::Trimmed => gap.to <= self.end(),
                        GapReason::Diverged => gap.from == cursor.acked() && gap.to <= self.lost,
                        _ => false,
                    };
                    assert!(told || self.damaged, "{gap:?}");
                    // It is repeated until it is acked.
                    if cursor.ack_gap(&gap).is_err() {
                        break;
                    }
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        self.acked = *self.acked.start()..=cursor.acked().max(*self.acked.end());
        self.cursor = Some(cursor);
    }

    fn check(&self, event: &Event) {
        let offset = usize::try_from(event.offset()).unwrap_or(usize::MAX);
        match self.events.get(offset) {
            Some(Some((topic, payload))) => {
                assert!(event.topics().eq([TOPICS[*topic]]) && event.payload() == payload);
            }
            Some(None) => {}
            None => panic!("an event at {offset} that was never appended"),
        }
    }

    /// A sync that fails poisons, and a reopen heals with nothing lost: the pages are still there.
    fn failing(&mut self, input: &mut Input<'_>) {
        self.dir
            .fail_syncs(1 + u64::from(input.byte() % 8), Errno::IO, false);
        self.append(input);
        self.sync();
        self.dir.fail_syncs(u64::MAX, Errno::IO, false);
        if let Err(error) = self.log().reopen() {
            panic!("{error:?}");
        }
        assert_eq!(self.log().next_offset(), self.end());
        self.read();
    }

    /// Every event comes, is told as a gap because of damage, or has been trimmed.
    fn read(&mut self) {
        let opened = self.log().reader().topics([">", "$sys.>"]).open();
        let Ok(mut reader) = opened else {
            panic!("{opened:?}");
        };
        let mut next = self.log().first_offset();
        loop {
            match reader.next() {
                Ok(None) => break,
                Ok(Some(event)) => {
                    assert_eq!(event.offset(), next);
                    self.check(&event);
                    next += 1;
                }
                Err(ReadError::Gap(gap)) => {
                    assert!(self.damaged && gap.reason == GapReason::Corrupt, "{gap:?}");
                    assert!(gap.from == next && gap.to > next);
                    next = gap.to;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(next, self.log().next_offset());
    }

    fn close(&mut self, input: &mut Input<'_>) -> bool {
        // After a failed sync nothing is promised for a close but what it says.
        if self.log().close().is_ok() {
            self.durable = self.events.len();
            self.saved();
        }
        self.open(input)
    }

    /// The process dies; with a seed, the power goes as well.
    fn die(&mut self, seed: Option<u64>, input: &mut Input<'_>) -> bool {
        let durable = || (self.dir.image(), self.log().durable_offset());
        let (image, durable) = self.log().abandon(durable);
        self.durable = usize::try_from(durable).unwrap_or(usize::MAX);
        self.dir = MemoryDir::from_image(&image);
        match seed {
            Some(seed) => self.dir.power_loss(seed),
            None => self.durable = self.events.len(),
        }
        self.open(input)
    }

    fn open(&mut self, input: &mut Input<'_>) -> bool {
        self.cursor = None;
        self.log = None;
        for _ in 0..input.below(3) {
            self.damaged |= damage::one(&self.dir, input, |_| true).is_some();
        }
        match options().open_in(Arc::new(self.dir.clone())) {
            Ok(log) => self.log = Some(log),
            Err(error) => {
                assert!(self.damaged, "{error:?}");
                return false;
            }
        }
        let end = usize::try_from(self.log().next_offset()).unwrap_or(usize::MAX);
        if self.damaged {
            // What was damaged may be anything from now on, but it stays what it is.
            if end > self.events.len() + (1 << 16) {
                return false;
            }
            self.events.iter_mut().for_each(|event| *event = None);
            self.events.resize(end, None);
        }
        assert!((self.durable..=self.events.len()).contains(&end) || self.damaged);
        self.events.truncate(end);
        self.durable = end;
        if *self.acked.end() > self.end() {
            self.lost = self.lost.max(*self.acked.end());
        }
        self.acked = (*self.acked.start()).min(self.end())..=(*self.acked.end()).min(self.end());
        self.read();
        true
    }
}
