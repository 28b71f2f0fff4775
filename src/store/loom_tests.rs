//! Models of the protocols between threads, under every schedule and every reordering that loom
//! finds: `cargo xtask models`. Each runs the log's own code, on threads of the model instead of
//! the log's, and each shows that it is there for something: with the bug planted it fails.

use super::{DurableFuture, Shared, SpareSlot, Store, Wait};
use crate::dir::MemoryDir;
use crate::error::{AppendError, ReadError, SyncError};
use crate::format::{FrameBuffer, Limits};
use crate::notify::{EndWord, Seat, Sleeper};
use crate::options::{Options, ReadLevel, Start, SyncPolicy};
use crate::reader::{Event, ReaderBuilder, Scan, Scanner};
use crate::segment;
use crate::sync::{Parker, Plant, is_found, is_planted, thread};
use crate::types::{FilterSet, GapReason, NewEvent};
use crate::{dispatch, recovery};
use rustix::io::Errno;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

/// Runs a model with at most so many preemptions: switches away from a thread that could go on.
fn check(preemptions: usize, model: fn()) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 100_000;
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    println!("{} schedules", count.load(Ordering::Relaxed));
}

/// The model holds, and it fails with each of the bugs planted.
fn prove(preemptions: usize, plants: &[Plant], model: fn()) {
    check(preemptions, model);
    // The process that has the bug comes here if it was not found.
    for plant in plants.iter().filter(|_| !is_planted()) {
        assert!(is_found(*plant), "{plant:?} is not found");
    }
}

fn options() -> Options {
    Options::new()
        .segment_bytes(16 << 10)
        .open_segments(0)
        .sync(SyncPolicy::Manual)
        .dedup_ids(0)
}

/// A log without threads, and its directory.
fn open() -> (Arc<Shared>, MemoryDir) {
    let dir = MemoryDir::new();
    let recovered = recovery::open(Arc::new(dir.clone()), &options(), None).unwrap();
    (Arc::new(Shared::new(recovered, options())), dir)
}

fn append(shared: &Shared, payload: &[u8]) -> Result<u64, AppendError> {
    let mut frame = FrameBuffer::new();
    let event = NewEvent::new("a", payload);
    frame.event(&event, &Limits::new(&options())).unwrap();
    let placed = shared.append(&mut frame, Wait::Never)?;
    Ok(placed.offsets.start)
}

/// All that is published now: payloads begin with 7 or the offset. Ends with what a gap says.
fn read(shared: &Shared, scanner: &mut Scanner) -> Option<GapReason> {
    let limit = shared.marks.next();
    loop {
        let next = scanner.next();
        match scanner.advance(shared, limit, |_| true).unwrap() {
            Scan::Done => {
                assert_eq!(next, limit, "published, and not there");
                return None;
            }
            Scan::Event(segment, spot) => {
                assert_eq!(spot.offset, next);
                let event = Event::new(segment, spot, shared.epoch());
                let number = event.payload()[0];
                assert!(number == 7 || u64::from(number) == next, "other bytes");
            }
            Scan::Gap(gap) => {
                assert!(gap.from == next && gap.to <= limit, "{gap:?}");
                return Some(gap.reason);
            }
        }
    }
}

/// What is published can be read, and is what was appended.
#[test]
fn publish_and_read() {
    prove(4, &[Plant::RelaxedPublish], || {
        let (shared, _) = open();
        let appender = || {
            let shared = Arc::clone(&shared);
            thread::spawn(move || append(&shared, &[7]).unwrap())
        };
        let appenders = [appender(), appender()];
        let mut scanner = Scanner::new(0);
        assert_eq!(read(&shared, &mut scanner), None);
        assert_eq!(read(&shared, &mut scanner), None);
        let mut offsets = appenders.map(|appender| appender.join().unwrap());
        offsets.sort_unstable();
        assert_eq!(offsets, [0, 1]);
        assert_eq!(read(&shared, &mut scanner), None);
        assert_eq!(scanner.next(), 2);
    });
}

