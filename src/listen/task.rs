//! What a listener does when it has its turn.

use super::error::Trouble;
use crate::cursor::Cursor;
use crate::error::{AckError, ReadError};
use crate::reader::{Event, Reader};
use crate::store::Changed;
use crate::types::{Gap, Position};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};

/// Events that a listener is given before the others have their turn.
const TURN: u32 = 64;

pub(super) type Callback = Box<dyn FnMut(&Event) + Send>;
pub(super) type Hook = Box<dyn FnMut(&Trouble) + Send>;

/// Where its events come from.
pub(super) enum Source {
    Reader(Reader),
    Cursor(Cursor),
}

/// What a cursor has to note, once the log takes acks again.
enum Owed {
    Event(Position),
    Gap(Gap),
}

/// How a turn has ended.
pub(super) enum Turned {
    /// There may be more.
    More,
    /// The waker is called when there may be more.
    Waits,
    /// For good; `None` when the log is closed or nobody listens any more.
    Ended(Option<Trouble>),
}

/// A listener at work.
pub(super) struct Task {
    source: Source,
    callback: Callback,
    hook: Hook,
    owed: Option<Owed>,
    /// Wakes it when the log changes, while it owes an ack.
    changed: Option<Changed>,
}

/// How one step has ended, if it has ended the turn.
type Step = Option<Turned>;

impl Task {
    pub(super) fn new(source: Source, callback: Callback, hook: Hook) -> Self {
        Self {
            source,
            callback,
            hook,
            owed: None,
            changed: None,
        }
    }

    /// Hands out at most [`TURN`] events. `stopping` says that nobody listens any more; `panicked`
    /// is told of each panic of the callback.
    pub(super) fn turn(
        &mut self,
        context: &mut Context<'_>,
        stopping: impl Fn() -> bool,
        mut panicked: impl FnMut(),
    ) -> Turned {
        let mut left = TURN;
        loop {
            // First of all: what the callback has done is acked whatever comes then.
            if let Some(turned) = self.settle(context) {
                return turned;
            }
            if stopping() {
                return Turned::Ended(None);
            }
            if left == 0 {
                return Turned::More;
            }
            left -= 1;
            if let Some(turned) = self.step(context, &mut panicked) {
                return turned;
            }
        }
    }

    fn step(&mut self, context: &mut Context<'_>, panicked: &mut impl FnMut()) -> Step {
        let next = match &mut self.source {
            Source::Reader(reader) => reader.next(),
            Source::Cursor(cursor) => cursor.next(),
        };
        match next {
            Ok(Some(event)) => self.hand_out(&event, panicked),
            Ok(None) => self.wait(context),
            Err(ReadError::Gap(gap)) => {
                let told = self.tell(Trouble::Gap(gap));
                self.owe(Owed::Gap(gap));
                told
            }
            Err(error) => self.end(error),
        }
    }

    fn wait(&mut self, context: &mut Context<'_>) -> Step {
        let ready = match &mut self.source {
            Source::Reader(reader) => reader.poll_ready(context),
            Source::Cursor(cursor) => cursor.poll_ready(context),
        };
        match ready {
            Poll::Ready(Ok(())) => None,
            Poll::Ready(Err(error)) => self.end(error),
            Poll::Pending => Some(Turned::Waits),
        }
    }

    fn hand_out(&mut self, event: &Event, panicked: &mut impl FnMut()) -> Step {
        let callback = &mut self.callback;
        match catch_unwind(AssertUnwindSafe(|| callback(event))) {
            Ok(()) => {
                self.owe(Owed::Event(event.position()));
                None
            }
            Err(panic) => {
                panicked();
                let trouble = Trouble::Panicked {
                    offset: event.offset(),
                    message: text_of(&*panic),
                };
                let told = self.tell(trouble.clone());
                // The ack says that an event and all before it are done: there is no way past this
                // one.
                match self.source {
                    Source::Reader(_) => told,
                    Source::Cursor(_) => told.or(Some(Turned::Ended(Some(trouble)))),
                }
            }
        }
    }

    fn end(&mut self, error: ReadError) -> Step {
        if matches!(error, ReadError::Closed) {
            return Some(Turned::Ended(None));
        }
        self.end_with(Trouble::Read(error))
    }

    fn end_with(&mut self, trouble: Trouble) -> Step {
        let told = self.tell(trouble.clone());
        told.or(Some(Turned::Ended(Some(trouble))))
    }

    fn tell(&mut self, trouble: Trouble) -> Step {
        let hook = &mut self.hook;
        match catch_unwind(AssertUnwindSafe(|| hook(&trouble))) {
            Ok(()) => None,
            Err(panic) => {
                let message = text_of(&*panic);
                Some(Turned::Ended(Some(Trouble::HookPanicked { message })))
            }
        }
    }

    fn owe(&mut self, owed: Owed) {
        if matches!(self.source, Source::Cursor(_)) {
            self.owed = Some(owed);
        }
    }

    /// Acks what is owed. After a failed sync the log takes no acks before it is reopened: until
    /// then no more events are handed out, so that none is left out.
    fn settle(&mut self, context: &Context<'_>) -> Step {
        let (Source::Cursor(cursor), Some(owed)) = (&mut self.source, &self.owed) else {
            return None;
        };
        let ack = |cursor: &mut Cursor| match owed {
            Owed::Event(position) => cursor.ack_to(*position),
            Owed::Gap(gap) => cursor.ack_gap(gap),
        };
        let mut acked = ack(cursor);
        if matches!(acked, Err(AckError::Poisoned)) {
            self.changed = Some(cursor.on_change(context.waker()));
            // It may have been reopened just before.
            acked = ack(cursor);
        }
        match acked {
            Err(AckError::Poisoned) => return Some(Turned::Waits),
            // The event was lost with its epoch's tail; the next read tells it as a gap.
            Ok(()) | Err(AckError::Diverged(_)) => {}
            // What was done comes again when the cursor is opened next.
            Err(AckError::Closed) => return Some(Turned::Ended(None)),
            Err(AckError::Fenced) => return self.end(ReadError::Fenced),
            Err(error) => return self.end_with(Trouble::Ack(error)),
        }
        (self.owed, self.changed) = (None, None);
        None
    }
}

/// What a panic says, if it is text.
fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "(no text)".to_owned())
}
