//! Runs a workload up to the operation at which the machine stops, and notes what it was told.

use super::script::{CURSORS, Manner, Step, Workload};
use super::truth::{Place, Told, Truth};
use crate::dir::{Faults, MemoryDir};
use crate::{AppendError, Cursor, Log, NewEvent, Options, Position, ReadError, Start};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The machine has stopped, or has refused.
#[derive(Debug)]
struct Stopped;

type Done = Result<(), Stopped>;

pub(super) struct Run {
    dir: MemoryDir,
    log: Option<Log>,
    cursors: BTreeMap<usize, Cursor>,
    truth: Truth,
    options: Options,
    manner: Manner,
    /// Something fails on its disk.
    faulty: bool,
    /// Operations that are left before the machine stops.
    left: u64,
}

/// What a run leaves.
pub(super) struct Left {
    pub(super) dir: MemoryDir,
    pub(super) truth: Truth,
    pub(super) options: Options,
    /// It went through to its end.
    pub(super) whole: bool,
}

pub(super) fn id_of(id: u8) -> String {
    format!("id-{id}")
}

pub(super) fn name_of(cursor: usize) -> String {
    format!("cursor-{cursor}")
}

/// Runs a workload on a machine that stops at its `stop`th operation. With `writes`, the kernel
/// writes by itself between steps.
pub(super) fn run(workload: &Workload, stop: u64, writes: Option<u64>) -> Left {
    let mut run = Run::new(workload);
    run.left = stop;
    run.dir.stop_at(stop);
    let whole = run.all(workload, writes).is_ok();
    run.leave(whole)
}

impl Run {
    fn new(workload: &Workload) -> Self {
        Self {
            dir: MemoryDir::new(),
            log: None,
            cursors: BTreeMap::new(),
            truth: Truth {
                acked_only: workload.manner == Manner::Acked && !workload.trims(),
                ..Truth::default()
            },
            options: workload.options(),
            manner: workload.manner,
            faulty: false,
            left: u64::MAX,
        }
    }

    /// Runs a workload, as far as it comes, on a disk on which something fails.
    pub(super) fn with_fault(workload: &Workload, fail: impl FnOnce(&MemoryDir)) -> Self {
        let mut run = Self::new(workload);
        run.faulty = true;
        fail(&run.dir);
        // That it did not come to its end is what is looked at.
        let _ = run.all(workload, None);
        run
    }

    pub(super) fn dir(&self) -> &MemoryDir {
        &self.dir
    }

    /// The process dies.
    pub(super) fn leave(mut self, whole: bool) -> Left {
        let dir = self.die();
        Left {
            dir,
            truth: self.truth,
            options: self.options,
            whole,
        }
    }

    /// The disk is well again: the log can be healed, and nothing that was appended is lost.
    pub(super) fn heal(mut self) {
        self.dir.set_faults(Faults::default());
        self.cursors.clear();
        if self.log.is_none() {
            assert!(self.open().is_ok(), "it opens");
        }
        let appended = self.truth.appended;
        let mut healed = false;
        for _ in 0..4 {
            // An append may say what the disk did before, once.
            match self.log().append("u", b"healed") {
                Ok(_) if self.log().sync().is_ok() => healed = true,
                Ok(_) | Err(AppendError::Io(_) | AppendError::DiskFull(_)) => continue,
                Err(AppendError::Poisoned) => self.log().reopen().unwrap(),
                Err(error) => panic!("{error}"),
            }
            if healed {
                break;
            }
        }
        assert!(healed, "it does not heal");
        let mut reader = self.log().reader().start(Start::Earliest).open().unwrap();
        let mut next = reader.position().offset;
        assert!(
            next <= self.truth.first_most.max(self.truth.first),
            "the oldest is {next}"
        );
        while next < appended {
            match reader.next() {
                Ok(Some(event)) => {
                    assert_eq!(event.offset(), next);
                    assert_eq!(event.payload(), self.truth.event(next).payload());
                    next += 1;
                }
                // What all have acked leaves meanwhile.
                Err(ReadError::Gap(gap)) if gap.to <= self.truth.first_most => next = gap.to,
                other => panic!("{other:?} instead of {next}"),
            }
        }
        assert!(reader.next().unwrap().is_some(), "the new one");
    }
}

