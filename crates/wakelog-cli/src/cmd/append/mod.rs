//! `wakelog append`: lines of the standard input become events.

mod entry;

use super::feed::{Feed, Line, Message};
use crate::failure::{Failure, Outcome, unheard};
use crate::form::UNENDED;
use crate::output::{self, Output, count};
use crate::stop::Stop;
use entry::Entry;
use serde::Serialize;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Instant;
use wakelog::{Appended, Log, NewEvent, Options};

/// Append the lines of the standard input, one event each.
///
/// The directory is created if it is not there. Lines are bytes, taken without their newline; a
/// last line that has none is marked, so that `wakelog cat --raw` gives back the very same bytes.
/// An event with an id (--json-input) that the log remembers is not appended again; its offset is
/// that of the first one. Input that cannot be taken ends the command with its line number; what
/// came before is in the log.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    journalctl -f | wakelog append events --topic journal\n  \
    echo '{\"topic\":\"room.42\",\"name\":\"say\",\"data\":\"hello\"}' | \
    wakelog append events --json-input --durable --offsets")]
pub(crate) struct Args {
    /// The directory of the log.
    dir: PathBuf,

    /// The topic of each event; with --json-input, of those that name none.
    #[arg(long, short, value_name = "TOPIC", default_value = "events")]
    topic: String,

    /// The name of each event: what kind of event it is.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Append so many lines as one batch, which is in the log whole or not at all. It waits until
    /// it is full or the input ends, in whatever way.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,

    /// Wait until the events are on disk, not only safe from a crash of this process.
    #[arg(long)]
    durable: bool,

    /// Print the offset of each event when it is in the log (with --durable: on disk). When nobody
    /// reads them any more, the rest of the input is appended all the same.
    #[arg(long, conflicts_with = "json")]
    offsets: bool,

    /// Lines are objects: topic or to, name, id, from, not_to, and data or data64. What
    /// `wakelog cat --json` prints is understood too. A string as data is its text; anything else
    /// is its JSON text, so null is the four letters. Without data the payload is empty.
    #[arg(long)]
    json_input: bool,

    /// Print a summary: first and last offset, number of events.
    #[arg(long)]
    json: bool,

    /// The size that segments grow to, in bytes; an event has at most half of it, or 1 MiB.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    segment_bytes: u32,
}

#[derive(Debug, Default, Serialize)]
struct Summary {
    first: Option<u64>,
    last: Option<u64>,
    events: u64,
}

pub(crate) fn run(args: Args, output: &mut Output) -> Result<Outcome, Failure> {
    let options = Options::new().segment_bytes(args.segment_bytes);
    let log = options.open(&args.dir)?;
    let longest = usize::try_from(args.segment_bytes / 2).unwrap_or(usize::MAX);
    let mut feed = Feed::start(longest)?;
    let stopper = feed.stopper();
    Stop::listen(move || {
        // It waits while the feed is full, and fails when nobody reads it any more.
        let _ = stopper.send(Message::Stop);
    })?;
    let mut appender = Appender {
        log: log.clone(),
        args,
        pending: Vec::new(),
        fresh: Vec::new(),
        summary: Summary::default(),
        bytes: 0,
        begun: Instant::now(),
    };
    let outcome = appender.run(&mut feed, output);
    let closed = log.close();
    outcome?;
    closed.map_err(|error| Failure::system("the last events may not be on disk", &error))?;
    appender.report(output)?;
    Ok(Outcome::Fine)
}

struct Appender {
    log: Log,
    args: Args,
    /// Events of a batch that is not full yet.
    pending: Vec<Entry>,
    /// Offsets that were not printed yet.
    fresh: Vec<Range<u64>>,
    summary: Summary,
    bytes: u64,
    begun: Instant,
}

impl Appender {
    fn run(&mut self, feed: &mut Feed, output: &mut Output) -> Result<(), Failure> {
        let mut lines = 0_u64;
        loop {
            let mut taken = self.take(feed, &mut lines);
            if taken.is_err() {
                taken = self.append_pending().and(taken);
            }
            // What was appended before a line that is refused is in the log, and is told.
            self.settle(output)?;
            taken.map_err(|failure| at_line(lines, failure))?;
            let events = self.summary.events;
            let bytes = self.bytes;
            output.progress(|| format!("{}, {}", count(events, "event"), output::bytes(bytes)));
            match feed.fill() {
                Ok(true) => {}
                Ok(false) => break,
                Err(failure) => {
                    let before = self.append_pending();
                    self.settle(output)?;
                    before.map_err(|failure| at_line(lines, failure))?;
                    return Err(at_line(lines + 1, failure));
                }
            }
        }
        let taken = self.take(feed, &mut lines);
        let taken = taken.and_then(|()| self.append_pending());
        self.settle(output)?;
        taken.map_err(|failure| at_line(lines, failure))
    }

