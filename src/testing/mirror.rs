//! A mirror beside its source: holes, trims, divergences, kills and losses of power, fed again from
//! any earlier point.

use crate::dir::{Directory, MemoryDir};
use crate::format::{FrameBuffer, Skip};
use crate::inspect::{VerifyOptions, verify_in};
use crate::testing::place::Place;
use crate::types::{Epoch, LogId};
use crate::{
    AppendError, Gap, GapReason, Mirror, MirrorError, MirrorSource, NewEvent, Options, Position,
    ReadError, Reader, SkipReason, Start, SyncPolicy,
};
use rustix::io::Errno;
use std::sync::Arc;

const FIRST: u64 = 7;
const LOG: LogId = LogId([9; 16]);

fn options() -> Options {
    Options::new()
        .segment_bytes(16 << 10)
        .sync(SyncPolicy::Manual)
}

fn epoch(counter: u32) -> Epoch {
    Epoch {
        counter,
        tag: counter * 77,
    }
}

fn open(dir: Arc<dyn Directory>) -> Mirror {
    let source = MirrorSource {
        log: LOG,
        epoch: epoch(1),
        first: FIRST,
    };
    options().open_mirror_in(dir, source).unwrap()
}

/// What the source has at one offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Event(u64),
    Skipped(SkipReason),
}

/// A source and its mirror.
struct World {
    place: Place,
    mirror: Option<Mirror>,
    slots: Vec<Slot>,
    epochs: Vec<(Epoch, u64)>,
    serial: u64,
    random: u64,
    /// The mirror has everything below that was synced.
    synced: u64,
}

