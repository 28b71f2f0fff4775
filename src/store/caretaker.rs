//! The caretaker thread: what is to be done now and then.

use super::Shared;
use crate::sync::Parker;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often age and acks are looked at. A roll is looked at at once.
const RETAIN_EVERY: Duration = Duration::from_secs(1);
/// How often cursors that are in use are marked so.
const TICK_EVERY: Duration = Duration::from_secs(60);

impl Shared {
    pub(super) fn caretaker_loop(self: &Arc<Self>, parker: &Parker) {
        let mut ticked = Instant::now();
        while !self.marks.closed() {
            let keeps_all = self.options.retention_value().keeps_all();
            if !keeps_all {
                // What goes wrong is tried again the next time; `Log::retain` tells it.
                let _ = self.retain();
            }
            if ticked.elapsed() >= TICK_EVERY {
                ticked = Instant::now();
                self.tick_cursors();
            }
            parker.park_timeout(if keeps_all { TICK_EVERY } else { RETAIN_EVERY });
        }
    }

    /// Marks the cursors that are in use. Nothing happens in the first minute.
    pub(crate) fn tick_cursors(&self) {
        let (Some(cursors), Some(now)) = (&self.cursors, self.clock.now()) else {
            return;
        };
        let Ok(open) = self.hold_open() else { return };
        cursors.tick(now, &self.fences.held());
        drop(open);
        self.wake_sync();
        // Some may wait for a cursor that has expired.
        self.ack_waits.wake_all();
    }
}
