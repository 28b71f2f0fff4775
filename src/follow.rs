//! The follower's thread: keeps a read-only log up with the process that writes it.

use crate::store::Shared;
use crate::sync::Parker;
use std::sync::Arc;

/// Looks every [`Options::poll_interval`](crate::Options::poll_interval); returns when the log is
/// closed.
pub(crate) fn run(shared: &Arc<Shared>, parker: &Parker) {
    while !shared.marks.closed() {
        // An error is met again by the next look, and by readers; there is nobody to tell it to
        // here.
        let _ = shared.follow_once();
        parker.park_timeout(shared.options.poll_interval_value());
    }
}
