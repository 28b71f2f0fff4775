//! The works that are measured.

use super::Job;
use super::measure::{Lap, Measured, nanos};
use crate::failure::{Failure, chain};
use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};
use wakelog::{Log, NewEvent, Start};

pub(super) const TOPIC: &str = "bench";
const BATCH: u32 = 100;
const PAGE_BYTES: usize = 64 << 10;
const TOPICS: u32 = 1_000;
const CURSORS: u32 = 100;
const OPENS: u32 = 20;

/// Long enough for the other thread to fall asleep.
const PAUSE: Duration = Duration::from_micros(200);

type Answer = Result<Measured, Failure>;

fn failed<E: Error>(error: E) -> Failure {
    Failure::System(format!("the measurement ended: {}", chain(&error)))
}

fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Appends so many events in batches, to a topic that `topic` names.
fn fill(log: &Log, job: &Job, topic: impl Fn(u32) -> String) -> Result<(), Failure> {
    let mut done = 0;
    while done < job.events {
        let end = job.events.min(done + BATCH);
        let topics: Vec<String> = (done..end).map(&topic).collect();
        let events = topics
            .iter()
            .map(|topic| NewEvent::new(topic, &job.payload));
        log.append_batch(events).map_err(failed)?;
        done = end;
    }
    log.sync().map_err(failed)
}

/// A log whose active segment has its full size: segments begin small and double. Small jobs do not
/// wait for it.
fn grown(job: &Job) -> Result<Log, Failure> {
    let log = Log::open(&job.dir)?;
    let room = [0x5a; 10_000];
    while job.events >= 100_000 && log.segments() < 7 {
        let events = (0..BATCH).map(|_| NewEvent::new("grow", &room));
        log.append_batch(events).map_err(failed)?;
    }
    log.sync().map_err(failed)?;
    Ok(log)
}

/// Runs `work` on each of the job's threads at once, and returns the time until the last is done.
fn on_threads(
    job: &Job,
    work: impl Fn(u32) -> Result<Vec<u64>, Failure> + Sync,
) -> Result<(Duration, Vec<u64>), Failure> {
    let share = (job.events / job.threads).max(1);
    let begin = Barrier::new(size(job.threads) + 1);
    let mut start = Instant::now();
    let mut calls = Vec::new();
    std::thread::scope(|scope| {
        let run = || {
            begin.wait();
            work(share)
        };
        let threads: Vec<_> = (0..job.threads).map(|_| scope.spawn(run)).collect();
        begin.wait();
        start = Instant::now();
        for thread in threads {
            let ended = thread.join();
            calls.extend(ended.map_err(|_| Failure::System("a thread panicked".to_owned()))??);
        }
        Ok::<(), Failure>(())
    })?;
    Ok((start.elapsed(), calls))
}

/// Two passes: one for the time in all, one for the time of each call.
fn appends(job: &Job, per_call: u32, call: impl Fn(&Log) -> Result<(), Failure> + Sync) -> Answer {
    let log = grown(job)?;
    let plain = |share: u32| {
        for _ in 0..share.div_ceil(per_call) {
            call(&log)?;
        }
        Ok(Vec::new())
    };
    let (time, _) = on_threads(job, plain)?;
    let timed = |share: u32| {
        let count = share.div_ceil(per_call);
        let mut laps = Lap::start(size(count));
        for _ in 0..count {
            call(&log)?;
            laps.lap();
        }
        Ok(laps.calls)
    };
    let (_, calls) = on_threads(job, timed)?;
    let share = (job.events / job.threads).max(1);
    let events = share.div_ceil(per_call) * per_call * job.threads;
    Ok(Measured::new(time, events, calls))
}

pub(super) fn append(job: &Job) -> Answer {
    appends(job, 1, |log| {
        let offset = log.append(TOPIC, black_box(&job.payload)).map_err(failed)?;
        black_box(offset);
        Ok(())
    })
}

pub(super) fn batch(job: &Job) -> Answer {
    appends(job, BATCH, |log| {
        let events = (0..BATCH).map(|_| NewEvent::new(TOPIC, black_box(&job.payload)));
        black_box(log.append_batch(events).map_err(failed)?);
        Ok(())
    })
}

pub(super) fn sync(job: &Job) -> Answer {
    let log = Log::open(&job.dir)?;
    let mut laps = Lap::start(size(job.events));
    let start = Instant::now();
    for _ in 0..job.events {
        log.append(TOPIC, &job.payload).map_err(failed)?;
        log.sync().map_err(failed)?;
        laps.lap();
    }
    Ok(Measured::new(start.elapsed(), job.events, laps.calls))
}

