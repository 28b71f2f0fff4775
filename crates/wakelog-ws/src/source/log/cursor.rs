//! The cursor of a consumer.

use std::future::Future;

use wakelog::{AckError, Cursor, Gap, Position};

use super::failure::{ack_failure, sync_failure};
use crate::session::{Failure, LoadedCursor};
use crate::source::SourceCursor;

/// The cursor of a consumer.
#[derive(Debug)]
pub struct LogCursor {
    pub(super) cursor: Cursor,
    pub(super) kept: Option<Gap>,
    pub(super) new: bool,
    pub(super) place: Position,
}

impl SourceCursor for LogCursor {
    fn loaded(&self) -> LoadedCursor {
        LoadedCursor {
            new: self.new,
            position: self.place,
            gap: self.kept,
        }
    }

    fn store(
        &mut self,
        position: Position,
    ) -> impl Future<Output = Result<Position, Failure>> + Send {
        let acked = self.ack(position);
        let saved = self.cursor.saved();
        let place = Position {
            offset: self.cursor.acked(),
            ..self.cursor.position()
        };
        self.place = place;
        async move {
            acked.map_err(|error| ack_failure(&error))?;
            saved.await.map_err(|error| sync_failure(&error))?;
            Ok(place)
        }
    }
}

impl LogCursor {
    fn ack(&mut self, position: Position) -> Result<(), AckError> {
        if let Some(gap) = self.kept {
            // The gap is acknowledged by any place of today at which its reading goes on, or one
            // beyond.
            if position.epoch == self.place.epoch && position.offset >= gap.resume_at() {
                self.cursor.ack_gap(&gap)?;
                self.kept = None;
            }
        }
        self.cursor.ack_to(position)
    }
}
