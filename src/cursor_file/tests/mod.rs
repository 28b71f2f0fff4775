//! The cursors on both backings, through damage, loss of power and failed syncs.

mod copying;
mod damage;
mod life;
mod power;
mod replaced;
mod upkeep;

use super::*;
use crate::dir::{DiskDir, MemoryDir};
use crate::error::OpenError;
use crate::format::{Meta, MetaKind, VERSION};
use crate::types::MAX_OFFSET;

fn meta() -> Meta {
    let (log, secret) = (LogId([7; 16]), [9; 16]);
    Meta {
        version: VERSION,
        kind: MetaKind::Own,
        log,
        secret,
        created: 1,
    }
}

fn wants(filters: &[&str]) -> FilterSet {
    FilterSet::new(filters, None).unwrap()
}

fn open_at(dir: &MemoryDir, end: u64) -> (CursorFile, Vec<Corruption>) {
    CursorFile::open(Arc::new(dir.clone()), &meta(), end, 100_000).unwrap()
}

/// Opens what is expected to be without damage.
fn open(dir: &MemoryDir) -> CursorFile {
    let (cursors, faults) = open_at(dir, 1_000_000);
    assert_eq!(faults, []);
    cursors
}

const YOUNG: Age<'_> = Age {
    now: None,
    is_held: &|_| false,
};

/// As long as nothing grows old.
impl CursorFile {
    fn make(&self, name: &str, wants: &FilterSet, start: u64) -> Result<SlotHandle, CursorError> {
        self.create(name, wants, 0, start, &YOUNG)
    }

    fn save(&self) -> io::Result<()> {
        self.sync()
    }

    fn refilter(&self, slot: &SlotHandle, name: &str, wants: &FilterSet) -> io::Result<()> {
        self.redefine(slot, name, wants, 0)
    }
}

fn found(cursors: &CursorFile, name: &str) -> SlotHandle {
    cursors.find(name).unwrap().unwrap()
}

fn on_both_backings(check: impl Fn(Arc<dyn Directory>)) {
    check(Arc::new(MemoryDir::new()));
    let path = tempfile::tempdir().unwrap();
    check(Arc::new(DiskDir::open(path.path()).unwrap()));
}

#[test]
fn cursors_come_back_as_they_were() {
    on_both_backings(|dir| {
        let open = || CursorFile::open(Arc::clone(&dir), &meta(), 1_000, 10).unwrap();
        let identities = [String::from("tab 1")];
        let rich = FilterSet::new(["room.*", "user.7"], Some(&identities)).unwrap();
        {
            let (cursors, _) = open();
            assert!(
                dir.list().unwrap().is_empty(),
                "no file before there is a cursor"
            );
            assert!(!cursors.dirty());
            let alice = cursors.make("alice", &rich, 5).unwrap();
            let bob = cursors.make("bob", &wants(&["a"]), 0).unwrap();
            assert!(cursors.dirty());
            assert!(alice.ack(7) && !alice.ack(6) && !alice.ack(7));
            bob.ack(900);
            bob.seek(3);
            bob.keep(40);
            bob.keep(30);
            cursors.save().unwrap();
            assert!(!cursors.dirty());
            assert_eq!(
                (alice.number(), bob.number(), alice.generation()),
                (0, 1, 1)
            );
        }
        let (cursors, faults) = open();
        assert_eq!(faults, []);
        assert_eq!(cursors.count(), 2);
        assert!(cursors.find("carol").unwrap().is_none());
        let (alice, bob) = (found(&cursors, "alice"), found(&cursors, "bob"));
        assert_eq!((alice.acked(), alice.kept()), (7, None));
        assert_eq!((bob.acked(), bob.kept()), (3, Some(40)));
        let definition = alice.definition().unwrap();
        assert_eq!(definition.filters, ["user.7", "room.*"]);
        assert_eq!(definition.identities.unwrap(), ["tab 1"]);
        assert_eq!(bob.definition().unwrap().identities, None);
        bob.clear_kept();
        cursors.refilter(&alice, "alice", &wants(&["b.>"])).unwrap();
        assert_eq!(alice.definition().unwrap().filters, ["b.>"]);
        assert_eq!(alice.acked(), 7);
        drop((alice, bob, cursors));
        // Nothing was synced, but the process alone has ended.
        let (cursors, faults) = open();
        assert_eq!(faults, []);
        assert_eq!(found(&cursors, "bob").kept(), None);
        assert_eq!(
            found(&cursors, "alice").definition().unwrap().filters,
            ["b.>"]
        );
    });
}

