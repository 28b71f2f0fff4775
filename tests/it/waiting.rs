//! Waiting for events: blocking, with a time limit, as futures and as streams.

use crate::executor::{Bell, block_on, next};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use wakelog::{
    AckError, Log, NewEvent, Options, ReadError, ReadLevel, Reader, Start, SyncError, SyncPolicy,
};

const LONG: Duration = Duration::from_secs(60);

fn manual() -> Log {
    Options::new().sync(SyncPolicy::Manual).in_memory().unwrap()
}

fn reader(log: &Log, filter: &str) -> Reader {
    let builder = log.reader().topics([filter]);
    builder.start(Start::Latest).open().unwrap()
}

#[test]
fn recv_timeout_waits_no_longer_than_told() {
    let log = manual();
    let mut waiting = reader(&log, "a");
    let start = Instant::now();
    assert!(waiting.recv_timeout(Duration::ZERO).unwrap().is_none());
    assert!(
        waiting
            .recv_timeout(Duration::from_millis(30))
            .unwrap()
            .is_none()
    );
    assert!(start.elapsed() >= Duration::from_millis(30));
    log.append("a", "x").unwrap();
    assert_eq!(waiting.recv_timeout(LONG).unwrap().unwrap().offset(), 0);
    // A time that no clock can count to.
    log.append("a", "y").unwrap();
    assert_eq!(
        waiting
            .recv_timeout(Duration::MAX)
            .unwrap()
            .unwrap()
            .offset(),
        1
    );
}

#[test]
fn a_sleeper_is_woken_by_an_append() {
    let log = manual();
    let mut waiting = reader(&log, "a.*");
    let thread = std::thread::spawn(move || waiting.recv_timeout(LONG).unwrap().unwrap().offset());
    std::thread::sleep(Duration::from_millis(20));
    log.append("b", "not for it").unwrap();
    log.append("a.b", "for it").unwrap();
    assert_eq!(thread.join().unwrap(), 1);
}

#[test]
fn a_durable_sleeper_is_woken_by_the_sync() {
    let log = manual();
    let builder = log.reader().level(ReadLevel::Durable).start(Start::Latest);
    let mut waiting = builder.open().unwrap();
    log.append("a", "x").unwrap();
    assert!(
        waiting
            .recv_timeout(Duration::from_millis(50))
            .unwrap()
            .is_none()
    );
    let thread = std::thread::spawn(move || waiting.recv_timeout(LONG).unwrap().unwrap().offset());
    std::thread::sleep(Duration::from_millis(20));
    log.sync().unwrap();
    assert_eq!(thread.join().unwrap(), 0);
}

#[test]
fn waiters_are_woken_for_their_topics_alone() {
    const READERS: u64 = 40;
    let log = manual();
    let mut waiting: Vec<(Reader, Arc<Bell>)> = (0..READERS)
        .map(|number| (reader(&log, &format!("topic.{number}")), Bell::new()))
        .collect();
    let mut expected = vec![0; waiting.len()];
    for (reader, bell) in &mut waiting {
        assert!(poll(reader, bell).is_pending());
    }
    for round in 0..200_u64 {
        let number = (round * 7) % READERS;
        let index = usize::try_from(number).unwrap();
        let topic = format!("topic.{number}");
        log.append("nobody.listens", "x").unwrap();
        let offset = log.append(&topic, "x").unwrap();
        expected[index] += 1;
        let (reader, bell) = &mut waiting[index];
        crate::child::until("a wake-up", || bell.rings() == expected[index]);
        assert!(poll(reader, bell).is_ready());
        assert_eq!(reader.next().unwrap().unwrap().offset(), offset);
        assert!(poll(reader, bell).is_pending());
    }
    let rings: Vec<u64> = waiting.iter().map(|(_, bell)| bell.rings()).collect();
    assert_eq!(rings, expected, "somebody was woken for nothing");
}

fn poll(reader: &mut Reader, bell: &Arc<Bell>) -> Poll<()> {
    let waker = Waker::from(Arc::clone(bell));
    let polled = reader.poll_ready(&mut Context::from_waker(&waker));
    polled.map(|ready| ready.unwrap())
}

#[test]
fn whoever_an_event_is_not_to_is_not_woken() {
    let log = manual();
    let begin = || log.reader().topics(["room"]).start(Start::Latest);
    let mut alice = begin().identities(["alice"]).open().unwrap();
    let mut bob = begin().identities(["bob"]).open().unwrap();
    let bells = [Bell::new(), Bell::new()];
    assert!(poll(&mut alice, &bells[0]).is_pending());
    assert!(poll(&mut bob, &bells[1]).is_pending());
    log.append_event(NewEvent::new("room", "hello").not_to("alice"))
        .unwrap();
    crate::child::until("bob's wake-up", || bells[1].rings() == 1);
    assert_eq!(bob.next().unwrap().unwrap().payload(), b"hello");
    assert!(alice.next().unwrap().is_none());
    assert_eq!(bells[0].rings(), 0);
}

