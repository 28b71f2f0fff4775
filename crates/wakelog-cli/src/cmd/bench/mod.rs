//! `wakelog bench`: what the log costs on this machine, beside a baseline of the same run.

mod measure;
mod work;

use crate::failure::{Failure, Outcome};
use crate::output::{self, Output, number};
use crate::stop::Stop;
use measure::{Measured, baseline};
use serde::Serialize;
use std::path::PathBuf;

/// Measure what the log costs on this machine.
///
/// Works on a log of its own in a scratch directory that is removed afterwards, with all options at
/// their defaults, so a sync runs every 10 ms. Times are of one event; the percentiles are of one
/// call, measured in a second pass with a clock read a call. The baseline of the same run is the
/// least that can be done for an event: copy its encoded frame into memory that is there, compute
/// its checksum, read the clock. The ratio says more than the nanoseconds.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: wakelog bench append --events 1000000 --size 100 --threads 2")]
pub(crate) struct Args {
    /// What to measure.
    work: Work,

    /// Where to make the scratch directory; the system's temporary directory if not given.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// How many events. If not given: as many as take some seconds.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    events: Option<u32>,

    /// Bytes of each payload.
    #[arg(long, value_name = "BYTES", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    size: u32,

    /// How many threads append (append and batch alone).
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Work {
    /// Append events one by one.
    Append,
    /// Append batches of 100 events; a call is a batch.
    Batch,
    /// Append an event and wait until it is on disk.
    Sync,
    /// Read all events in pages of 64 KiB; a call is a page.
    Read,
    /// From before an append until another thread has the event.
    Tail,
    /// Read one of 1,000 topics; a call is one whole topic.
    Filter,
    /// Open a log; a call, and what counts as an event, is an open.
    Open,
    /// Read and ack with 100 durable cursors; a call is one event of one cursor.
    Cursors,
}

impl Work {
    fn usual_events(self) -> u32 {
        match self {
            Work::Append | Work::Batch | Work::Read | Work::Filter | Work::Open => 1_000_000,
            Work::Sync => 500,
            Work::Tail => 5_000,
            Work::Cursors => 100_000,
        }
    }
}

/// What is asked for, with a log directory to work in.
#[derive(Debug)]
struct Job {
    dir: PathBuf,
    events: u32,
    payload: Vec<u8>,
    threads: u32,
}

#[derive(Debug, Serialize)]
struct Result {
    ns_per_event: f64,
    events_per_s: f64,
    mb_per_s: f64,
    p50_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    max_ns: u64,
    baseline_ns: f64,
    ratio: f64,
}

pub(crate) fn run(args: &Args, output: &mut Output) -> std::result::Result<Outcome, Failure> {
    let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let scratch = tempfile::Builder::new()
        .prefix("wakelog-bench-")
        .tempdir_in(&parent)
        .map_err(|error| {
            let at = parent.display();
            Failure::System(format!("cannot make a scratch directory in {at}: {error}"))
        })?;
    let abandoned = scratch.path().to_owned();
    Stop::listen(move || {
        // The log in it may still be written; what is left then is a temporary file.
        let _ = std::fs::remove_dir_all(abandoned);
        std::process::exit(130);
    })?;
    let job = Job {
        dir: scratch.path().join("log"),
        events: args.events.unwrap_or_else(|| args.work.usual_events()),
        payload: vec![0x5a; usize::try_from(args.size).unwrap_or(0)],
        threads: args.threads,
    };
    output.announce("measuring");
    let floor = baseline(job.payload.len(), work::TOPIC.len(), job.events);
    let measured = match args.work {
        Work::Append => work::append(&job),
        Work::Batch => work::batch(&job),
        Work::Sync => work::sync(&job),
        Work::Read => work::read(&job),
        Work::Tail => work::tail(&job),
        Work::Filter => work::filter(&job),
        Work::Open => work::open(&job),
        Work::Cursors => work::cursors(&job),
    }?;
    let result = Result::new(&measured, floor, args.size);
    if args.json {
        output.json(&result)?;
    } else {
        result.table(output)?;
    }
    Ok(Outcome::Fine)
}

impl Result {
    fn new(measured: &Measured, baseline_ns: f64, size: u32) -> Self {
        let ns_per_event = tenths(measured.ns_per_event());
        let events_per_s = (1e9 / ns_per_event).round();
        let baseline_ns = tenths(baseline_ns);
        Self {
            ns_per_event,
            events_per_s,
            mb_per_s: tenths(events_per_s * f64::from(size) / 1e6),
            p50_ns: measured.percentile(500),
            p99_ns: measured.percentile(990),
            p999_ns: measured.percentile(999),
            max_ns: measured.percentile(1_000),
            baseline_ns,
            ratio: tenths(ns_per_event / baseline_ns),
        }
    }

    fn table(&self, output: &mut Output) -> std::result::Result<(), Failure> {
        let nanos = |value: u64| format!("{} ns", number(value));
        output.field("an event", &format!("{} ns", self.ns_per_event))?;
        let rate = format!("{:.0} events/s, {} MB/s", self.events_per_s, self.mb_per_s);
        output.field("rate", &rate)?;
        output.field("a call", &format!("p50    {}", nanos(self.p50_ns)))?;
        output.field("", &format!("p99    {}", nanos(self.p99_ns)))?;
        output.field("", &format!("p99.9  {}", nanos(self.p999_ns)))?;
        output.field("", &format!("max    {}", nanos(self.max_ns)))?;
        output.field("baseline", &format!("{} ns", self.baseline_ns))?;
        let ratio = output.styled(output::BOLD, &self.ratio.to_string());
        output.field("ratio", &ratio)
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
