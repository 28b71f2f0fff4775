//! The face of `parking_lot` and `crossbeam` on the types of a model checker.

use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

#[cfg(loom)]
use loom as checker;
#[cfg(all(shuttle, not(loom)))]
use shuttle as checker;

use checker::sync as given;
pub(crate) use checker::sync::atomic;
#[cfg(loom)]
pub(crate) use checker::thread;

/// A lock that no panic poisons.
pub(crate) struct Mutex<T>(given::Mutex<T>);

/// The lock is held until this is dropped.
pub(crate) struct MutexGuard<'a, T>(Option<given::MutexGuard<'a, T>>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(given::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        MutexGuard(Some(guard))
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok().map(|guard| MutexGuard(Some(guard)))
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("only a wait takes it out")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("only a wait takes it out")
    }
}

/// As that of `parking_lot`: a guard stays where it is.
#[derive(Default)]
pub(crate) struct Condvar(given::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(given::Condvar::new())
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.0.take().expect("only a wait takes it out");
        let held = self.0.wait(held).unwrap_or_else(PoisonError::into_inner);
        guard.0 = Some(held);
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// A lock of many readers that no panic poisons.
pub(crate) struct RwLock<T>(given::RwLock<T>);

pub(crate) type RwLockReadGuard<'a, T> = given::RwLockReadGuard<'a, T>;

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(given::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> given::RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A cell that is set once. That it is set is an atomic of the checker's, so that a thread may see
/// it late.
pub(crate) struct OnceLock<T> {
    set: atomic::AtomicBool,
    cell: std::sync::OnceLock<T>,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        Self {
            set: atomic::AtomicBool::new(false),
            cell: std::sync::OnceLock::new(),
        }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        let set = self.set.load(atomic::Ordering::Acquire);
        self.cell.get().filter(|_| set)
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        let given = self.cell.set(value);
        self.set.store(true, atomic::Ordering::Release);
        given
    }

    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        let value = self.cell.get_or_init(make);
        self.set.store(true, atomic::Ordering::Release);
        value
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Where a thread sleeps. One wake-up is kept for it.
#[derive(Debug, Default)]
pub(crate) struct Parker(Unparker);

/// Wakes whoever sleeps there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unparker(Arc<Token>);

#[derive(Debug, Default)]
struct Token {
    given: Mutex<bool>,
    changed: Condvar,
}

/// In a model a time that is shorter passes at once, and a longer one never does.
const LONG: Duration = Duration::from_millis(500);

/// A moment that is always long enough ago: what is done now and then is done each time, whatever
/// the clock says, so that a schedule can be repeated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instant;

impl Instant {
    pub(crate) fn now() -> Self {
        Self
    }

    pub(crate) fn elapsed(self) -> Duration {
        LONG
    }
}

/// Lets others go on.
pub(crate) fn rest(_: Duration) {
    thread::yield_now();
}

impl Parker {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn unparker(&self) -> &Unparker {
        &self.0
    }

    pub(crate) fn park(&self) {
        let token = &*self.0.0;
        let mut given = token.given.lock();
        while !*given {
            token.changed.wait(&mut given);
        }
        *given = false;
    }

    pub(crate) fn park_timeout(&self, timeout: Duration) {
        if timeout >= LONG {
            return self.park();
        }
        *self.0.0.given.lock() = false;
        thread::yield_now();
    }

    pub(crate) fn park_deadline(&self, deadline: std::time::Instant) {
        self.park_timeout(deadline.saturating_duration_since(std::time::Instant::now()));
    }
}

impl Unparker {
    pub(crate) fn unpark(&self) {
        *self.0.given.lock() = true;
        self.0.changed.notify_one();
    }
}

/// Nobody stays awake in a model: that would be many schedules which differ in nothing.
pub(crate) struct Backoff;

impl Backoff {
    pub(crate) fn new() -> Self {
        Self
    }

    pub(crate) fn is_completed(&self) -> bool {
        true
    }

    pub(crate) fn snooze(&self) {}
}

/// A word is about to be used: another thread may go first. (Loom is not told of words. It cannot
/// model them, and they would only be more schedules.)
pub(crate) fn point() {
    #[cfg(all(shuttle, not(loom)))]
    if thread::are_others() {
        let _ = atomic::AtomicBool::new(false).load(atomic::Ordering::SeqCst);
    }
}

/// Threads that are counted: where there is one only, as in an open, a word is no choice. Most
/// words of a schedule are such.
#[cfg(all(shuttle, not(loom)))]
pub(crate) mod thread {
    use std::cell::Cell;
    use std::io;

    pub(crate) use shuttle::thread::{JoinHandle, current, yield_now};

    thread_local! {
        /// Beside the first one. All threads of a model are one of the system's, and another model
        /// may run beside it.
        static OTHERS: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn are_others() -> bool {
        OTHERS.get() > 0
    }

    struct Counted;

    impl Counted {
        fn new() -> Self {
            OTHERS.set(OTHERS.get() + 1);
            Self
        }
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            OTHERS.set(OTHERS.get() - 1);
        }
    }

    pub(crate) struct Builder(shuttle::thread::Builder);

    impl Builder {
        pub(crate) fn new() -> Self {
            Self(shuttle::thread::Builder::new())
        }

        pub(crate) fn name(self, name: String) -> Self {
            Self(self.0.name(name))
        }

        pub(crate) fn spawn<T: Send + 'static>(
            self,
            work: impl FnOnce() -> T + Send + 'static,
        ) -> io::Result<JoinHandle<T>> {
            let counted = Counted::new();
            self.0.spawn(move || {
                let _counted = counted;
                work()
            })
        }
    }

    #[cfg(test)]
    pub(crate) fn spawn<T: Send + 'static>(
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        Builder::new().spawn(work).expect("a model has threads")
    }
}