#[test]
fn many_sleepers_on_many_topics_all_get_theirs() {
    let log = Options::new().in_memory().unwrap();
    let threads: Vec<_> = (0..16)
        .map(|number| {
            let mut waiting = reader(&log, &format!("topic.{}", number % 4));
            std::thread::spawn(move || {
                let events = (0..50).map(|_| waiting.recv_timeout(LONG).unwrap().unwrap());
                events.map(|event| event.offset()).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut expected = vec![Vec::new(); 4];
    for number in 0..200 {
        let offset = log.append(&format!("topic.{}", number % 4), "x").unwrap();
        expected[number % 4].push(offset);
        if number % 16 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    for (number, thread) in threads.into_iter().enumerate() {
        assert_eq!(thread.join().unwrap(), expected[number % 4]);
    }
}

#[test]
fn a_stream_gives_what_comes_and_ends_when_the_log_is_closed() {
    let log = manual();
    let mut following = reader(&log, "a");
    let appender = log.clone();
    let thread = std::thread::spawn(move || {
        for number in 0..100 {
            appender
                .append(if number % 3 == 0 { "b" } else { "a" }, "x")
                .unwrap();
            if number % 10 == 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        appender.close().unwrap();
    });
    let offsets = block_on(async {
        let mut stream = pin!(following.stream());
        let mut offsets = Vec::new();
        while let Some(event) = next(stream.as_mut()).await {
            offsets.push(event.unwrap().offset());
        }
        offsets
    });
    thread.join().unwrap();
    assert_eq!(
        offsets,
        (0..100)
            .filter(|number| number % 3 != 0)
            .collect::<Vec<_>>()
    );
    assert!(matches!(following.next(), Ok(None)));
    assert!(matches!(following.recv(), Err(ReadError::Closed)));
}

#[test]
fn a_cursor_streams_too_and_is_fenced_while_it_waits() {
    let log = manual();
    let mut older = log.cursor("alice").topics(["a"]).open().unwrap();
    log.append("a", "x").unwrap();
    let other = log.clone();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        other.cursor("alice").open().unwrap().opened()
    });
    let (event, error) = block_on(async {
        let mut stream = pin!(older.stream());
        let event = next(stream.as_mut()).await.unwrap().unwrap();
        (event, next(stream.as_mut()).await.unwrap())
    });
    assert_eq!(thread.join().unwrap(), wakelog::Opened::Resumed);
    assert!(matches!(error, Err(ReadError::Fenced)));
    assert!(matches!(older.ack(&event), Err(AckError::Fenced)));
}

#[test]
fn durable_resolves_when_it_is_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path()).unwrap();
    let futures: Vec<_> = (0..20)
        .map(|_| log.durable(log.append("a", "x").unwrap()))
        .collect();
    for (offset, future) in (0..).zip(futures) {
        block_on(future).unwrap();
        assert!(log.durable_offset() > offset);
    }
    let mut cursor = log.cursor("alice").start(Start::Earliest).open().unwrap();
    let event = block_on(async {
        cursor.ready().await.unwrap();
        cursor.next().unwrap().unwrap()
    });
    cursor.ack(&event).unwrap();
    block_on(cursor.saved()).unwrap();

    // It may go to another thread, and outlive the handle.
    let never = log.durable(log.next_offset());
    let waiting = std::thread::spawn(move || block_on(never));
    std::thread::sleep(Duration::from_millis(10));
    log.close().unwrap();
    assert!(matches!(waiting.join().unwrap(), Err(SyncError::Closed)));
}

#[test]
fn a_future_that_is_dropped_leaves_nobody_waiting() {
    let log = Options::new().max_waiters(1).in_memory().unwrap();
    let mut one = reader(&log, "a");
    let mut two = reader(&log, "a");
    let bell = Bell::new();
    assert!(poll(&mut one, &bell).is_pending());
    let waker = Waker::from(Arc::clone(&bell));
    let refused = two.poll_ready(&mut Context::from_waker(&waker));
    assert!(matches!(
        refused,
        Poll::Ready(Err(ReadError::TooManyWaiters { limit: 1 }))
    ));
    drop(one);
    assert!(poll(&mut two, &bell).is_pending());
    log.append("a", "x").unwrap();
    let event = block_on(async {
        two.ready().await.unwrap();
        two.next().unwrap().unwrap()
    });
    assert_eq!(event.offset(), 0);
}
