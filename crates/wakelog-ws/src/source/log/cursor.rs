//! The cursor of a consumer.

use wakelog::{AckError, Cursor, Position};

use super::at;
use crate::protocol::{Failure, LoadedCursor};
use crate::source::SourceCursor;

/// The cursor of a consumer.
#[derive(Debug)]
pub struct LogCursor {
    pub(super) cursor: Cursor,
    pub(super) loaded: LoadedCursor,
}

impl SourceCursor for LogCursor {
    fn loaded(&self) -> LoadedCursor {
        self.loaded
    }

    async fn store(&mut self, position: Position) -> Result<Position, Failure> {
        let acked = self.ack(position);
        let saved = self.cursor.saved();
        let place = at(self.cursor.acked(), self.cursor.position());
        self.loaded.position = place;
        acked?;
        saved.await?;
        Ok(place)
    }
}

impl LogCursor {
    fn ack(&mut self, position: Position) -> Result<(), AckError> {
        if let Some(gap) = self.loaded.gap {
            // The gap is acknowledged by any place of today at which its reading goes on, or one
            // beyond.
            if position.epoch == self.loaded.position.epoch && position.offset >= gap.resume_at() {
                self.cursor.ack_gap(&gap)?;
                self.loaded.gap = None;
            }
        }
        self.cursor.ack_to(position)
    }
}