impl World {
    fn new(place: Place, seed: u64) -> Self {
        let mirror = Some(open(place.dir()));
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self {
            place,
            mirror,
            slots: Vec::new(),
            epochs: vec![(epoch(1), FIRST)],
            serial: 0,
            random,
            synced: FIRST,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound.max(1)
    }

    fn mirror(&self) -> &Mirror {
        self.mirror.as_ref().unwrap()
    }

    fn next(&self) -> u64 {
        self.mirror().log().next_offset()
    }

    fn end(&self) -> u64 {
        FIRST + u64::try_from(self.slots.len()).unwrap()
    }

    fn slot(&self, offset: u64) -> Slot {
        self.slots[usize::try_from(offset - FIRST).unwrap()]
    }

    fn payload(serial: u64) -> Vec<u8> {
        let mut bytes = serial.to_le_bytes().to_vec();
        bytes.resize(8 + usize::try_from(serial * 53 % 700).unwrap(), 1);
        bytes
    }

    fn grow(&mut self) {
        for _ in 0..=self.below(12) {
            self.serial += 1;
            let kind = self.below(8);
            let (slot, count) = match kind {
                0 => (Slot::Skipped(SkipReason::Hole), self.below(20)),
                1 => (Slot::Skipped(SkipReason::Trimmed), self.below(5)),
                _ => (Slot::Event(self.serial), 0),
            };
            (0..=count).for_each(|_| self.slots.push(slot));
        }
    }

    /// Feeds from some place at or below the end on, as far as a few slots.
    fn feed(&mut self) {
        let next = self.next();
        let mut offset = next - self.below(next - FIRST + 1).min(30);
        let to = self.end().min(next + self.below(60));
        while offset < to {
            match self.slot(offset) {
                Slot::Event(serial) => {
                    let bytes = Self::payload(serial);
                    let event = NewEvent::new("a", &bytes).name("n");
                    let known = offset < self.next();
                    let appended = self.mirror().append_at(offset, serial, &event).unwrap();
                    assert_eq!(appended, !known);
                    offset += 1;
                }
                Slot::Skipped(reason) => {
                    let run = (offset..to).take_while(|o| self.slot(*o) == Slot::Skipped(reason));
                    offset = run.last().unwrap() + 1;
                    self.mirror().skip(offset, reason).unwrap();
                }
            }
        }
    }

    /// The source has lost its tail and goes on otherwise.
    fn diverge(&mut self, interrupt: bool) {
        let from = self.next().saturating_sub(40).max(FIRST);
        let first = from + self.below(self.end().saturating_sub(from) + 1);
        self.slots.truncate(usize::try_from(first - FIRST).unwrap());
        let counter = self.epochs.last().unwrap().0.counter + 1;
        self.epochs.push((epoch(counter), first));
        self.synced = self.synced.min(first);
        self.serial += 1_000;
        self.grow();
        if interrupt {
            let kth = self.below(40);
            self.stop_at(kth);
            let entered = self.mirror().begin_epoch(epoch(counter), first);
            let seed = self.below(1_000);
            self.restart(Some(seed));
            if entered.is_ok() {
                assert_eq!(self.mirror().log().position().epoch, epoch(counter));
            }
            self.mirror().begin_epoch(epoch(counter), first).unwrap();
        } else {
            let before = self.next();
            let next = self.mirror().begin_epoch(epoch(counter), first).unwrap();
            assert!(
                next <= first.max(FIRST) || before <= first,
                "{next} {first} {before}"
            );
        }
        self.synced = self.synced.min(self.next());
        assert!(matches!(
            self.mirror().begin_epoch(epoch(counter - 1), first),
            Err(MirrorError::Epoch { .. })
        ));
    }

    /// The process dies; with a seed, so does the power.
    fn restart(&mut self, power: Option<u64>) {
        let mirror = self.mirror.take().unwrap();
        let image = mirror.log().abandon(|| match &self.place {
            Place::Memory(dir) => Some(dir.image()),
            Place::Disk(..) => None,
        });
        drop(mirror);
        if let Some(image) = image {
            let dir = MemoryDir::from_image(&image);
            // A real disk cannot be made to forget here; the process is dead all the same.
            power.into_iter().for_each(|seed| dir.power_loss(seed));
            self.place = Place::Memory(dir);
        }
        self.mirror = Some(open(self.place.dir()));
    }

    /// From the `kth` operation on none reaches the directory, where that can be had.
    fn stop_at(&self, kth: u64) {
        if let Place::Memory(dir) = &self.place {
            dir.stop_at(kth);
        }
    }

    fn check(&self) {
        let log = self.mirror().log();
        let end = log.next_offset();
        assert_eq!(log.id(), LOG);
        let mut reader = log.reader().start(Start::Earliest).open().unwrap();
        let mut told = Vec::new();
        let mut offset = FIRST;
        loop {
            match reader.next() {
                Ok(Some(event)) => {
                    for hole in offset..event.offset() {
                        assert_eq!(self.slot(hole), Slot::Skipped(SkipReason::Hole), "{hole}");
                    }
                    let Slot::Event(serial) = self.slot(event.offset()) else {
                        panic!("an event at {}", event.offset())
                    };
                    assert_eq!(event.payload(), Self::payload(serial));
                    offset = event.offset() + 1;
                }
                Ok(None) => break,
                Err(ReadError::Gap(gap)) => {
                    assert_eq!(gap.reason, GapReason::Trimmed, "{gap:?}");
                    told.extend(gap.from..gap.to);
                    offset = gap.to;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(reader.position().offset, end);
        let trimmed = (FIRST..end).filter(|o| self.slot(*o) == Slot::Skipped(SkipReason::Trimmed));
        assert_eq!(told, trimmed.collect::<Vec<_>>());
        self.check_pages(&told);
        self.check_starts();
        self.check_positions();
        let found = verify_in(&self.place.dir(), VerifyOptions::new()).unwrap();
        assert!(found.corrupt.is_empty(), "{found:?}");
        let events = (FIRST..found.next).filter(|o| matches!(self.slot(*o), Slot::Event(_)));
        assert_eq!(found.events, u64::try_from(events.count()).unwrap());
    }

    /// Pages bring the same.
    fn check_pages(&self, trimmed: &[u64]) {
        let reader = self.mirror().log().reader().start(Start::Earliest);
        let mut reader = reader.topics(["a"]).open().unwrap();
        let (mut seen, mut told) = (Vec::new(), Vec::new());
        loop {
            match reader.page(4 << 10) {
                Ok(Some(page)) => seen.extend(page.iter().map(|event| event.offset())),
                Ok(None) => break,
                Err(ReadError::Gap(gap)) => told.extend(gap.from..gap.to),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(seen, self.events());
        assert_eq!(told, trimmed);
    }

    /// The offsets of the events that the mirror has.
    fn events(&self) -> Vec<u64> {
        let all = FIRST..self.next();
        all.filter(|o| matches!(self.slot(*o), Slot::Event(_)))
            .collect()
    }

    fn check_starts(&self) {
        let (log, events) = (self.mirror().log(), self.events());
        let last = events.len().checked_sub(3).map(|third| events[third]);
        if let Some(third) = last {
            let mut reader = log
                .reader()
                .topics(["a"])
                .start(Start::Last(3))
                .open()
                .unwrap();
            assert_eq!(self.following(&mut reader), Some(third));
            let mut reader = log.reader().start(Start::LastPerTopic).open().unwrap();
            assert_eq!(self.following(&mut reader), events.last().copied());
        }
        let topics = log.topics([">"]).unwrap();
        let found: Vec<_> = topics
            .iter()
            .map(|topic| (topic.events, topic.last))
            .collect();
        let count = u64::try_from(events.len()).unwrap();
        let wanted = events.last().map(|last| (count, *last));
        assert_eq!(found, Vec::from_iter(wanted));
        let mut reader = log
            .reader()
            .topics(["a"])
            .start(Start::Earliest)
            .open()
            .unwrap();
        assert_eq!(reader.lag().unwrap(), count);
    }

    /// The next event, whatever is told before it.
    fn following(&self, reader: &mut Reader) -> Option<u64> {
        loop {
            match reader.next() {
                Ok(event) => return event.map(|event| event.offset()),
                Err(ReadError::Gap(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// A position means what it means at the source, whatever the mirror has.
    fn check_positions(&self) {
        let log = self.mirror().log();
        let known = self
            .epochs
            .iter()
            .position(|(e, _)| *e == log.position().epoch);
        let known = &self.epochs[..=known.unwrap()];
        for (index, (epoch, _)) in known.iter().enumerate() {
            let bound = known[index + 1..].iter().map(|(_, first)| *first).min();
            for offset in [FIRST, bound.unwrap_or(9), bound.unwrap_or(9_000) + 1] {
                let (log, epoch) = (LOG, *epoch);
                let position = Position { log, epoch, offset };
                let start = Start::Position(position);
                let told = self
                    .mirror()
                    .log()
                    .reader()
                    .start(start)
                    .open()
                    .unwrap()
                    .next();
                let diverged = matches!(told, Err(ReadError::Gap(gap))
                    if gap.reason == GapReason::Diverged && Some(gap.from) == bound);
                assert_eq!(
                    diverged,
                    bound.is_some_and(|bound| offset > bound),
                    "{position}"
                );
            }
        }
    }
}

#[test]
fn a_mirror_is_its_source() {
    (1..=2_000).for_each(|seed| live(Place::in_memory(), seed));
}

#[test]
fn a_mirror_on_disk_is_its_source() {
    (1..=200).for_each(|seed| live(Place::on_disk(), seed));
}

fn live(place: Place, seed: u64) {
    let mut world = World::new(place, seed);
    for step in 0..40 {
        let what = world.below(12);
        println!("seed {seed}, step {step}: {what}");
        match what {
            0..=3 => world.grow(),
            4..=7 => world.feed(),
            8 => {
                world.mirror().log().sync().unwrap();
                world.synced = world.next();
            }
            9 => {
                let next = world.next();
                world.restart(None);
                assert_eq!(world.next(), next, "a kill loses nothing");
            }
            10 => {
                let loss = world.below(1_000);
                world.restart(Some(loss));
                assert!(world.next() >= world.synced);
                world.synced = world.next();
            }
            _ => {
                let interrupt = world.below(2) == 0;
                world.diverge(interrupt);
            }
        }
        world.check();
    }
}

/// The mark stands in the segment that an epoch drops, not above the epoch: an open that finishes
/// the drop does not go on at the mark and miss what is below it.
#[test]
fn an_interrupted_epoch_leaves_no_damage() {
    for kth in 1..60 {
        for seed in 0..8 {
            let mut world = World::new(Place::in_memory(), seed + 1);
            (0..60).for_each(|serial| world.slots.push(Slot::Event(serial)));
            while world.next() < world.end() {
                world.feed();
                if world.next() < FIRST + 55 {
                    world.mirror().log().sync().unwrap();
                    world.synced = world.next();
                }
            }
            // Of a log of one segment, of the last one of some, and of some.
            let first = [FIRST + 1, world.synced, FIRST + 30][usize::try_from(kth % 3).unwrap()];
            world
                .slots
                .truncate(usize::try_from(first - FIRST).unwrap());
            world.stop_at(kth);
            let _ = world.mirror().begin_epoch(epoch(2), first);
            world.epochs.push((epoch(2), first));
            world.restart(Some(seed));
            let damaged = world.mirror().log().recovery().damaged;
            assert!(damaged.is_empty(), "{kth} {seed} {damaged:?}");
            world.mirror().begin_epoch(epoch(2), first).unwrap();
            world.check();
        }
    }
}

/// A failed sync poisons a mirror; the next epoch heals it, and a closed one says so.
#[test]
fn an_epoch_heals_a_poisoned_mirror() {
    let dir = MemoryDir::new();
    let mirror = open(Arc::new(dir.clone()));
    let event = NewEvent::new("a", b"one").id("once");
    assert!(mirror.append_at(FIRST, 1, &event).unwrap());
    mirror.log().sync().unwrap();
    // An id that is known is nothing to a mirror.
    assert!(mirror.append_at(FIRST + 1, 1, &event).unwrap());
    let own = mirror.log().append_once(event.clone());
    assert!(matches!(own, Err(AppendError::Mirror)), "{own:?}");
    assert_eq!(mirror.log().dedup_ids(), 0);
    dir.fail_syncs(1, Errno::IO, false);
    mirror.log().sync().unwrap_err();
    let poisoned = mirror.append_at(FIRST + 2, 1, &event);
    assert!(matches!(
        poisoned,
        Err(MirrorError::Append(AppendError::Poisoned))
    ));
    mirror.begin_epoch(epoch(2), FIRST + 1).unwrap();
    let next = mirror.log().next_offset();
    assert!(mirror.append_at(next, 1, &event).unwrap());
    mirror.log().clone().close().unwrap();
    let closed = mirror.begin_epoch(epoch(3), FIRST + 1);
    let said = matches!(closed, Err(MirrorError::Append(AppendError::Closed)));
    assert!(said, "{closed:?}");
}

/// A cursor above the end of a mirror that has lost its tail waits; only an epoch lowers it.
#[test]
fn cursors_stay_where_they_are_until_the_source_diverges() {
    let dir = MemoryDir::new();
    let mirror = open(Arc::new(dir.clone()));
    let feed = |mirror: &Mirror, to: u64, what: &[u8]| {
        (mirror.log().next_offset()..to).for_each(|offset| {
            mirror
                .append_at(offset, offset, &NewEvent::new("a", what))
                .unwrap();
        });
    };
    feed(&mirror, 20, b"one");
    let cursor = |mirror: &Mirror| {
        let builder = mirror.log().cursor("c").topics(["a"]);
        builder.start(Start::Earliest).open().unwrap()
    };
    let mut reading = cursor(&mirror);
    mirror.log().sync().unwrap();
    feed(&mirror, 30, b"one");
    while let Some(event) = reading.next().unwrap() {
        reading.ack(&event).unwrap();
    }
    // The word of the cursor survives, the events do not.
    let image = mirror.log().abandon(|| dir.image());
    let (dir, all) = (MemoryDir::from_image(&image), MemoryDir::from_image(&image));
    dir.power_loss(0);
    all.power_loss(1);
    dir.write("cursors-00.slots", &all.read("cursors-00.slots"));
    let mirror = open(Arc::new(dir.clone()));
    assert_eq!(mirror.log().next_offset(), 20);
    let mut reading = cursor(&mirror);
    assert_eq!(reading.acked(), 30);
    assert!(reading.next().unwrap().is_none());
    feed(&mirror, 31, b"one");
    assert_eq!(reading.next().unwrap().unwrap().offset(), 30);

    let changed = mirror.append_at(25, 0, &NewEvent::new("a", b"two"));
    assert!(matches!(changed, Err(MirrorError::Diverged { offset: 25 })));
    let next = mirror.begin_epoch(epoch(2), 25).unwrap();
    assert_eq!(next, FIRST, "the whole segment is dropped");
    feed(&mirror, 25, b"one");
    feed(&mirror, 40, b"two");
    // What was acked of the old epoch, and then what this handle has read of it.
    for to in [30, 31] {
        let Err(ReadError::Gap(gap)) = reading.next() else {
            panic!("no gap to {to}")
        };
        let reason = GapReason::Diverged;
        assert_eq!(
            gap,
            Gap {
                from: 25,
                to,
                reason
            }
        );
        reading.ack_gap(&gap).unwrap();
    }
    assert_eq!(reading.next().unwrap().unwrap().payload(), b"two");
}

/// A skip frame in a log of its own events is damage, whatever its checksum.
#[test]
fn a_log_of_its_own_takes_no_skip_frame() {
    let dir = MemoryDir::new();
    let log = options().open_in(Arc::new(dir.clone())).unwrap();
    log.append("a", b"first").unwrap();
    let mut frame = FrameBuffer::new();
    let reason = SkipReason::Hole;
    frame.skip(Skip { to: 9, reason });
    log.put_for_test(&mut frame).unwrap();
    let image = log.abandon(|| dir.image());
    let log = options()
        .open_in(Arc::new(MemoryDir::from_image(&image)))
        .unwrap();
    assert_eq!(log.next_offset(), 1);
    assert!(log.recovery().torn.is_some());
}
