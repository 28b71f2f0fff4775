//! What all handles of a log share: the append path, the marks, the table of segments, and the
//! threads that serve them (sync, keeper, armer).
//!
//! Lock order, outermost first: `progress` (held by a sync round and by `reopen`), `append`,
//! `acks`; all others are taken last and alone.

mod ack_waits;
mod append;
mod arming;
mod caretaker;
mod clock;
mod durable;
mod ending;
mod fence;
mod following;
mod ids;
mod indexer;
mod keeper;
#[cfg(all(test, loom))]
mod loom_tests;
mod marks;
mod mend;
mod mirror;
mod once;
mod retain;
mod roll;
mod rounds;
mod stats;
mod sync_thread;
mod table;
mod threads;

pub(crate) use ack_waits::AckWaits;
pub(crate) use append::Wait;
pub(crate) use clock::Clock;
pub(crate) use durable::{Changed, DurableFuture};
pub(crate) use ending::{Ending, NoEnding};
pub(crate) use fence::{Fence, Fences};
pub(crate) use marks::{Level, Marks};
pub(crate) use mirror::NotAt;
pub(crate) use once::Once;
pub(crate) use table::Located;
pub(crate) use threads::{Hold, Store};

use crate::cursor_file::CursorFile;
use crate::dir::{Directory, Lock};
use crate::error::{AckError, IoFailure};
use crate::format::Meta;
use crate::history::{History, Verdict};
use crate::index::Indexes;
use crate::notify::{Asleep, Seat, Sleeper};
use crate::options::Options;
use crate::recovery::{Follower, Recovered, RecoveryReport};
use crate::sync::atomic::AtomicUsize;
use crate::sync::{Condvar, Mutex, OnceLock, RwLock, RwLockReadGuard, Unparker};
use crate::types::{Epoch, LogId, Position};
use crate::waiters::Waiters;
use append::Appending;
use durable::DurableWaits;
use ids::IdsSaved;
use once::Remembered;
use retain::{Trimmed, Trimming};
use roll::SpareSlot;
use rounds::{Progress, Rounds};
use stats::{Counted, Synced};
use std::collections::VecDeque;
use std::sync::Arc;
use table::Table;

/// The state behind every handle.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) dir: Arc<dyn Directory>,
    pub(crate) options: Options,
    pub(crate) meta: Meta,
    pub(crate) marks: Marks,
    /// Readers that wait, by read level.
    pub(crate) visible_waiters: Waiters,
    pub(crate) durable_waiters: Waiters,
    /// For the one that does without the dispatcher, by read level.
    visible_seat: Seat,
    durable_seat: Seat,
    /// `None` on a log that is open for reading only.
    pub(crate) cursors: Option<CursorFile>,
    pub(crate) fences: Fences,
    append: Mutex<Appending>,
    /// Whether acks are taken. Apart from `append`, so that acks and appends do not meet.
    acks: RwLock<Acks>,
    /// Appenders that wait for a roll; notified with `append` by the keeper and the sync thread.
    room: Condvar,
    table: Mutex<Table>,
    history: Mutex<Arc<History>>,
    progress: Mutex<Progress>,
    rounds: Rounds,
    synced: Synced,
    ids_saved: IdsSaved,
    /// Time of the event with this offset, the first that is kept, once somebody has asked.
    oldest: Mutex<Option<(u64, u64)>>,
    durable_waits: DurableWaits,
    /// The time by which events and cursors grow old.
    pub(crate) clock: Clock,
    /// Who waits for the acks of others.
    pub(crate) ack_waits: AckWaits,
    trimming: Trimming,
    trimmed: Trimmed,
    report: Mutex<RecoveryReport>,
    /// The last sync that failed.
    failure: Mutex<Option<IoFailure>>,
    follower: Mutex<Option<Follower>>,
    indexes: Indexes,
    /// Bases of sealed segments whose index is to be written.
    to_index: Mutex<VecDeque<u64>>,
    signals: Signals,
    /// How many of the log's threads have not ended.
    running: AtomicUsize,
    /// Held until the log is closed; `None` when open for reading only.
    lock: Mutex<Option<Lock>>,
}

/// Whether cursors may be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acks {
    Taken,
    ReadOnly,
    Poisoned,
    Closed,
}

/// How to wake the threads. Set once, before the first handle is given out.
#[derive(Debug, Default)]
struct Signals {
    sync: OnceLock<Unparker>,
    keeper: OnceLock<Unparker>,
    armer: OnceLock<Unparker>,
    ids: OnceLock<Unparker>,
    indexer: OnceLock<Unparker>,
    dispatcher: OnceLock<Unparker>,
    caretaker: OnceLock<Unparker>,
}

fn unpark(signal: &OnceLock<Unparker>) {
    if let Some(unparker) = signal.get() {
        unparker.unpark();
    }
}

