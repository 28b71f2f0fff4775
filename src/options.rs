//! How a log is opened and how it is read: plain values, every limit with a name, a default and
//! its bounds.

use std::time::Duration;

use crate::types::{Position, Retention, to_usize};

/// Frame header and record header: what a frame of one event has besides what the user counts.
const FRAME_OVERHEAD: u32 = 40;
const KIB: u32 = 1 << 10;
const MIB: u32 = 1 << 20;
const PAGE: u32 = 4 * KIB;
/// Walking so much takes about as long as preparing to jump.
const SCAN_BYTES: u32 = 256 * KIB;
/// A jump misses the caches that a walk fills ahead, and verifies the frame once more.
const JUMP_SHARE: u64 = 4;
const DEFAULT_EVENT_BYTES: u32 = MIB;
const FIRST_SEGMENT_BYTES: u32 = MIB;
/// The highest number of ids that may be remembered.
const MOST_IDS: u32 = 1 << 24;
/// The highest number of cursors that may be allowed.
pub(crate) const MOST_CURSORS: u32 = 16_000_000;

/// How a log is opened.
///
/// Sizes are in bytes. Values out of bounds are told by the open that uses them.
///
/// ```
/// use std::time::Duration;
/// use wakelog::{Options, SyncPolicy};
///
/// let options = Options::new()
///     .segment_bytes(16 << 20)
///     .sync(SyncPolicy::Every(Duration::from_millis(50)));
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing before a log is opened with them"]
pub struct Options {
    segment_bytes: u32,
    sync: SyncPolicy,
    max_event_bytes: Option<u32>,
    max_batch_events: u32,
    dedup_ids: u32,
    max_cursors: u32,
    open_segments: u32,
    max_waiters: u32,
    poll_interval: Duration,
    max_page_bytes: u32,
    max_page_events: u32,
    retention: Retention,
    listener_threads: u32,
    max_topics: u32,
    scan_bytes: u32,
    jump_share: u64,
}

/// When appended events are made durable: written to the disk so that they survive a power loss.
/// The end of the process alone loses nothing that was appended, under any policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyncPolicy {
    /// A sync starts at once for the first event that is not durable, and after it at most once
    /// in this time. 100 microseconds to 1 minute; the default, with 10 milliseconds.
    Every(Duration),
    /// Only when the user says so.
    Manual,
    /// An append returns when its event is durable. Appends of many threads share one sync.
    Always,
}

/// Which events a reader sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadLevel {
    /// All that were appended. A power loss, or a failed sync, may take back the last of them;
    /// readers are then told with a gap.
    #[default]
    Visible,
    /// Those that are durable.
    Durable,
}

/// Where a reader or a new cursor starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// At the first event that the log still holds.
    Earliest,
    /// Behind the last event there is: only what comes from now on.
    #[default]
    Latest,
    /// At this offset. If it was trimmed, the first answer is a gap; beyond the end it is an
    /// error.
    Offset(u64),
    /// At a position that was told before, which is checked against the history of the log.
    Position(Position),
    /// At the first event whose time, in UTC microseconds, is not below this one; at the end if
    /// there is none. Where damage may hide that event, the first answer is the gap.
    Time(u64),
    /// So that this many matching events come before those of the future; all of them if there are
    /// fewer.
    Last(u64),
    /// The last event of each topic that matches, in the order of their offsets and each once, then
    /// everything from the end on that the log had at the start. For readers only: a cursor stands
    /// at one place. See [`Options::max_topics`].
    LastPerTopic,
}

/// Whether opening a cursor made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opened {
    /// It was made now and stands at its start.
    New,
    /// It was there and goes on where it was acked.
    Resumed,
    /// It was there, but nobody had used it for as long as it lives
    /// ([`CursorBuilder::ttl`](crate::CursorBuilder::ttl)). It begins like a new one, at its start.
    Expired {
        /// The offset that the expired one wanted next.
        acked: u64,
    },
    /// It was there, but its place is lost, and it begins where
    /// [`CursorBuilder::start_if_corrupt`](crate::CursorBuilder::start_if_corrupt) has said.
    Corrupt,
}

impl Options {
    /// The defaults.
    pub fn new() -> Options {
        Options {
            segment_bytes: 64 * MIB,
            sync: SyncPolicy::Every(Duration::from_millis(10)),
            max_event_bytes: None,
            max_batch_events: 65_536,
            dedup_ids: 65_536,
            max_cursors: 1_000_000,
            open_segments: 64,
            max_waiters: 100_000,
            poll_interval: Duration::from_millis(5),
            max_page_bytes: 4 * MIB,
            max_page_events: 65_536,
            retention: Retention::new(),
            listener_threads: 4,
            max_topics: 65_536,
            scan_bytes: SCAN_BYTES,
            jump_share: JUMP_SHARE,
        }
    }

