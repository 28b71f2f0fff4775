//! `wakelog verify`: every byte of a log.

use crate::failure::{Failure, Outcome, unheard};
use crate::output::{self, Output, count, unless};
use serde::Serialize;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use wakelog::{Corruption, OpenError, Verification, VerifyOptions};

/// Read and check every byte of a log.
///
/// Changes nothing (but indexes, when asked) and works beside a process that writes. The exit code
/// is 1 if events are lost or anything is damaged; a torn tail alone (what a crash has left
/// unfinished) is no damage.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: wakelog verify events --json | jq .corrupt")]
pub(crate) struct Args {
    /// The directory of the log.
    dir: PathBuf,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,

    /// Remove the topic indexes, which are made anew from the events when a reader needs them.
    #[arg(long)]
    repair_index: bool,
}

#[derive(Debug, Default, Serialize)]
struct Verified {
    ok: bool,
    events: u64,
    bytes: u64,
    segments: u64,
    first: u64,
    next: u64,
    torn_tail_bytes: u64,
    corrupt: Vec<Lost>,
    damaged: Vec<Damaged>,
    #[serde(skip_serializing_if = "Option::is_none")]
    indexes_removed: Option<u64>,
}

/// Events that cannot be read; `to` is the first offset behind them.
#[derive(Debug, Serialize)]
struct Lost {
    segment: String,
    from: u64,
    to: u64,
    why: String,
}

/// Damage that costs no event.
#[derive(Debug, Serialize)]
struct Damaged {
    file: String,
    byte: u64,
    expected: &'static str,
}

pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Outcome, Failure> {
    let mut progress = |done: u64, all: u64| {
        output.progress(|| {
            let percent = done.saturating_mul(100).checked_div(all).unwrap_or(100);
            let (done, all) = (output::bytes(done), output::bytes(all));
            format!("{percent:>3} %  {done} of {all}")
        });
    };
    let options = VerifyOptions::new().progress(&mut progress);
    let mut verified = match wakelog::verify(&args.dir, options) {
        Ok(found) => Verified::new(found),
        // So damaged that it cannot be opened at all.
        Err(OpenError::Damaged(damage)) => Verified {
            damaged: vec![Damaged::new(damage)],
            ..Verified::default()
        },
        Err(error) => return Err(error.into()),
    };
    if args.repair_index {
        verified.indexes_removed = Some(remove_indexes(&args.dir)?);
    }
    unheard(match args.json {
        true => output.json(&verified),
        false => tell(&verified, output),
    })?;
    Ok(unless(!verified.ok))
}

impl Verified {
    fn new(found: Verification) -> Self {
        let corrupt = found.corrupt.into_iter().map(|range| Lost {
            segment: range.segment,
            from: range.from,
            to: range.to,
            why: range.why.to_string(),
        });
        let damaged = found.damaged.into_iter().map(Damaged::new);
        Self {
            ok: found.ok,
            events: found.events,
            bytes: found.bytes,
            segments: found.segments,
            first: found.first,
            next: found.next,
            torn_tail_bytes: found.torn_tail_bytes,
            corrupt: corrupt.collect(),
            damaged: damaged.collect(),
            indexes_removed: None,
        }
    }
}

impl Damaged {
    fn new(damage: Corruption) -> Self {
        Self {
            file: damage.file,
            byte: damage.position,
            expected: damage.expected,
        }
    }
}

/// Removes `<base>.index` files. They are derived, and one that is missing is built again; a
/// process that has one open goes on with what it has.
fn remove_indexes(dir: &Path) -> Result<u64, Failure> {
    let failed = |error: io::Error| {
        let at = dir.display();
        Failure::System(format!("cannot remove an index in {at}: {error}"))
    };
    let mut removed = 0;
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let base = name.to_str().and_then(|name| name.strip_suffix(".index"));
        let ours = |base: &str| base.len() == 20 && base.bytes().all(|byte| byte.is_ascii_digit());
        if base.is_some_and(ours) {
            match fs::remove_file(dir.join(&name)) {
                Ok(()) => removed += 1,
                // Its segment was trimmed meanwhile, and it went too.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
    Ok(removed)
}

fn tell(found: &Verified, output: &mut Output) -> Result<(), Failure> {
    for Lost {
        segment,
        from,
        to,
        why,
    } in &found.corrupt
    {
        let lost = output.styled(output::BAD, &format!("lost {from}..{to}"));
        output.line(&format!("{lost}  {segment}: {why}"))?;
    }
    for Damaged {
        file,
        byte,
        expected,
    } in &found.damaged
    {
        let damaged = output.styled(output::BAD, "damaged");
        output.line(&format!(
            "{damaged}  {file} at byte {byte}: expected {expected}"
        ))?;
    }
    if found.torn_tail_bytes > 0 {
        let bytes = output::bytes(found.torn_tail_bytes);
        output.line(&format!("torn tail of {bytes}: never durable, no damage"))?;
    }
    if let Some(removed) = found.indexes_removed {
        let removed = count(removed, "topic index file");
        output.line(&format!("{removed} removed, to be made anew when needed"))?;
    }
    let word = match found.ok {
        true => output.styled(output::GOOD, "ok"),
        false => output.styled(output::BAD, "damaged"),
    };
    let (events, segments) = (
        count(found.events, "event"),
        count(found.segments, "segment"),
    );
    let bytes = output::bytes(found.bytes);
    output.line(&format!("{word}  {events}, {segments}, {bytes}"))
}
