//! Listeners of a log whose disk fails.

use crate::dir::MemoryDir;
use crate::{Gap, GapReason, Options, ReadLevel, Start, SyncPolicy, Trouble};
use rustix::io::Errno;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// The disk fails, nothing of the tail survives, and the log is reopened: a listener without a name
/// and one with a name are told of what they saw and that is lost, and go on.
#[test]
fn they_go_on_after_a_reopen_and_are_told_of_what_was_lost() {
    let dir = MemoryDir::new();
    let options = Options::new().segment_bytes(16 << 10);
    let log = options.sync(SyncPolicy::Manual);
    let log = log.open_in(Arc::new(dir.clone())).unwrap();
    let run = |name: Option<&str>| {
        let (sender, receiver) = channel();
        let told = sender.clone();
        let mut listener = log.listener(["a"]).start(Start::Earliest);
        if let Some(name) = name {
            listener = listener.name(name);
        }
        let guard = listener
            .on_trouble(move |trouble| match trouble {
                Trouble::Gap(gap) => told.send(Err(*gap)).unwrap(),
                other => panic!("{other}"),
            })
            .run(move |event| sender.send(Ok(event.offset())).unwrap());
        (guard.unwrap(), receiver)
    };
    for _ in 0..10 {
        log.append("a", b"synced").unwrap();
    }
    log.sync().unwrap();
    let listeners = [run(None), run(Some("alice"))];
    for _ in 0..3 {
        log.append("a", b"lost").unwrap();
    }
    for (_, receiver) in &listeners {
        for offset in 0..13 {
            assert_eq!(receiver.recv_timeout(PATIENCE), Ok(Ok(offset)));
        }
    }
    // The last callback has returned: what it had been given is acked.
    log.wait_acked("alice", 12).unwrap();
    dir.fail_syncs(1, Errno::IO, false);
    assert!(log.sync().is_err());
    // The page cache has forgotten what the disk did not take.
    let name = "00000000000000000000.log";
    let place = usize::try_from(log.stats().durable_position).unwrap();
    dir.flip_bit(name, 8 * (place + 40));
    log.reopen().unwrap();
    assert_eq!(log.next_offset(), 10);
    log.append("a", b"new").unwrap();
    let gap = Gap {
        from: 10,
        to: 13,
        reason: GapReason::Diverged,
    };
    for (guard, receiver) in &listeners {
        assert_eq!(receiver.recv_timeout(PATIENCE), Ok(Err(gap)));
        assert_eq!(receiver.recv_timeout(PATIENCE), Ok(Ok(10)));
        assert!(!guard.has_ended());
    }
    drop(listeners);
    log.sync().unwrap();
    assert_eq!(log.cursor("alice").open().unwrap().acked(), 11);
}

/// While the log takes no acks, a named listener is given nothing more; its ack is not forgotten.
#[test]
fn an_ack_that_is_refused_is_made_up_for() {
    let dir = MemoryDir::new();
    let options = Options::new().segment_bytes(16 << 10);
    let log = options.sync(SyncPolicy::Manual);
    let log = log.open_in(Arc::new(dir.clone())).unwrap();
    let (go, gone) = channel::<()>();
    let (sender, receiver) = channel();
    let listener = log.listener(["a"]).name("alice").level(ReadLevel::Durable);
    let guard = listener.start(Start::Earliest).run(move |event| {
        sender.send(event.offset()).unwrap();
        gone.recv().unwrap();
    });
    let guard = guard.unwrap();
    for _ in 0..3 {
        log.append("a", b"").unwrap();
    }
    log.sync().unwrap();
    assert_eq!(receiver.recv_timeout(PATIENCE), Ok(0));
    // The callback returns while the log is poisoned.
    log.append("a", b"").unwrap();
    dir.fail_syncs(1, Errno::IO, false);
    assert!(log.sync().is_err());
    go.send(()).unwrap();
    assert!(receiver.recv_timeout(Duration::from_millis(30)).is_err());
    log.reopen().unwrap();
    for offset in 1..4 {
        assert_eq!(receiver.recv_timeout(PATIENCE), Ok(offset));
        go.send(()).unwrap();
    }
    drop(guard);
    assert_eq!(log.cursor("alice").open().unwrap().acked(), 4);
}
