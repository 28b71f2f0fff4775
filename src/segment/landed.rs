//! Which frames have verified where jumps have landed, remembered in little memory.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Frames that are remembered of one segment, in 16 KiB; nothing is allocated before the first.
const REMEMBERED: usize = 4_096;

/// A table in which a frame has one place, by its frame position; a later one takes it over. What
/// is forgotten is verified again.
#[derive(Debug, Default)]
pub(super) struct Landed {
    frames: OnceLock<Box<[AtomicU32]>>,
}

impl Landed {
    /// Whether the frame at `at` has verified in this process.
    #[inline]
    pub(super) fn has(&self, at: u32) -> bool {
        // Relaxed: it says nothing about memory, only that this process has checked frozen bytes.
        let slot = self.frames.get().and_then(|frames| frames.get(slot(at)));
        slot.is_some_and(|slot| slot.load(Ordering::Relaxed) == at)
    }

    /// The frame at `at` has verified.
    pub(super) fn remember(&self, at: u32) {
        // No frame stands at 0.
        let empty = || (0..REMEMBERED).map(|_| AtomicU32::new(0)).collect();
        if let Some(slot) = self.frames.get_or_init(empty).get(slot(at)) {
            slot.store(at, Ordering::Relaxed);
        }
    }
}

/// Frames of the same length must not share a few places.
fn slot(at: u32) -> usize {
    let mixed = at.wrapping_mul(0x9e37_79b1) >> (u32::BITS - REMEMBERED.ilog2());
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
        assert!(frames().all(|at| !landed.has(at + 8)));
    }
}
