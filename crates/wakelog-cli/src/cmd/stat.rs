//! `wakelog stat`: the state of a log in a few numbers.

use crate::failure::{Failure, Outcome};
use crate::output::{self, Output, number};
use crate::time;
use serde::Serialize;
use std::path::PathBuf;
use wakelog::{Log, ReadError, Start};

/// Show the state of a log in a few numbers.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: wakelog stat events --json | jq .next")]
pub(crate) struct Args {
    /// The directory of the log.
    dir: PathBuf,

    /// Print one JSON object; with --topics, one a topic.
    #[arg(long)]
    json: bool,

    /// List the topics instead: how many events each has, and its last one.
    #[arg(long)]
    topics: bool,
}

#[derive(Debug, Serialize)]
struct Stat {
    log: String,
    epoch: String,
    first: u64,
    next: u64,
    durable: u64,
    durable_at: DurableAt,
    segments: u64,
    bytes: u64,
    /// `None` if there are more than a list may hold.
    topics: Option<usize>,
    cursors: usize,
    oldest_time: Option<String>,
    newest_time: Option<String>,
}

#[derive(Debug, Serialize)]
struct DurableAt {
    segment: String,
    byte: u64,
}

pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Outcome, Failure> {
    let log = Log::open_read_only(&args.dir)?;
    if args.topics {
        return topics(&log, args.json, output);
    }
    let stat = gather(&log)?;
    if args.json {
        output.json(&stat)?;
    } else {
        table(&stat, output)?;
    }
    Ok(Outcome::Fine)
}

fn gather(log: &Log) -> Result<Stat, Failure> {
    let stats = log.stats();
    let topics = match log.topics([">"]) {
        Ok(topics) => Some(topics.len()),
        Err(ReadError::TooManyTopics { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let cursors = log
        .cursor_list()
        .map_err(|error| Failure::system("the cursors cannot be counted", &error))?;
    Ok(Stat {
        log: log.id().to_string(),
        epoch: stats.epoch.to_string(),
        first: stats.first_offset,
        next: stats.next_offset,
        durable: stats.durable_offset,
        durable_at: DurableAt {
            segment: stats.durable_file(),
            byte: stats.durable_position,
        },
        segments: stats.segments,
        bytes: stats.segment_bytes,
        topics,
        cursors: cursors.len(),
        oldest_time: stats.oldest_time.map(time::text),
        newest_time: newest(log, stats.next_offset)?.map(time::text),
    })
}

/// The time of the newest event that can be read.
fn newest(log: &Log, next: u64) -> Result<Option<u64>, Failure> {
    let Some(last) = next
        .checked_sub(1)
        .filter(|last| *last >= log.first_offset())
    else {
        return Ok(None);
    };
    let mut reader = log.reader().start(Start::Offset(last)).open()?;
    loop {
        match reader.next() {
            Ok(event) => return Ok(event.map(|event| event.time())),
            Err(ReadError::Gap(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn table(stat: &Stat, output: &mut Output) -> Result<(), Failure> {
    let none = || "-".to_owned();
    let events = number(stat.next - stat.first);
    output.field("log", &format!("{}, epoch {}", stat.log, stat.epoch))?;
    output.field(
        "events",
        &format!("{events} ({} to {})", stat.first, stat.next),
    )?;
    output.field("durable", &stat.durable.to_string())?;
    output.field(
        "segments",
        &format!("{}, {}", stat.segments, output::bytes(stat.bytes)),
    )?;
    let topics = stat
        .topics
        .map_or_else(|| "very many".to_owned(), |topics| topics.to_string());
    output.field("topics", &topics)?;
    output.field("cursors", &stat.cursors.to_string())?;
    output.field("oldest", &stat.oldest_time.clone().unwrap_or_else(none))?;
    output.field("newest", &stat.newest_time.clone().unwrap_or_else(none))
}

#[derive(Debug, Serialize)]
struct TopicLine<'a> {
    topic: &'a str,
    events: u64,
    last: u64,
}

fn topics(log: &Log, json: bool, output: &mut Output) -> Result<Outcome, Failure> {
    let topics = log.topics([">"])?;
    let width = topics.iter().map(|info| info.topic.chars().count());
    let width = width.max().unwrap_or(0).clamp(5, 60);
    if !json && !topics.is_empty() {
        let head = format!("{:<width$}  {:>12}  {:>12}", "topic", "events", "last");
        let head = output.styled(output::DIM, &head);
        output.line(&head)?;
    }
    for info in &topics {
        let (topic, events, last) = (info.topic.as_str(), info.events, info.last);
        if json {
            output.json(&TopicLine {
                topic,
                events,
                last,
            })?;
        } else {
            let topic = output.styled(output::TOPIC, &format!("{topic:<width$}"));
            output.line(&format!("{topic}  {:>12}  {last:>12}", number(events)))?;
        }
    }
    Ok(Outcome::Fine)
}