#[test]
fn a_cursor_above_the_end_is_put_there_and_keeps_the_gap() {
    let dir = MemoryDir::new();
    let (cursors, _) = open_at(&dir, 100);
    let alice = cursors.make("alice", &wants(&["a"]), 90).unwrap();
    let bob = cursors.make("bob", &wants(&["a"]), 50).unwrap();
    bob.keep(95);
    cursors.save().unwrap();
    drop((alice, bob, cursors));
    for (end, alice_at, bob_at) in [
        (80, (80, Some(90)), (50, Some(95))),
        (40, (40, Some(90)), (40, Some(95))),
    ] {
        let (cursors, faults) = open_at(&dir, end);
        assert_eq!(faults, []);
        let (alice, bob) = (found(&cursors, "alice"), found(&cursors, "bob"));
        assert_eq!((alice.acked(), alice.kept()), alice_at);
        assert_eq!((bob.acked(), bob.kept()), bob_at);
        drop((alice, bob, cursors));
        // It is on disk before open returns.
        dir.power_loss(0);
    }
}

#[test]
fn there_are_as_many_as_the_limit_says_and_chunks_follow_one_another() {
    let dir = MemoryDir::new();
    let (cursors, _) = CursorFile::open(Arc::new(dir.clone()), &meta(), 1_000, 3_500).unwrap();
    for number in 0..3_500u32 {
        let name = format!("c{number}");
        let cursor = cursors
            .make(&name, &wants(&["a"]), u64::from(number))
            .unwrap();
        assert_eq!(cursor.number(), number);
    }
    let more = cursors.make("more", &wants(&["a"]), 0);
    assert!(matches!(more, Err(CursorError::TooMany { limit: 3_500 })));
    cursors.save().unwrap();
    drop(cursors);
    dir.power_loss(0);
    let names: Vec<_> = dir
        .list()
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    assert_eq!(
        names,
        [
            "cursors-00.slots",
            "cursors-01.slots",
            "cursors-02.slots",
            "cursors.defs"
        ]
    );
    let (cursors, faults) = open_at(&dir, 2_000);
    assert_eq!((faults, cursors.count()), (Vec::new(), 3_500));
    for number in 0..3_500u32 {
        let cursor = found(&cursors, &format!("c{number}"));
        assert_eq!(cursor.number(), number);
        assert_eq!(cursor.acked(), u64::from(number).min(2_000));
    }
    let next = cursors.make("next", &wants(&["a"]), MAX_OFFSET).unwrap();
    assert_eq!((next.number(), next.acked()), (3_500, MAX_OFFSET));
}

#[test]
fn definitions_are_compacted_when_most_are_dead() {
    let dir = MemoryDir::new();
    let topics: Vec<String> = (0..1_024).map(|number| format!("{number:0>255}")).collect();
    let large = FilterSet::new(&topics, None).unwrap();
    let cursors = open(&dir);
    let alice = cursors.make("alice", &wants(&["a"]), 1).unwrap();
    // Longer together than what is read at a time, so that one lies across its border.
    for number in 0..6 {
        cursors.make(&format!("large {number}"), &large, 2).unwrap();
    }
    let length = || dir.read("cursors.defs").len();
    let before = length();
    assert!(before > 3 << 19);
    for round in 0..7 {
        let cursor = found(&cursors, &format!("large {}", round % 6));
        cursors
            .refilter(&cursor, &format!("large {}", round % 6), &large)
            .unwrap();
    }
    cursors.refilter(&alice, "alice", &wants(&["b"])).unwrap();
    drop((alice, cursors));
    let cursors = open(&dir);
    assert!(
        length() < before + 1_000,
        "{} bytes after {before}",
        length()
    );
    assert_eq!(
        found(&cursors, "alice").definition().unwrap().filters,
        ["b"]
    );
    for number in 0..6 {
        let cursor = found(&cursors, &format!("large {number}"));
        assert_eq!(cursor.definition().unwrap().filters, topics);
    }
    cursors.make("new", &wants(&["a"]), 3).unwrap();
    drop(cursors);
    let cursors = open(&dir);
    assert_eq!(cursors.count(), 8);
    assert_eq!(found(&cursors, "new").acked(), 3);
}

