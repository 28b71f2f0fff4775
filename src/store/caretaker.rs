//! The caretaker thread: what is to be done now and then.

use super::Shared;
use crossbeam_utils::sync::Parker;
use std::sync::Arc;
use std::time::Duration;

/// How often age and acks are looked at. A roll is looked at at once.
const RETAIN_EVERY: Duration = Duration::from_secs(1);

impl Shared {
    pub(super) fn caretaker_loop(self: &Arc<Self>, parker: &Parker) {
        while !self.marks.closed() {
            if self.options.retention_value().keeps_all() {
                parker.park();
                continue;
            }
            // What goes wrong is tried again the next time; `Log::retain` tells it.
            let _ = self.retain();
            parker.park_timeout(RETAIN_EVERY);
        }
    }
}
