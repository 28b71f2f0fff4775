//! `wakelog tail`: the last events, and with `-f` those to come.

use super::cat::{Printer, TopicArgs};
use crate::failure::{Failure, Outcome};
use crate::form::FormArgs;
use crate::output::{Output, unless};
use crate::stop::Stop;
use std::path::PathBuf;
use std::time::Duration;
use wakelog::{Log, ReadError, Reader, Start};

/// How soon a signal is noticed while nothing comes.
pub(crate) const BREATH: Duration = Duration::from_millis(100);

/// Print the last events of a log, and follow it with -f.
///
/// Reads beside a process that writes, and shows what it appends within milliseconds.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: wakelog tail -f events -n 20 --topics 'room.*'")]
pub(crate) struct Args {
    /// The directory of the log.
    dir: PathBuf,

    /// Go on with what is appended, until Ctrl-C.
    #[arg(short, long)]
    follow: bool,

    /// How many of the last events to print.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    count: u64,

    #[command(flatten)]
    topics: TopicArgs,

    #[command(flatten)]
    form: FormArgs,
}

pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Outcome, Failure> {
    let log = Log::open_read_only(&args.dir)?;
    let next = log.next_offset();
    let first = log.first_offset();
    let start = Start::Offset(next.saturating_sub(args.count).max(first));
    let mut builder = log.reader().start(start);
    if !args.topics.topics.is_empty() {
        builder = builder.topics(&args.topics.topics);
    }
    let mut reader = builder.open()?;
    let mut printer = Printer::new(args.form.form());
    while printer.page(&mut reader, u64::MAX, output)?.is_some() {}
    if args.follow {
        follow(&mut reader, &mut printer, output)?;
    }
    Ok(unless(printer.damage))
}

fn follow(reader: &mut Reader, printer: &mut Printer, output: &mut Output) -> Result<(), Failure> {
    let stop = Stop::listen(|| {})?;
    while !stop.asked() {
        output.flush()?;
        match reader.recv_timeout(BREATH) {
            Ok(Some(event)) => printer.event(&event.as_event_ref(), output)?,
            Ok(None) => continue,
            Err(ReadError::Gap(gap)) => printer.gap(&gap, output)?,
            Err(error) => return Err(error.into()),
        }
        while !stop.asked() && printer.page(reader, u64::MAX, output)?.is_some() {}
    }
    Ok(())
}
