//! The codes of errors and of closed connections.

/// Why a message was refused (PROTOCOL.md, section 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// A field is missing, of the wrong type or out of bounds.
    BadMessage,
    /// A `type` that this server does not know.
    UnknownType,
    /// Not a JSON object with a string `type`.
    NotJson,
    /// Another message before `hello`, or a second `hello`.
    HelloExpected,
    /// The consumer name is out of bounds.
    BadConsumer,
    /// The application refused `hello`.
    Unauthorized,
    /// The credentials that `hello` was accepted for have ended.
    Expired,
    /// The application refused a filter or a topic.
    Forbidden,
    /// A filter breaks the rules or names a reserved topic.
    BadFilter,
    /// A topic or identity breaks the rules or names a reserved topic.
    BadTopic,
    /// Not a position.
    BadPosition,
    /// A cursor is needed and the session has no consumer.
    NoCursor,
    /// The name of the subscription is open on this connection.
    SubInUse,
    /// No subscription of that name is open.
    NoSuchSub,
    /// The connection has as many subscriptions as it may.
    TooManySubs,
    /// The identity has as many connections as it may.
    TooManyConnections,
    /// There are as many cursors as there may be.
    TooManyCursors,
    /// The event is larger than this log takes.
    TooLarge,
    /// The acknowledged position is not one of this log's present course.
    AckRefused,
    /// The log cannot be read or written now.
    Unavailable,
    /// Anything else.
    Internal,
}

impl ErrorCode {
    /// Every code, in the order of the table in PROTOCOL.md.
    pub const ALL: [Self; 21] = [
        Self::BadMessage,
        Self::UnknownType,
        Self::NotJson,
        Self::HelloExpected,
        Self::BadConsumer,
        Self::Unauthorized,
        Self::Expired,
        Self::Forbidden,
        Self::BadFilter,
        Self::BadTopic,
        Self::BadPosition,
        Self::NoCursor,
        Self::SubInUse,
        Self::NoSuchSub,
        Self::TooManySubs,
        Self::TooManyConnections,
        Self::TooManyCursors,
        Self::TooLarge,
        Self::AckRefused,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The code as it stands in a message.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadMessage => "bad_message",
            Self::UnknownType => "unknown_type",
            Self::NotJson => "not_json",
            Self::HelloExpected => "hello_expected",
            Self::BadConsumer => "bad_consumer",
            Self::Unauthorized => "unauthorized",
            Self::Expired => "expired",
            Self::Forbidden => "forbidden",
            Self::BadFilter => "bad_filter",
            Self::BadTopic => "bad_topic",
            Self::BadPosition => "bad_position",
            Self::NoCursor => "no_cursor",
            Self::SubInUse => "sub_in_use",
            Self::NoSuchSub => "no_such_sub",
            Self::TooManySubs => "too_many_subs",
            Self::TooManyConnections => "too_many_connections",
            Self::TooManyCursors => "too_many_cursors",
            Self::TooLarge => "too_large",
            Self::AckRefused => "ack_refused",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// Whether the same message may succeed later.
    #[must_use]
    pub const fn retry(self) -> bool {
        matches!(
            self,
            Self::TooManyConnections | Self::Unavailable | Self::Internal
        )
    }

    /// The close code that follows, for errors that end the connection.
    #[must_use]
    pub const fn closes(self) -> Option<CloseCode> {
        match self {
            Self::NotJson | Self::HelloExpected | Self::BadConsumer => Some(CloseCode::Broken),
            Self::Unauthorized | Self::Expired => Some(CloseCode::Unauthorized),
            Self::TooManyConnections => Some(CloseCode::Overloaded),
            Self::TooManyCursors => Some(CloseCode::Policy),
            _ => None,
        }
    }
}

/// Why the server closes a connection (PROTOCOL.md, section 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseCode {
    /// 1000: the answer to a client that closed.
    Normal,
    /// 1002: broken WebSocket frames.
    Protocol,
    /// 1003: a binary message.
    Binary,
    /// 1009: a message that is too long.
    TooBig,
    /// 1011: the server could not go on.
    Internal,
    /// 1012: the server restarts.
    Restart,
    /// 1013: no room for another connection.
    Overloaded,
    /// 1008: more than this client may have.
    Policy,
    /// 4400: the client breaks the protocol.
    Broken,
    /// 4401: `hello` was refused, or what it was accepted for has ended.
    Unauthorized,
    /// 4408: no `hello` in time, no heartbeat, or the client does not read.
    Silent,
    /// 4409: a newer connection of the consumer took over.
    Fenced,
}

impl CloseCode {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::Protocol => 1002,
            Self::Binary => 1003,
            Self::TooBig => 1009,
            Self::Internal => 1011,
            Self::Restart => 1012,
            Self::Overloaded => 1013,
            Self::Policy => 1008,
            Self::Broken => 4400,
            Self::Unauthorized => 4401,
            Self::Silent => 4408,
            Self::Fenced => 4409,
        }
    }

    /// A word for the close frame.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Normal => "",
            Self::Protocol => "protocol error",
            Self::Binary => "text messages only",
            Self::TooBig => "message too long",
            Self::Internal => "internal error",
            Self::Restart => "restart",
            Self::Overloaded => "too many connections",
            Self::Policy => "too much",
            Self::Broken => "broken message",
            Self::Unauthorized => "unauthorized",
            Self::Silent => "silent",
            Self::Fenced => "fenced",
        }
    }
}
