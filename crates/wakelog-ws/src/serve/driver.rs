//! One connection's socket and clock: carries frames to the session and its messages back.

use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_core::Stream;
use futures_sink::Sink;
use tokio::time::Sleep;

use super::desk::Desk;
use super::frame::{Frame, FrameError};
use super::hub::Shared;
use super::upgrade::Ticket;
use crate::session::Transmit;
use crate::source::EventSource;

/// How long a closed connection waits for the other side to close as well, so that the close frame
/// is not lost to a reset.
const LINGER: Duration = Duration::from_secs(1);

/// After so many rounds without a pause, other tasks have their turn.
const ROUNDS: u32 = 32;

/// One connection, from its ticket to its end.
pub(super) struct Driver<S: EventSource, F> {
    socket: F,
    output: Output,
    /// The socket gives nothing more.
    input_over: bool,
    /// It had nothing when it was asked in this turn, and wakes when it has.
    dry: bool,
    timer: Pin<Box<Sleep>>,
    /// When the timer rings, and whom it wakes.
    alarm: Instant,
    waker: Waker,
    desk: Desk<S>,
}

/// The state of the sending half.
#[derive(Debug, Default)]
struct Output {
    unflushed: bool,
    /// A control frame came, and the library below has an answer.
    pinged: bool,
    /// Since when the socket does not take all that there is.
    stalled: Option<Instant>,
    /// The socket took nothing when it was asked last.
    blocked: bool,
    /// Control frames come whose answers the other side does not read. Nothing is taken until it
    /// does: the answers gather in the library below.
    choked: bool,
    /// The close frame has been sent; the other side has until then.
    linger: Option<Instant>,
    closed_by_peer: bool,
}

