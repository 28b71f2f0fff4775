//! An executor of a few lines: what an async user needs of the log is a waker that is called.

use futures_core::Stream;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Unparks the thread that polls, and counts how often.
pub(crate) struct Bell {
    thread: Thread,
    rings: AtomicU64,
}

impl Bell {
    /// One that unparks this thread.
    pub(crate) fn new() -> Arc<Bell> {
        Arc::new(Bell {
            thread: std::thread::current(),
            rings: AtomicU64::new(0),
        })
    }

    /// How often it was woken.
    pub(crate) fn rings(&self) -> u64 {
        self.rings.load(Ordering::SeqCst)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rings.fetch_add(1, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// Runs a future on this thread. A wake-up that is missed fails the test instead of hanging it.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Bell::new());
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let start = Instant::now();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "never woken");
        std::thread::park_timeout(Duration::from_secs(60));
    }
}

/// The next item of a stream.
pub(crate) async fn next<S: Stream>(mut stream: Pin<&mut S>) -> Option<S::Item> {
    std::future::poll_fn(|context| stream.as_mut().poll_next(context)).await
}
