//! What a client is told of a log's errors.

use wakelog::{AckError, AppendError, CursorError, ReadError, SyncError};

use crate::protocol::{ErrorCode, Failure};

/// Says in the server's log what the client need not know.
fn unavailable(what: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    tracing::warn!(error, "{what}");
    Failure::new(ErrorCode::Unavailable, what)
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Self {
        let code = match error {
            AppendError::Topic(_) | AppendError::Audience { .. } => ErrorCode::BadTopic,
            AppendError::TooLarge { .. } | AppendError::Attributes { .. } => ErrorCode::TooLarge,
            _ => return unavailable("the log cannot be written at the moment", &error),
        };
        Self::new(code, error.to_string())
    }
}

impl From<SyncError> for Failure {
    fn from(error: SyncError) -> Self {
        unavailable("the log cannot be synced at the moment", &error)
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let code = match error {
            ReadError::Filter(_) => ErrorCode::BadFilter,
            ReadError::Offset { .. } => ErrorCode::BadPosition,
            _ => return unavailable("the log cannot be read at the moment", &error),
        };
        Self::new(code, error.to_string())
    }
}

impl From<CursorError> for Failure {
    fn from(error: CursorError) -> Self {
        match error {
            CursorError::Name(_) => Self::new(ErrorCode::BadConsumer, error.to_string()),
            CursorError::TooMany { .. } => too_many_cursors(),
            CursorError::Unknown { .. } | CursorError::Expired { .. } => {
                Self::new(ErrorCode::NoCursor, "the consumer has no cursor")
            }
            _ => unavailable("the cursor cannot be used at the moment", &error),
        }
    }
}

impl From<AckError> for Failure {
    fn from(error: AckError) -> Self {
        match error {
            AckError::Diverged(_) | AckError::Beyond { .. } | AckError::Reset => {
                Self::new(ErrorCode::AckRefused, error.to_string())
            }
            _ => unavailable("the cursor cannot be stored at the moment", &error),
        }
    }
}

pub(super) fn too_many_cursors() -> Failure {
    tracing::warn!("no room for a new cursor");
    let text = "there are as many cursors as there may be";
    Failure::new(ErrorCode::TooManyCursors, text)
}
