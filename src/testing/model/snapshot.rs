//! A copy of the log, opened beside what the log ought to be.

use super::cursors::open;
use super::ops::FILTERS;
use super::oracle::Meaning;
use super::world::{World, options};
use crate::dir::{DiskDir, MemoryDir};
use crate::{Gap, GapReason, Log, Opened, ReadError, Start};
use std::sync::Arc;

impl World {
    pub(super) fn snapshot(&mut self, to_disk: bool) {
        let temporary = tempfile::tempdir().unwrap();
        let (taken, copy) = if to_disk {
            let path = temporary.path().join("copy");
            let taken = self.log().snapshot(&path).unwrap();
            let dir = Arc::new(DiskDir::open(&path).unwrap());
            (taken, options().open_in(dir).unwrap())
        } else {
            let dir = MemoryDir::new();
            let taken = self.log().snapshot_into(&dir).unwrap();
            // All of it is on disk: the power may go at once.
            dir.power_loss(0);
            (taken, options().open_in(Arc::new(dir)).unwrap())
        };
        let end = self.oracle.end();
        let first = self.oracle.first;
        assert_eq!((taken.first_offset, taken.next_offset), (first, end));
        assert_eq!(taken.position, self.log().position());
        // A last segment that is full has no room for the epoch that the open begins.
        let segments = u64::try_from(copy.segments()).unwrap();
        assert!((taken.segments..=taken.segments + 1).contains(&segments));
        self.check_copy(&copy);
        // The two go on apart.
        let offset = copy.append("copy", b"of the copy alone").unwrap();
        assert_eq!((offset, self.log().next_offset()), (end, end));
        copy.close().unwrap();
    }

    fn check_copy(&mut self, copy: &Log) {
        let end = self.oracle.end();
        assert_eq!((copy.id(), copy.next_offset()), (self.oracle.log, end));
        let first = self.oracle.first;
        assert_eq!((copy.durable_offset(), copy.first_offset()), (end, first));
        let epoch = copy.position().epoch;
        assert!(epoch.counter == self.oracle.epoch().counter + 1);
        let report = copy.recovery();
        assert!(!report.created && report.torn.is_none());
        let trace = |file: &str| self.torn_definition && file == "cursors.defs";
        let damaged = report.damaged.iter().filter(|damage| !trace(&damage.file));
        assert_eq!(damaged.count(), 0, "{:?}", report.damaged);

        let mut reader = copy.reader().topics([">", "$sys.>"]).open().unwrap();
        for offset in first..end {
            let event = reader.next().unwrap().unwrap();
            assert_eq!(event.offset(), offset);
            self.check_event(&event);
        }
        assert!(reader.next().unwrap().is_none());
        for kept in self.kept.into_iter().flatten() {
            let start = Start::Position(kept.position);
            let mut reader = copy.reader().start(start).open().unwrap();
            if let Meaning::Diverged(gap) = self.meaning(&kept) {
                assert!(matches!(reader.next(), Err(ReadError::Gap(told)) if told == gap));
            }
        }
        self.check_cursors_of(copy);
    }

    /// Each stands where it stands in the log, with the same gap. One that was made and never
    /// synced may be in the copy too: it is there in the log.
    fn check_cursors_of(&self, copy: &Log) {
        assert_eq!(copy.cursors(), self.log().cursors());
        for (number, expected) in &self.oracle.cursors {
            let mut cursor = open(copy, *number, Start::Earliest).unwrap();
            assert_eq!(cursor.opened(), Opened::Resumed);
            assert_eq!(cursor.acked(), expected.acked, "{number}");
            let (from, reason) = (expected.acked, GapReason::Diverged);
            let kept = expected.kept.filter(|to| *to > from);
            let gap = kept.map(|to| Gap { from, to, reason });
            let gap = gap.or_else(|| self.oracle.trimmed(from));
            match (cursor.next(), gap) {
                (Err(ReadError::Gap(told)), Some(gap)) => assert_eq!(told, gap),
                (Ok(event), None) => {
                    let (filters, identities) = FILTERS[*number];
                    let wish = super::oracle::Wish(filters, identities);
                    let due = self.oracle.matching(wish, from, self.oracle.end());
                    assert_eq!(event.map(|event| event.offset()), due.first().copied());
                }
                (told, gap) => panic!("{told:?} instead of {gap:?}"),
            }
        }
    }
}
