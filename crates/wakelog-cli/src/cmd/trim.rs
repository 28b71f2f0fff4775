//! `wakelog trim`: lets old events go.

use super::cat::PAGE_BYTES;
use crate::failure::{Failure, Outcome, chain};
use crate::output::{self, Output, count};
use crate::place::Place;
use serde::Serialize;
use std::path::PathBuf;
use wakelog::{Log, ReadError, Start};

/// Let old events go: every segment all of whose events lie before a place.
///
/// Segments leave as a whole, so some events before the place may stay. Whoever reads there later
/// is told of a gap. It writes, so no other process may have the log open for writing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: wakelog trim events --before 2026-05-01T00:00:00Z")]
pub(crate) struct Args {
    /// The directory of the log.
    dir: PathBuf,

    /// The first place to keep: an offset, a position, a time, or as in `wakelog cat --from`.
    #[arg(long, value_name = "PLACE")]
    before: Place,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Trimmed {
    before: u64,
    first: u64,
    events: u64,
    bytes: u64,
}

pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Outcome, Failure> {
    // Opening for writing would create a log.
    let before = offset_of(&Log::open_read_only(&args.dir)?, args.before.0)?;
    let log = Log::open(&args.dir)?;
    let (first, held) = (log.first_offset(), log.stats().segment_bytes);
    let kept = log
        .trim(before)
        .map_err(|error| Failure::System(format!("{}; try again", chain(&error))))?;
    let left = log.stats().segment_bytes;
    log.close()
        .map_err(|error| Failure::system("the log was not closed in order", &error))?;
    let trimmed = Trimmed {
        before,
        first: kept,
        events: kept - first,
        bytes: held.saturating_sub(left),
    };
    if args.json {
        output.json(&trimmed)?;
        return Ok(Outcome::Fine);
    }
    let (events, bytes) = (count(trimmed.events, "event"), output::bytes(trimmed.bytes));
    output.line(&format!(
        "{events} trimmed, {bytes}; the log begins at {kept}"
    ))?;
    Ok(Outcome::Fine)
}

/// The offset of a place. A place with a condition is looked up by a reader.
fn offset_of(log: &Log, place: Start) -> Result<u64, Failure> {
    let mut reader = log.reader().start(place).open()?;
    match place {
        Start::Earliest | Start::Latest | Start::Offset(_) | Start::Position(_) => {
            Ok(reader.position().offset)
        }
        // The first event that is read is the place, or the end if there is none.
        _ => match reader.page_of(1, PAGE_BYTES) {
            Ok(page) => Ok(page
                .and_then(|page| page.first())
                .unwrap_or_else(|| log.next_offset())),
            Err(ReadError::Gap(gap)) => Ok(gap.from),
            Err(error) => Err(error.into()),
        },
    }
}
