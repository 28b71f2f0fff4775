//! Listeners: order, exactly the events, panics, guards and their ends, durable names.

use crate::child::{self, Child, until};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;
use wakelog::{
    CursorError, ListenError, Log, Opened, Options, ReadLevel, Start, SyncPolicy, Trouble,
};

const PATIENCE: Duration = Duration::from_secs(30);

fn small() -> Options {
    Options::new().segment_bytes(16 << 10).listener_threads(2)
}

/// A listener's events come out of a channel.
fn offsets(sender: Sender<u64>) -> impl FnMut(&wakelog::Event) + Send {
    move |event| {
        let _ = sender.send(event.offset());
    }
}

fn expect(receiver: &Receiver<u64>, offsets: impl IntoIterator<Item = u64>) {
    for offset in offsets {
        assert_eq!(receiver.recv_timeout(PATIENCE), Ok(offset));
    }
}

#[test]
fn it_gets_what_matches_from_now_on_until_its_guard_is_dropped() {
    let log = small().in_memory().unwrap();
    log.append("room.1", b"before").unwrap();
    let (sender, receiver) = unbounded();
    let guard = log.on("room.*", offsets(sender)).unwrap();
    assert_eq!(log.stats().listeners, 1);
    log.append("hall", b"not mine").unwrap();
    log.append("room.2", b"mine").unwrap();
    log.append("room.3", b"mine").unwrap();
    expect(&receiver, [2, 3]);
    assert!(!guard.has_ended());
    drop(guard);
    log.append("room.1", b"after").unwrap();
    // The callback is gone, and its end of the channel with it.
    assert!(receiver.recv().is_err());
    assert_eq!(log.stats().listeners, 0);
    until("it waits no more", || log.stats().visible_waiters == 0);
}

#[test]
fn a_thousand_listeners_share_two_threads() {
    const LISTENERS: u64 = 1_000;
    const EVENTS: u64 = 200;
    let log = small().in_memory().unwrap();
    let seen: Arc<Vec<AtomicU64>> = Arc::new((0..LISTENERS).map(|_| AtomicU64::new(0)).collect());
    let mut guards = Vec::new();
    for number in 0..LISTENERS {
        let seen = Arc::clone(&seen);
        let topic = ["even.*", "odd.*"][usize::try_from(number % 2).unwrap()];
        let index = usize::try_from(number).unwrap();
        let guard = log.on(topic, move |event| {
            // The event says its number: none is left out, none comes twice, all in order.
            let due = seen[index].load(Ordering::Relaxed);
            assert_eq!(event.payload(), due.to_le_bytes());
            seen[index].store(due + 1, Ordering::Relaxed);
        });
        guards.push(guard.unwrap());
    }
    std::thread::scope(|scope| {
        for topic in ["even.1", "odd.1"] {
            let log = &log;
            scope.spawn(move || {
                for number in 0..EVENTS {
                    log.append(topic, number.to_le_bytes()).unwrap();
                }
            });
        }
    });
    until("all have all", || {
        seen.iter()
            .all(|seen| seen.load(Ordering::Relaxed) == EVENTS)
    });
    assert!(guards.iter().all(|guard| guard.panics() == 0));
}

#[test]
fn one_that_blocks_and_one_that_is_busy_do_not_hold_up_the_others() {
    let log = small().in_memory().unwrap();
    let (hold, held) = unbounded::<()>();
    let blocked = log.on("a", move |_| held.recv().unwrap_or_default());
    let blocked = blocked.unwrap();
    // Far behind: it has many turns before it.
    for _ in 0..20_000 {
        log.append("b", b"").unwrap();
    }
    let count = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&count);
    let busy = log.listener(["b"]).start(Start::Earliest).run(move |_| {
        std::thread::sleep(Duration::from_micros(50));
        counting.fetch_add(1, Ordering::Relaxed);
    });
    let busy = busy.unwrap();
    let (sender, receiver) = unbounded();
    let quick = log.on("c", offsets(sender)).unwrap();
    log.append("a", b"").unwrap();
    let offset = log.append("c", b"").unwrap();
    expect(&receiver, [offset]);
    assert!(count.load(Ordering::Relaxed) < 20_000);
    drop((quick, busy));
    drop(hold);
    blocked.stop();
}

