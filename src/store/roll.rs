//! Roll: seal the active segment, go on in the spare.

use super::append::{Appending, Rolled};
use super::arming::Arming;
use super::{Shared, Wait, unpark};
use crate::error::AppendError;
use crate::format::{Activation, HEADER_BYTES, padded};
use crate::segment::{self, Spare};
use parking_lot::MutexGuard;
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
    /// caller's: whether it has asked the keeper, so that a failure is told to whom it concerns.
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
                busy @ (SpareSlot::Wanted(_) | SpareSlot::Making) => state.spare = busy,
            }
            unpark(&self.signals.keeper);
            *asked = true;
        }
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
        old.link(&successor);
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
