//! What happens to the cursors while they are copied.

use super::damage::SLOTS;
use super::*;
use crate::dir::{Entry, Lock, RawFile};
use crate::map::{RegionFollower, RegionWriter};
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

const DEFINITIONS: &str = "cursors.defs";

type Hook<'h> = Box<dyn FnOnce() + Send + 'h>;

/// A directory in which something happens when a file is opened for the `at`th time.
struct Meanwhile<'h> {
    dir: MemoryDir,
    file: &'static str,
    at: usize,
    opened: AtomicUsize,
    hook: Mutex<Option<Hook<'h>>>,
    /// What following a region says.
    refusal: Option<io::ErrorKind>,
    /// What opening the file says.
    denial: Option<io::ErrorKind>,
}

impl fmt::Debug for Meanwhile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.dir.fmt(f)
    }
}

impl Directory for Meanwhile<'_> {
    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn list(&self) -> io::Result<Vec<Entry>> {
        self.dir.list()
    }

    fn create_region(
        &self,
        name: &str,
        len: usize,
        words: usize,
        head: &[u8],
    ) -> io::Result<RegionWriter> {
        self.dir.create_region(name, len, words, head)
    }

    fn open_region(&self, name: &str, words: usize) -> io::Result<RegionWriter> {
        self.dir.open_region(name, words)
    }

    fn follow_region(&self, name: &str, words: usize) -> io::Result<RegionFollower> {
        match self.refusal {
            Some(kind) => Err(kind.into()),
            None => self.dir.follow_region(name, words),
        }
    }

    fn create_file(&self, name: &str) -> io::Result<Box<dyn RawFile>> {
        self.dir.create_file(name)
    }

    fn open_file(&self, name: &str, write: bool) -> io::Result<Box<dyn RawFile>> {
        if name == self.file && self.opened.fetch_add(1, Ordering::SeqCst) + 1 == self.at {
            let hook = self.hook.lock().take();
            hook.unwrap()();
        }
        if let Some(kind) = self.denial.filter(|_| name == self.file) {
            return Err(kind.into());
        }
        self.dir.open_file(name, write)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.dir.rename(from, to)
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        self.dir.unlink(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.dir.sync()
    }

    fn lock(&self, name: &str) -> io::Result<Lock> {
        self.dir.lock(name)
    }
}

/// Copies the cursors of `dir`; `hook` runs when the copy opens `file` for the `at`th time. Says
/// how often it was opened.
fn copied(
    dir: &MemoryDir,
    file: &'static str,
    at: usize,
    hook: impl FnOnce() + Send,
) -> (MemoryDir, usize) {
    let from = Meanwhile {
        dir: dir.clone(),
        file,
        at,
        opened: AtomicUsize::new(0),
        hook: Mutex::new(Some(Box::new(hook))),
        refusal: None,
        denial: None,
    };
    let to = MemoryDir::new();
    let bytes = copy(&from, &to, LogId([7; 16])).unwrap();
    let all = to.list().unwrap();
    assert_eq!(bytes, all.iter().map(|entry| entry.bytes).sum());
    assert!(from.hook.lock().is_none(), "it has happened");
    (to, from.opened.load(Ordering::SeqCst))
}

fn many_filters() -> FilterSet {
    let filters: Vec<String> = (0..40).map(|number| format!("room.{number}")).collect();
    FilterSet::new(&filters, None).unwrap()
}

/// Alice at 70, bob at 50, who has been redefined.
fn two(dir: &MemoryDir) -> (CursorFile, SlotHandle, SlotHandle) {
    let cursors = open(dir);
    let alice = cursors.make("alice", &wants(&["a"]), 60).unwrap();
    let bob = cursors.make("bob", &wants(&["a"]), 50).unwrap();
    cursors.refilter(&bob, "bob", &wants(&["b"])).unwrap();
    alice.ack(70);
    cursors.save().unwrap();
    (cursors, alice, bob)
}