#[test]
fn a_panic_is_told_and_the_next_event_comes() {
    let log = small().in_memory().unwrap();
    let (sender, receiver) = unbounded();
    let (tell, told) = unbounded();
    let guard = log
        .listener(["a"])
        .on_trouble(move |trouble| tell.send(trouble.clone()).unwrap())
        .run(move |event| {
            assert!(
                event.payload() != b"bad",
                "I do not like {}",
                event.offset()
            );
            sender.send(event.offset()).unwrap();
        })
        .unwrap();
    for payload in ["good", "bad", "good"] {
        log.append("a", payload).unwrap();
    }
    expect(&receiver, [0, 2]);
    match told.recv().unwrap() {
        Trouble::Panicked { offset, message } => {
            assert_eq!((offset, message.as_str()), (1, "I do not like 1"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((guard.panics(), guard.has_ended()), (1, false));
}

#[test]
fn a_named_one_ends_at_a_panic_and_gets_the_event_again() {
    let log = small().in_memory().unwrap();
    let run = |angry: bool| {
        let (sender, receiver) = unbounded();
        let (tell, told) = unbounded();
        let listener = log.listener(["a"]).name("mailer").start(Start::Earliest);
        let guard = listener
            .on_trouble(move |trouble| tell.send(trouble.clone()).unwrap())
            .run(move |event| {
                assert!(!angry || event.offset() != 2, "angry");
                sender.send(event.offset()).unwrap();
            });
        (guard.unwrap(), receiver, told)
    };
    for _ in 0..5 {
        log.append("a", b"").unwrap();
    }
    for _ in 0..2 {
        let (guard, _receiver, told) = run(true);
        let told = told.recv_timeout(PATIENCE).unwrap();
        assert!(matches!(told, Trouble::Panicked { offset: 2, .. }));
        until("it has ended", || guard.has_ended());
        assert!(matches!(guard.trouble(), Some(Trouble::Panicked { .. })));
        assert_eq!(guard.panics(), 1);
    }
    let (guard, receiver, _told) = run(false);
    expect(&receiver, [2, 3, 4]);
    drop(guard);
    // Acked behind each callback.
    let cursor = log.cursor("mailer").open().unwrap();
    assert_eq!((cursor.opened(), cursor.acked()), (Opened::Resumed, 5));
}

#[test]
fn what_is_refused_runs_nothing() {
    let log = small().in_memory().unwrap();
    let bad = log.on("a..b", |_| ());
    assert!(matches!(bad, Err(ListenError::Read(_))), "{bad:?}");
    let beyond = log.listener(["a"]).start(Start::Offset(9)).run(|_| ());
    assert!(matches!(beyond, Err(ListenError::Read(_))));
    let name = log.listener(["a"]).name("").run(|_| ());
    assert!(matches!(name, Err(ListenError::Cursor(_))));
    let named = |filter: &'static str| log.listener([filter]).name("alice");
    drop(named("a").run(|_| ()).unwrap());
    let other = named("b").run(|_| ());
    assert!(matches!(
        other,
        Err(ListenError::Cursor(CursorError::FilterDiffers { .. }))
    ));
    drop(named("b").refilter().run(|_| ()).unwrap());
    assert_eq!(log.stats().listeners, 0);
}

#[test]
fn a_drop_waits_for_the_callback_that_runs() {
    let log = small().in_memory().unwrap();
    for _ in 0..50 {
        let inside = Arc::new(AtomicBool::new(false));
        let (begin, begun) = unbounded();
        let running = Arc::clone(&inside);
        let guard = log.on("a", move |_| {
            running.store(true, Ordering::SeqCst);
            begin.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(1));
            running.store(false, Ordering::SeqCst);
        });
        let guard = guard.unwrap();
        log.append("a", b"").unwrap();
        log.append("a", b"").unwrap();
        begun.recv().unwrap();
        drop(guard);
        assert!(!inside.load(Ordering::SeqCst));
        // No other callback has begun since.
        assert!(begun.iter().count() <= 1);
    }
}

#[test]
fn a_callback_may_do_all_that_a_user_may() {
    let log = small().in_memory().unwrap();
    let slot = Arc::new(Mutex::new(None));
    let (sender, receiver) = unbounded();
    let (own, inner) = (Arc::clone(&slot), log.clone());
    let guard = log.on("a", move |event| {
        inner.append("b", event.payload()).unwrap();
        let mut cursor = inner.cursor("other").start(Start::Earliest).open().unwrap();
        sender
            .send(cursor.next().unwrap().unwrap().offset())
            .unwrap();
        // Its own guard: it is given nothing more.
        drop::<Option<wakelog::Listener>>(own.lock().unwrap().take());
    });
    *slot.lock().unwrap() = Some(guard.unwrap());
    for _ in 0..3 {
        log.append("a", b"again").unwrap();
    }
    expect(&receiver, [0]);
    assert!(receiver.recv().is_err());
    assert_eq!(log.next_offset(), 4);
}

#[test]
fn two_that_end_each_other_do_not_wait_for_ever() {
    let log = small().in_memory().unwrap();
    let slots: [Arc<Mutex<Option<wakelog::Listener>>>; 2] = [Arc::default(), Arc::default()];
    let barrier = Arc::new(Barrier::new(2));
    for number in 0..2 {
        let (barrier, other) = (Arc::clone(&barrier), Arc::clone(&slots[1 - number]));
        let guard = log.on("a", move |_| {
            barrier.wait();
            let other = other.lock().unwrap().take();
            drop(other);
        });
        *slots[number].lock().unwrap() = Some(guard.unwrap());
    }
    log.append("a", b"").unwrap();
    until("both have ended", || log.stats().listeners == 0);
}

#[test]
fn one_that_is_ended_while_it_goes_to_rest_has_ended() {
    // Both are given the event; one ends the other, from a thread that never waits, while the
    // other has nothing more to do.
    for _ in 0..2_000 {
        let log = small().in_memory().unwrap();
        let slot: Arc<Mutex<Option<wakelog::Listener>>> = Arc::default();
        let barrier = Arc::new(Barrier::new(2));
        let (met, ended) = (Arc::clone(&barrier), Arc::clone(&slot));
        let _ends = log.on("a", move |_| {
            met.wait();
            drop(ended.lock().unwrap().take());
        });
        let ended = log.on("a", move |_| {
            barrier.wait();
        });
        *slot.lock().unwrap() = Some(ended.unwrap());
        log.append("a", b"").unwrap();
        until("it has ended", || log.stats().listeners == 1);
    }
}

#[test]
fn a_detached_one_lives_as_long_as_the_log_and_does_not_hold_it() {
    let temporary = tempfile::tempdir().unwrap();
    let log = small().open(temporary.path().join("log")).unwrap();
    let (sender, receiver) = unbounded();
    let begun = log.listener(["a"]).run(offsets(sender)).unwrap();
    assert_eq!(log.stats().handles, 2);
    begun.detach();
    assert_eq!(log.stats().handles, 1);
    log.append("a", b"").unwrap();
    expect(&receiver, [0]);
    for _ in 0..500 {
        log.append("a", b"").unwrap();
    }
    // The last handle goes, the log is closed; what was visible still comes.
    drop(log);
    expect(&receiver, 1..=500);
    assert!(receiver.recv().is_err());
    small().open(temporary.path().join("log")).unwrap();
}

#[test]
fn a_named_one_that_is_detached_does_not_hold_the_log_either() {
    let temporary = tempfile::tempdir().unwrap();
    let log = small().open(temporary.path().join("log")).unwrap();
    let listener = log.listener(["a"]).name("c");
    listener.run(|_| ()).unwrap().detach();
    assert_eq!(log.stats().handles, 1);
    drop(log);
    small().open(temporary.path().join("log")).unwrap();
}

#[test]
fn a_guard_keeps_the_log_open_and_a_callback_may_close_it() {
    let log = small().in_memory().unwrap();
    let (sender, receiver) = unbounded();
    let inner = log.clone();
    let guard = log.on("stop", move |event| {
        inner.close().unwrap();
        sender.send(event.offset()).unwrap();
    });
    let guard = guard.unwrap();
    log.append("stop", b"").unwrap();
    drop(log);
    expect(&receiver, [0]);
    until("it has ended", || guard.has_ended());
    assert!(guard.trouble().is_none());
}

#[test]
fn level_durable_waits_for_the_disk() {
    let log = small().sync(SyncPolicy::Manual).in_memory().unwrap();
    let (sender, receiver) = unbounded();
    let listener = log.listener(["a"]).level(ReadLevel::Durable);
    let _guard = listener.run(offsets(sender)).unwrap();
    log.append("a", b"").unwrap();
    assert!(receiver.recv_timeout(Duration::from_millis(20)).is_err());
    log.sync().unwrap();
    expect(&receiver, [0]);
}

#[test]
fn a_fenced_one_says_so() {
    let log = small().in_memory().unwrap();
    let (tell, told) = unbounded();
    let guard = log
        .listener(["a"])
        .name("alice")
        .on_trouble(move |trouble| tell.send(trouble.to_string()).unwrap())
        .run(|_| ())
        .unwrap();
    let _newer = log.cursor("alice").open().unwrap();
    assert!(told.recv_timeout(PATIENCE).is_ok());
    until("it has ended", || guard.has_ended());
    assert!(matches!(guard.trouble(), Some(Trouble::Read(_))));
}

/// Appends and listens under a name until it is killed; tells each event when its callback ends.
fn listen(dir: &str) {
    let (dir, quiet) = match dir.strip_prefix("last ") {
        Some(dir) => (dir, true),
        None => (dir, false),
    };
    let log = Log::open(dir).unwrap();
    let end = log.next_offset();
    let (sender, receiver) = unbounded();
    let guard = log.listener(["a.>"]).name("mailer").start(Start::Earliest);
    let guard = guard.run(move |event| {
        child::tell(&event.offset().to_string());
        let _ = sender.send(event.offset());
    });
    if !quiet {
        loop {
            log.append("a.b", b"x").unwrap();
            std::thread::sleep(Duration::from_micros(300));
        }
    }
    while receiver.recv_timeout(PATIENCE).unwrap() + 1 < end {}
    drop(guard.unwrap());
}

#[test]
fn a_named_one_leaves_nothing_out_over_kills() {
    if let Some(dir) = child::task() {
        return listen(&dir);
    }
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("log");
    let dir = dir.to_str().unwrap();
    let test = "listeners::a_named_one_leaves_nothing_out_over_kills";
    let mut next = 0_u64;
    let follow = |next: &mut u64, told: Vec<String>| {
        for (index, line) in told.iter().enumerate() {
            let offset: u64 = line.parse().unwrap();
            // After a kill it may begin with some that were done; from there on all in order.
            assert!(
                offset == *next || (index == 0 && offset < *next),
                "{offset}"
            );
            *next = offset + 1;
        }
    };
    for _ in 0..6 {
        let mut running = Child::start(test, dir);
        let told = running.kill_after(Duration::from_millis(120));
        follow(&mut next, told);
    }
    // One more event than was told last is certainly there.
    Log::open(dir).unwrap().append("a.b", b"last").unwrap();
    let mut last = Child::start(test, &format!("last {dir}"));
    let mut told = Vec::new();
    while let Some(line) = last.hear() {
        told.push(line);
    }
    follow(&mut next, told);
    assert_eq!(next, Log::open(dir).unwrap().next_offset());
    assert!(next > 50, "{next}");
}
