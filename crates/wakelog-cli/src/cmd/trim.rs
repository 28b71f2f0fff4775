//! `wakelog trim`: lets old events go.

use crate::failure::{Failure, Outcome, chain};
use crate::output::{self, Output, count};
use crate::place::Place;
use serde::Serialize;
use std::path::PathBuf;
use wakelog::{Log, Start};

/// Let old events go: every segment all of whose events lie before a place.
///
/// Segments leave as a whole, so some events before the place may stay. Whoever reads there later
/// is told of a gap. It writes, so no other process may have the log open for writing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: wakelog trim events --before 2026-05-01T00:00:00Z")]
pub(crate) struct Args {
    /// The directory of the log.
    dir: PathBuf,

    /// The first place to keep: earliest, latest, last:N, an offset, a position, or a time
    /// (RFC 3339).
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

/// The offset of a place: where a reader would begin. Not the first event that it would hand out,
/// since its filter passes over topics that begin with `$`, and they are kept as the others are.
fn offset_of(log: &Log, place: Start) -> Result<u64, Failure> {
    if place == Start::LastPerTopic {
        return Err(Failure::Usage(
            "last-per-topic is many places; name the one from which on events stay".to_owned(),
        ));
    }
    Ok(log.reader().start(place).open()?.position().offset)
}