    /// The size that segments grow to: 16 KiB to 1 GiB in whole pages of 4 KiB; 64 MiB by
    /// default. The first segment of a log has at most 1 MiB, and each next one doubles.
    pub fn segment_bytes(mut self, bytes: u32) -> Options {
        self.segment_bytes = bytes;
        self
    }

    /// When events are made durable; every 10 milliseconds by default.
    pub fn sync(mut self, policy: SyncPolicy) -> Options {
        self.sync = policy;
        self
    }

    /// The largest event, in bytes of payload, audience and attributes: 1 to half of
    /// [`segment_bytes`](Options::segment_bytes), less 40 bytes of headers. By default 1 MiB, or
    /// that half if it is less.
    pub fn max_event_bytes(mut self, bytes: u32) -> Options {
        self.max_event_bytes = Some(bytes);
        self
    }

    /// The most events in one batch: 1 to 16,777,216; 65,536 by default. A batch has at most half
    /// of [`segment_bytes`](Options::segment_bytes) in any case.
    pub fn max_batch_events(mut self, events: u32) -> Options {
        self.max_batch_events = events;
        self
    }

    /// How many ids the log remembers: 0 to 16,777,216; 65,536 by default. An event with the id
    /// and the [`from`](crate::NewEvent::from) of one of the last so many events that have an id
    /// is a duplicate: it is not appended, and the answer is the offset of the first one. That
    /// holds across restarts. An id takes 24 bytes of memory. With 0, ids are attributes like any
    /// other.
    pub fn dedup_ids(mut self, ids: u32) -> Options {
        self.dedup_ids = ids;
        self
    }

    /// The most durable cursors: 1 to 16,000,000; 1,000,000 by default. A cursor takes 64 bytes
    /// and its definition on disk, and 24 bytes of memory.
    pub fn max_cursors(mut self, cursors: u32) -> Options {
        self.max_cursors = cursors;
        self
    }

    /// How many sealed segments stay mapped while nobody reads them: 1 to 4,096; 64 by default.
    /// What was verified of them is remembered as long: 16 KiB each where a filter was read.
    pub fn open_segments(mut self, segments: u32) -> Options {
        self.open_segments = segments;
        self
    }

    /// How many readers may wait for events at the same time: 1 to 16,777,216; 100,000 by
    /// default.
    pub fn max_waiters(mut self, waiters: u32) -> Options {
        self.max_waiters = waiters;
        self
    }

    /// How often a log that was opened read-only looks for what the writing process did: 100
    /// microseconds to 10 milliseconds; 5 milliseconds by default.
    pub fn poll_interval(mut self, interval: Duration) -> Options {
        self.poll_interval = interval;
        self
    }

    /// The largest page that a reader may ask for, in bytes of the log: 4 KiB to 1 GiB; 4 MiB by
    /// default. A page holds at least one event, however large.
    pub fn max_page_bytes(mut self, bytes: u32) -> Options {
        self.max_page_bytes = bytes;
        self
    }

    /// The most events in one page: 1 to 16,777,216; 65,536 by default.
    pub fn max_page_events(mut self, events: u32) -> Options {
        self.max_page_events = events;
        self
    }

    /// What the log keeps; everything by default. Applied when a segment is full, about once a
    /// second, and by [`Log::retain`](crate::Log::retain).
    pub fn retention(mut self, retention: Retention) -> Options {
        self.retention = retention;
        self
    }

    /// How many threads call listeners: 1 to 256; 4 by default. They start with the first listener
    /// and end with the last one. A listener that blocks takes one of them for as long.
    pub fn listener_threads(mut self, threads: u32) -> Options {
        self.listener_threads = threads;
        self
    }

    /// The most topics that [`Start::LastPerTopic`] and [`Log::topics`](crate::Log::topics) may
    /// find before they say that there are too many: 1 to 16,777,216; 65,536 by default.
    pub fn max_topics(mut self, topics: u32) -> Options {
        self.max_topics = topics;
        self
    }