impl<S, F> Driver<S, F>
where
    S: EventSource,
    F: Stream<Item = Result<Frame, FrameError>> + Sink<Frame, Error = FrameError> + Unpin,
{
    pub(super) fn new(shared: Arc<Shared<S>>, socket: F, ticket: Ticket) -> Self {
        let now = now();
        Self {
            socket,
            output: Output::default(),
            input_over: false,
            dry: false,
            timer: Box::pin(tokio::time::sleep_until(now.into())),
            alarm: now,
            waker: Waker::noop().clone(),
            desk: Desk::new(shared, ticket, now),
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.desk.connection.waker.register(cx.waker());
        self.dry = false;
        for _ in 0..ROUNDS {
            match self.round(cx) {
                ControlFlow::Break(()) => return Poll::Ready(()),
                ControlFlow::Continue(true) => {}
                ControlFlow::Continue(false) => {
                    self.desk.show_progress();
                    return Poll::Pending;
                }
            }
        }
        self.desk.show_progress();
        cx.waker().wake_by_ref();
        let over = self.flush(cx).is_break() || self.poll_timer(cx).is_break();
        if over { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Moves everything once; says whether something has moved, or breaks when the connection is
    /// over.
    ///
    /// What is to be sent is flushed when nothing else moves, so that it goes out in one write; but
    /// an answer to a ping at once, or nobody would see that such answers gather. The timer comes
    /// last, because the others change when it has to ring.
    fn round(&mut self, cx: &mut Context<'_>) -> ControlFlow<(), bool> {
        let mut moved = self.desk.poll(cx);
        moved |= self.poll_input(cx)?;
        moved |= self.desk.start();
        moved |= self.transmit(cx)?;
        if !moved || std::mem::take(&mut self.output.pinged) {
            moved |= self.flush(cx)?;
        }
        if moved {
            return ControlFlow::Continue(true);
        }
        self.poll_timer(cx)
    }

    fn poll_input(&mut self, cx: &mut Context<'_>) -> ControlFlow<(), bool> {
        let mut moved = false;
        for _ in 0..ROUNDS {
            let lingering = self.output.linger.is_some();
            let wanted = lingering || self.desk.session.wants_input();
            if self.input_over || self.dry || self.output.choked || !wanted {
                break;
            }
            let Poll::Ready(frame) = Pin::new(&mut self.socket).poll_next(cx) else {
                self.dry = true;
                break;
            };
            moved = true;
            match frame {
                Some(Ok(Frame::Closed | Frame::Close { .. })) => {
                    // The library below has an answer to send; nothing of ours can follow it.
                    self.input_over = true;
                    self.output.closed_by_peer = true;
                    self.output.linger = Some(now() + LINGER);
                }
                None | Some(Err(FrameError::Cut(_))) => return ControlFlow::Break(()),
                Some(Err(error)) => {
                    self.input_over = true;
                    tracing::debug!(connection = self.desk.connection.id, %error, "broken input");
                    self.desk.session.close(error.close_code());
                }
                Some(Ok(_)) if lingering => {}
                Some(Ok(Frame::Text(text))) => self.desk.session.handle_text(now(), &text),
                Some(Ok(Frame::Binary | Frame::Page(_))) => self.desk.session.handle_binary(),
                Some(Ok(Frame::Alive)) => {
                    self.desk.session.handle_alive(now());
                    (self.output.unflushed, self.output.pinged) = (true, true);
                    self.output.choked = self.output.stalled.is_some();
                }
            }
        }
        ControlFlow::Continue(moved)
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> ControlFlow<(), bool> {
        let mut socket = Pin::new(&mut self.socket);
        if self.output.closed_by_peer {
            return match socket.poll_close(cx) {
                Poll::Ready(_) => ControlFlow::Break(()),
                Poll::Pending => ControlFlow::Continue(false),
            };
        }
        let mut moved = false;
        while self.output.linger.is_none() && self.desk.session.has_output() {
            match socket.as_mut().poll_ready(cx) {
                // That it can take something does not say that what it has is gone, unless it was
                // full before.
                Poll::Ready(Ok(())) => {
                    if std::mem::take(&mut self.output.blocked) {
                        self.output.stalled = None;
                    }
                }
                Poll::Ready(Err(_)) => return ControlFlow::Break(()),
                Poll::Pending => {
                    self.output.blocked = true;
                    self.output.stalled.get_or_insert_with(now);
                    break;
                }
            }
            let frame = match self.desk.session.poll_transmit() {
                Some(Transmit::Message(message)) => {
                    self.desk.shared.stats.lock().count(&message);
                    let page = message.encode_page().map(Frame::Page);
                    page.unwrap_or_else(|| Frame::Text(message.encode()))
                }
                Some(Transmit::Close(code)) => {
                    self.output.linger = Some(now() + LINGER);
                    let (code, reason) = (code.number(), code.reason());
                    Frame::Close { code, reason }
                }
                None => break,
            };
            if socket.as_mut().start_send(frame).is_err() {
                return ControlFlow::Break(());
            }
            self.output.unflushed = true;
            moved = true;
        }
        ControlFlow::Continue(moved)
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> ControlFlow<(), bool> {
        if !self.output.unflushed || self.output.closed_by_peer {
            return ControlFlow::Continue(false);
        }
        let Poll::Ready(flushed) = Pin::new(&mut self.socket).poll_flush(cx) else {
            self.output.stalled.get_or_insert_with(now);
            return ControlFlow::Continue(false);
        };
        if flushed.is_err() {
            return ControlFlow::Break(());
        }
        (self.output.unflushed, self.output.stalled) = (false, None);
        ControlFlow::Continue(std::mem::take(&mut self.output.choked))
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> ControlFlow<(), bool> {
        let longest = self.desk.shared.stall;
        let stalled = self.output.stalled.map(|since| since + longest);
        let ends = [self.output.linger, stalled].into_iter().flatten().min();
        let alarms = ends.into_iter().chain(self.desk.session.poll_timeout());
        let Some(alarm) = alarms.min() else {
            return ControlFlow::Continue(false);
        };
        // The timer is far away most of the time, and knows whom to wake: it is not touched then.
        let known = self.alarm == alarm && self.waker.will_wake(cx.waker());
        if known && now() < alarm {
            return ControlFlow::Continue(false);
        }
        if !known {
            (self.alarm, self.waker) = (alarm, cx.waker().clone());
            self.timer.as_mut().reset(alarm.into());
        }
        // A task that has used up its budget is told "not yet" by tokio's timers, which then do not
        // remember it: this one is asked outside of the budget.
        let timer = tokio::task::unconstrained(self.timer.as_mut());
        if pin!(timer).poll(cx).is_pending() {
            return ControlFlow::Continue(false);
        }
        let now = now();
        if ends.is_some_and(|end| now >= end) {
            if stalled == ends {
                self.desk.shared.stats.lock().stalled += 1;
            }
            return ControlFlow::Break(());
        }
        self.desk.handle_timeout(now);
        ControlFlow::Continue(true)
    }
}

/// The clock of the runtime, so that a test that stops it stops this too.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
