//! What is different when the log is a mirror: its source says which offset an event has.

use super::append::Status;
use super::{Shared, Wait};
use crate::error::{AppendError, OpenError};
use crate::format::{FrameBuffer, MetaKind};
use crate::recovery;
use crate::types::{Epoch, MAX_OFFSET};
use std::ops::Range;

/// Why a frame was not put where it belongs.
#[derive(Clone, Debug)]
pub(crate) enum NotAt {
    /// The log goes on at this offset, and not where the frame belongs.
    Next(u64),
    Failed(AppendError),
}

impl Shared {
    pub(crate) fn is_mirror(&self) -> bool {
        self.meta.kind == MetaKind::Mirror
    }

    /// The highest offset that positions of the epoch in force may have. What a mirror lacks there
    /// it gets from its source, with the bytes that others have seen.
    pub(crate) fn judged_end(&self) -> u64 {
        if self.is_mirror() {
            MAX_OFFSET
        } else {
            self.marks.known_end()
        }
    }

    /// Puts a frame at the end, if `offset` is where the log goes on. No event is older than the
    /// one before it, whatever `time` says.
    pub(crate) fn append_at(
        &self,
        frame: &mut FrameBuffer,
        offset: u64,
        time: u64,
    ) -> Result<Range<u64>, NotAt> {
        frame.checksum_body();
        let mut asked = false;
        let mut state = self.append.lock();
        loop {
            let writer = state.open().map_err(NotAt::Failed)?;
            let next = writer.place().offset;
            if next != offset {
                return Err(NotAt::Next(next));
            }
            let room = self.has_room(&mut state, frame, Wait::Roll, &mut asked);
            if room.map_err(NotAt::Failed)? {
                break;
            }
        }
        Ok(self.publish(state, frame, time).offsets)
    }

    /// Enters an epoch of the source that begins at `first`; what stands at or above that is of an
    /// older one and is dropped, with the rest of its segment. `false`: the log is closed.
    pub(crate) fn begin_epoch(&self, epoch: Epoch, first: u64) -> Result<bool, OpenError> {
        let record = || {
            recovery::begin_epoch(&*self.dir, &self.meta, epoch, first)
                .map_err(|error| OpenError::from_io(self.dir.path(), "write the epochs", error))
        };
        // A trim that is under way must not let a segment go that is made anew meanwhile.
        let _no_trim = self.hold_trims();
        let may = |status: &Status| matches!(status, Status::Open | Status::Poisoned(_));
        self.renew(may, record)
    }
}
