//! The codes of errors and of closed connections, each a row of a table.

/// Makes an enum of the rows, and a function for each column: its name, its type, and the value
/// that a row has.
macro_rules! table {
    (
        $(#[$about:meta])*
        $name:ident: $($(#[$what:meta])* $column:ident -> $kind:ty),+;
        $($(#[$doc:meta])* $code:ident = [$($value:expr),+],)+
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $code,)+
        }

        impl $name {
            /// Every code, in the order of the table in PROTOCOL.md.
            pub const ALL: &'static [Self] = &[$(Self::$code),+];

            table!(@columns [$($(#[$what])* $column: $kind,)+] $($code [$($value),+])+);
        }
    };
    (@columns [] $($code:ident [])+) => {};
    (
        @columns [$(#[$what:meta])* $column:ident: $kind:ty, $($rest:tt)*]
        $($code:ident [$value:expr $(, $more:expr)*])+
    ) => {
        $(#[$what])*
        pub const fn $column(self) -> $kind {
            match self {
                $(Self::$code => $value,)+
            }
        }

        table!(@columns [$($rest)*] $($code [$($more),*])+);
    };
}

table! {
    /// Why a message was refused (PROTOCOL.md, section 10).
    ErrorCode:
        /// The code as it stands in a message.
        as_str -> &'static str,
        /// Whether the same message may succeed later.
        retry -> bool,
        /// The close code that follows, for errors that end the connection.
        closes -> Option<CloseCode>;

    /// A field is missing, of the wrong type or out of bounds.
    BadMessage = ["bad_message", false, None],
    /// A `type` that this server does not know.
    UnknownType = ["unknown_type", false, None],
    /// Not a JSON object with a string `type`.
    NotJson = ["not_json", false, Some(CloseCode::Broken)],
    /// Another message before `hello`, or a second `hello`.
    HelloExpected = ["hello_expected", false, Some(CloseCode::Broken)],
    /// The consumer name is out of bounds.
    BadConsumer = ["bad_consumer", false, Some(CloseCode::Broken)],
    /// The application refused `hello`.
    Unauthorized = ["unauthorized", false, Some(CloseCode::Unauthorized)],
    /// The credentials that `hello` was accepted for have ended.
    Expired = ["expired", false, Some(CloseCode::Unauthorized)],
    /// The application refused a filter or a topic.
    Forbidden = ["forbidden", false, None],
    /// A filter breaks the rules or names a reserved topic.
    BadFilter = ["bad_filter", false, None],
    /// A topic or identity breaks the rules or names a reserved topic.
    BadTopic = ["bad_topic", false, None],
    /// Not a position.
    BadPosition = ["bad_position", false, None],
    /// A cursor is needed and the session has no consumer.
    NoCursor = ["no_cursor", false, None],
    /// The name of the subscription is open on this connection.
    SubInUse = ["sub_in_use", false, None],
    /// No subscription of that name is open.
    NoSuchSub = ["no_such_sub", false, None],
    /// The connection has as many subscriptions as it may.
    TooManySubs = ["too_many_subs", false, None],
    /// The identity has as many connections as it may.
    TooManyConnections = ["too_many_connections", true, Some(CloseCode::Overloaded)],
    /// There are as many cursors as there may be.
    TooManyCursors = ["too_many_cursors", false, Some(CloseCode::Policy)],
    /// The event is larger than this log takes.
    TooLarge = ["too_large", false, None],
    /// The acknowledged position is not one of this log's present course.
    AckRefused = ["ack_refused", false, None],
    /// The log cannot be read or written now.
    Unavailable = ["unavailable", true, None],
    /// Anything else.
    Internal = ["internal", true, None],
}

table! {
    /// Why the server closes a connection (PROTOCOL.md, section 11).
    CloseCode:
        /// The number on the wire.
        number -> u16,
        /// A word for the close frame.
        reason -> &'static str;

    /// Broken WebSocket frames.
    Protocol = [1002, "protocol error"],
    /// A binary message.
    Binary = [1003, "text messages only"],
    /// Text that is not UTF-8.
    NotText = [1007, "not UTF-8"],
    /// More than this client may have.
    Policy = [1008, "too much"],
    /// A message that is too long.
    TooBig = [1009, "message too long"],
    /// The server could not go on.
    Internal = [1011, "internal error"],
    /// The server restarts.
    Restart = [1012, "restart"],
    /// No room for another connection.
    Overloaded = [1013, "too many connections"],
    /// The client breaks the protocol.
    Broken = [4400, "broken message"],
    /// `hello` was refused, or what it was accepted for has ended.
    Unauthorized = [4401, "unauthorized"],
    /// No `hello` in time, or no heartbeat.
    Silent = [4408, "silent"],
    /// A younger connection of the consumer took over.
    Fenced = [4409, "fenced"],
}
