//! Loss of power at any moment, and syncs that fail.

use super::*;
use rustix::io::Errno;
use std::collections::BTreeMap;

/// What a run has promised about one cursor.
#[derive(Clone, Debug, Default)]
struct Promise {
    /// `acked` when a sync that began after it returned.
    synced: Option<u64>,
    /// The highest and lowest `acked` since.
    range: (u64, u64),
    filters: Vec<&'static str>,
    synced_filters: usize,
}

/// Creates, acks, redefines and syncs, and notes what must hold. Ends at the first error.
fn run(dir: &MemoryDir, promises: &mut BTreeMap<&'static str, Promise>) -> Result<(), String> {
    let names = ["alice", "bob", "carol", "dave"];
    let opened = CursorFile::open(Arc::new(dir.clone()), &meta(), 1_000_000, 100);
    let (cursors, _) = opened.map_err(|error| error.to_string())?;
    let mut handles = BTreeMap::new();
    for (round, name) in (0u64..).zip(names) {
        let filter = ["a", "b", "c", "d"][handles.len()];
        // The creation may leave a trace even if it says it failed.
        let promise = Promise {
            range: (round, round),
            filters: vec![filter],
            ..Promise::default()
        };
        promises.insert(name, promise);
        let created = cursors.make(name, &wants(&[filter]), round);
        handles.insert(name, created.map_err(|error| error.to_string())?);
        for (known, handle) in &handles {
            let Some(promise) = promises.get_mut(known) else {
                unreachable!()
            };
            promise.range.1 = 10 * (round + 1);
            handle.ack(promise.range.1);
            if round == 2 {
                promise.filters.push("z");
                cursors
                    .refilter(handle, known, &wants(&["z"]))
                    .map_err(|e| e.to_string())?;
            }
        }
        if round != 1 {
            cursors.save().map_err(|error| error.to_string())?;
            for known in handles.keys() {
                let Some(promise) = promises.get_mut(known) else {
                    unreachable!()
                };
                promise.synced = Some(promise.range.1);
                promise.range.0 = promise.range.1;
                promise.synced_filters = promise.filters.len() - 1;
            }
        }
    }
    Ok(())
}

fn check(dir: &MemoryDir, promises: &BTreeMap<&'static str, Promise>, case: &str) {
    let (cursors, faults) = open_at(dir, 1_000_000);
    assert!(
        faults.iter().all(|fault| fault.file == "cursors.defs"),
        "{case}: {faults:?}"
    );
    for (name, promise) in promises {
        match cursors.find(name) {
            Ok(Some(cursor)) => {
                let acked = cursor.acked();
                let (low, high) = promise.range;
                assert!(
                    (low..=high).contains(&acked),
                    "{case}: {name} at {acked}, {promise:?}"
                );
                let filters = cursor.definition().unwrap().filters;
                let allowed = &promise.filters[promise.synced_filters..];
                assert!(
                    allowed.contains(&&*filters[0]),
                    "{case}: {name} {filters:?}"
                );
            }
            Ok(None) => assert_eq!(promise.synced, None, "{case}: {name} is gone"),
            Err(corruption) => panic!("{case}: {name}: {corruption}"),
        }
    }
    // They all can be used, and made if they are gone.
    for name in promises.keys() {
        let known = cursors.find(name).unwrap();
        let cursor = known.unwrap_or_else(|| cursors.make(name, &wants(&["x"]), 7).unwrap());
        cursor.ack(500_000);
    }
    cursors.save().unwrap();
    drop(cursors);
    dir.power_loss(0);
    let cursors = open(dir);
    for name in promises.keys() {
        assert_eq!(found(&cursors, name).acked(), 500_000, "{case}: {name}");
    }
}

#[test]
fn a_loss_of_power_at_any_operation_keeps_every_promise() {
    let whole = MemoryDir::new();
    run(&whole, &mut BTreeMap::new()).unwrap();
    let operations = whole.operations();
    assert!(operations > 15, "{operations}");
    for stop in 1..=operations + 1 {
        for seed in 0..60 {
            let dir = MemoryDir::new();
            let mut promises = BTreeMap::new();
            dir.stop_at(stop);
            let result = run(&dir, &mut promises);
            assert_eq!(result.is_ok(), stop > operations);
            dir.power_loss(seed);
            check(&dir, &promises, &format!("stop {stop}, seed {seed}"));
        }
    }
}