    /// Indexes are asked for the least rest of a segment, so that tests meet them in small ones.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn index_everything(mut self) -> Options {
        self.scan_bytes = 0;
        self.jump_share = 1;
        self
    }

    /// The largest frame: an event or a batch with its headers.
    pub(crate) fn frame_limit(&self) -> u32 {
        self.segment_bytes / 2
    }

    /// The largest event in bytes of payload, audience and attributes.
    pub(crate) fn event_limit(&self) -> u32 {
        let largest = self.frame_limit().saturating_sub(FRAME_OVERHEAD);
        self.max_event_bytes
            .unwrap_or(DEFAULT_EVENT_BYTES)
            .min(largest)
    }

    /// The size of the first segment of a log.
    pub(crate) fn first_segment_bytes(&self) -> u32 {
        FIRST_SEGMENT_BYTES.min(self.segment_bytes)
    }

    /// Whether all options are within their bounds; otherwise the option and the bound it breaks.
    pub(crate) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        const MANY: u32 = 1 << 24;
        let shortest = Duration::from_micros(100);
        let bound = |good: bool, option, why| if good { Ok(()) } else { Err((option, why)) };

        let segment =
            (16 * KIB..=1024 * MIB).contains(&self.segment_bytes) && self.segment_bytes % PAGE == 0;
        bound(
            segment,
            "segment_bytes",
            "16 KiB to 1 GiB in whole pages of 4 KiB",
        )?;
        if let SyncPolicy::Every(time) = self.sync {
            let minute = Duration::from_secs(60);
            let good = (shortest..=minute).contains(&time);
            bound(good, "sync", "every 100 microseconds to 1 minute")?;
        }
        let largest = self.frame_limit() - FRAME_OVERHEAD;
        let event = self
            .max_event_bytes
            .is_none_or(|bytes| (1..=largest).contains(&bytes));
        bound(
            event,
            "max_event_bytes",
            "1 to half of segment_bytes less 40",
        )?;
        for (value, option) in [
            (self.max_batch_events, "max_batch_events"),
            (self.max_waiters, "max_waiters"),
            (self.max_page_events, "max_page_events"),
            (self.max_topics, "max_topics"),
        ] {
            bound((1..=MANY).contains(&value), option, "1 to 16,777,216")?;
        }
        bound(self.dedup_ids <= MOST_IDS, "dedup_ids", "0 to 16,777,216")?;
        bound(
            (1..=MOST_CURSORS).contains(&self.max_cursors),
            "max_cursors",
            "1 to 16,000,000",
        )?;
        bound(
            (1..=4_096).contains(&self.open_segments),
            "open_segments",
            "1 to 4,096",
        )?;
        bound(
            (1..=256).contains(&self.listener_threads),
            "listener_threads",
            "1 to 256",
        )?;
        let poll = (shortest..=Duration::from_millis(10)).contains(&self.poll_interval);
        bound(poll, "poll_interval", "100 microseconds to 10 milliseconds")?;
        let page = (4 * KIB..=1024 * MIB).contains(&self.max_page_bytes);
        bound(page, "max_page_bytes", "4 KiB to 1 GiB")?;
        match self.retention.fault(self.segment_bytes) {
            Some(why) => Err(("retention", why)),
            None => Ok(()),
        }
    }
}

/// What was set, for those who open the log. `Options::check` has seen the values by then.
impl Options {
    pub(crate) fn segment_bytes_value(&self) -> u32 {
        self.segment_bytes
    }

    pub(crate) fn sync_value(&self) -> SyncPolicy {
        self.sync
    }

    pub(crate) fn max_batch_events_value(&self) -> u32 {
        self.max_batch_events
    }

    pub(crate) fn dedup_ids_value(&self) -> u32 {
        self.dedup_ids
    }

    pub(crate) fn max_cursors_value(&self) -> u32 {
        self.max_cursors
    }

    pub(crate) fn open_segments_value(&self) -> u32 {
        self.open_segments
    }

    pub(crate) fn max_waiters_value(&self) -> u32 {
        self.max_waiters
    }

    pub(crate) fn listener_threads_value(&self) -> u32 {
        self.listener_threads
    }

    pub(crate) fn poll_interval_value(&self) -> Duration {
        self.poll_interval
    }

    pub(crate) fn retention_value(&self) -> &Retention {
        &self.retention
    }

    pub(crate) fn max_topics_value(&self) -> u32 {
        self.max_topics
    }

    /// A rest of a segment that has fewer bytes is walked and not asked for in an index.
    pub(crate) fn scan_bytes_value(&self) -> u32 {
        self.scan_bytes
    }