/// Reads everything a reader of these topics gets; returns how many events.
fn read_all(log: &Log, topic: Option<&str>, laps: Option<&mut Lap>) -> Result<u32, Failure> {
    let builder = log.reader();
    let mut reader = match topic {
        Some(topic) => builder.topics([topic]).open()?,
        None => builder.open()?,
    };
    let (mut count, mut laps) = (0, laps);
    while let Some(page) = reader.page(PAGE_BYTES)? {
        for event in page.iter() {
            black_box(event.payload());
            count += 1;
        }
        if let Some(laps) = &mut laps {
            laps.lap();
        }
    }
    Ok(count)
}

pub(super) fn read(job: &Job) -> Answer {
    fill(&Log::open(&job.dir)?, job, |_| TOPIC.to_owned())?;
    let log = Log::open(&job.dir)?;
    // The first pass maps the segments and verifies each frame, as the first reader does.
    let start = Instant::now();
    let events = read_all(&log, None, None)?;
    let time = start.elapsed();
    let mut laps = Lap::start(size(job.events) / 100 + 1);
    read_all(&log, None, Some(&mut laps))?;
    Ok(Measured::new(time, events, laps.calls))
}

pub(super) fn filter(job: &Job) -> Answer {
    let topic = |number: u32| format!("bench.{}", number % TOPICS);
    fill(&Log::open(&job.dir)?, job, topic)?;
    let log = Log::open(&job.dir)?;
    let topics = job.events.min(TOPICS / 5);
    let mut laps = Lap::start(size(topics));
    let (mut events, start) = (0, Instant::now());
    for number in 0..topics {
        events += read_all(&log, Some(&topic(number)), None)?;
        laps.lap();
    }
    Ok(Measured::new(start.elapsed(), events, laps.calls))
}

pub(super) fn tail(job: &Job) -> Answer {
    let log = Log::open(&job.dir)?;
    let mut reader = log.reader().start(Start::Latest).open()?;
    let base = Instant::now();
    let mut payload = job.payload.clone();
    payload.resize(payload.len().max(8), 0);
    let receive = move || -> Result<Vec<u64>, Failure> {
        let mut calls = Vec::new();
        for _ in 0..job.events {
            let event = reader.recv()?;
            let now = nanos(base.elapsed());
            let sent = event
                .payload()
                .first_chunk()
                .map_or(now, |sent| u64::from_le_bytes(*sent));
            calls.push(now.saturating_sub(sent));
        }
        Ok(calls)
    };
    let calls = std::thread::scope(|scope| {
        let receiver = scope.spawn(receive);
        for _ in 0..job.events {
            std::thread::sleep(PAUSE);
            if let Some(place) = payload.first_chunk_mut() {
                *place = nanos(base.elapsed()).to_le_bytes();
            }
            log.append(TOPIC, &payload).map_err(failed)?;
        }
        receiver
            .join()
            .map_err(|_| Failure::System("a thread panicked".to_owned()))?
    })?;
    let time = Duration::from_nanos(calls.iter().sum());
    Ok(Measured::new(time, job.events, calls))
}

pub(super) fn open(job: &Job) -> Answer {
    fill(&Log::open(&job.dir)?, job, |_| TOPIC.to_owned())?;
    let mut laps = Lap::start(size(OPENS));
    let mut time = Duration::ZERO;
    for _ in 0..OPENS {
        time += once(&job.dir, &mut laps)?;
    }
    Ok(Measured::new(time, OPENS, laps.calls))
}

/// Opens and closes; only the open counts.
fn once(dir: &Path, laps: &mut Lap) -> Result<Duration, Failure> {
    let start = Instant::now();
    let log = Log::open(dir)?;
    let time = start.elapsed();
    laps.calls.push(nanos(time));
    log.close().map_err(failed)?;
    Ok(time)
}

pub(super) fn cursors(job: &Job) -> Answer {
    let log = Log::open(&job.dir)?;
    let each = (job.events / CURSORS).max(1);
    let names = |number| format!("cursor-{number}");
    let mut cursors = Vec::new();
    for number in 0..CURSORS {
        let cursor = log
            .cursor(names(number))
            .topics([TOPIC])
            .start(Start::Earliest);
        cursors.push(cursor.open().map_err(failed)?);
    }
    for _ in 0..each {
        log.append(TOPIC, &job.payload).map_err(failed)?;
    }
    let mut laps = Lap::start(size(each * CURSORS));
    let begun = Instant::now();
    for _ in 0..each {
        for cursor in &mut cursors {
            if let Some(event) = cursor.next()? {
                cursor.ack(&event).map_err(failed)?;
            }
            laps.lap();
        }
    }
    Ok(Measured::new(begun.elapsed(), each * CURSORS, laps.calls))
}
