//! The keeper thread: makes the next segment ahead, so that an append seldom waits for a disk.

use super::roll::Wish;
use super::{Shared, SpareSlot};
use crate::segment;
use crate::sync::Parker;

impl Shared {
    pub(super) fn keeper_loop(&self, parker: &Parker) {
        while !self.marks.closed() {
            match self.take_wish() {
                Some(wish) => {
                    let made = segment::make(&*self.dir, self.log_id(), wish.bytes);
                    self.append.lock().spare = match made {
                        Ok(spare) => SpareSlot::Ready(spare),
                        Err(error) => SpareSlot::Failed(wish, error),
                    };
                    self.room.notify_all();
                }
                None => parker.park(),
            }
        }
    }

    fn take_wish(&self) -> Option<Wish> {
        let mut state = self.append.lock();
        match state.spare {
            SpareSlot::Wanted(wish) => {
                state.spare = SpareSlot::Making;
                Some(wish)
            }
            _ => None,
        }
    }
}
