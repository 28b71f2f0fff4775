//! The time by which events and cursors grow old: one that no step of the system's clock moves.

use crate::host;
use crate::sync::OnceLock;
use std::time::{Duration, Instant};

/// Nothing grows old in the first minute after an open: until then a machine that has just started
/// may not know the time.
const SETTLING: Duration = Duration::from_secs(60);

/// The system's clock is looked at once, and from then on only the time that passes counts.
#[derive(Debug)]
pub(crate) struct Clock {
    opened: Instant,
    /// How long after the open the clock was looked at, and what it said.
    anchor: OnceLock<(Duration, u64)>,
    #[cfg(test)]
    given: crate::sync::Mutex<Option<(Duration, u64)>>,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self {
            opened: Instant::now(),
            anchor: OnceLock::new(),
            #[cfg(test)]
            given: crate::sync::Mutex::new(None),
        }
    }

    /// UTC microseconds; `None` in the first minute.
    pub(crate) fn now(&self) -> Option<u64> {
        let (elapsed, wall) = self.read();
        if elapsed < SETTLING {
            return None;
        }
        let (at, then) = *self.anchor.get_or_init(|| (elapsed, wall()));
        let since = u64::try_from(elapsed.saturating_sub(at).as_micros()).unwrap_or(u64::MAX);
        Some(then.saturating_add(since))
    }

    #[cfg(not(test))]
    fn read(&self) -> (Duration, impl FnOnce() -> u64 + use<>) {
        (self.opened.elapsed(), host::now)
    }

    #[cfg(test)]
    fn read(&self) -> (Duration, impl FnOnce() -> u64 + use<>) {
        let given = *self.given.lock();
        let elapsed = given.map_or_else(|| self.opened.elapsed(), |(elapsed, _)| elapsed);
        (elapsed, move || {
            given.map_or_else(host::now, |(_, wall)| wall)
        })
    }

    /// From now on it is `elapsed` after the open, and the system's clock says `wall`.
    #[cfg(test)]
    pub(crate) fn give(&self, elapsed: Duration, wall: u64) {
        *self.given.lock() = Some((elapsed, wall));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: u64 = 365 * 24 * 60 * 60 * 1_000_000;

    #[test]
    fn the_clock_is_taken_once_and_steps_are_not_seen() {
        let clock = Clock::new();
        clock.give(Duration::ZERO, 0);
        assert_eq!(clock.now(), None);
        clock.give(Duration::from_secs(59), 30 * YEAR);
        assert_eq!(clock.now(), None);
        clock.give(Duration::from_secs(61), 50 * YEAR);
        assert_eq!(clock.now(), Some(50 * YEAR));
        for wall in [0, 49 * YEAR, 90 * YEAR] {
            clock.give(Duration::from_secs(71), wall);
            assert_eq!(clock.now(), Some(50 * YEAR + 10_000_000));
        }
    }
}