#[test]
fn a_cursor_that_gets_a_slot_behind_its_copy_is_left_out() {
    for torn in [false, true] {
        let dir = MemoryDir::new();
        let (cursors, alice, _bob) = two(&dir);
        let (to, _) = copied(&dir, DEFINITIONS, 2, || {
            cursors.retire("bob").unwrap();
            cursors.save().unwrap();
            let at = dir.read(DEFINITIONS).len();
            let late = cursors.make("late", &many_filters(), 5).unwrap();
            assert_eq!((late.number(), late.generation()), (1, 2), "bob's slot");
            cursors.make("later", &many_filters(), 5).unwrap();
            cursors.refilter(&alice, "alice", &wants(&["b.>"])).unwrap();
            if torn {
                cursors.save().unwrap();
                dir.flip_bit(DEFINITIONS, (at + 100) * 8);
            }
        });
        let there = open(&to);
        let alice = found(&there, "alice");
        assert_eq!(alice.acked(), 70);
        assert_eq!(alice.definition().unwrap().filters, ["b.>"]);
        for name in ["late", "later", "bob"] {
            assert!(there.find(name).unwrap().is_none(), "{name}");
        }
        assert_eq!(there.count(), 1);
    }
}

#[test]
fn a_cursor_whose_slot_was_seen_is_in_the_copy() {
    let dir = MemoryDir::new();
    let (cursors, ..) = two(&dir);
    let (to, _) = copied(&dir, SLOTS, 1, || {
        cursors.make("late", &many_filters(), 5).unwrap();
    });
    let there = open(&to);
    assert_eq!(there.count(), 3);
    let late = found(&there, "late");
    assert_eq!(late.acked(), 5);
    assert_eq!(late.definition().unwrap().filters.len(), 40);
    // In a slot that another cursor had before.
    let dir = MemoryDir::new();
    let (cursors, _, bob) = two(&dir);
    drop(bob);
    cursors.retire("bob").unwrap();
    cursors.save().unwrap();
    let (to, _) = copied(&dir, SLOTS, 1, || {
        let late = cursors.make("late", &many_filters(), 5).unwrap();
        assert_eq!((late.number(), late.generation()), (1, 2));
    });
    assert_eq!(found(&open(&to), "late").acked(), 5);
}

#[test]
fn definitions_that_are_written_anew_meanwhile_are_copied_again() {
    let dir = MemoryDir::new();
    let (cursors, ..) = two(&dir);
    let (to, opened) = copied(&dir, DEFINITIONS, 2, || {
        cursors
            .inner
            .compact(&mut cursors.inner.state.lock())
            .unwrap();
    });
    assert_eq!(opened, 4, "twice from the start");
    let there = open(&to);
    assert_eq!(there.count(), 2);
    assert_eq!(found(&there, "bob").definition().unwrap().filters, ["b"]);
    assert_eq!(to.read(DEFINITIONS), dir.read(DEFINITIONS));
}

#[test]
fn damage_is_copied_as_it_is() {
    let dir = MemoryDir::new();
    drop(two(&dir));
    let slots = dir.read(SLOTS);
    dir.write(SLOTS, &slots[..100]);
    dir.flip_bit(DEFINITIONS, 20 * 8);
    let (to, _) = copied(&dir, DEFINITIONS, 2, || ());
    for file in [SLOTS, DEFINITIONS] {
        assert_eq!(to.read(file), dir.read(file), "{file}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_not_taken_for_a_short_one() {
    let dir = MemoryDir::new();
    drop(two(&dir));
    for (refusal, is_copied) in [
        (io::ErrorKind::InvalidData, true),
        (io::ErrorKind::PermissionDenied, false),
    ] {
        let from = Meanwhile {
            dir: dir.clone(),
            file: SLOTS,
            at: usize::MAX,
            opened: AtomicUsize::new(0),
            hook: Mutex::new(None),
            refusal: Some(refusal),
            denial: None,
        };
        let done = copy(&from, &MemoryDir::new(), LogId([7; 16]));
        assert_eq!(done.is_ok(), is_copied, "{refusal}");
    }
}

/// The disk or the system refuses: that says nothing about what cursors there are.
#[test]
fn a_file_that_cannot_be_opened_is_not_taken_for_none() {
    let dir = MemoryDir::new();
    drop(two(&dir));
    for file in [SLOTS, DEFINITIONS] {
        for (denial, is_told) in [
            (io::ErrorKind::PermissionDenied, true),
            (io::ErrorKind::NotFound, false),
        ] {
            let from = Meanwhile {
                dir: dir.clone(),
                file,
                at: usize::MAX,
                opened: AtomicUsize::new(0),
                hook: Mutex::new(None),
                refusal: None,
                denial: Some(denial),
            };
            let done = copy(&from, &MemoryDir::new(), LogId([7; 16]));
            assert_eq!(done.is_err(), is_told, "{file}: {denial}");
            let listed = list(&from, &meta());
            assert_eq!(listed.is_err(), is_told, "{file}: {denial}");
        }
    }
}
