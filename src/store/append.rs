//! Append: one short critical section that assigns offset and time, copies the frame and publishes
//! it.

use super::arming::Arming;
use super::once::Remembered;
use super::stats::Counted;
use super::{Level, Shared, SpareSlot, unpark};
use crate::error::{AppendError, IoFailure};
use crate::format::FrameBuffer;
use crate::host;
use crate::notify::{Asleep, Sleeper};
use crate::segment::{Segment, SegmentWriter};
use crate::sync::MutexGuard;
use crate::types::{Epoch, MAX_OFFSET};
use std::ops::Range;
use std::sync::Arc;

/// Whether an append may wait for a roll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Roll,
    Never,
}

/// Where a frame was put.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) offsets: Range<u64>,
    pub(crate) epoch: Epoch,
}

/// What may be done with the log.
#[derive(Clone, Debug)]
pub(super) enum Status {
    Open,
    ReadOnly,
    /// A sync has failed, with this error.
    Poisoned(IoFailure),
    /// The last round is being made.
    Closing,
    Closed,
}

/// A roll that the sync thread has not carried to the disk yet.
#[derive(Clone, Debug)]
pub(super) struct Rolled {
    pub(super) sealed: Arc<Segment>,
    /// Where the last frame of the sealed segment ends.
    pub(super) end: usize,
    pub(super) successor: Arc<Segment>,
    pub(super) spare_name: String,
    /// Time of the last event in the sealed segment.
    pub(super) time: u64,
}

/// What the append lock guards.
#[derive(Debug)]
pub(super) struct Appending {
    pub(super) status: Status,
    pub(super) active: Arc<Segment>,
    /// `None` when open for reading only.
    pub(super) writer: Option<SegmentWriter>,
    /// Time of the last event: no later one has an earlier time.
    pub(super) time: u64,
    pub(super) rolled: Option<Rolled>,
    pub(super) spare: SpareSlot,
    pub(super) counted: Counted,
    pub(super) arming: Arming,
    pub(super) ids: Remembered,
    /// Set when the last thread has left: how it went.
    pub(super) ended: Option<Result<(), IoFailure>>,
}

impl Appending {
    pub(super) fn new(
        active: Arc<Segment>,
        writer: Option<SegmentWriter>,
        time: u64,
        counted: Counted,
        ids: Remembered,
    ) -> Self {
        let status = if writer.is_some() {
            Status::Open
        } else {
            Status::ReadOnly
        };
        Self {
            status,
            active,
            writer,
            time,
            rolled: None,
            spare: SpareSlot::None,
            counted,
            arming: Arming::default(),
            ids,
            ended: None,
        }
    }

    /// The next offset, if there is a writer.
    pub(super) fn end(&self) -> Option<u64> {
        let writer = self.writer.as_ref()?;
        Some(writer.place().offset)
    }

    /// The writer, or why there is none to use.
    pub(super) fn open(&mut self) -> Result<&mut SegmentWriter, AppendError> {
        match (&self.status, &mut self.writer) {
            (Status::Open, Some(writer)) => Ok(writer),
            (Status::Poisoned(_), _) => Err(AppendError::Poisoned),
            (Status::Closing | Status::Closed, _) => Err(AppendError::Closed),
            (Status::ReadOnly | Status::Open, _) => Err(AppendError::ReadOnly),
        }
    }
}

impl Shared {
    /// Appends a frame of events without ids, and returns its offsets when it and all before it are
    /// visible.
    ///
    /// The checksum of the body was computed before; only what depends on the place is folded in
    /// under the lock.
    // Inlined as a whole, the answer stays in registers: moved through memory it costs a tenth.
    #[inline(always)]
    pub(crate) fn append(
        &self,
        frame: &mut FrameBuffer,
        wait: Wait,
    ) -> Result<Placed, AppendError> {
        if self.is_mirror() {
            return Err(AppendError::Mirror);
        }
        let now = host::now();
        frame.checksum_body();
        let mut asked = false;
        let mut state = self.append.lock();
        while !self.has_room(&mut state, frame, wait, &mut asked)? {}
        Ok(self.publish(state, frame, now))
    }

    /// Whether the frame fits. If not, one step was made towards room for it: the lock may have
    /// been given up meanwhile.
    #[inline]
    pub(super) fn has_room(
        &self,
        state: &mut MutexGuard<'_, Appending>,
        frame: &FrameBuffer,
        wait: Wait,
        asked: &mut bool,
    ) -> Result<bool, AppendError> {
        let writer = state.open()?;
        if MAX_OFFSET - writer.place().offset < u64::from(frame.count()) {
            return Err(AppendError::Full);
        }
        if writer.fits(frame.bytes()) {
            return Ok(true);
        }
        self.roll(state, frame.bytes(), wait, asked)?;
        Ok(false)
    }

    /// Appends a frame that fits, and gives the lock up.
    #[inline(always)]
    pub(super) fn publish(
        &self,
        mut state: MutexGuard<'_, Appending>,
        frame: &mut FrameBuffer,
        now: u64,
    ) -> Placed {
        let time = state.time.max(now);
        state.time = time;
        let Some(writer) = &mut state.writer else {
            unreachable!("the caller has used it")
        };
        let (first, epoch) = (writer.place().offset, writer.place().epoch);
        if sabotaged!("end-before-copy") {
            let asleep = self.marks.visible.publish(first + u64::from(frame.count()));
            self.wake(asleep);
            std::thread::yield_now();
        }
        writer.append(frame, time);
        let end = writer.place().offset;
        let (used, len) = writer.filled();
        let ask = used > len / 2 && matches!(state.spare, SpareSlot::None);
        if ask {
            self.ask_for_spare(&mut state, 0);
        }
        let arm = state.arming.reached(used);
        let asleep = self.marks.visible.publish(end);
        drop(state);
        if ask {
            unpark(&self.signals.keeper);
        }
        if arm {
            unpark(&self.signals.armer);
        }
        self.wake(asleep);
        Placed {
            offsets: first..end,
            epoch,
        }
    }

    /// Wakes whom a publication has found asleep. Never under the append lock.
    pub(super) fn wake(&self, asleep: Asleep) {
        if !asleep.any() || sabotaged!("wake-up-dropped") {
            return;
        }
        // Readers first: they are waited for, the disk is not.
        self.wake_readers(Level::Visible, asleep);
        if asleep.has(Sleeper::SYNC) {
            unpark(&self.signals.sync);
        }
    }
}
