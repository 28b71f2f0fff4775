//! The threads that call listeners, and the queue of those that have something to do.
//!
//! A listener is in the queue at most once, so the queue is as long as there are listeners at most.
//! Its reader's waker puts it there; it takes a turn of bounded length and goes to the end of the
//! queue if there may be more. One thread at a time works for it, which is its order.

use super::Trouble;
use super::task::{Task, Turned};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, thread};
use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

thread_local! {
    /// Whether this is a thread that calls listeners. Such a one never waits for another: two
    /// callbacks that end each other would wait for ever.
    static CALLS_LISTENERS: Cell<bool> = const { Cell::new(false) };
}

/// The listeners' threads of one log. They start with the first listener and leave after the last.
#[derive(Debug)]
pub(crate) struct Pool {
    threads_max: u32,
    work: Mutex<Work>,
    /// Notified for each listener that is queued, and when there is none left at all.
    queued: Condvar,
}

#[derive(Debug, Default)]
struct Work {
    queue: VecDeque<Arc<Entry>>,
    threads: u32,
    /// Listeners that have not ended.
    listeners: usize,
}

/// Where a listener is on its way through the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Its waker brings it back.
    Waits,
    Queued,
    Running,
    /// Running, and woken meanwhile.
    RunningWoken,
    Ended,
}

/// A listener in the pool.
pub(super) struct Entry {
    pool: Arc<Pool>,
    slot: Mutex<Slot>,
    /// Notified when it does not run any more.
    rests: Condvar,
    stopping: AtomicBool,
    panics: AtomicU64,
    /// A forked child has none of the threads: it waits for nobody.
    process: u32,
}

struct Slot {
    state: State,
    /// Here unless it runs or has ended.
    task: Option<Box<Task>>,
    ended: Option<Trouble>,
}

impl Pool {
    pub(crate) fn new(threads_max: u32) -> Arc<Self> {
        Arc::new(Self {
            threads_max,
            work: Mutex::new(Work::default()),
            queued: Condvar::new(),
        })
    }

    /// How many listeners have not ended.
    pub(crate) fn count(&self) -> usize {
        self.work.lock().listeners
    }

    /// Takes a listener in, and begins with it.
    pub(super) fn add(self: &Arc<Self>, task: Task) -> io::Result<Arc<Entry>> {
        let mut work = self.work.lock();
        while work.threads < self.threads_max {
            match self.spawn(work.threads) {
                Ok(()) => work.threads += 1,
                // Fewer do it too.
                Err(_) if work.threads > 0 => break,
                Err(error) => return Err(error),
            }
        }
        work.listeners += 1;
        drop(work);
        let entry = Arc::new(Entry {
            pool: Arc::clone(self),
            slot: Mutex::new(Slot {
                state: State::Queued,
                task: Some(Box::new(task)),
                ended: None,
            }),
            rests: Condvar::new(),
            stopping: AtomicBool::new(false),
            panics: AtomicU64::new(0),
            process: std::process::id(),
        });
        self.push(Arc::clone(&entry));
        Ok(entry)
    }

    fn spawn(self: &Arc<Self>, number: u32) -> io::Result<()> {
        let pool = Arc::clone(self);
        let builder = thread::Builder::new().name(format!("wakelog-listen-{number}"));
        builder.spawn(move || pool.work()).map(|_| ())
    }

    fn push(&self, entry: Arc<Entry>) {
        self.work.lock().queue.push_back(entry);
        self.queued.notify_one();
    }

    /// The work of a thread.
    fn work(&self) {
        CALLS_LISTENERS.set(true);
        while let Some(entry) = self.pop() {
            entry.run();
        }
    }

    /// The next listener that has something to do; `None` when there is no listener any more.
    fn pop(&self) -> Option<Arc<Entry>> {
        let mut work = self.work.lock();
        loop {
            if let Some(entry) = work.queue.pop_front() {
                return Some(entry);
            }
            if work.listeners == 0 {
                work.threads -= 1;
                return None;
            }
            self.queued.wait(&mut work);
        }
    }

    fn leave(&self) {
        let mut work = self.work.lock();
        work.listeners -= 1;
        if work.listeners == 0 {
            self.queued.notify_all();
        }
    }
}

impl Wake for Entry {
    fn wake(self: Arc<Self>) {
        let mut slot = self.slot.lock();
        match slot.state {
            State::Waits => slot.state = State::Queued,
            State::Running => {
                slot.state = State::RunningWoken;
                return;
            }
            State::Queued | State::RunningWoken | State::Ended => return,
        }
        drop(slot);
        let pool = Arc::clone(&self.pool);
        pool.push(self);
    }
}

impl Entry {
    /// One turn, on a thread of the pool.
    fn run(self: Arc<Self>) {
        let task = {
            let mut slot = self.slot.lock();
            if slot.state != State::Queued {
                return;
            }
            slot.state = State::Running;
            slot.task.take()
        };
        let Some(mut task) = task else { return };
        let waker = Waker::from(Arc::clone(&self));
        let turned = task.turn(
            &mut Context::from_waker(&waker),
            || self.stopping.load(Ordering::Acquire),
            || {
                self.panics.fetch_add(1, Ordering::Relaxed);
            },
        );
        let mut slot = self.slot.lock();
        let again = match turned {
            Turned::Ended(trouble) => {
                drop(slot);
                return self.end(task, trouble);
            }
            Turned::More => true,
            // Whoever has stopped it since it last looked may not wait: its next turn ends it.
            Turned::Waits => {
                slot.state == State::RunningWoken || self.stopping.load(Ordering::Acquire)
            }
        };
        slot.task = Some(task);
        slot.state = if again { State::Queued } else { State::Waits };
        drop(slot);
        self.rests.notify_all();
        // Whoever stops it now finds it resting, and ends it.
        if again {
            let pool = Arc::clone(&self.pool);
            pool.push(self);
        }
    }

    /// The listener is done. What its callback holds is dropped before anybody hears of it.
    fn end(&self, task: Box<Task>, trouble: Option<Trouble>) {
        // A panic in the user's drop has been told by the panic hook; it must not take the thread.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(task)));
        let mut slot = self.slot.lock();
        slot.state = State::Ended;
        slot.ended = trouble;
        drop(slot);
        self.rests.notify_all();
        self.pool.leave();
    }

    /// Ends it, and waits for the callback that runs. On a thread that calls listeners, and in a
    /// forked child, it does not wait.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        let waits = !CALLS_LISTENERS.get() && std::process::id() == self.process;
        let mut slot = self.slot.lock();
        loop {
            match slot.state {
                State::Waits | State::Queued => {
                    let Some(task) = slot.task.take() else { return };
                    slot.state = State::Ended;
                    drop(slot);
                    return self.end(task, None);
                }
                // Its thread sees the flag before the next event.
                State::Running | State::RunningWoken if !waits => return,
                State::Running | State::RunningWoken => self.rests.wait(&mut slot),
                State::Ended => return,
            }
        }
    }

    pub(super) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.slot.lock().state == State::Ended
    }

    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.slot.lock().ended.clone()
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("state", &self.slot.lock().state)
            .finish_non_exhaustive()
    }
}
