//! The numbers that readers look at without a lock.

use crate::notify::EndWord;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crossbeam_utils::CachePadded;

/// Which events a reader sees.
pub(crate) use crate::options::ReadLevel as Level;

/// First offset, visible end, durable end, generation.
#[derive(Debug)]
pub(crate) struct Marks {
    /// Moved by appends; on a cache line of its own.
    pub(crate) visible: CachePadded<EndWord>,
    /// Moved by sync rounds.
    pub(crate) durable: CachePadded<EndWord>,
    rare: CachePadded<Rare>,
}

#[derive(Debug)]
struct Rare {
    first: AtomicU64,
    generation: AtomicU64,
    closed: AtomicBool,
    ended: AtomicBool,
    poisoned_end: AtomicU64,
}

impl Marks {
    pub(crate) fn new(first: u64, next: u64, durable: u64) -> Self {
        let rare = Rare {
            first: AtomicU64::new(first),
            generation: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            poisoned_end: AtomicU64::new(0),
        };
        Self {
            visible: CachePadded::new(EndWord::new(next)),
            durable: CachePadded::new(EndWord::new(durable)),
            rare: CachePadded::new(rare),
        }
    }

    pub(crate) fn word(&self, level: Level) -> &EndWord {
        match level {
            Level::Visible => &self.visible,
            Level::Durable => &self.durable,
        }
    }

    /// Where reading ends at `level`, exclusive.
    pub(crate) fn limit(&self, level: Level) -> u64 {
        self.word(level).offset()
    }

    pub(crate) fn next(&self) -> u64 {
        self.visible.offset()
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable.offset()
    }

    /// The highest offset that positions of this epoch may have: while the log is poisoned, the end
    /// from before, since a reopen may find all of it.
    pub(crate) fn known_end(&self) -> u64 {
        self.next()
            .max(self.rare.poisoned_end.load(Ordering::Acquire))
    }

    /// The end from before a failed sync; 0 when the log was reopened.
    pub(crate) fn set_poisoned_end(&self, end: u64) {
        self.rare.poisoned_end.store(end, Ordering::Release);
    }

    /// Offset of the oldest event that is kept.
    pub(crate) fn first(&self) -> u64 {
        self.rare.first.load(Ordering::Acquire)
    }

    pub(crate) fn set_first(&self, first: u64) {
        self.rare.first.fetch_max(first, Ordering::AcqRel);
    }

    /// Changes whenever the history does while handles are open: positions must be judged again.
    pub(crate) fn generation(&self) -> u64 {
        self.rare.generation.load(Ordering::Acquire)
    }

    /// Called after the history was replaced. Release: who sees the new generation sees that
    /// history.
    pub(crate) fn next_generation(&self) {
        self.rare.generation.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn closed(&self) -> bool {
        self.rare.closed.load(Ordering::Acquire)
    }

    /// Whether the log's threads have left: nothing becomes visible or durable any more.
    pub(crate) fn ended(&self) -> bool {
        self.rare.ended.load(Ordering::Acquire)
    }

    pub(crate) fn end(&self) {
        self.rare.ended.store(true, Ordering::Release);
    }

    pub(crate) fn close(&self) {
        self.rare.closed.store(true, Ordering::Release);
    }
}
