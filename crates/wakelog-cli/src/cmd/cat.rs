//! `wakelog cat`: prints events and ends.

use crate::failure::{Failure, Outcome, unheard};
use crate::form::{Form, FormArgs};
use crate::output::{Output, unless};
use crate::place::Place;
use std::path::PathBuf;
use wakelog::{EventRef, Gap, GapReason, Log, ReadError, Reader};

/// Print events of a log, from a place up to its end.
///
/// Reads beside a process that writes. A gap (events that were trimmed or are damaged) is told
/// where it lies: on stderr, or as an object among the others with --json. The exit code is 1 if
/// any event was damaged or lost; events that were trimmed are told, but are no damage.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: wakelog cat events --topics 'room.*' --from 100 --count 10 --json"
)]
pub(crate) struct Args {
    /// The directory of the log.
    dir: PathBuf,

    #[command(flatten)]
    topics: TopicArgs,

    /// Where to begin: earliest, latest, last:N, last-per-topic, an offset, a position, or a time
    /// (RFC 3339).
    #[arg(long, value_name = "PLACE", default_value = "earliest")]
    from: Place,

    /// Stop after so many events.
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,

    #[command(flatten)]
    form: FormArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TopicArgs {
    /// Only events to these topics: `*` stands for one word between dots, `>` for all the rest.
    /// Without it: all topics but those that begin with `$`.
    #[arg(long, value_name = "FILTER", value_delimiter = ',')]
    pub(crate) topics: Vec<String>,
}

pub(crate) const PAGE_BYTES: usize = 256 << 10;

pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Outcome, Failure> {
    let log = Log::open_read_only(&args.dir)?;
    let mut builder = log.reader().start(args.from.0);
    if !args.topics.topics.is_empty() {
        builder = builder.topics(&args.topics.topics);
    }
    let mut printer = Printer::new(args.form.form());
    let mut reader = builder.open()?;
    let most = args.count.unwrap_or(u64::MAX);
    unheard(print(&mut reader, most, &mut printer, output))?;
    Ok(unless(printer.damage))
}

fn print(
    reader: &mut Reader,
    most: u64,
    printer: &mut Printer,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut left = most;
    while left > 0 {
        let Some(printed) = printer.page(reader, left, output)? else {
            break;
        };
        left = left.saturating_sub(printed);
    }
    Ok(())
}

/// Prints what a reader hands out, and keeps in mind whether there was damage.
#[derive(Debug)]
pub(crate) struct Printer {
    form: Form,
    pub(crate) damage: bool,
}

impl Printer {
    pub(crate) fn new(form: Form) -> Self {
        Self {
            form,
            damage: false,
        }
    }

    /// Prints the next events, `most` at most, or the next gap. Returns how many events; `None`
    /// when the reader has caught up.
    pub(crate) fn page(
        &mut self,
        reader: &mut Reader,
        most: u64,
        output: &mut Output,
    ) -> Result<Option<u64>, Failure> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        match reader.page_of(most, PAGE_BYTES) {
            Ok(None) => Ok(None),
            Ok(Some(page)) => {
                let mut printed = 0;
                for event in page.iter() {
                    self.event(&event, output)?;
                    printed += 1;
                }
                Ok(Some(printed))
            }
            Err(ReadError::Gap(gap)) => self.gap(&gap, output).map(|()| Some(0)),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn event(&self, event: &EventRef<'_>, output: &mut Output) -> Result<(), Failure> {
        self.form.event(event, output)
    }

    pub(crate) fn gap(&mut self, gap: &Gap, output: &mut Output) -> Result<(), Failure> {
        self.damage |= gap.reason != GapReason::Trimmed;
        self.form.gap(gap, output)
    }
}
