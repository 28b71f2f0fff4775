//! Which frames have verified where jumps have landed, remembered in little memory.

use crate::sync::OnceLock;
use crate::sync::atomic::{AtomicU32, Ordering};

/// Frames that are remembered of one segment, in 32 KiB; nothing is allocated before the first.
const REMEMBERED: usize = 8_192;

/// Places that a frame may have: they are looked at together, in one line of the cache.
const WAYS: usize = 4;

/// A table in which a frame has a few places, by its frame position; a later one takes one of them
/// over. What is forgotten is verified again.
#[derive(Debug, Default)]
pub(super) struct Landed {
    frames: OnceLock<Box<[Set]>>,
}

type Set = [AtomicU32; WAYS];

impl Landed {
    /// Whether the frame at `at` has verified in this process.
    #[inline]
    pub(super) fn has(&self, at: u32) -> bool {
        // Relaxed: it says nothing about memory, only that this process has checked frozen bytes.
        let is = |place: &AtomicU32| place.load(Ordering::Relaxed) == at;
        let set = self.frames.get().and_then(|sets| sets.get(set_of(at)));
        set.is_some_and(|set| set.iter().any(is))
    }

    /// The frame at `at` has verified.
    pub(super) fn remember(&self, at: u32) {
        // No frame stands at 0.
        let empty = || (0..REMEMBERED / WAYS).map(|_| Set::default()).collect();
        if let Some(set) = self.frames.get_or_init(empty).get(set_of(at)) {
            let free = |place: &&AtomicU32| place.load(Ordering::Relaxed) == 0;
            // Bits that say nothing about the set, so that each of its frames may be the one to go.
            let any = crate::types::to_usize(at >> 3) % WAYS;
            if let Some(place) = set.iter().find(free).or(set.get(any)) {
                place.store(at, Ordering::Relaxed);
            }
        }
    }
}

/// Frames of the same length must not share a few sets.
fn set_of(at: u32) -> usize {
    let mixed = at.wrapping_mul(0x9e37_79b1) >> (u32::BITS - (REMEMBERED / WAYS).ilog2());
    crate::types::to_usize(mixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_verified_is_remembered_or_forgotten_but_nothing_else_is_known() {
        let landed = Landed::default();
        assert!(!landed.has(0) && !landed.has(4_096));
        let frames = || (0..100_000).map(|n| 4_096 + 152 * n);
        frames().for_each(|at| landed.remember(at));
        let known = frames().filter(|at| landed.has(*at)).count();
        assert!(known > REMEMBERED / 2 && known <= REMEMBERED, "{known}");
        let landed = Landed::default();
        let few = || frames().step_by(50);
        few().for_each(|at| landed.remember(at));
        let known = few().filter(|at| landed.has(*at)).count();
        assert!(known > 1_980, "{known} of 2,000 in a table of {REMEMBERED}");
        assert!(frames().all(|at| !landed.has(at + 8)));
    }
}