#[test]
fn no_room_for_a_compaction_is_no_reason_not_to_open() {
    let dir = MemoryDir::new();
    let cursors = open(&dir);
    let alice = cursors.make("alice", &wants(&["a"]), 1).unwrap();
    let topics: Vec<String> = (0..300).map(|number| format!("{number:0>255}")).collect();
    for _ in 0..3 {
        cursors
            .refilter(&alice, "alice", &FilterSet::new(&topics, None).unwrap())
            .unwrap();
    }
    drop((alice, cursors));
    let used: u64 = dir.list().unwrap().iter().map(|entry| entry.bytes).sum();
    dir.set_capacity(used);
    let cursors = open(&dir);
    assert_eq!(
        found(&cursors, "alice").definition().unwrap().filters,
        topics
    );
    let more = cursors.make("bob", &wants(&["a"]), 1);
    assert!(matches!(more, Err(CursorError::DiskFull(_))), "{more:?}");
    dir.set_capacity(10 * used);
    cursors.make("bob", &wants(&["a"]), 1).unwrap();
    assert_eq!(dir.list().unwrap().len(), 2);
}

#[test]
fn a_compaction_that_fails_for_another_reason_than_room_is_told() {
    let large: Vec<String> = (0..300).map(|number| format!("{number:0>255}")).collect();
    let large = FilterSet::new(&large, None).unwrap();
    for (error, opens) in [
        (rustix::io::Errno::NOSPC, true),
        (rustix::io::Errno::DQUOT, true),
        (rustix::io::Errno::ACCESS, false),
    ] {
        let dir = MemoryDir::new();
        let cursors = open(&dir);
        let alice = cursors.make("alice", &wants(&["a"]), 1).unwrap();
        (0..3).for_each(|_| cursors.refilter(&alice, "alice", &large).unwrap());
        drop((alice, cursors));
        dir.fail_creates(1, error, false);
        let opened = CursorFile::open(Arc::new(dir.clone()), &meta(), 1_000, 10);
        assert_eq!(opened.is_ok(), opens, "{error}");
    }
}

#[test]
fn acks_of_many_threads_are_all_saved() {
    let dir = MemoryDir::new();
    let cursors = open(&dir);
    let handles: Vec<SlotHandle> = (0..8)
        .map(|number| {
            cursors
                .make(&format!("c{number}"), &wants(&["a"]), 0)
                .unwrap()
        })
        .collect();
    std::thread::scope(|scope| {
        for handle in &handles {
            scope.spawn(|| (1..=20_000).for_each(|offset| assert!(handle.ack(offset))));
        }
        let syncing = scope.spawn(|| {
            for _ in 0..200 {
                cursors.save().unwrap();
            }
        });
        syncing.join().unwrap();
    });
    cursors.save().unwrap();
    drop((handles, cursors));
    dir.power_loss(0);
    let cursors = open(&dir);
    for number in 0..8 {
        assert_eq!(found(&cursors, &format!("c{number}")).acked(), 20_000);
    }
}

#[test]
fn an_ack_is_saved_by_the_sync_after_it() {
    // One cursor, acked and synced in turns: what a sync covered is there after a loss of power.
    let dir = MemoryDir::new();
    let cursors = open(&dir);
    let alice = cursors.make("alice", &wants(&["a"]), 0).unwrap();
    for offset in 1..50 {
        alice.ack(offset);
        cursors.save().unwrap();
        let copy = MemoryDir::from_image(&dir.image());
        copy.power_loss(0);
        assert_eq!(found(&open(&copy), "alice").acked(), offset);
    }
}