#[test]
fn a_loss_of_power_while_open_mends_is_mended_by_the_next_open() {
    let before = MemoryDir::new();
    {
        let cursors = open(&before);
        for (name, start) in [("alice", 10), ("bob", 700), ("carol", 800)] {
            cursors.make(name, &wants(&["a"]), start).unwrap();
        }
        cursors.save().unwrap();
        // Unfinished, as after a kill.
        cursors.make("dave", &wants(&["a"]), 900).unwrap();
    }
    let image = before.image();
    let count = {
        let dir = MemoryDir::from_image(&image);
        let _ = open_at(&dir, 500);
        dir.operations()
    };
    assert!(count >= 3, "{count}");
    for stop in 1..=count {
        for seed in 0..60 {
            let dir = MemoryDir::from_image(&image);
            dir.stop_at(stop);
            let opened = CursorFile::open(Arc::new(dir.clone()), &meta(), 500, 100);
            assert!(opened.is_err(), "stop {stop}");
            drop(opened);
            dir.power_loss(seed);
            let (cursors, faults) = open_at(&dir, 500);
            assert_eq!(faults, [], "stop {stop}, seed {seed}");
            let place = |name: &str| {
                let cursor = found(&cursors, name);
                (cursor.acked(), cursor.kept())
            };
            assert_eq!(place("alice"), (10, None));
            assert_eq!(place("bob"), (500, Some(700)), "stop {stop}, seed {seed}");
            assert_eq!(place("carol"), (500, Some(800)), "stop {stop}, seed {seed}");
            if let Some(dave) = cursors.find("dave").unwrap() {
                assert_eq!((dave.acked(), dave.kept()), (500, Some(900)));
            }
        }
    }
}

#[test]
fn after_a_failed_sync_lower_brings_everything_to_the_disk() {
    for failing in 1..=4 {
        let dir = MemoryDir::new();
        let cursors = open(&dir);
        let alice = cursors.make("alice", &wants(&["a"]), 10).unwrap();
        cursors.save().unwrap();
        let bob = cursors.make("bob", &wants(&["b"]), 700).unwrap();
        alice.ack(600);
        cursors.refilter(&alice, "alice", &wants(&["c"])).unwrap();
        dir.fail_syncs(failing, Errno::IO, false);
        if cursors.save().is_ok() {
            assert_eq!(
                failing, 4,
                "there are three syncs in a round that made a cursor"
            );
        }
        dir.fail_syncs(u64::MAX, Errno::IO, false);
        cursors.lower(500).unwrap();
        assert_eq!((alice.acked(), alice.kept()), (500, Some(600)));
        assert_eq!((bob.acked(), bob.kept()), (500, Some(700)));
        let copy = MemoryDir::from_image(&dir.image());
        copy.power_loss(0);
        let after = open(&copy);
        let place = |name: &str| {
            let cursor = found(&after, name);
            (
                cursor.acked(),
                cursor.kept(),
                cursor.definition().unwrap().filters,
            )
        };
        assert_eq!(place("alice"), (500, Some(600), vec![String::from("c")]));
        assert_eq!(place("bob"), (500, Some(700), vec![String::from("b")]));
        // The handles go on as before.
        bob.ack(501);
        cursors.save().unwrap();
        dir.power_loss(0);
        assert_eq!(found(&open(&dir), "bob").acked(), 501);
    }
}

#[test]
fn an_open_after_a_failed_sync_does_not_believe_the_kernel() {
    let dir = MemoryDir::new();
    let cursors = open(&dir);
    cursors.make("alice", &wants(&["a"]), 10).unwrap();
    dir.fail_syncs(1, Errno::IO, false);
    assert!(cursors.save().is_err());
    drop(cursors);
    let cursors = open(&dir);
    assert_eq!(found(&cursors, "alice").acked(), 10);
    dir.power_loss(0);
    drop(cursors);
    assert_eq!(found(&open(&dir), "alice").acked(), 10);
}

#[test]
fn a_creation_that_fails_leaves_the_name_free() {
    for kth in 1..=2 {
        let dir = MemoryDir::new();
        let cursors = open(&dir);
        dir.fail_creates(kth, Errno::NOSPC, false);
        let failed = cursors.make("alice", &wants(&["a"]), 10);
        assert!(
            matches!(failed, Err(CursorError::DiskFull(_))),
            "create {kth}: {failed:?}"
        );
        assert!(cursors.find("alice").unwrap().is_none());
        assert_eq!(
            cursors.make("alice", &wants(&["a"]), 10).unwrap().number(),
            0
        );
    }
}

#[test]
fn a_kill_at_any_operation_keeps_every_promise_and_leaves_no_damage() {
    let whole = MemoryDir::new();
    run(&whole, &mut BTreeMap::new()).unwrap();
    for stop in 1..=whole.operations() {
        let dir = MemoryDir::new();
        let mut promises = BTreeMap::new();
        dir.stop_at(stop);
        let _ = run(&dir, &mut promises).unwrap_err();
        // As the process has left it, and twice: what one open finds, each later one would.
        let dir = MemoryDir::from_image(&dir.image());
        // An open syncs the names before it looks at cursors.
        dir.sync().unwrap();
        assert_eq!(open_at(&dir, 1_000_000).1, [], "stop {stop}");
        check(&dir, &promises, &format!("stop {stop}"));
    }
}