impl Run {
    fn all(&mut self, workload: &Workload, writes: Option<u64>) -> Done {
        self.open()?;
        for (number, step) in (1..).zip(&workload.steps) {
            self.step(step)?;
            if let Some(seed) = writes {
                self.dir.write_back(seed.wrapping_add(number) | 2);
            }
        }
        Ok(())
    }

    fn log(&self) -> &Log {
        self.log.as_ref().unwrap()
    }

    fn open(&mut self) -> Done {
        let dir = Arc::new(self.dir.clone());
        let log = self.options.open_in(dir).map_err(|_| Stopped)?;
        let end = log.next_offset();
        let position = log.position();
        self.truth.begins(position.epoch, end);
        self.log = Some(log);
        self.keep_position();
        Ok(())
    }

    fn keep_position(&mut self) {
        let end = self.log().position();
        if self.truth.positions.len() < 24 {
            let offset = end.offset.saturating_sub(1);
            self.truth
                .positions
                .extend([end, Position { offset, ..end }]);
        }
    }

    /// The process dies; returns what it has left.
    fn die(&mut self) -> MemoryDir {
        let image = match &self.log {
            Some(log) => log.abandon(|| self.dir.image()),
            None => self.dir.image(),
        };
        self.cursors.clear();
        self.log = None;
        MemoryDir::from_image(&image)
    }

    fn step(&mut self, step: &Step) -> Done {
        match *step {
            Step::Append(count, bytes) => (0..count).try_for_each(|_| self.append(bytes)),
            Step::Batch(count, bytes) => self.batch(count, bytes),
            Step::Id(id) => self.append_id(id),
            Step::Sync => self.sync(),
            Step::Cursor(cursor) => self.open_cursor(cursor),
            Step::Take(cursor, count) => self.take(cursor, count),
            Step::Saved(cursor) => self.saved(cursor),
            Step::Delete(cursor) => self.delete(cursor),
            Step::Trim(part) => {
                self.trim(self.truth.end() * u64::from(part) / 256)?;
                Ok(())
            }
            Step::Retain => self.retain(),
            Step::Read(filter) => self.read(filter),
            Step::Close => self.close(),
            Step::Kill => self.again(None),
            Step::Lose(seed) => self.again(Some(seed)),
            Step::FailSync(kth) => self.fail_sync(kth),
        }
    }

    fn was_appended(&mut self) {
        self.truth.appended = self.truth.end();
        if self.manner == Manner::Always {
            self.truth.durable = self.truth.end();
        }
    }

    fn append(&mut self, bytes: usize) -> Done {
        let offset = self.truth.end();
        let told = self.truth.next(bytes, None, false);
        let at = self.log().append(told.topic(), told.payload());
        assert_eq!(at.map_err(|_| Stopped)?, offset);
        self.was_appended();
        Ok(())
    }

    fn batch(&mut self, count: usize, bytes: usize) -> Done {
        let first = self.truth.end();
        let all: Vec<Told> = (1..=count)
            .map(|number| self.truth.next(bytes, None, number < count))
            .collect();
        let payloads: Vec<Vec<u8>> = all.iter().map(Told::payload).collect();
        let events = all.iter().zip(&payloads);
        let events = events.map(|(told, payload)| NewEvent::new(told.topic(), payload));
        let appended = self.log().append_batch(events).map_err(|_| Stopped)?;
        assert_eq!(appended.offsets, first..self.truth.end());
        self.was_appended();
        self.keep_position();
        Ok(())
    }

