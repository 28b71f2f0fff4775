//! What a log keeps.

use std::time::Duration;

/// What a log keeps, and what it may let go. The default keeps everything.
///
/// Only whole segments go, the oldest first, and never the one that is being written. Whoever
/// stands below the first event that is kept is told with a gap
/// ([`GapReason::Trimmed`](crate::GapReason::Trimmed)). A segment goes as soon as *one* rule lets
/// it go.
///
/// ```
/// use std::time::Duration;
/// use wakelog::{Options, Retention};
///
/// let week = Duration::from_secs(7 * 24 * 60 * 60);
/// let options = Options::new().retention(Retention::new().max_bytes(10 << 30).max_age(week));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "a retention does nothing before it is given to the options of a log"]
pub struct Retention {
    max_bytes: Option<u64>,
    max_age: Option<Duration>,
    max_events: Option<u64>,
    until_acked: bool,
}

impl Retention {
    /// Keeps everything.
    pub fn new() -> Retention {
        Retention::default()
    }

    /// The files of all segments together take at most so many bytes; at least
    /// [`Options::segment_bytes`](crate::Options::segment_bytes). Beyond it come the segment that
    /// is being made ahead and the files beside the segments. Since whole segments go, a bound of a
    /// few segments keeps little: give it several times the size of a segment.
    pub fn max_bytes(mut self, bytes: u64) -> Retention {
        self.max_bytes = Some(bytes);
        self
    }

    /// A segment goes when its newest event is older than this; at least 1 second. The clock is
    /// taken once, a minute after the log was opened, and from then on only the time that passes
    /// counts: nothing goes in the first minute, and a clock that is set makes nothing older. Times
    /// of events never fall, so events behind one that was appended while the clock was far ahead
    /// are as young as that one.
    pub fn max_age(mut self, age: Duration) -> Retention {
        self.max_age = Some(age);
        self
    }

    /// A segment goes when at least so many newer events follow it; at least 1. So the newest
    /// `events` always stay.
    pub fn max_events(mut self, events: u64) -> Retention {
        self.max_events = Some(events);
        self
    }

    /// A segment goes as soon as every cursor that lives has acked all of it. Without a cursor,
    /// nothing goes by this rule. A damaged cursor holds what there is until it is deleted; an
    /// expired one holds nothing.
    ///
    /// It needs another rule beside it, which wins over cursors: a consumer that never comes back
    /// must not fill the disk.
    pub fn until_acked(mut self) -> Retention {
        self.until_acked = true;
        self
    }

    pub(crate) fn bytes(&self) -> Option<u64> {
        self.max_bytes
    }

    pub(crate) fn age(&self) -> Option<Duration> {
        self.max_age
    }

    pub(crate) fn events(&self) -> Option<u64> {
        self.max_events
    }

    pub(crate) fn acked(&self) -> bool {
        self.until_acked
    }

    /// Whether nothing ever goes.
    pub(crate) fn keeps_all(&self) -> bool {
        *self == Retention::default()
    }

    /// What is wrong with it for segments of `segment_bytes`, if anything.
    pub(crate) fn fault(&self, segment_bytes: u32) -> Option<&'static str> {
        let capped =
            self.max_bytes.is_some() || self.max_age.is_some() || self.max_events.is_some();
        if self.until_acked && !capped {
            return Some("until_acked needs max_bytes, max_age or max_events beside it");
        }
        if self
            .max_bytes
            .is_some_and(|bytes| bytes < u64::from(segment_bytes))
        {
            return Some("max_bytes of at least segment_bytes");
        }
        if self.max_age.is_some_and(|age| age < Duration::from_secs(1)) {
            return Some("max_age of at least 1 second");
        }
        if self.max_events == Some(0) {
            return Some("max_events of at least 1");
        }
        None
    }
}