impl Shared {
    /// Takes over what recovery has found or made.
    pub(crate) fn new(recovered: Recovered, options: Options) -> Self {
        let Recovered {
            dir,
            meta,
            lock,
            bases,
            active,
            writer,
            next,
            time,
            history,
            durable,
            report,
            ..
        } = recovered;
        let acks = if writer.is_some() {
            Acks::Taken
        } else {
            Acks::ReadOnly
        };
        let history = Arc::new(history);
        active.know(&history);
        let counted = Counted::new(next, active.region().end());
        let ids = Remembered::new(options.dedup_ids_value(), next);
        Self {
            marks: Marks::new(bases.first().copied().unwrap_or(0), next, durable.offset),
            visible_waiters: Waiters::default(),
            durable_waiters: Waiters::default(),
            visible_seat: Seat::default(),
            durable_seat: Seat::default(),
            cursors: recovered.cursors,
            fences: Fences::default(),
            append: Mutex::new(Appending::new(
                Arc::clone(&active),
                writer,
                time,
                counted,
                ids,
            )),
            acks: RwLock::new(acks),
            room: Condvar::new(),
            table: Mutex::new(Table::new(bases, active, options.open_segments_value())),
            history: Mutex::new(history),
            progress: Mutex::new(Progress::new(durable.clone(), recovered.mark_file)),
            rounds: Rounds::default(),
            synced: Synced::new(durable),
            ids_saved: IdsSaved::default(),
            oldest: Mutex::new(None),
            durable_waits: DurableWaits::default(),
            clock: Clock::new(),
            ack_waits: AckWaits::default(),
            trimming: Trimming::default(),
            trimmed: Trimmed::default(),
            report: Mutex::new(report),
            failure: Mutex::new(None),
            follower: Mutex::new(None),
            indexes: Indexes::default(),
            to_index: Mutex::new(VecDeque::new()),
            signals: Signals::default(),
            running: AtomicUsize::new(0),
            lock: Mutex::new(lock),
            dir,
            options,
            meta,
        }
    }

    pub(crate) fn log_id(&self) -> LogId {
        self.meta.log
    }

    pub(crate) fn history(&self) -> Arc<History> {
        Arc::clone(&self.history.lock())
    }

    /// The epoch in force.
    pub(crate) fn epoch(&self) -> Epoch {
        self.history().newest().unwrap_or_default()
    }

    /// What the log says today about a position that somebody kept. A log that follows another
    /// process looks once more before it calls a position anything but valid.
    pub(crate) fn judge(&self, position: &Position) -> Verdict {
        let judge = || {
            self.history()
                .judge(position, self.log_id(), self.judged_end())
        };
        match judge() {
            Verdict::Valid => Verdict::Valid,
            other => match self.follow_once() {
                Ok(true) => judge(),
                Ok(false) | Err(_) => other,
            },
        }
    }

    /// The position at the end.
    pub(crate) fn position(&self) -> Position {
        loop {
            let generation = self.marks.generation();
            let (epoch, offset) = (self.epoch(), self.marks.next());
            if generation == self.marks.generation() {
                let log = self.log_id();
                return Position { log, epoch, offset };
            }
        }
    }

    /// Held while a cursor is made or moved. A close, a poison or a reopen comes before it or after
    /// it, never in between: after a close somebody else may have the files.
    pub(crate) fn hold_open(&self) -> Result<RwLockReadGuard<'_, Acks>, AckError> {
        let acks = self.hold_acks();
        match *acks {
            Acks::Taken => Ok(acks),
            Acks::ReadOnly => Err(AckError::ReadOnly),
            Acks::Poisoned => Err(AckError::Poisoned),
            Acks::Closed => Err(AckError::Closed),
        }
    }

    /// As [`Shared::hold_open`], for who only looks.
    pub(crate) fn hold_acks(&self) -> RwLockReadGuard<'_, Acks> {
        self.acks.read()
    }

    /// Returns when no ack is in the middle of its store any more: whoever was fenced before this
    /// call changes nothing after it.
    pub(crate) fn await_acks(&self) {
        drop(self.acks.write());
    }

    pub(crate) fn report(&self) -> RecoveryReport {
        self.report.lock().clone()
    }

    pub(crate) fn waiters(&self, level: Level) -> &Waiters {
        match level {
            Level::Visible => &self.visible_waiters,
            Level::Durable => &self.durable_waiters,
        }
    }

    pub(crate) fn seat(&self, level: Level) -> &Seat {
        match level {
            Level::Visible => &self.visible_seat,
            Level::Durable => &self.durable_seat,
        }
    }

    /// How many wait, sitting or not.
    pub(crate) fn waiting(&self, level: Level) -> usize {
        self.waiters(level).count() + usize::from(self.seat(level).is_taken())
    }

    /// Somebody began to wait at a level where nobody did: the dispatcher may be parked without its
    /// bit.
    pub(crate) fn wake_dispatcher(&self) {
        unpark(&self.signals.dispatcher);
    }

    /// Wakes the readers that a publication at `level` has found asleep, or who looks for them.
    pub(super) fn wake_readers(&self, level: Level, asleep: Asleep) {
        if asleep.has(Sleeper::READER) {
            self.seat(level).wake();
        }
        if asleep.has(Sleeper::DISPATCHER) {
            self.wake_dispatcher();
        }
    }

    /// A cursor has something to save, and that is stored.
    #[inline]
    pub(crate) fn wake_sync(&self) {
        if self.cursors.as_ref().is_some_and(CursorFile::must_wake) {
            unpark(&self.signals.sync);
        }
    }

    /// Something changed that is not an event: everybody looks again.
    pub(crate) fn wake_everybody(&self) {
        self.visible_waiters.wake_all();
        self.durable_waiters.wake_all();
        self.visible_seat.wake();
        self.durable_seat.wake();
        self.durable_waits.wake_all();
        self.ack_waits.wake_all();
        self.room.notify_all();
        unpark(&self.signals.dispatcher);
        unpark(&self.signals.sync);
        unpark(&self.signals.keeper);
        unpark(&self.signals.armer);
        unpark(&self.signals.caretaker);
        unpark(&self.signals.ids);
        unpark(&self.signals.indexer);
    }
}
