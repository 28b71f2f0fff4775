//! A process with a log that lives fast: small segments, four producers, consumers that ack,
//! cursors that come and go, ids, indexes, trims, closes and opens. It tells what it was promised,
//! and is killed, or loses its disk, on the way.

use crate::child;
use crate::content::{Content, topic};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use wakelog::{Cursor, Log, NewEvent, Options, ReadError, Retention, Start, SyncPolicy};

/// Events that always stay, and so the most that retention may take.
pub(crate) const KEPT: u64 = 90;
/// Every so manieth append waits for the disk.
const WAITING: u64 = 5;
const PRODUCERS: u64 = 4;

/// Moments of the first lap at which a process can stop and wait for a word of its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Before the log is opened.
    Open,
    /// Before its cursors are, and before the producers begin.
    Cursors,
    /// Before indexes are made, the log is trimmed, closed and opened again.
    Trim,
}

impl Gate {
    pub(crate) const ALL: [Gate; 3] = [Gate::Open, Gate::Cursors, Gate::Trim];

    /// Waits here, if this is the one at which to wait, and it is the first lap.
    fn pass(self, life: &Life, lap: u64) {
        if lap == 0 && life.gate == Some(self) {
            child::tell("gate");
            let _ = child::hear();
        }
    }
}

/// What a process is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) round: u64,
    /// Each append waits for the disk.
    pub(crate) always: bool,
    /// How often the log is opened, used and closed.
    pub(crate) laps: u64,
    /// What each producer appends in a lap.
    pub(crate) appends: u64,
    pub(crate) segment_bytes: u32,
    pub(crate) gate: Option<Gate>,
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let always = u8::from(self.always);
        let Life {
            round,
            laps,
            appends,
            segment_bytes,
            gate,
            ..
        } = self;
        let gate = Gate::ALL.iter().position(|one| Some(*one) == *gate);
        let gate = gate.unwrap_or(Gate::ALL.len());
        write!(
            f,
            "{round} {always} {laps} {appends} {segment_bytes} {gate}"
        )
    }
}

impl Life {
    /// The task of a process, without its directory.
    fn parse(words: &[&str]) -> Life {
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        Life {
            round: number(0),
            always: number(1) == 1,
            laps: number(2),
            appends: number(3),
            segment_bytes: u32::try_from(number(4)).unwrap(),
            gate: Gate::ALL.get(usize::try_from(number(5)).unwrap()).copied(),
        }
    }

    pub(crate) fn options(&self) -> Options {
        let policy = if self.always {
            SyncPolicy::Always
        } else {
            SyncPolicy::Every(Duration::from_millis(10))
        };
        Options::new()
            .segment_bytes(self.segment_bytes)
            .dedup_ids(32)
            .sync(policy)
    }

    /// Those of the process that lives. Whoever looks at what it left lets nothing go.
    fn own_options(&self) -> Options {
        let retention = Retention::new().max_events(KEPT);
        self.options().retention(retention)
    }

    /// Does the work, and ends the process as soon as the log has failed.
    pub(crate) fn live(task: &str) {
        let words: Vec<&str> = task.splitn(7, ' ').collect();
        let life = Life::parse(&words);
        for lap in 0..life.laps {
            if let Err(failure) = life.lap(words[6], lap) {
                child::tell(&format!("failed {failure}"));
                return;
            }
        }
        child::tell("done");
    }

    fn lap(&self, dir: &str, lap: u64) -> Result<(), String> {
        Gate::Open.pass(self, lap);
        let log = self.own_options().open(dir).map_err(|error| text(&error))?;
        child::tell(&format!("open {}", log.next_offset()));
        Gate::Cursors.pass(self, lap);
        let consumers = open_all(&log)?;
        visit(&log, self.round, lap)?;
        let newest = AtomicU64::new(log.next_offset());
        let over = AtomicBool::new(false);
        let (log, newest, over) = (&log, &newest, &over);
        std::thread::scope(|scope| {
            let producers: Vec<_> = (0..PRODUCERS)
                .map(|thread| scope.spawn(move || self.produce(log, thread, lap, newest)))
                .collect();
            let consumers: Vec<_> = consumers
                .into_iter()
                .map(|(name, cursor)| scope.spawn(move || consume(cursor, name, over)))
                .collect();
            let produced: Vec<_> = producers
                .into_iter()
                .map(|one| one.join().unwrap())
                .collect();
            over.store(true, Ordering::Release);
            let consumed = consumers.into_iter().map(|one| one.join().unwrap());
            produced
                .into_iter()
                .chain(consumed)
                .collect::<Result<(), String>>()
        })?;
        Gate::Trim.pass(self, lap);
        let end = log.next_offset();
        log.sync().map_err(|error| text(&error))?;
        child::tell(&format!("durable {end}"));
        read_rare(log)?;
        let below = end.saturating_sub(KEPT / 2);
        child::tell(&format!("trim {below}"));
        log.trim(below).map_err(|error| text(&error))?;
        log.close().map_err(|error| text(&error))
    }

