//! Threads that wait: who sits at the end of the log, who is woken by the dispatcher, who spins.

use std::time::Duration;
use wakelog::{Log, Options, ReadError, ReadLevel, Start, SyncPolicy};

const LONG: Duration = Duration::from_secs(60);
/// As a channel would wait; awake for some of the time; awake for all of it.
const SPINS: [Duration; 3] = [Duration::ZERO, Duration::from_micros(50), Duration::MAX];

/// Of each topic, what somebody gets who waits for `filter`.
fn offsets(filter: &'static str, count: u64) -> Vec<u64> {
    let is_of = |offset: &u64| match filter {
        "rare" => offset % 10 == 9,
        "often" => offset % 10 != 9,
        _ => true,
    };
    (0..count).filter(is_of).collect()
}

fn append(log: &Log, count: u64) {
    for offset in 0..count {
        let topic = if offset % 10 == 9 { "rare" } else { "often" };
        log.append(topic, "x").unwrap();
        // Now and then everybody falls asleep.
        if offset % 7 == 0 {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

#[test]
fn threads_that_wait_side_by_side_get_all_that_is_theirs() {
    const COUNT: u64 = 300;
    for (spin, level) in SPINS.into_iter().flat_map(|spin| {
        let levels = [ReadLevel::Visible, ReadLevel::Durable];
        levels.map(|level| (spin, level))
    }) {
        let log = Options::new().in_memory().unwrap();
        let threads: Vec<_> = ["rare", ">", "often", ">", "rare"]
            .into_iter()
            .map(|filter| {
                let mut reader = log
                    .reader()
                    .topics([filter])
                    .level(level)
                    // On few cores, those that never sleep take turns.
                    .spin(if filter == "rare" {
                        spin
                    } else {
                        Duration::ZERO
                    })
                    .open()
                    .unwrap();
                let expected = offsets(filter, COUNT);
                let thread = std::thread::spawn(move || {
                    for offset in expected {
                        assert_eq!(reader.recv_timeout(LONG).unwrap().unwrap().offset(), offset);
                    }
                    reader.recv().map(|event| event.offset())
                });
                (filter, thread)
            })
            .collect();
        append(&log, COUNT);
        log.sync().unwrap();
        // They wait again, and this wakes them.
        std::thread::sleep(Duration::from_millis(5));
        log.close().unwrap();
        for (filter, thread) in threads {
            let end = thread.join().unwrap();
            assert!(
                matches!(end, Err(ReadError::Closed)),
                "{filter} {spin:?} {level:?}: {end:?}"
            );
        }
    }
}

#[test]
fn a_wait_ends_in_time_whether_it_spins_or_not() {
    for spin in SPINS {
        let log = Options::new().in_memory().unwrap();
        let mut reader = log.reader().start(Start::Latest).spin(spin).open().unwrap();
        let short = Duration::from_millis(5);
        assert!(reader.recv_timeout(short).unwrap().is_none());
        // An event for somebody else does not end it, and does not make it longer.
        log.append("$other", "x").unwrap();
        assert!(reader.recv_timeout(short).unwrap().is_none());
        log.append("a", "x").unwrap();
        assert_eq!(reader.recv_timeout(LONG).unwrap().unwrap().offset(), 1);
    }
}

#[test]
fn a_cursor_that_waits_is_fenced_whether_it_spins_or_not() {
    for spin in SPINS {
        let log = Options::new().in_memory().unwrap();
        let mut older = log.cursor("alice").spin(spin).open().unwrap();
        let waiting = std::thread::spawn(move || older.recv().map(|event| event.offset()));
        // Let it begin to wait; the test holds if it has not.
        std::thread::sleep(Duration::from_millis(5));
        let mut newer = log.cursor("alice").spin(spin).open().unwrap();
        let end = waiting.join().unwrap();
        assert!(matches!(end, Err(ReadError::Fenced)), "{spin:?}: {end:?}");
        let appender = log.clone();
        let thread = std::thread::spawn(move || append(&appender, 100));
        for offset in 0..100 {
            let event = newer.recv().unwrap();
            assert_eq!(event.offset(), offset);
            newer.ack(&event).unwrap();
        }
        thread.join().unwrap();
    }
}

/// The one that sits counts among those that wait.
#[test]
fn a_thread_that_waits_is_counted() {
    let log = Options::new()
        .sync(SyncPolicy::Manual)
        .max_waiters(1)
        .in_memory()
        .unwrap();
    let mut first = log.reader().start(Start::Latest).open().unwrap();
    let mut second = log.reader().start(Start::Latest).open().unwrap();
    let thread = std::thread::spawn(move || first.recv().map(|event| event.offset()));
    crate::child::until("one that waits", || log.stats().visible_waiters == 1);
    let refused = second.recv_timeout(LONG).map(|event| event.is_some());
    assert!(matches!(
        refused,
        Err(ReadError::TooManyWaiters { limit: 1 })
    ));
    log.append("a", "x").unwrap();
    assert_eq!(thread.join().unwrap().unwrap(), 0);
    assert_eq!(second.recv().unwrap().offset(), 0);
    assert_eq!(log.stats().visible_waiters, 0);
}