    fn append_id(&mut self, id: u8) -> Done {
        let known = self.truth.id(id);
        let text = id_of(id);
        let told = match known {
            Some(offset) => self.truth.event(offset).clone(),
            None => self.truth.next(100, Some(id), false),
        };
        let payload = told.payload();
        let event = NewEvent::new(told.topic(), &payload).id(&text);
        let appended = self.log().append_once(event).map_err(|_| Stopped)?;
        // Where the file of the ids could not be written, those of what has left are forgotten.
        let forgotten = known.filter(|known| self.faulty && *known < self.truth.first);
        if !appended.duplicate && forgotten.is_some() {
            self.truth.events.push(told);
            self.was_appended();
            return Ok(());
        }
        assert_eq!(appended.duplicate, known.is_some());
        assert_eq!(appended.offset, known.unwrap_or(self.truth.end() - 1));
        self.was_appended();
        Ok(())
    }

    fn sync(&mut self) -> Done {
        self.log().sync().map_err(|_| Stopped)?;
        self.truth.synced(self.truth.end());
        self.keep_position();
        Ok(())
    }

    fn open_cursor(&mut self, cursor: usize) -> Done {
        let known = self.truth.cursors.contains_key(&cursor);
        // Wherever it begins if it is new: between the oldest that may be there and what is.
        let first = self.log().first_offset();
        let begins = || Place {
            low: first,
            high: first,
            ..Place::default()
        };
        self.truth.cursors.entry(cursor).or_insert_with(begins);
        let builder = self.log().cursor(name_of(cursor)).topics([">"]);
        let opened = builder.start(Start::Earliest).open().map_err(|_| Stopped)?;
        let place = self.truth.cursors.get_mut(&cursor).unwrap();
        if known && !place.leaving {
            assert!((place.low..=place.high).contains(&opened.acked()));
        }
        place.high = place.high.max(opened.acked());
        place.leaving = false;
        self.cursors.insert(cursor, opened);
        Ok(())
    }

    fn take(&mut self, cursor: usize, count: usize) -> Done {
        let Some(mut open) = self.cursors.remove(&cursor) else {
            return Ok(());
        };
        let done = (0..count).try_for_each(|_| self.take_one(cursor, &mut open));
        self.cursors.insert(cursor, open);
        done
    }

    fn take_one(&mut self, cursor: usize, open: &mut Cursor) -> Done {
        let acked = match open.next() {
            Ok(Some(event)) => open.ack(&event),
            Ok(None) => Ok(()),
            Err(ReadError::Gap(gap)) => {
                let place = self.truth.cursors.get_mut(&cursor).unwrap();
                place.kept = place.kept.max(gap.to);
                open.ack_gap(&gap)
            }
            Err(_) => return Err(Stopped),
        };
        let place = self.truth.cursors.get_mut(&cursor).unwrap();
        place.high = place.high.max(open.acked());
        self.truth.first_most = self.truth.first_most.max(self.most_acked());
        acked.map_err(|_| Stopped)
    }

    fn most_acked(&self) -> u64 {
        if self.manner != Manner::Acked {
            return 0;
        }
        let highest = self.truth.cursors.values().map(|place| place.high);
        highest.max().unwrap_or(0)
    }

    fn saved(&mut self, cursor: usize) -> Done {
        let Some(open) = self.cursors.get(&cursor) else {
            return Ok(());
        };
        open.wait_saved().map_err(|_| Stopped)?;
        let place = self.truth.cursors.get_mut(&cursor).unwrap();
        (place.low, place.there) = (place.high, true);
        Ok(())
    }

    fn delete(&mut self, cursor: usize) -> Done {
        self.cursors.remove(&cursor);
        let Some(place) = self.truth.cursors.get_mut(&cursor) else {
            return Ok(());
        };
        (place.leaving, place.there, place.low) = (true, false, 0);
        self.log()
            .delete_cursor(&name_of(cursor))
            .map_err(|_| Stopped)?;
        self.truth.cursors.remove(&cursor);
        Ok(())
    }