/// Two readers that take the seat by turns and a publisher: each sees all that is published.
#[test]
fn nothing_is_slept_through_in_a_seat() {
    prove(3, &[Plant::DroppedWakeUp], || {
        let shared = Arc::new((EndWord::new(0), Seat::default()));
        let reader = || {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let (word, seat) = &*shared;
                let parker = Parker::new();
                while word.offset() < 1 {
                    let Some(_seated) = seat.take(parker.unparker()) else {
                        thread::yield_now();
                        continue;
                    };
                    let seen = word.seen();
                    if seen.offset() < 1 && word.fall_asleep(Sleeper::READER, seen) {
                        parker.park();
                    }
                }
            })
        };
        let readers = [reader(), reader()];
        let (word, seat) = &*shared;
        if word.publish(1).has(Sleeper::READER) {
            seat.wake();
        }
        let _ = readers.map(|reader| reader.join().unwrap());
    });
}

/// A log whose threads are those of the model: one, which leaves by `leave`.
fn still(options: Options) -> (Arc<Store>, MemoryDir) {
    let dir = MemoryDir::new();
    let recovered = recovery::open(Arc::new(dir.clone()), &options, None).unwrap();
    let store = Store::with(Arc::new(Shared::new(recovered, options)), &[]).unwrap();
    store.shared().running.store(1, Ordering::Release);
    (store, dir)
}

/// What a thread receives that waits in the seat, or with the dispatcher.
fn receive(store: &Arc<Store>) -> Result<u64, ReadError> {
    let reader = ReaderBuilder::new(Arc::clone(store)).start(Start::Offset(0));
    let mut reader = reader.open().unwrap();
    reader.recv().map(|event| event.offset())
}

/// A reader in the seat is woken by the append that it waits for.
#[test]
fn an_append_wakes_who_sits() {
    prove(6, &[Plant::DroppedWakeUp], || {
        let (store, _) = still(options());
        let reader = thread::spawn({
            let store = Arc::clone(&store);
            move || assert!(matches!(receive(&store), Ok(0)))
        });
        append(store.shared(), &[0]).unwrap();
        reader.join().unwrap();
        store.shared().begin_close();
        store.shared().leave(1);
    });
}

/// A reader that sits down while the log is being closed is told.
#[test]
fn a_close_wakes_who_sits() {
    prove(6, &[Plant::BlindSeat, Plant::LateClose], || {
        let (store, _) = still(options());
        let reader = thread::spawn({
            let store = Arc::clone(&store);
            move || assert!(matches!(receive(&store), Err(ReadError::Closed)))
        });
        store.shared().begin_close();
        store.shared().leave(1);
        reader.join().unwrap();
    });
}

/// Who registers while the dispatcher looks at the very event that it waits for is woken.
#[test]
fn the_dispatcher_wakes_who_comes_late() {
    prove(2, &[Plant::ForgottenWaiter], || {
        let (store, _) = still(options());
        let shared = Arc::clone(store.shared());
        let parker = Parker::new();
        let _ = shared.signals.dispatcher.set(parker.unparker().clone());
        // Somebody else waits already, and the seat is taken.
        let filters = FilterSet::new(["else"], None).unwrap();
        let waiters = shared.waiters(ReadLevel::Visible);
        waiters.sign_in(&mut None, &filters, 0, Waker::noop(), 9);
        let _seated = shared.seat(ReadLevel::Visible).take(parker.unparker());
        let dispatcher = thread::spawn({
            let shared = Arc::clone(&shared);
            move || dispatch::run(&shared, &parker)
        });
        let reader = thread::spawn({
            let store = Arc::clone(&store);
            move || assert!(matches!(receive(&store), Ok(0)))
        });
        append(&shared, &[0]).unwrap();
        reader.join().unwrap();
        shared.begin_close();
        dispatcher.join().unwrap();
        shared.leave(1);
    });
}

