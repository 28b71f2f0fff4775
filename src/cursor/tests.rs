//! What a handle of a cursor does besides reading: whom it makes wait, what it stores, what it says
//! when the log takes no acks.

use super::*;
use crate::dir::MemoryDir;
use crate::error::CursorError;
use crate::{Log, Options, SyncPolicy};
use rustix::io::Errno;
use std::future::Future;
use std::pin::pin;
use std::task::Waker;
use std::time::Duration;

const HOUR: u64 = 3_600_000_000;

fn open(dir: &MemoryDir) -> Log {
    let options = Options::new()
        .segment_bytes(16 << 10)
        .sync(SyncPolicy::Manual);
    options.open_in(Arc::new(dir.clone())).unwrap()
}

fn append(log: &Log, topic: &str, count: u64) {
    (0..count).for_each(|_| _ = log.append(topic, b"x").unwrap());
}

fn cursor(log: &Log, name: &str) -> Cursor {
    let builder = log.cursor(name).topics(["a"]);
    builder.start(Start::Earliest).open().unwrap()
}

/// The clock of the log, hours after it is known.
fn set_clock(log: &Log, hours: u64) {
    let since_open = Duration::from_secs(61 + hours * 3_600);
    log.shared().clock.give(since_open, 500_000 * HOUR);
}

fn info(log: &Log, name: &str) -> CursorInfo {
    let list = log.cursor_list().unwrap();
    list.into_iter().find(|info| info.name == name).unwrap()
}

#[test]
fn the_very_first_event_of_a_page_is_not_passed_before_its_ack() {
    let log = Log::in_memory().unwrap();
    let mut cursor = cursor(&log, "c");
    append(&log, "a", 1);
    append(&log, "other", 5);
    let page = cursor.page(1 << 20).unwrap().unwrap();
    assert_eq!((page.first(), page.last()), (Some(0), Some(0)));
    assert!(cursor.page(1 << 20).unwrap().is_none());
    assert_eq!(cursor.acked(), 0);
}

#[test]
fn who_is_ready_has_something_to_read() {
    let log = Log::in_memory().unwrap();
    let mut cursor = cursor(&log, "c");
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(cursor.ready()).poll(&mut context).is_pending());
    let source: &mut dyn Source = &mut cursor;
    assert!(source.poll_ready(&mut context).is_pending());
    append(&log, "a", 1);
    assert!(pin!(cursor.ready()).poll(&mut context).is_ready());
}

/// A consumer that lost what it has acked may ack what stands there now, instead of the gap.
#[test]
fn a_gap_whose_end_was_acked_is_not_told_again() {
    let dir = MemoryDir::new();
    let log = open(&dir);
    append(&log, "a", 5);
    let reading = cursor(&log, "c");
    log.sync().unwrap();
    append(&log, "a", 5);
    let mut reading = reading;
    reading.ack_to(log.position()).unwrap();
    // The word of the cursor survives, the events do not.
    let image = log.abandon(|| dir.image());
    let (dir, all) = (MemoryDir::from_image(&image), MemoryDir::from_image(&image));
    dir.power_loss(0);
    all.power_loss(1);
    dir.write("cursors-00.slots", &all.read("cursors-00.slots"));

    let log = open(&dir);
    append(&log, "a", 5);
    let mut told = cursor(&log, "c");
    let Err(ReadError::Gap(gap)) = told.next() else {
        panic!("no gap")
    };
    assert_eq!((told.acked(), gap.from, gap.to), (5, 5, 10));
    told.ack_to(log.position()).unwrap();
    assert_eq!((told.acked(), told.slot.kept()), (10, Some(10)));
    let mut next = cursor(&log, "c");
    assert!(next.next().unwrap().is_none());
    append(&log, "other", 3);
    assert!(next.next().unwrap().is_none());
    assert_eq!(next.acked(), 13, "what does not match is passed");
}

#[test]
fn the_end_of_a_handle_is_a_use_of_the_cursor_and_that_of_a_fenced_one_is_none() {
    let log = Log::in_memory().unwrap();
    set_clock(&log, 0);
    let (older, other) = (cursor(&log, "c"), cursor(&log, "other"));
    let newer = cursor(&log, "c");
    let began = info(&log, "c").last_ack.unwrap();
    set_clock(&log, 5);
    drop((older, other));
    assert_eq!(info(&log, "c").last_ack, Some(began));
    assert_eq!(info(&log, "other").last_ack, Some(began + 5 * HOUR));
    drop(newer);
    assert_eq!(info(&log, "c").last_ack, Some(began + 5 * HOUR));
}

