//! The ends of a process and of a disk, beside what must be left of them.

use super::cursors::open;
use super::ops::{Harm, Then};
use super::oracle::CursorOracle;
use super::world::{self, World};
use crate::dedup;
use crate::dir::{Directory, MemoryDir};
use crate::testing::place::Place;
use crate::testing::sample::Sample;
use crate::{AppendError, GapReason, Opened, ReadError, Start, SyncError};
use rustix::io::Errno;

impl World {
    /// Closed in order and opened again: everything is as it was.
    pub(super) fn close(&mut self) {
        self.log().close().unwrap();
        self.let_go();
        self.log = Some(world::open(&self.place));
        self.recovered(self.oracle.end());
        assert_eq!(self.log().recovery().torn, None);
    }

    /// The process dies, and another one opens the log: nothing that was appended is lost.
    pub(super) fn kill(&mut self) {
        self.die();
        self.log = Some(world::open(&self.place));
        self.recovered(self.oracle.end());
    }

    /// The file of the ids is harmed while nobody has the log open: nobody is to notice.
    pub(super) fn harm_ids(&mut self, kill: bool, harm: Harm) {
        if kill {
            self.die();
        } else {
            self.log().close().unwrap();
            self.let_go();
        }
        let dir = self.place.dir();
        let before = read_ids(&*dir);
        let harmed = match (harm, &before) {
            (Harm::Deleted, _) | (_, None) => None,
            (Harm::Older, Some(_)) => self.older_ids.clone(),
            (Harm::Torn(part), Some(bytes)) => {
                Some(bytes[..bytes.len() * usize::from(part) / 256].to_vec())
            }
            (Harm::Flipped(part), Some(bytes)) => {
                let mut bytes = bytes.clone();
                let at = bytes.len() * usize::from(part) / 256;
                // A file that was torn before may have no byte.
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (part % 8);
                }
                Some(bytes)
            }
        };
        if before.is_some() {
            dir.unlink(dedup::NAME).unwrap();
        }
        // What has left the log stood in that file alone.
        self.oracle.maybe_forgotten = self.oracle.first;
        if let Some(bytes) = harmed {
            let file = dir.create_file(dedup::NAME).unwrap();
            file.write_at(&bytes, 0).unwrap();
            // The log finds no file under that name whose bytes are not on disk.
            file.sync().unwrap();
        }
        self.older_ids = before;
        self.log = Some(world::open(&self.place));
        self.recovered(self.oracle.end());
    }

    /// The process dies; what it did later reaches nothing. Returns the durable end at its death.
    pub(super) fn die(&mut self) -> u64 {
        let (durable, memory) = match &self.place {
            Place::Memory(dir) => {
                let look = || (self.log().durable_offset(), Some(dir.image()));
                self.log().abandon(look)
            }
            Place::Disk(..) => self.log().abandon(|| (self.log().durable_offset(), None)),
        };
        self.let_go();
        if let Some(image) = memory {
            self.place = Place::Memory(MemoryDir::from_image(&image));
        }
        durable
    }

    /// Power is lost: what was durable is left, and perhaps more of the rest, in order.
    pub(super) fn power_loss(&mut self, seed: u64) {
        let before = self.log().position();
        let durable = self.die();
        assert!(durable >= self.oracle.durable);
        match &self.place {
            Place::Memory(dir) => dir.power_loss(seed),
            // A real disk cannot be made to forget here; the process is dead all the same.
            Place::Disk(..) => {
                self.log = Some(world::open(&self.place));
                return self.recovered(self.oracle.end());
            }
        }
        self.log = Some(world::open(&self.place));
        let end = self.log().next_offset();
        match self.log().wait_durable_at(before) {
            Ok(()) => assert!(before.offset <= end),
            Err(error) => assert!(before.offset > end && matches!(error, SyncError::Lost)),
        }
        assert!(
            (durable..=self.oracle.end()).contains(&end),
            "{durable} <= {end}"
        );
        // Nothing tells the trace of a creation that did not reach the disk from damage.
        self.torn_definition |= self.oracle.cursors.values().any(|cursor| !cursor.saved);
        let cursors: Vec<(usize, CursorOracle)> = self
            .oracle
            .cursors
            .iter()
            .map(|(n, cursor)| (*n, cursor.clone()))
            .collect();
        self.recovered(end);
        self.find_cursors(&cursors);
    }

    /// The log begins a new epoch at `end`.
    pub(super) fn recovered(&mut self, end: u64) {
        assert_eq!(self.log().next_offset(), end);
        assert_eq!(self.log().durable_offset(), end);
        assert_eq!(self.log().first_offset(), self.oracle.first);
        assert_eq!(self.log().id(), self.oracle.log);
        let epoch = self.log().position().epoch;
        assert!(epoch.counter > self.oracle.epoch().counter);
        let report = self.log().recovery();
        let trace = |file: &str| self.torn_definition && file == "cursors.defs";
        let damaged = report.damaged.iter().filter(|damage| !trace(&damage.file));
        assert_eq!(damaged.count(), 0, "{:?}", report.damaged);
        assert!(report.torn.is_none_or(|torn| torn.offset == end));
        self.oracle.recovered(epoch, end);
        self.check_all();
    }

    pub(super) fn fail_sync(&mut self, kth: u64, appends: &[Sample], then: Then) {
        let Place::Memory(dir) = &self.place else {
            return;
        };
        let dir = dir.clone();
        dir.fail_syncs(kth, Errno::IO, false);
        for sample in appends {
            match self.append(sample) {
                // The failure may have met the making of a segment: that can be tried again.
                Ok(()) | Err(AppendError::Io(_)) => {}
                Err(AppendError::Poisoned) => break,
                Err(error) => panic!("{error}"),
            }
        }
        if self.log().sync().is_ok() {
            self.oracle.synced();
            // It took fewer syncs, or the failure met the making of a segment; or it is about to
            // meet the mark, which is synced when the log falls idle: the next sync tells.
            dir.fail_syncs(u64::MAX, Errno::IO, false);
            if self.log().sync().is_ok() {
                return;
            }
        }
        dir.fail_syncs(u64::MAX, Errno::IO, false);
        self.check_poisoned();
        match then {
            Then::Reopen => self.reopen(&dir),
            Then::FailAgainAndReopen => {
                dir.fail_syncs(1, Errno::IO, true);
                assert!(self.log().reopen().is_err());
                self.check_poisoned();
                self.reopen(&dir);
            }
            Then::Kill => self.kill(),
            Then::PowerLoss(seed) => self.power_loss(seed),
        }
    }

    /// Nothing is taken, nothing is retried, and reads end at the durable mark.
    fn check_poisoned(&self) {
        let durable = self.log().durable_offset();
        assert!(durable >= self.oracle.durable);
        assert_eq!(self.log().next_offset(), durable);
        assert!(matches!(
            self.log().append("a", b""),
            Err(AppendError::Poisoned)
        ));
        assert!(matches!(self.log().sync(), Err(SyncError::Poisoned(_))));
        assert!(matches!(
            self.log().wait_durable(durable),
            Err(SyncError::Poisoned(_))
        ));
        assert!(durable == 0 || self.log().wait_durable(durable - 1).is_ok());
        let mut reader = self.log().reader().topics([">", "$sys.>"]).open().unwrap();
        for offset in self.oracle.first..durable {
            assert_eq!(
                reader.next().unwrap().map(|event| event.offset()),
                Some(offset)
            );
        }
        assert!(reader.next().unwrap().is_none());
        // A reopen may find all that was visible: places up to there are still good.
        let end = Start::Offset(self.oracle.end());
        let mut waiting = self.log().reader().start(end).open().unwrap();
        assert!(waiting.next().unwrap().is_none());
        let beyond = self
            .log()
            .reader()
            .start(Start::Offset(self.oracle.end() + 1))
            .open();
        assert!(matches!(beyond, Err(ReadError::Offset { .. })));
    }

    /// The page cache still holds everything, so that nothing is lost.
    fn reopen(&mut self, dir: &MemoryDir) {
        dir.fail_syncs(u64::MAX, Errno::IO, false);
        self.log().reopen().unwrap();
        self.recovered(self.oracle.end());
        self.log().reopen().unwrap();
        assert_eq!(
            self.log().position().epoch,
            self.oracle.epoch(),
            "a healthy log stays as it is"
        );
    }

    pub(super) fn full_disk(&mut self, by_room: bool, appends: &[Sample]) {
        let Place::Memory(dir) = &self.place else {
            return;
        };
        let dir = dir.clone();
        if by_room {
            dir.set_capacity(1);
        } else {
            dir.fail_creates(1, Errno::NOSPC, true);
        }
        for sample in appends {
            match self.append(sample) {
                Ok(()) | Err(AppendError::DiskFull(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        dir.set_capacity(u64::MAX);
        dir.fail_creates(u64::MAX, Errno::NOSPC, false);
        for sample in appends {
            match self.append(sample) {
                Ok(()) => {}
                // A segment that was being made while there was no room: told once.
                Err(AppendError::DiskFull(_)) => self.append(sample).unwrap(),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// After a loss of power: each cursor stands where an ack has put it since it was last saved,
    /// or at the end with the gap kept. One that was never saved may be gone.
    pub(super) fn find_cursors(&mut self, may_be: &[(usize, CursorOracle)]) {
        for (number, before) in may_be {
            let mut cursor = open(self.log(), *number, Start::Earliest).unwrap();
            let acked = cursor.acked();
            let gap = match cursor.next() {
                Ok(_) => None,
                Err(ReadError::Gap(gap)) => Some(gap),
                Err(error) => panic!("{error}"),
            };
            let told = gap.map(|gap| (gap.from, gap.reason));
            let trimmed = self.oracle.trimmed(acked);
            let gap = gap.filter(|gap| Some(*gap) != trimmed);
            let told = told.filter(|_| gap.is_some());
            assert!(told.is_none_or(|told| told == (acked, GapReason::Diverged)));
            let kept = gap.map(|gap| gap.to);
            let mut found = CursorOracle::new(acked, kept);
            if cursor.opened() == Opened::New {
                assert!(!before.saved, "a saved cursor is gone");
                assert_eq!(acked, self.oracle.first);
            } else {
                let end = self.oracle.end();
                assert!(
                    before.may_become(acked, kept, end),
                    "{acked} with {kept:?} in a log of {end}, from {before:?}"
                );
                found.saved = true;
            }
            self.oracle.cursors.insert(*number, found);
            drop(cursor);
            // The look above may have moved it over events that do not match.
            let acked = open(self.log(), *number, Start::Earliest).unwrap().acked();
            self.oracle.cursors.get_mut(number).unwrap().ack(acked);
        }
    }
}

fn read_ids(dir: &dyn Directory) -> Option<Vec<u8>> {
    let file = dir.open_file(dedup::NAME, false).ok()?;
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
    Some(bytes)
}