    /// A segment in which more than one event in so many matches is walked.
    pub(crate) fn jump_share_value(&self) -> u64 {
        self.jump_share
    }

    /// Lowers what a reader asks of a page to the bounds.
    pub(crate) fn page_bounds(&self, events: usize, bytes: usize) -> (usize, usize) {
        (
            events.min(to_usize(self.max_page_events)),
            bytes.min(to_usize(self.max_page_bytes)),
        )
    }
}

impl Default for Options {
    fn default() -> Options {
        Options::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_and_the_ends_of_all_bounds_are_good() {
        assert_eq!(Options::new().check(), Ok(()));
        let least = Options::new()
            .segment_bytes(16 << 10)
            .sync(SyncPolicy::Every(Duration::from_micros(100)))
            .max_event_bytes(1)
            .max_batch_events(1)
            .dedup_ids(0)
            .max_cursors(1)
            .open_segments(1)
            .max_waiters(1)
            .poll_interval(Duration::from_micros(100))
            .max_page_bytes(4 << 10)
            .max_page_events(1)
            .retention(Retention::new().max_events(1).until_acked())
            .listener_threads(1)
            .max_topics(1);
        assert_eq!(least.check(), Ok(()));
        let most = Options::new()
            .segment_bytes(1 << 30)
            .sync(SyncPolicy::Every(Duration::from_secs(60)))
            .max_event_bytes((1 << 29) - 40)
            .max_batch_events(1 << 24)
            .dedup_ids(1 << 24)
            .max_cursors(16_000_000)
            .open_segments(4_096)
            .max_waiters(1 << 24)
            .poll_interval(Duration::from_millis(10))
            .max_page_bytes(1 << 30)
            .max_page_events(1 << 24)
            .listener_threads(256)
            .max_topics(1 << 24);
        assert_eq!(most.check(), Ok(()));
    }

    #[test]
    fn a_value_out_of_bounds_is_told_by_name() {
        let (new, keep) = (Options::new, Retention::new);
        let micro = Duration::from_micros(99);
        let wrong = [
            (new().segment_bytes((16 << 10) - 4096), "segment_bytes"),
            (new().segment_bytes((1 << 30) + 4096), "segment_bytes"),
            (new().segment_bytes((64 << 20) + 1), "segment_bytes"),
            (new().segment_bytes(0), "segment_bytes"),
            (new().sync(SyncPolicy::Every(micro)), "sync"),
            (
                new().sync(SyncPolicy::Every(Duration::from_secs(61))),
                "sync",
            ),
            (new().max_event_bytes(0), "max_event_bytes"),
            (new().max_event_bytes((32 << 20) - 39), "max_event_bytes"),
            (new().max_batch_events(0), "max_batch_events"),
            (new().max_batch_events((1 << 24) + 1), "max_batch_events"),
            (new().dedup_ids((1 << 24) + 1), "dedup_ids"),
            (new().max_cursors(0), "max_cursors"),
            (new().max_cursors(16_000_001), "max_cursors"),
            (new().max_waiters(0), "max_waiters"),
            (new().max_page_events(0), "max_page_events"),
            (new().listener_threads(0), "listener_threads"),
            (new().listener_threads(257), "listener_threads"),
            (new().max_topics(0), "max_topics"),
            (new().open_segments(0), "open_segments"),
            (new().open_segments(4_097), "open_segments"),
            (new().poll_interval(micro), "poll_interval"),
            (
                new().poll_interval(Duration::from_millis(11)),
                "poll_interval",
            ),
            (new().max_page_bytes(4_095), "max_page_bytes"),
            (new().retention(keep().until_acked()), "retention"),
            (
                new().retention(keep().max_bytes((64 << 20) - 1)),
                "retention",
            ),
            (new().retention(keep().max_age(micro)), "retention"),
            (new().retention(keep().max_events(0)), "retention"),
        ];
        for (options, option) in wrong {
            assert_eq!(options.check().unwrap_err().0, option, "{options:?}");
        }
    }

    #[test]
    fn a_small_segment_lowers_the_limit_of_an_event() {
        assert_eq!(Options::new().event_limit(), 1 << 20);
        let small = Options::new().segment_bytes(16 << 10);
        assert_eq!((small.event_limit(), small.frame_limit()), (8_152, 8_192));
        assert_eq!(small.first_segment_bytes(), 16 << 10);
        assert_eq!(Options::new().first_segment_bytes(), 1 << 20);
        assert_eq!(Options::new().max_event_bytes(7).event_limit(), 7);
    }
}
