//! Roll: seal the active segment, go on in the spare.

use super::append::{Appending, Rolled};
use super::arming::Arming;
use super::{Shared, Wait, unpark};
use crate::error::AppendError;
use crate::format::{Activation, HEADER_BYTES, padded};
use crate::segment::{self, Spare};
use crate::sync::{MutexGuard, Plant, planted};
use std::io;
use std::sync::Arc;

/// The next segment, made ahead.
#[derive(Debug)]
pub(super) enum SpareSlot {
    None,
    /// The keeper is asked for one.
    Wanted(Wish),
    /// The keeper is making it.
    Making,
    Ready(Spare),
    /// The keeper could not make it.
    Failed(Wish, io::Error),
}

/// What the keeper is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) bytes: u32,
    /// An append needs it now. If not, and it cannot be made, nobody need know: there is still
    /// time.
    needed: bool,
}

impl Shared {
    /// One step towards room for a frame of `need` bytes: rolls, or waits for what a roll needs.
    /// Somebody else may roll meanwhile, so the caller looks again after it. `asked` is the
    /// caller's: whether all of a making that now fails came after it, so that a failure is told
    /// to whom it concerns.
    pub(super) fn roll(
        &self,
        state: &mut MutexGuard<'_, Appending>,
        need: usize,
        wait: Wait,
        asked: &mut bool,
    ) -> Result<(), AppendError> {
        // The roll before must be on disk: open looks at two segments and no more.
        if state.rolled.is_some() {
            unpark(&self.signals.sync);
        } else {
            match std::mem::replace(&mut state.spare, SpareSlot::None) {
                SpareSlot::Ready(spare) if HEADER_BYTES + padded(need) <= spare.bytes() => {
                    return self.activate(state, spare);
                }
                SpareSlot::Ready(small) => {
                    // Nothing stands in it and nobody knows it. If the unlink fails, the next open
                    // does it.
                    let _ = self.dir.unlink(&small.name);
                    self.ask_for_spare(state, need);
                }
                SpareSlot::None => self.ask_for_spare(state, need),
                // Its disk may have failed before this append began, and be well again.
                SpareSlot::Making => {
                    state.spare = SpareSlot::Making;
                    return self.wait_for_spare(state, wait);
                }
                SpareSlot::Failed(wish, error)
                    if *asked || (wish.needed && wait == Wait::Never) =>
                {
                    return Err(AppendError::from_io(
                        self.dir.path(),
                        "make a segment",
                        error,
                    ));
                }
                SpareSlot::Failed(..) => self.ask_for_spare(state, need),
                wanted @ SpareSlot::Wanted(_) => state.spare = wanted,
            }
            unpark(&self.signals.keeper);
            *asked = true;
        }
        self.wait_for_spare(state, wait)
    }

    fn wait_for_spare(
        &self,
        state: &mut MutexGuard<'_, Appending>,
        wait: Wait,
    ) -> Result<(), AppendError> {
        if wait == Wait::Never {
            return Err(AppendError::WouldBlock);
        }
        self.room.wait(state);
        Ok(())
    }

    /// Asks the keeper for a spare that takes a frame of `need` bytes. The caller unparks the
    /// keeper.
    pub(super) fn ask_for_spare(&self, state: &mut Appending, need: usize) {
        let configured = self.options.segment_bytes_value();
        let current = state.active.region().len();
        let doubled = u32::try_from(current.saturating_mul(2)).unwrap_or(configured);
        let fitting = (HEADER_BYTES + padded(need)).next_multiple_of(4096);
        let fitting = u32::try_from(fitting).unwrap_or(configured);
        let bytes = doubled.min(configured).max(fitting);
        state.spare = SpareSlot::Wanted(Wish {
            bytes,
            needed: need > 0,
        });
    }

    /// Stores the activation through the map: from here on the spare is the active segment.
    fn activate(&self, state: &mut Appending, spare: Spare) -> Result<(), AppendError> {
        let time = state.time;
        let old = Arc::clone(&state.active);
        let place = *state.open()?.place();
        // A segment without an event is replaced: the new one has its base, and takes its name.
        let previous = if place.offset == old.base() {
            old.previous()
        } else {
            Some((old.base(), u32::try_from(place.at).unwrap_or(u32::MAX)))
        };
        let activation = Activation {
            base: place.offset,
            epoch: place.epoch,
            previous,
            cut: false,
            mirror: self.is_mirror(),
            time,
        };
        let spare_name = spare.name.clone();
        let (successor, writer) = segment::activate(spare, activation);
        if !planted(Plant::UnlinkedRoll) {
            old.link(&successor);
        }
        state.rolled = Some(Rolled {
            sealed: old,
            end: place.at,
            successor: Arc::clone(&successor),
            spare_name,
            time,
        });
        state.counted.roll(place.at);
        state.active = successor;
        state.writer = Some(writer);
        state.arming = Arming::default();
        unpark(&self.signals.sync);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use crate::dir::MemoryDir;

    fn failed() -> SpareSlot {
        let error = io::Error::other("the disk was ill");
        let (bytes, needed) = (8192, false);
        SpareSlot::Failed(Wish { bytes, needed }, error)
    }

    #[test]
    fn a_making_that_failed_before_an_append_began_is_not_told_to_it() {
        let dir = Arc::new(MemoryDir::new());
        let log = Options::new().open_in(dir).unwrap();
        let shared = log.shared();
        let mut state = shared.append.lock();
        let mut asked = false;
        let mut roll = |state: &mut _| shared.roll(state, 100, Wait::Never, &mut asked);

        state.spare = SpareSlot::Making;
        assert!(matches!(roll(&mut state), Err(AppendError::WouldBlock)));
        state.spare = failed();
        assert!(matches!(roll(&mut state), Err(AppendError::WouldBlock)));
        assert!(matches!(state.spare, SpareSlot::Wanted(_)));
        // All of this one came after it.
        state.spare = failed();
        assert!(matches!(roll(&mut state), Err(AppendError::Io(_))));
    }
}
