//! `wakelog tail`: the last events, and with `-f` those to come.

use super::cat::{PAGE_BYTES, Printer, TopicArgs};
use crate::failure::{Failure, Outcome, chain, unheard};
use crate::form::FormArgs;
use crate::output::{Output, unless};
use crate::stop::Stop;
use std::path::PathBuf;
use std::time::Duration;
use wakelog::{AckError, Cursor, CursorError, Gap, Log, OpenError, Page, ReadError, Reader, Start};

/// How soon a signal is noticed while nothing comes.
const BREATH: Duration = Duration::from_millis(100);

/// Print the last events of a log, and follow it with -f.
///
/// Reads beside a process that writes, and shows what it appends within milliseconds.
///
/// With --consumer, a durable cursor of that name remembers what was printed: the next tail goes on
/// behind it. A cursor is moved by the process that writes, so with --consumer no other process may
/// have the log open for writing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: wakelog tail -f events -n 20 --topics 'room.*'")]
pub(crate) struct Args {
    /// The directory of the log.
    dir: PathBuf,

    /// Go on with what is appended, until Ctrl-C.
    #[arg(short, long)]
    follow: bool,

    /// How many of the last events to print; with --consumer, if it is a new one.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    count: u64,

    /// Go on where the consumer of this name stopped, and remember what was printed.
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,

    #[command(flatten)]
    topics: TopicArgs,

    #[command(flatten)]
    form: FormArgs,
}

pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Outcome, Failure> {
    let mut printer = Printer::new(args.form.form());
    unheard(match &args.consumer {
        None => read(args, &mut printer, output),
        Some(name) => consume(args, name, &mut printer, output),
    })?;
    Ok(unless(printer.damage))
}

fn read(args: &Args, printer: &mut Printer, output: &mut Output) -> Result<(), Failure> {
    let log = Log::open_read_only(&args.dir)?;
    let mut builder = log.reader().start(Start::Last(args.count));
    if !args.topics.topics.is_empty() {
        builder = builder.topics(&args.topics.topics);
    }
    let mut reader = builder.open()?;
    while printer.page(&mut reader, u64::MAX, output)?.is_some() {}
    if args.follow {
        follow(&mut reader, printer, output)?;
    }
    Ok(())
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

fn consume(
    args: &Args,
    name: &str,
    printer: &mut Printer,
    output: &mut Output,
) -> Result<(), Failure> {
    // Opening for writing would create a log.
    drop(Log::open_read_only(&args.dir)?);
    let log = Log::open(&args.dir).map_err(|error| match error {
        OpenError::Locked { .. } => Failure::System(format!(
            "{error}, and only that process can move its cursors; stop it, or leave out --consumer"
        )),
        error => error.into(),
    })?;
    let mut builder = log.cursor(name).start(Start::Last(args.count));
    if !args.topics.topics.is_empty() {
        builder = builder.topics(&args.topics.topics);
    }
    let mut cursor = builder.open().map_err(failure)?;
    let stop = Stop::listen(|| {})?;
    let consumed = consume_all(args, &mut cursor, &stop, printer, output);
    let closed = log.close();
    unheard(consumed)?;
    closed.map_err(|error| Failure::system("what was printed may be printed again", &error))
}

/// Prints, and acks what has left this process.
fn consume_all(
    args: &Args,
    cursor: &mut Cursor,
    stop: &Stop,
    printer: &mut Printer,
    output: &mut Output,
) -> Result<(), Failure> {
    while !stop.asked() {
        match cursor.page(PAGE_BYTES) {
            Ok(Some(page)) => print_page(&page, cursor, printer, output)?,
            Ok(None) if !args.follow => break,
            Ok(None) => match cursor.recv_timeout(BREATH) {
                Ok(None) => {}
                Ok(Some(event)) => {
                    printer.event(&event.as_event_ref(), output)?;
                    output.flush()?;
                    cursor.ack(&event).map_err(not_acked)?;
                }
                Err(ReadError::Gap(gap)) => print_gap(&gap, cursor, printer, output)?,
                Err(error) => return Err(error.into()),
            },
            Err(ReadError::Gap(gap)) => print_gap(&gap, cursor, printer, output)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn print_page(
    page: &Page,
    cursor: &mut Cursor,
    printer: &Printer,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut position = None;
    for event in page.iter() {
        printer.event(&event, output)?;
        position = Some(event.position());
    }
    output.flush()?;
    position.map_or(Ok(()), |position| {
        cursor.ack_to(position).map_err(not_acked)
    })
}

fn print_gap(
    gap: &Gap,
    cursor: &mut Cursor,
    printer: &mut Printer,
    output: &mut Output,
) -> Result<(), Failure> {
    printer.gap(gap, output)?;
    output.flush()?;
    cursor.ack_gap(gap).map_err(not_acked)
}

fn not_acked(error: AckError) -> Failure {
    let text = chain(&error);
    Failure::System(format!("what was printed will be printed again: {text}"))
}

fn failure(error: CursorError) -> Failure {
    let text = chain(&error);
    match error {
        CursorError::Name(_) | CursorError::Filter(_) => Failure::Usage(text),
        CursorError::FilterDiffers { .. } => {
            Failure::Usage(format!("{text}; leave out --topics, or take another name"))
        }
        CursorError::Corrupt(_) => {
            Failure::No(format!("{text}; end it with `wakelog cursors DIR rm`"))
        }
        _ => Failure::System(text),
    }
}
