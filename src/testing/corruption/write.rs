//! Writing the log that is damaged: three epochs and one whose tail was lost, batches, cursors.

use super::super::sample::Sample;
use super::truth::{CursorTruth, Ended, SLOTS, options};
use crate::dir::{Directory, Image, MemoryDir};
use crate::types::LogId;
use crate::{Cursor, Log, Position, Start};
use std::sync::Arc;
use std::time::Duration;

/// The log, and what it is made of.
pub(super) struct Written {
    pub(super) image: Image,
    /// As it was at earlier moments, one with a tail that was lost later.
    pub(super) earlier: Vec<Image>,
    pub(super) log: LogId,
    pub(super) mark: u64,
    pub(super) samples: Vec<Sample>,
    pub(super) positions: Vec<(Position, u64)>,
    pub(super) cursors: Vec<CursorTruth>,
}

pub(super) struct Writing {
    dir: MemoryDir,
    earlier: Vec<Image>,
    samples: Vec<Sample>,
    positions: Vec<(Position, u64)>,
    cursors: Vec<CursorTruth>,
}

impl Writing {
    pub(super) fn log(ended: Ended) -> Written {
        let dir = MemoryDir::new();
        let mut writing = Self {
            dir,
            earlier: Vec::new(),
            samples: Vec::new(),
            positions: Vec::new(),
            cursors: Vec::new(),
        };
        let log = writing.open();
        writing.fill(&log, 2);
        writing.end(&log);
        log.close().unwrap();
        drop(log);
        writing.earlier.push(writing.dir.image());
        writing.lose_a_tail();
        let log = writing.open();
        writing.fill(&log, 4);
        writing.few(&log, 5);
        writing.cursor(&log, "behind", 20);
        log.sync().unwrap();
        let mark = writing.next();
        writing.earlier.push(writing.dir.image());
        let mut moving = writing.cursor(&log, "moving", 40);
        log.sync().unwrap();
        let id = log.id();
        writing.wait_for_indexes(&log);
        let image = if ended == Ended::Closed {
            writing.end(&log);
            drop(moving);
            log.close().unwrap();
            writing.dir.image()
        } else {
            writing.few(&log, 5);
            while !writing.has_spare() {
                writing.few(&log, 4);
                std::thread::sleep(Duration::from_millis(5));
            }
            writing.ack(&mut moving, 30);
            writing.end(&log);
            writing.wait_for_indexes(&log);
            log.abandon(|| writing.dir.image())
        };
        let Self {
            earlier,
            samples,
            positions,
            cursors,
            ..
        } = writing;
        Written {
            image,
            earlier,
            log: id,
            mark,
            samples,
            positions,
            cursors,
        }
    }

    /// An epoch that ends with a loss of power: what was not synced is gone, but a cursor that had
    /// acked it is on disk, and is lowered.
    fn lose_a_tail(&mut self) {
        let log = self.open();
        self.few(&log, 3);
        let builder = log
            .cursor("lowered")
            .topics([">", "$sys.>"])
            .identities(["nobody"]);
        let mut cursor = builder.start(Start::Earliest).open().unwrap();
        log.sync().unwrap();
        let end = self.next();
        self.few(&log, 7);
        let written = log.position();
        while let Some(event) = cursor.next().unwrap() {
            cursor.ack(&event).unwrap();
        }
        let image = log.abandon(|| self.dir.image());
        let (left, everything) = (MemoryDir::from_image(&image), MemoryDir::from_image(&image));
        left.power_loss(0);
        everything.power_loss(1);
        self.earlier.push(everything.image());
        left.write(SLOTS, &everything.read(SLOTS));
        self.dir = left;
        self.samples.truncate(usize::try_from(end).unwrap());
        self.positions.extend([
            (written, end),
            (
                Position {
                    offset: end,
                    ..written
                },
                end,
            ),
        ]);
        let kept = Some(written.offset);
        self.cursors.push(CursorTruth {
            name: "lowered",
            acked: end,
            saved: end,
            kept,
        });
    }

    fn open(&self) -> Log {
        options().open_in(Arc::new(self.dir.clone())).unwrap()
    }

    fn has_spare(&self) -> bool {
        self.dir
            .list()
            .unwrap()
            .iter()
            .any(|entry| entry.name.starts_with("spare-"))
    }

    /// Each sealed segment has its index on disk.
    fn wait_for_indexes(&self, log: &Log) {
        let indexes = || {
            let names = self.dir.list().unwrap();
            let indexes = names.iter().filter(|entry| entry.name.ends_with(".index"));
            indexes.count()
        };
        // One that was lost with the power is built when somebody reads.
        let mut reader = log
            .reader()
            .topics(["b"])
            .start(Start::Earliest)
            .open()
            .unwrap();
        while reader.next().unwrap().is_some() {}
        while indexes() + 1 < log.segments() {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.dir.sync().unwrap();
    }

    fn next(&self) -> u64 {
        u64::try_from(self.samples.len()).unwrap()
    }

    /// The next sample: sizes that are no multiples of eight among them, and empty ones.
    fn sample(&mut self) -> Sample {
        let number = self.samples.len();
        let sample = Sample {
            topics: vec![number % 7],
            not_to: if number % 5 == 0 {
                vec![number % 4]
            } else {
                Vec::new()
            },
            texts: u8::try_from(number % 8).unwrap(),
            payload_bytes: [0, 40, 333, 100, 1_021, 7, 64][number % 7],
            serial: self.next() + 1,
        };
        self.samples.push(sample.clone());
        sample
    }

    fn one(&mut self, log: &Log) {
        let next = self.next();
        if next % 11 == 10 {
            let batch: Vec<_> = (0..4).map(|_| self.sample()).collect();
            let bytes: Vec<_> = batch.iter().map(Sample::bytes).collect();
            let events = batch
                .iter()
                .zip(&bytes)
                .map(|(sample, bytes)| sample.event(bytes));
            assert_eq!(log.append_batch(events).unwrap().offsets, next..next + 4);
        } else {
            let sample = self.sample();
            assert_eq!(
                log.append_event(sample.event(&sample.bytes())).unwrap(),
                next
            );
        }
    }

    fn few(&mut self, log: &Log, count: usize) {
        (0..count).for_each(|_| self.one(log));
    }

    /// Appends until there are so many segments. A roll is a moment later in the table.
    fn fill(&mut self, log: &Log, segments: usize) {
        while log.segments() < segments {
            self.one(log);
            log.sync().unwrap();
        }
    }

    fn cursor(&mut self, log: &Log, name: &'static str, acked: u64) -> Cursor {
        let builder = log
            .cursor(name)
            .topics([">", "$sys.>"])
            .identities(["nobody"]);
        let mut cursor = builder.start(Start::Earliest).open().unwrap();
        self.cursors.push(CursorTruth {
            name,
            acked: 0,
            saved: acked,
            kept: None,
        });
        self.ack(&mut cursor, acked);
        cursor
    }

    /// Acks the next `count` events of the cursor that was made last.
    fn ack(&mut self, cursor: &mut Cursor, count: u64) {
        for _ in 0..count {
            let event = cursor.next().unwrap().unwrap();
            cursor.ack(&event).unwrap();
        }
        self.cursors.last_mut().unwrap().acked += count;
    }

    /// Remembers the end of the epoch, and a place a little before.
    fn end(&mut self, log: &Log) {
        let end = log.position();
        let before = Position {
            offset: end.offset - 3,
            ..end
        };
        self.positions.extend([(before, u64::MAX), (end, u64::MAX)]);
    }
}