/// One reads while another one rolls and a third carries the roll to the disk.
#[test]
fn a_roll_beside_a_reader_and_a_round() {
    prove(4, &[Plant::UnlinkedRoll], || {
        let (shared, _) = open();
        let spare = segment::make(&*shared.dir, shared.log_id(), 16 << 10).unwrap();
        shared.append.lock().spare = SpareSlot::Ready(spare);
        append(&shared, &[0; 5_000]).unwrap();
        append(&shared, &[1; 5_000]).unwrap();
        let appender = thread::spawn({
            let shared = Arc::clone(&shared);
            move || append(&shared, &[2; 5_000]).unwrap()
        });
        let rounds = thread::spawn({
            let shared = Arc::clone(&shared);
            move || assert!(shared.round(false))
        });
        let mut scanner = Scanner::new(1);
        assert_eq!(read(&shared, &mut scanner), None);
        appender.join().unwrap();
        rounds.join().unwrap();
        assert_eq!(read(&shared, &mut scanner), None);
        assert_eq!(scanner.next(), 3);
    });
}

/// A reader meets a segment that leaves: its events, or the gap of a trim, nothing else.
#[test]
fn a_trim_beside_a_reader() {
    prove(6, &[Plant::LateTrim], || {
        let (shared, _) = open();
        let spare = segment::make(&*shared.dir, shared.log_id(), 16 << 10).unwrap();
        shared.append.lock().spare = SpareSlot::Ready(spare);
        for number in 0..3 {
            append(&shared, &[number; 5_000]).unwrap();
        }
        assert!(shared.round(false));
        let trim = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.let_one_go(0, 2).unwrap()
        });
        let mut scanner = Scanner::new(0);
        if let Some(reason) = read(&shared, &mut scanner) {
            assert_eq!(reason, GapReason::Trimmed);
            assert_eq!(read(&shared, &mut scanner), None);
        }
        assert_eq!(scanner.next(), 3);
        trim.join().unwrap();
        assert_eq!(shared.marks.first(), 2);
    });
}

/// The sync thread, somebody who appends and waits for the disk, and then a close.
fn sync_beside_a_waiter(fails: bool) {
    let often = SyncPolicy::Every(Duration::from_millis(1));
    let (store, dir) = still(options().sync(often));
    let shared = Arc::clone(store.shared());
    if fails {
        dir.fail_syncs(1, Errno::IO, true);
    }
    let parker = Parker::new();
    let _ = shared.signals.sync.set(parker.unparker().clone());
    let sync = thread::spawn({
        let shared = Arc::clone(&shared);
        move || shared.sync_loop(&parker)
    });
    match append(&shared, &[0]) {
        Ok(offset) => {
            let durable = DurableFuture::offset(Arc::clone(&shared), offset).wait();
            match durable {
                Ok(()) => assert!(!fails, "durable on a disk that failed"),
                Err(SyncError::Poisoned(_)) => assert!(fails),
                Err(other) => panic!("{other:?}"),
            }
        }
        Err(AppendError::Poisoned) => assert!(fails),
        Err(other) => panic!("{other:?}"),
    }
    assert_eq!(shared.marks.durable(), u64::from(!fails));
    shared.begin_close();
    sync.join().unwrap();
    shared.leave(1);
}

/// An append wakes the sync thread, and that one whoever waits for the disk.
#[test]
fn a_sync_wakes_who_waits_for_it() {
    prove(6, &[Plant::DroppedWakeUp], || sync_beside_a_waiter(false));
}

/// A failed sync is told to whoever waits for the disk, and nothing is durable that is not.
#[test]
fn a_failed_sync_is_told() {
    prove(3, &[Plant::EarlyMark, Plant::UntoldPoison], || {
        sync_beside_a_waiter(true);
    });
}

/// What an append beside a close has said is on disk when the close is over, or it says `Closed`.
#[test]
fn a_close_beside_an_append() {
    prove(3, &[Plant::EarlyClose], || {
        let (store, _) = still(options());
        let shared = Arc::clone(store.shared());
        let parker = Parker::new();
        let _ = shared.signals.sync.set(parker.unparker().clone());
        let sync = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.sync_loop(&parker)
        });
        let appender = thread::spawn({
            let shared = Arc::clone(&shared);
            move || append(&shared, &[0])
        });
        shared.begin_close();
        sync.join().unwrap();
        shared.leave(1);
        match appender.join().unwrap() {
            Ok(offset) => assert_eq!(shared.marks.durable(), offset + 1),
            Err(error) => assert!(matches!(error, AppendError::Closed), "{error:?}"),
        }
    });
}