/// Memory in which loom looks for data races: bytes that one thread writes and another one reads
/// although no atomic says that it may.
#[derive(Default)]
pub(crate) struct Watched {
    /// By eight bytes, those that the model has written. The rest was there before.
    #[cfg(loom)]
    written: std::sync::Mutex<std::collections::HashMap<usize, loom::cell::UnsafeCell<()>>>,
}

impl Watched {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    #[cfg(loom)]
    fn cells(range: &Range<usize>) -> Range<usize> {
        range.start / 8..range.end.div_ceil(8)
    }

    #[cfg(loom)]
    pub(crate) fn read(&self, range: &Range<usize>) {
        let written = self.written.lock().unwrap();
        for cell in Self::cells(range).filter_map(|at| written.get(&at)) {
            cell.with(|_| ());
        }
    }

    #[cfg(loom)]
    pub(crate) fn write(&self, range: Range<usize>) {
        let mut written = self.written.lock().unwrap();
        for at in Self::cells(&range) {
            written.entry(at).or_default().with_mut(|_| ());
        }
    }

    #[cfg(not(loom))]
    pub(crate) fn read(&self, _: &Range<usize>) {}

    #[cfg(not(loom))]
    pub(crate) fn write(&self, _: Range<usize>) {}
}

macro_rules! debug {
    ($($name:ident $(<$t:ident>)?),+) => {$(
        impl $(<$t>)? fmt::Debug for $name $(<$t>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )+};
}

debug!(Mutex<T>, Condvar, RwLock<T>, OnceLock<T>, Backoff, Watched);

#[cfg(all(test, loom))]
mod tests {
    use super::*;
    use atomic::{AtomicBool, Ordering};

    fn race(order: Ordering) {
        loom::model(move || {
            let shared = Arc::new((Watched::default(), AtomicBool::new(false)));
            let writer = thread::spawn({
                let shared = Arc::clone(&shared);
                move || {
                    shared.0.write(16..40);
                    shared.1.store(true, order);
                }
            });
            if shared.1.load(Ordering::Acquire) {
                shared.0.read(&(32..48));
            }
            writer.join().unwrap();
        });
    }

    #[test]
    fn bytes_that_were_published_may_be_read() {
        race(Ordering::Release);
    }

    #[test]
    #[should_panic(expected = "Causality violation")]
    fn bytes_that_race_are_found() {
        race(Ordering::Relaxed);
    }
}
