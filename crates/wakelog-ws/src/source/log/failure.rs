//! What a client is told of a log's errors.

use wakelog::{AckError, AppendError, CursorError, ReadError, SyncError};

use crate::protocol::ErrorCode;
use crate::session::Failure;

pub(super) fn internal() -> Failure {
    Failure::new(ErrorCode::Internal, "internal error")
}

/// Says in the server's log what the client need not know.
fn unavailable(what: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    tracing::warn!(error, "{what}");
    Failure::new(ErrorCode::Unavailable, what)
}

pub(super) fn append_failure(error: &AppendError) -> Failure {
    match error {
        AppendError::Topic(_) | AppendError::Audience { .. } => {
            Failure::new(ErrorCode::BadTopic, error.to_string())
        }
        AppendError::TooLarge { .. } | AppendError::Attributes { .. } => {
            Failure::new(ErrorCode::TooLarge, error.to_string())
        }
        _ => unavailable("the log cannot be written at the moment", error),
    }
}

pub(super) fn sync_failure(error: &SyncError) -> Failure {
    unavailable("the log cannot be synced at the moment", error)
}

pub(super) fn read_failure(error: &ReadError) -> Failure {
    match error {
        ReadError::Filter(_) => Failure::new(ErrorCode::BadFilter, error.to_string()),
        ReadError::Offset { .. } => Failure::new(ErrorCode::BadPosition, error.to_string()),
        _ => unavailable("the log cannot be read at the moment", error),
    }
}

pub(super) fn cursor_failure(error: &CursorError) -> Failure {
    match error {
        CursorError::Name(_) => Failure::new(ErrorCode::BadConsumer, error.to_string()),
        CursorError::TooMany { .. } => too_many_cursors(),
        _ => unavailable("the cursor cannot be used at the moment", error),
    }
}

pub(super) fn too_many_cursors() -> Failure {
    tracing::warn!("no room for a new cursor");
    Failure::new(
        ErrorCode::TooManyCursors,
        "there are as many cursors as there may be",
    )
}

pub(super) fn acked_failure(error: &CursorError) -> Failure {
    match error {
        CursorError::Unknown { .. } | CursorError::Expired { .. } => {
            Failure::new(ErrorCode::NoCursor, "the consumer has no cursor")
        }
        _ => cursor_failure(error),
    }
}

pub(super) fn ack_failure(error: &AckError) -> Failure {
    match error {
        AckError::Diverged(_) | AckError::Beyond { .. } | AckError::Reset => {
            Failure::new(ErrorCode::AckRefused, error.to_string())
        }
        _ => unavailable("the cursor cannot be stored at the moment", error),
    }
}
