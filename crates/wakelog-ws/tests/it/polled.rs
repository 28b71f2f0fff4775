//! The future of a connection, and whoever polls it.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::{Sink, Stream};
use tempfile::tempdir;
use wakelog_ws::{Frame, FrameError, Hub, Upgrade};

use crate::kit::{log_at, within};

/// A socket that says this, one after the other, and remembers what it was told.
struct Fake {
    says: Vec<Poll<Option<Frame>>>,
    told: Arc<Mutex<Vec<Frame>>>,
}

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

/// One task may begin to serve a connection and another go on: that one is woken when it is time.
#[tokio::test]
async fn the_timer_wakes_whoever_has_asked_last() {
    let dir = tempdir().unwrap();
    let every = Duration::from_millis(300);
    let hub = Hub::builder(log_at(dir.path())).unwrap();
    let hub = hub.heartbeat(every).build();
    let ticket = hub.accept(upgrade()).await.unwrap();
    let hello = Frame::Text(r#"{"type":"hello"}"#.to_owned());
    let (says, told) = (vec![Poll::Ready(Some(hello))], Arc::default());
    let fake = Fake {
        says,
        told: Arc::clone(&told),
    };
    let mut served = Box::pin(hub.serve(fake, ticket));
    let mut nobody = Context::from_waker(Waker::noop());
    while told.lock().unwrap().is_empty() {
        assert!(served.as_mut().poll(&mut nobody).is_pending());
        tokio::task::yield_now().await;
    }
    // It has said `welcome`, and is to say a heartbeat next.
    let serving = tokio::spawn(served);
    let beats = async {
        while told.lock().unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within(beats).await;
    serving.abort();
}
