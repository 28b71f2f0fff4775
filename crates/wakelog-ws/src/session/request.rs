//! What a session asks of its driver, and what it is answered.

use std::time::Instant;

use wakelog::{Gap, Position, Start};

use crate::protocol::{
    CloseCode, EncodedPage, Failure, Grant, Hello, LoadedCursor, Outgoing, Reset, ServerMessage,
};

/// Names one subscription of a connection for as long as the connection lives; never used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubKey(pub(super) u64);

/// Names one append of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppendKey(pub(super) u64);

/// Something that only the outside can do. Each is answered by one call of the session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Who is this? If it is a consumer, its cursor is taken over, or made. Answered by
    /// [`Session::handle_admitted`](super::Session::handle_admitted).
    Admit(Hello),
    /// Open a reader. Answered by [`Session::handle_opened`](super::Session::handle_opened).
    OpenReader {
        /// The subscription.
        key: SubKey,
        /// The client's filters; the topic of everyone is not among them.
        filters: Vec<String>,
        /// Where to begin: earliest, latest, an offset or a position.
        start: Start,
    },
    /// Read one page. Answered by [`Session::handle_read`](super::Session::handle_read).
    ReadPage {
        /// The subscription.
        key: SubKey,
        /// At most so many events, and about so many bytes.
        most: Grant,
    },
    /// Wait until there is something to read. Answered by
    /// [`Session::handle_ready`](super::Session::handle_ready).
    Wait {
        /// The subscription.
        key: SubKey,
    },
    /// Drop the reader of a subscription, and whatever is under way for it. Not answered.
    CloseReader {
        /// The subscription.
        key: SubKey,
    },
    /// Append an event. Answered by [`Session::handle_appended`](super::Session::handle_appended)
    /// when it is durable.
    Append {
        /// The append.
        key: AppendKey,
        /// The event.
        event: Outgoing,
    },
    /// Move the cursor forward. Answered by
    /// [`Session::handle_stored`](super::Session::handle_stored) when it is durable.
    StoreCursor {
        /// All before it is processed.
        position: Position,
    },
}

/// The answer to [`Request::Admit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The identity under which the session publishes.
    pub from: Option<String>,
    /// The consumer whose cursor the session has.
    pub consumer: Option<String>,
    /// The position after the last durable event.
    pub end: Position,
    /// When the credentials end, and the session with them.
    pub expires: Option<Instant>,
    /// The consumer's cursor.
    pub cursor: Option<LoadedCursor>,
}

/// The answer to [`Request::OpenReader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Where reading begins.
    pub position: Position,
    /// The durable end of the log.
    pub end: u64,
}

/// Why a reader cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenFailure {
    /// The position is not of this log.
    Reset(Reset),
    /// Anything else.
    Failed(Failure),
}

/// The answer to [`Request::ReadPage`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadAnswer {
    /// Events, or none when nothing that matches is there.
    Page(ReadPage),
    /// A gap has to be told.
    Gap {
        /// The range and why.
        gap: Gap,
        /// Where reading goes on.
        position: Position,
    },
    /// The log cannot be read.
    Failed(Failure),
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPage {
    /// The events.
    pub page: EncodedPage,
    /// The position after the page.
    pub at: Position,
    /// More was waiting, as far as could be seen at once.
    pub more: bool,
}

/// What a session wants to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transmit {
    /// A message.
    Message(ServerMessage),
    /// The last thing: close the connection.
    Close(CloseCode),
}
