//! What can go wrong with a listener: before it runs, and while it does.

use crate::error::{AckError, CursorError, IoFailure, ReadError};
use crate::types::Gap;

/// Why a listener does not run.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// What it was asked to read; see [`ReaderBuilder::open`](crate::ReaderBuilder::open).
    #[error("the listener cannot read that")]
    Read(#[from] ReadError),
    /// The cursor of a named listener; see [`CursorBuilder::open`](crate::CursorBuilder::open).
    #[error("the listener has no cursor")]
    Cursor(#[from] CursorError),
    /// No thread could be started. Listeners that run already go on.
    #[error("no thread for listeners")]
    Thread(#[source] IoFailure),
}

/// What a running listener has met. It is given to the hook of
/// [`ListenerBuilder::on_trouble`](crate::ListenerBuilder::on_trouble), on the listener's thread
/// and in its order among the events.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// These events will not come. The listener goes on behind them; a named one has noted that
    /// when the hook has returned.
    #[error("{0}")]
    Gap(Gap),
    /// The callback has panicked at this event. A listener without a name goes on with the next
    /// one. A named one has ended, and its cursor stands before the event: whoever runs it again
    /// gets that event again.
    #[error("the callback has panicked at event {offset}: {message}")]
    Panicked {
        /// The offset of the event.
        offset: u64,
        /// What the panic said, if it was text.
        message: String,
    },
    /// The hook itself has panicked. The listener has ended.
    #[error("the hook has panicked: {message}")]
    HookPanicked {
        /// What the panic said, if it was text.
        message: String,
    },
    /// It cannot be read on: another handle has taken the cursor
    /// ([`ReadError::Fenced`]), a segment cannot be opened, too many wait. The listener has ended.
    #[error("the listener cannot read on")]
    Read(#[source] ReadError),
    /// The cursor takes no acks. The listener has ended.
    #[error("the listener's cursor cannot be moved")]
    Ack(#[source] AckError),
}