    fn trim(&mut self, before: u64) -> Done {
        self.truth.first_most = self.truth.first_most.max(before);
        let first = self.log().trim(before).map_err(|_| Stopped)?;
        self.truth.first = first;
        Ok(())
    }

    fn retain(&mut self) -> Done {
        let first = self.log().retain().map_err(|_| Stopped)?;
        self.truth.first = self.truth.first.max(first);
        Ok(())
    }

    fn read(&mut self, filter: u8) -> Done {
        let filter = ["t.a", "t.*", "u"][usize::from(filter) % 3];
        let reader = self.log().reader().topics([filter]).start(Start::Earliest);
        let mut reader = reader.open().map_err(|_| Stopped)?;
        while reader.next().map_err(|_| Stopped)?.is_some() {}
        Ok(())
    }

    fn close(&mut self) -> Done {
        self.cursors.clear();
        let log = self.log.take().unwrap();
        let end = self.truth.end();
        // Its threads have ended, well or not.
        log.close().map_err(|_| Stopped)?;
        drop(log);
        self.truth.synced(end);
        self.open()
    }

    /// The process dies, perhaps with the machine, and the log is opened again.
    fn again(&mut self, power: Option<u64>) -> Done {
        let (done, faults) = (self.dir.operations(), self.dir.faults());
        let dir = self.die();
        if done + 1 >= self.left {
            // It had stopped before.
            self.dir = dir;
            return Err(Stopped);
        }
        self.left -= done;
        let before = self.truth.clone();
        if let Some(seed) = power {
            dir.power_loss(seed);
            self.truth.appended = self.truth.durable;
        }
        dir.stop_at(self.left);
        dir.set_faults(faults);
        self.dir = dir;
        self.open()?;
        if power.is_none() {
            assert_eq!(before.end(), self.truth.end(), "a kill loses nothing");
        }
        self.find_cursors()
    }

    /// Where the cursors are after an open is where they are on disk.
    fn find_cursors(&mut self) -> Done {
        let end = self.truth.end();
        for number in 0..CURSORS {
            let Some(place) = self.truth.cursors.get_mut(&number) else {
                continue;
            };
            let list = self.log.as_ref().unwrap().cursor_list();
            let list = list.map_err(|_| Stopped)?;
            match list.iter().find(|info| info.name == name_of(number)) {
                Some(info) => {
                    let (low, high) = (place.low.min(end), place.high.min(end));
                    let acked = info.acked.expect("it verifies");
                    assert!((low..=high).contains(&acked), "{acked} {place:?}");
                    place.kept = place.kept.max(place.high);
                    (place.low, place.high, place.there) = (acked, acked, true);
                    place.leaving = false;
                }
                None => {
                    assert!(!place.there, "a cursor is gone");
                    self.truth.left_over |= !place.leaving;
                    self.truth.cursors.remove(&number);
                }
            }
        }
        Ok(())
    }

    /// A sync fails once, and the kernel takes its pages for clean. Nothing that was told durable
    /// is lost by it, and a reopen makes the rest durable.
    fn fail_sync(&mut self, kth: u64) -> Done {
        self.dir.fail_syncs(kth, Errno::IO, false);
        let synced = self.log().sync();
        if synced.is_ok() {
            self.truth.synced(self.truth.end());
        }
        self.dir.fail_syncs(u64::MAX, Errno::IO, false);
        self.log().reopen().map_err(|_| Stopped)?;
        let position = self.log().position();
        if self
            .truth
            .epochs
            .last()
            .is_some_and(|(epoch, _)| *epoch != position.epoch)
        {
            assert_eq!(
                position.offset,
                self.truth.end(),
                "all was still there to be read"
            );
            self.truth.begins(position.epoch, position.offset);
        }
        Ok(())
    }
}
