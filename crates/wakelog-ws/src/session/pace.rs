//! How often something may happen: so many times a second, and a few seconds' worth at once.

use std::time::{Duration, Instant};

/// How many seconds' worth may come at once.
const BURST: u32 = 4;

/// Counts what happens against a rate, in one moment of time: when all of it would have happened,
/// had it come evenly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    every: Duration,
    even: Instant,
}

impl Pace {
    /// So many times a second, at least once.
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        Self {
            every: Duration::from_secs(1) / per_second.max(1),
            even: now,
        }
    }

    /// Counts one. If it comes too early: the moment at which it would have been in time.
    pub(crate) fn count(&mut self, now: Instant) -> Option<Instant> {
        self.even = self.even.max(now) + self.every;
        let allowed = now + Duration::from_secs(BURST.into());
        (self.even > allowed).then(|| now + (self.even - allowed))
    }

    /// Counts one that can wait for so long, and not longer: it is not counted then.
    pub(crate) fn count_within(
        &mut self,
        now: Instant,
        longest: Duration,
    ) -> Result<Option<Instant>, Instant> {
        let before = self.even;
        match self.count(now) {
            Some(moment) if moment > now + longest => {
                self.even = before;
                Err(moment)
            }
            moment => Ok(moment),
        }
    }

    /// Whether nothing is left of what was counted.
    pub(crate) fn is_rested(&self, now: Instant) -> bool {
        self.even <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_then_it_is_the_rate() {
        let start = Instant::now();
        let mut pace = Pace::new(10, start);
        assert!((0..40).all(|_| pace.count(start).is_none()));
        let mut now = start;
        for n in 1..=20 {
            let wait = pace.count(now).unwrap();
            assert_eq!(wait, start + Duration::from_millis(100 * n));
            now = wait;
        }
        assert!(!pace.is_rested(now));
        now += Duration::from_secs(60);
        assert!(pace.is_rested(now));
        // Rest is not saved up beyond a burst.
        assert!((0..40).all(|_| pace.count(now).is_none()));
        assert!(pace.count(now).is_some());
    }
}
