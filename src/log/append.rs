//! The verbs that append: each thread encodes into a frame of its own, the store gives it a place.

use super::Log;
use crate::error::AppendError;
use crate::format::FrameBuffer;
use crate::options::SyncPolicy;
use crate::store::{Once, Wait};
use crate::types::{Appended, AppendedBatch, NewEvent, Position};
use std::cell::Cell;

thread_local! {
    /// Frames are encoded outside the append lock, into memory that each thread uses again.
    static FRAME: Cell<Option<Box<FrameBuffer>>> = const { Cell::new(None) };
}

impl Log {
    /// Appends an event to a topic and returns its offset.
    ///
    /// When it returns, the event and all before it are visible, and a crash of this process loses
    /// none of them. Power loss may, until they are synced; see [`SyncPolicy`](crate::SyncPolicy).
    /// It waits for a disk only when a segment is full and the next one is not ready; under
    /// [`SyncPolicy::Always`](crate::SyncPolicy::Always) it returns when the event is on disk.
    ///
    /// # Errors
    /// [`AppendError::Topic`], [`AppendError::TooLarge`]: nothing was appended, change the event.
    /// [`AppendError::DiskFull`]: nothing was appended, try again when there is room.
    /// [`AppendError::Poisoned`]: see [`Log::reopen`].
    pub fn append(&self, topic: &str, payload: impl AsRef<[u8]>) -> Result<u64, AppendError> {
        self.append_event(NewEvent::new(topic, &payload))
    }

    /// Appends an event with several topics, identities it is *not to*, or attributes. For an event
    /// with an id that the log remembers, the answer is the offset of the first one; see
    /// [`Log::append_once`].
    ///
    /// # Errors
    /// As [`Log::append_once`].
    pub fn append_event(&self, event: NewEvent<'_>) -> Result<u64, AppendError> {
        self.put_event(&event, Wait::Roll, |once| once.first())
    }

    /// Appends an event, unless the log remembers its id, together with who it is
    /// [`from`](NewEvent::from): then nothing is appended, and the answer is that of the first
    /// time. So an append whose answer was lost can be made again, after a restart too.
    ///
    /// The log remembers the last [`Options::dedup_ids`](crate::Options::dedup_ids) ids. Of a
    /// first event that retention has removed, or that is damaged, only a hash of 64 bits is left
    /// to be compared. Under [`SyncPolicy::Always`](crate::SyncPolicy::Always) it returns when the
    /// first event is on disk. Directly after an open it may wait until the ids are found.
    ///
    /// # Errors
    /// As [`Log::append`], and [`AppendError::Io`] if the ids cannot be read from the log.
    pub fn append_once(&self, event: NewEvent<'_>) -> Result<Appended, AppendError> {
        self.put_event(&event, Wait::Roll, |once| self.answer(&once))
    }

    /// Appends several events: all of them are visible at once, after a crash too, or none is.
    /// Events whose id is known, or stands in the batch before them, are left out, and so a batch
    /// that is appended again gets the same answers. A batch of one is an event.
    ///
    /// # Errors
    /// As [`Log::append_once`], and [`AppendError::TooMany`], [`AppendError::EmptyBatch`].
    pub fn append_batch<'e>(
        &self,
        events: impl IntoIterator<Item = NewEvent<'e>>,
    ) -> Result<AppendedBatch, AppendError> {
        let encode = |frame: &mut FrameBuffer| frame.batch(events, &self.limits);
        self.put(encode, Wait::Roll, |once| AppendedBatch {
            position: self.behind(&once),
            offsets: once.placed.offsets,
            duplicates: once.duplicates,
        })
    }

    /// As [`Log::append_once`], but never waits: [`AppendError::WouldBlock`] when a segment is
    /// full and the next one is not ready, or the ids are not found yet. That is being done then;
    /// try again soon. Does not wait for the disk under any policy.
    ///
    /// # Errors
    /// As [`Log::append_once`], and [`AppendError::WouldBlock`].
    pub fn try_append_once(&self, event: NewEvent<'_>) -> Result<Appended, AppendError> {
        self.put_event(&event, Wait::Never, |once| self.answer(&once))
    }

    /// As [`Log::append_event`], but never waits; see [`Log::try_append_once`].
    ///
    /// # Errors
    /// As [`Log::try_append_once`].
    pub fn try_append(&self, event: NewEvent<'_>) -> Result<u64, AppendError> {
        self.put_event(&event, Wait::Never, |once| once.first())
    }

    #[inline]
    fn put_event<T>(
        &self,
        event: &NewEvent<'_>,
        wait: Wait,
        answer: impl FnOnce(Once) -> T,
    ) -> Result<T, AppendError> {
        self.put(|frame| frame.event(event, &self.limits), wait, answer)
    }

    /// Encodes and appends a frame, and answers for it; under `Always`, when it is on disk.
    #[inline]
    fn put<T>(
        &self,
        encode: impl FnOnce(&mut FrameBuffer) -> Result<(), AppendError>,
        wait: Wait,
        answer: impl FnOnce(Once) -> T,
    ) -> Result<T, AppendError> {
        // A batch's iterator is the user's code and may append by itself: that one finds no buffer.
        let mut frame = FRAME.take().unwrap_or_default();
        let encoded = encode(&mut frame);
        let shared = self.store.shared();
        let once = match encoded {
            Err(error) => Err(error),
            Ok(()) if frame.ids().is_empty() => shared.append(&mut frame, wait).map(Once::from),
            Ok(()) => shared.append_once(&mut frame, wait),
        };
        FRAME.set(Some(frame));
        let once = once?;
        if self.sync_policy() == SyncPolicy::Always {
            self.carry(&once, wait)?;
        }
        Ok(answer(once))
    }

    /// Under `Always`: brings what was appended to the disk, or leaves that to others if it may not
    /// wait.
    fn carry(&self, once: &Once, wait: Wait) -> Result<(), AppendError> {
        let shared = self.store.shared();
        if wait == Wait::Never {
            shared.round_later();
            return Ok(());
        }
        shared.round_if_free();
        Ok(self.wait_durable_at(self.behind(once))?)
    }

    /// What is told of a single event.
    fn answer(&self, once: &Once) -> Appended {
        Appended {
            offset: once.first(),
            duplicate: !once.duplicates.is_empty(),
            position: self.behind(once),
        }
    }

    /// The position behind all events that an append has answered for.
    fn behind(&self, once: &Once) -> Position {
        Position {
            log: self.id(),
            epoch: once.placed.epoch,
            offset: once.behind(),
        }
    }
    /// Appends a frame of any kind.
    #[cfg(test)]
    pub(crate) fn put_for_test(&self, frame: &mut FrameBuffer) -> Result<(), AppendError> {
        self.store.shared().append(frame, Wait::Roll).map(|_| ())
    }
}
