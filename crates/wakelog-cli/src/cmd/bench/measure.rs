//! Times and the baseline.

use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime};

/// What a work has cost.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// Of the pass without a clock read a call.
    pub(super) time: Duration,
    pub(super) events: u32,
    /// Of each call of the other pass, in nanoseconds.
    pub(super) calls: Vec<u64>,
}

impl Measured {
    pub(super) fn new(time: Duration, events: u32, mut calls: Vec<u64>) -> Self {
        calls.sort_unstable();
        Self {
            time,
            events,
            calls,
        }
    }

    pub(super) fn ns_per_event(&self) -> f64 {
        // At least one, so that nobody divides by zero.
        (self.time.as_secs_f64() * 1e9 / f64::from(self.events.max(1))).max(0.1)
    }

    /// The time below which so many thousandths of the calls are.
    pub(super) fn percentile(&self, thousandths: usize) -> u64 {
        let at = (self.calls.len() * thousandths / 1_000).min(self.calls.len().saturating_sub(1));
        self.calls.get(at).copied().unwrap_or(0)
    }
}

/// Times calls one after the other with one clock read each.
#[derive(Debug)]
pub(super) struct Lap {
    last: Instant,
    pub(super) calls: Vec<u64>,
}

impl Lap {
    pub(super) fn start(expected: usize) -> Self {
        // Written, so that no page of it is met for the first time while the clock runs.
        let mut calls = vec![1; expected];
        black_box(&mut calls);
        calls.clear();
        Self {
            last: Instant::now(),
            calls,
        }
    }

    pub(super) fn lap(&mut self) {
        let now = Instant::now();
        self.calls.push(nanos(now - self.last));
        self.last = now;
    }
}

pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The ring of the baseline, as large as a segment.
const RING: usize = 64 << 20;

/// A frame has a header of 32 bytes, then 8 of its record, the number of topics and identities, and
/// each topic behind its length; docs/format.md.
const FRAME_OVERHEAD: usize = 32 + 8 + 2 + 1;

/// Nanoseconds for one event: its encoded frame is copied into a ring of memory that is there,
/// its checksum computed, and the clock read.
pub(super) fn baseline(payload: usize, topic: usize, events: u32) -> f64 {
    let bytes = (FRAME_OVERHEAD + topic + payload).next_multiple_of(8);
    let frame = vec![0x5a_u8; bytes];
    let mut ring = vec![1_u8; RING];
    let events = events.clamp(100_000, 1_000_000);
    let start = Instant::now();
    let mut at = 0;
    for _ in 0..events {
        if at + bytes > ring.len() {
            at = 0;
        }
        if let Some(place) = ring.get_mut(at..at + bytes) {
            place.copy_from_slice(black_box(&frame));
            black_box(crc32fast::hash(place));
        }
        black_box(SystemTime::now());
        at += bytes;
    }
    let time = start.elapsed();
    black_box(&ring);
    time.as_secs_f64() * 1e9 / f64::from(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_few_calls() {
        let measured = Measured::new(Duration::from_micros(2), 2, vec![30, 10, 20]);
        assert!((measured.ns_per_event() - 1_000.0).abs() < 0.01);
        let at = |thousandths| measured.percentile(thousandths);
        assert_eq!([at(500), at(990), at(1_000)], [20, 30, 30]);
        assert_eq!(Measured::default().percentile(500), 0);
    }
}