#[test]
fn a_cursor_without_a_time_to_live_grows_as_old_as_it_likes_and_may_get_one() {
    let log = Log::in_memory().unwrap();
    set_clock(&log, 0);
    let hour = Duration::from_micros(HOUR);
    drop(cursor(&log, "for ever"));
    let mortal = log.cursor("mortal").topics(["a"]).ttl(2 * hour);
    drop(mortal.open().unwrap());
    set_clock(&log, 2);
    assert_eq!(info(&log, "mortal").state, CursorState::Live, "on the dot");
    set_clock(&log, 3);
    let list = log.cursor_list().unwrap();
    let all: Vec<_> = list.iter().map(|info| (info.state, info.ttl)).collect();
    let expired = (CursorState::Expired, Some(2 * hour));
    assert_eq!(all, [(CursorState::Live, None), expired]);
    drop(log.cursor("for ever").ttl(hour).open().unwrap());
    assert_eq!(info(&log, "for ever").ttl, Some(hour));
}

#[test]
fn a_wait_for_an_ack_ends_with_it_and_leaves_nobody_registered() {
    let log = Log::in_memory().unwrap();
    let mut cursor = cursor(&log, "c");
    append(&log, "a", 1);
    {
        let mut acked = pin!(log.acked("c", 0));
        let mut context = Context::from_waker(Waker::noop());
        assert!(acked.as_mut().poll(&mut context).is_pending());
        assert_eq!(log.shared().ack_waits.waiting(), 1);
    }
    assert_eq!(log.shared().ack_waits.waiting(), 0);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| log.wait_acked_timeout("c", 0, Duration::from_secs(600)));
        while log.shared().ack_waits.waiting() == 0 {
            std::thread::yield_now();
        }
        let event = cursor.next().unwrap().unwrap();
        cursor.ack(&event).unwrap();
        assert!(waits.join().unwrap().unwrap());
    });
}

#[test]
fn who_waits_for_a_cursor_that_is_deleted_is_told() {
    let log = Log::in_memory().unwrap();
    drop(cursor(&log, "c"));
    let mut acked = pin!(log.acked("c", 8));
    let mut context = Context::from_waker(Waker::noop());
    assert!(acked.as_mut().poll(&mut context).is_pending());
    log.delete_cursor("c").unwrap();
    // Another one of the name, in another slot or in the same one, is not the one that was meant.
    let _another = cursor(&log, "c");
    let told = acked.as_mut().poll(&mut context);
    let unknown = matches!(told, Poll::Ready(Err(CursorError::Unknown { .. })));
    assert!(unknown, "{told:?}");
}

/// Where the log takes no acks, and why: poisoned, open to be read, closed.
#[test]
fn a_log_that_takes_no_acks_says_why() {
    let dir = MemoryDir::new();
    let log = open(&dir);
    append(&log, "a", 2);
    drop(cursor(&log, "c"));
    let say = |log: &Log| {
        let opened = log.cursor("c").open().map(drop);
        let set = log.set_cursor("c", Start::Earliest).map(drop);
        let deleted = log.delete_cursor("c");
        let waited = log.wait_acked("c", 0);
        [opened, set, deleted, waited].map(Result::unwrap_err)
    };
    dir.fail_syncs(1, Errno::IO, false);
    log.sync().unwrap_err();
    for error in say(&log) {
        assert!(matches!(error, CursorError::Poisoned), "{error:?}");
    }
    log.reopen().unwrap();
    log.sync().unwrap();
    let follower = Options::new().follow_in(Arc::new(dir.clone())).unwrap();
    for error in say(&follower) {
        assert!(matches!(error, CursorError::ReadOnly), "{error:?}");
    }
    log.close().unwrap();
    for error in say(&log) {
        assert!(matches!(error, CursorError::Closed), "{error:?}");
    }
}

#[test]
fn a_time_to_live_is_between_a_minute_and_a_hundred_years() {
    let log = Log::in_memory().unwrap();
    let minute = Duration::from_secs(60);
    let century = Duration::from_secs(3_153_600_000);
    let second = Duration::from_secs(1);
    for (number, ttl, is_good) in [
        (0, minute, true),
        (1, minute - second, false),
        (2, century, true),
        (3, century + second, false),
    ] {
        let cursor = log.cursor(format!("c{number}")).topics(["a"]);
        assert_eq!(cursor.ttl(ttl).open().is_ok(), is_good, "{ttl:?}");
    }
}

/// What goes wrong below is told by its own name.
#[test]
fn errors_of_acks_and_reads_keep_their_names() {
    use super::builder::{closed_or_poisoned, reading_failed};
    use crate::error::IoFailure;
    let read_only = closed_or_poisoned(AckError::ReadOnly);
    assert!(matches!(read_only, CursorError::ReadOnly), "{read_only}");
    let filter = crate::FilterSet::new([""], None).unwrap_err();
    let told = reading_failed(ReadError::Filter(filter));
    assert!(matches!(told, CursorError::Filter(_)), "{told}");
    let failure = IoFailure::new(std::path::Path::new("there"), "read", Errno::IO.into());
    let told = reading_failed(ReadError::Io(failure));
    assert!(matches!(told, CursorError::Io(_)), "{told}");
}
