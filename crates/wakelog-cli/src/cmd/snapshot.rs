//! `wakelog snapshot`: a hot backup.

use crate::failure::{Failure, Outcome, chain};
use crate::output::{self, Output, count};
use serde::Serialize;
use std::path::PathBuf;
use wakelog::{Log, SnapshotError};

/// Copy a log into a new directory while it is used.
///
/// The copy is whole and on disk when the command returns; until then there is nothing at its path.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: wakelog snapshot events /backup/events-$(date +%F)")]
pub(crate) struct Args {
    /// The directory of the log.
    dir: PathBuf,

    /// Where to put the copy; nothing may be there yet.
    to: PathBuf,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Copied {
    first: u64,
    next: u64,
    segments: u64,
    bytes: u64,
    position: String,
}

pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Outcome, Failure> {
    let log = Log::open_read_only(&args.dir)?;
    output.announce("copying");
    let copy = log.snapshot(&args.to).map_err(failure)?;
    let copied = Copied {
        first: copy.first_offset,
        next: copy.next_offset,
        segments: copy.segments,
        bytes: copy.bytes,
        position: copy.position.to_string(),
    };
    if args.json {
        output.json(&copied)?;
        return Ok(Outcome::Fine);
    }
    let events = count(copied.next - copied.first, "event");
    let (bytes, to) = (output::bytes(copied.bytes), args.to.display());
    output.line(&format!(
        "{events} in {to}, {bytes}; it ends at {}",
        copied.position
    ))?;
    Ok(Outcome::Fine)
}

fn failure(error: SnapshotError) -> Failure {
    let text = chain(&error);
    Failure::System(match error {
        SnapshotError::Exists { .. } => format!("{text}; choose a path where nothing is"),
        SnapshotError::Reopened => format!("{text}; try again"),
        SnapshotError::DiskFull(_) => format!("{text}; make room, or choose another disk"),
        _ => text,
    })
}