    fn produce(&self, log: &Log, thread: u64, lap: u64, newest: &AtomicU64) -> Result<(), String> {
        for turn in lap * self.appends..(lap + 1) * self.appends {
            let content = Content {
                round: self.round,
                thread,
                turn,
                index: 0,
                count: 1,
                after: newest.load(Ordering::Acquire),
                filler: 200 + (thread * 331 + turn * 97) % 700,
            };
            let (payload, id) = (content.payload(), format!("{content}"));
            let event = NewEvent::new(topic(&content), &payload).id(&id);
            let offset = log.append_event(event).map_err(|error| text(&error))?;
            newest.fetch_max(offset + 1, Ordering::AcqRel);
            child::tell(&format!("append {thread} {turn} {offset}"));
            if !self.always && turn % WAITING == 0 {
                log.wait_durable(offset).map_err(|error| text(&error))?;
            }
            if self.always || turn % WAITING == 0 {
                child::tell(&format!("durable {}", offset + 1));
            }
        }
        Ok(())
    }
}

fn text(error: &dyn fmt::Display) -> String {
    error.to_string()
}

/// A durable place that acks what it reads, and passes over what was trimmed.
fn consume(mut cursor: Cursor, name: &str, over: &AtomicBool) -> Result<(), String> {
    for count in 1_u64.. {
        let was_over = over.load(Ordering::Acquire);
        match cursor.recv_timeout(Duration::from_millis(2)) {
            Ok(None) if was_over => break,
            Ok(None) => continue,
            Ok(Some(event)) => {
                child::tell(&format!("try {name} {}", event.offset() + 1));
                cursor.ack(&event).map_err(|error| text(&error))?;
            }
            Err(ReadError::Gap(gap)) => {
                child::tell(&format!("try {name} {}", gap.resume_at()));
                cursor.ack_gap(&gap).map_err(|error| text(&error))?;
            }
            Err(error) => return Err(text(&error)),
        }
        child::tell(&format!("acked {name} {}", cursor.acked()));
        if count % WAITING == 0 {
            save(&cursor, name)?;
        }
    }
    save(&cursor, name)
}

/// Two cursors that stay, opened at the same time.
fn open_all(log: &Log) -> Result<Vec<(&'static str, Cursor)>, String> {
    std::thread::scope(|scope| {
        let opened = [("alice", "many.*"), ("bob", "rare")]
            .map(|(name, filter)| scope.spawn(move || Ok((name, open(log, name, filter)?))));
        opened.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

fn open(log: &Log, name: &str, filter: &str) -> Result<Cursor, String> {
    child::tell(&format!("wants {name}"));
    let builder = log.cursor(name).topics([filter]).start(Start::Earliest);
    let cursor = builder.open().map_err(|error| text(&error))?;
    child::tell(&format!("cursor {name} {}", cursor.acked()));
    Ok(cursor)
}

fn save(cursor: &Cursor, name: &str) -> Result<(), String> {
    let acked = cursor.acked();
    cursor.wait_saved().map_err(|error| text(&error))?;
    child::tell(&format!("saved {name} {acked}"));
    Ok(())
}

/// A cursor of this lap alone, which leaves as the next one comes.
fn visit(log: &Log, round: u64, lap: u64) -> Result<(), String> {
    let name = format!("guest-{round}-{lap}");
    let cursor = open(log, &name, "many.*")?;
    save(&cursor, &name)?;
    drop(cursor);
    if lap > 0 {
        let name = format!("guest-{round}-{}", lap - 1);
        child::tell(&format!("delete {name}"));
        log.delete_cursor(&name).map_err(|error| text(&error))?;
        child::tell(&format!("deleted {name}"));
    }
    Ok(())
}

/// Reads on a filter that few events match, so that indexes are made.
fn read_rare(log: &Log) -> Result<(), String> {
    let reader = log.reader().topics(["rare"]).start(Start::Earliest);
    let mut reader = reader.open().map_err(|error| text(&error))?;
    while reader.next().map_err(|error| text(&error))?.is_some() {}
    Ok(())
}
