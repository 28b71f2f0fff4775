//! The future of a connection, and whoever polls it.

use std::future::poll_fn;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::{Sink, Stream};
use tempfile::tempdir;
use tokio::task::coop;
use wakelog_ws::{Frame, FrameError, Hub, Upgrade};

use crate::kit::{log_at, within};

/// A socket that says this, one after the other, and remembers what it was told.
struct Fake {
    says: Vec<Poll<Option<Frame>>>,
    told: Told,
}

type Told = Arc<Mutex<Vec<Frame>>>;

impl Stream for Fake {
    type Item = Result<Frame, FrameError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.says.pop().unwrap_or(Poll::Pending);
        next.map(|frame| frame.map(Ok))
    }
}

impl Sink<Frame> for Fake {
    type Error = FrameError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), FrameError>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, frame: Frame) -> Result<(), FrameError> {
        self.told.lock().unwrap().push(frame);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), FrameError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), FrameError>> {
        Poll::Ready(Ok(()))
    }
}

fn upgrade() -> Upgrade {
    Upgrade::default().header("sec-websocket-protocol", "wakelog.v1.json")
}

/// Its place is free again, though whoever served it still has the future.
#[tokio::test]
async fn a_connection_that_is_over_keeps_nothing() {
    let dir = tempdir().unwrap();
    let hub = Hub::new(log_at(dir.path())).unwrap();
    let ticket = hub.accept(upgrade()).await.unwrap();
    let (says, told) = (vec![Poll::Ready(None)], Arc::default());
    let mut served = pin!(hub.serve(Fake { says, told }, ticket));
    assert_eq!(hub.stats().connections, 1);
    served.as_mut().await;
    assert_eq!(hub.stats().connections, 0);
    within(hub.drain(Duration::ZERO..=Duration::ZERO)).await;
}

/// A hub with fast heartbeats, a socket that says `hello` to it, and what that is told.
async fn greeted(dir: &Path) -> (impl Future<Output = ()> + Send + 'static, Told) {
    let hub = Hub::builder(log_at(dir)).unwrap();
    let hub = hub.heartbeat(Duration::from_millis(300)).build();
    let ticket = hub.accept(upgrade()).await.unwrap();
    let hello = Frame::Text(r#"{"type":"hello"}"#.to_owned());
    let (says, told) = (vec![Poll::Ready(Some(hello))], Told::default());
    let fake = Fake {
        says,
        told: Arc::clone(&told),
    };
    (hub.serve(fake, ticket), told)
}

/// `welcome`, and a heartbeat behind it.
async fn a_beat(told: &Told) {
    while told.lock().unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// One task may begin to serve a connection and another go on: that one is woken when it is time.
#[tokio::test]
async fn the_timer_wakes_whoever_has_asked_last() {
    let dir = tempdir().unwrap();
    let (served, told) = greeted(dir.path()).await;
    let mut served = Box::pin(served);
    let mut nobody = Context::from_waker(Waker::noop());
    while told.lock().unwrap().is_empty() {
        assert!(served.as_mut().poll(&mut nobody).is_pending());
        tokio::task::yield_now().await;
    }
    let serving = tokio::spawn(served);
    within(a_beat(&told)).await;
    serving.abort();
}

/// tokio answers for its timers only while a task has done little in this turn.
#[tokio::test]
async fn the_timer_of_a_task_that_does_much_wakes_it_as_well() {
    let dir = tempdir().unwrap();
    let (served, told) = greeted(dir.path()).await;
    let serving = tokio::spawn(async move {
        poll_fn(|cx| {
            while let Poll::Ready(done) = coop::poll_proceed(cx) {
                done.made_progress();
            }
            Poll::Ready(())
        })
        .await;
        served.await;
    });
    within(a_beat(&told)).await;
    serving.abort();
}