    /// Appends the lines that are in hand.
    fn take(&mut self, feed: &mut Feed, lines: &mut u64) -> Result<(), Failure> {
        while let Line::Whole { bytes, ended } = feed.line() {
            *lines += 1;
            self.line(bytes, ended)?;
        }
        Ok(())
    }

    fn line(&mut self, bytes: &[u8], ended: bool) -> Result<(), Failure> {
        self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.args.json_input {
            // A blank line between objects is nothing.
            if bytes.iter().all(u8::is_ascii_whitespace) {
                return Ok(());
            }
            let entry = Entry::parse(bytes, &self.args.topic, self.args.name.as_deref())?;
            return self.entry(entry);
        }
        if self.args.batch == 1 {
            let event = plain(&self.args, bytes, ended);
            let answer = self.log.append_once(event)?;
            self.answered(answer);
            return Ok(());
        }
        self.entry(Entry::plain(bytes, ended))
    }

    fn entry(&mut self, entry: Entry) -> Result<(), Failure> {
        self.pending.push(entry);
        let full = usize::try_from(self.args.batch).unwrap_or(usize::MAX);
        if self.pending.len() >= full {
            self.append_pending()?;
        }
        Ok(())
    }

    /// Appends the batch as it is. One that is refused is not tried a second time.
    fn append_pending(&mut self) -> Result<(), Failure> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let args = &self.args;
        let mut pending = std::mem::take(&mut self.pending);
        let events = pending.iter().map(|entry| match entry {
            Entry::Plain { bytes, ended } => plain(args, bytes, *ended),
            Entry::Full(event) => event.to_event(),
        });
        let batch = self.log.append_batch(events)?;
        pending.clear();
        self.pending = pending;
        for answer in batch.iter() {
            self.answered(answer);
        }
        Ok(())
    }

    /// Takes note of an event. One whose id the log remembers has the offset of the first one, and
    /// counts for nothing.
    fn answered(&mut self, answer: Appended) {
        let offsets = answer.offset..answer.offset + 1;
        if !answer.duplicate {
            self.summary.first.get_or_insert(answer.offset);
            self.summary.last = Some(answer.offset);
            self.summary.events += 1;
        }
        if self.args.offsets {
            match self.fresh.last_mut() {
                Some(last) if last.end == offsets.start => last.end = offsets.end,
                _ => self.fresh.push(offsets),
            }
        }
    }

    /// Waits for the disk, if asked to, and prints what is sure now.
    fn settle(&mut self, output: &mut Output) -> Result<(), Failure> {
        if self.args.durable {
            let synced = self.log.sync();
            synced
                .map_err(|error| Failure::system("the last events may not be on disk", &error))?;
        }
        if self.fresh.is_empty() {
            return Ok(());
        }
        let mut offsets = self.fresh.drain(..).flatten();
        let printed = offsets
            .try_for_each(|offset| output.line(&offset.to_string()))
            .and_then(|()| output.flush());
        drop(offsets);
        // The input goes on being appended.
        self.args.offsets &= !matches!(printed, Err(Failure::Pipe));
        unheard(printed)
    }

    fn report(&self, output: &mut Output) -> Result<(), Failure> {
        if self.args.json {
            return output.json(&self.summary);
        }
        let Summary {
            first: Some(first),
            last: Some(last),
            events,
        } = self.summary
        else {
            output.remark("nothing appended: the input had no line");
            return Ok(());
        };
        let (events, bytes) = (count(events, "event"), output::bytes(self.bytes));
        let time = self.begun.elapsed().as_secs_f64();
        let at = match last - first {
            0 => format!("offset {first}"),
            _ => format!("offsets {first} to {last}"),
        };
        output.remark(&format!(
            "appended {events} ({bytes}) at {at} in {time:.2} s"
        ));
        Ok(())
    }
}

fn plain<'a>(args: &'a Args, bytes: &'a [u8], ended: bool) -> NewEvent<'a> {
    let mut event = NewEvent::new(&args.topic, bytes);
    if let Some(name) = &args.name {
        event = event.name(name);
    }
    if !ended {
        event = event.attribute(UNENDED.0, UNENDED.1);
    }
    event
}

fn at_line(line: u64, failure: Failure) -> Failure {
    match failure {
        Failure::Usage(text) => Failure::Usage(format!("line {line} of the input: {text}")),
        other => other,
    }
}
