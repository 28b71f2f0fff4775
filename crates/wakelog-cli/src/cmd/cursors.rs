//! `wakelog cursors`: who reads, where, and how far behind.

use crate::failure::{Failure, Outcome, chain, unheard};
use crate::output::{self, Output, number};
use crate::place::Place;
use crate::time;
use serde::Serialize;
use std::path::{Path, PathBuf};
use wakelog::{CursorError, CursorInfo, CursorState, Log};

/// List the durable cursors of a log, end them, or put them elsewhere.
///
/// The list is read beside a process that writes; rm and set write, so no other process may have
/// the log open for writing. The exit code is 1 if a cursor is damaged.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  wakelog cursors events\n  \
                  wakelog cursors events set alice earliest\n  \
                  wakelog cursors events rm alice bob")]
pub(crate) struct Args {
    /// The directory of the log.
    dir: PathBuf,

    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,

    #[command(subcommand)]
    change: Option<Change>,
}

#[derive(Debug, clap::Subcommand)]
enum Change {
    /// End cursors; the names can be used again for new ones.
    Rm {
        /// Their names.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Put a cursor to another place, forward or back.
    Set {
        /// Its name.
        name: String,
        /// Where: earliest, latest, last:N, an offset, a position, or a time (RFC 3339).
        place: Place,
    },
}

#[derive(Debug, Serialize)]
struct CursorLine<'a> {
    name: &'a str,
    filters: &'a [String],
    identities: Option<&'a [String]>,
    acked: Option<u64>,
    position: Option<String>,
    lag: Option<u64>,
    last_ack: Option<String>,
    ttl_seconds: Option<u64>,
    state: &'static str,
}

pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Outcome, Failure> {
    match &args.change {
        None => list(args, output),
        Some(Change::Rm { names }) => remove(&args.dir, names, output),
        Some(Change::Set { name, place }) => set(args, name, *place, output),
    }
}

fn list(args: &Args, output: &mut Output) -> Result<Outcome, Failure> {
    let log = Log::open_read_only(&args.dir)?;
    let cursors = log.cursor_list().map_err(failure)?;
    unheard(match args.json {
        true => cursors
            .iter()
            .try_for_each(|cursor| output.json(&CursorLine::new(cursor))),
        false => table(&cursors, output),
    })?;
    let damaged = cursors
        .iter()
        .any(|cursor| cursor.state == CursorState::Corrupt);
    Ok(output::unless(damaged))
}

impl<'a> CursorLine<'a> {
    fn new(info: &'a CursorInfo) -> Self {
        Self {
            name: &info.name,
            filters: &info.filters,
            identities: info.identities.as_deref(),
            acked: info.acked,
            position: info.position.map(|position| position.to_string()),
            lag: info.lag,
            last_ack: info.last_ack.map(time::text),
            ttl_seconds: info.ttl.map(|ttl| ttl.as_secs()),
            state: state(info.state),
        }
    }
}

fn state(state: CursorState) -> &'static str {
    match state {
        CursorState::Live => "live",
        CursorState::Open => "open",
        CursorState::Expired => "expired",
        CursorState::Corrupt => "corrupt",
        _ => "other",
    }
}

/// Name, place, lag, last ack, filters.
fn table(cursors: &[CursorInfo], output: &mut Output) -> Result<(), Failure> {
    if cursors.is_empty() {
        output.remark("no cursors");
        return Ok(());
    }
    let width = cursors.iter().map(|cursor| cursor.name.chars().count());
    let width = width.max().unwrap_or(0).clamp(4, 40);
    let head = format!(
        "{:<width$}  {:>12}  {:>12}  {:<27}  {:<7}  filters",
        "name", "acked", "lag", "last ack", "state"
    );
    let head = output.styled(output::DIM, &head);
    output.line(&head)?;
    for cursor in cursors {
        let none = || "-".to_owned();
        let name = output.styled(output::BOLD, &format!("{:<width$}", cursor.name));
        let acked = cursor.acked.map_or_else(none, |offset| offset.to_string());
        let lag = cursor.lag.map_or_else(none, number);
        let last = cursor.last_ack.map_or_else(none, time::text);
        let filters = match cursor.filters.as_slice() {
            [] => ">".to_owned(),
            filters => filters.join(","),
        };
        let state = state(cursor.state);
        let line = format!("{name}  {acked:>12}  {lag:>12}  {last:<27}  {state:<7}  {filters}");
        output.line(&line)?;
    }
    Ok(())
}

/// Opens for writing what is there already.
fn open(dir: &Path) -> Result<Log, Failure> {
    // Opening for writing would create a log.
    drop(Log::open_read_only(dir)?);
    Ok(Log::open(dir)?)
}

fn remove(dir: &Path, names: &[String], output: &mut Output) -> Result<Outcome, Failure> {
    let log = open(dir)?;
    for name in names {
        log.delete_cursor(name).map_err(failure)?;
        output.note(&format!("{name} is no more"));
    }
    close(&log)
}

fn set(args: &Args, name: &str, place: Place, output: &mut Output) -> Result<Outcome, Failure> {
    let log = open(&args.dir)?;
    let offset = log.set_cursor(name, place.0).map_err(failure)?;
    close(&log)?;
    if args.json {
        output.json(&serde_json::json!({ "name": name, "acked": offset }))?;
    } else {
        output.note(&format!("{name} goes on at {offset}"));
    }
    Ok(Outcome::Fine)
}

fn close(log: &Log) -> Result<Outcome, Failure> {
    log.close()
        .map_err(|error| Failure::system("the change may not be on disk", &error))?;
    Ok(Outcome::Fine)
}

fn failure(error: CursorError) -> Failure {
    let text = chain(&error);
    match error {
        CursorError::Name(_) | CursorError::Filter(_) => Failure::Usage(text),
        CursorError::Unknown { .. } => {
            Failure::No(format!("{text}; `wakelog cursors` lists those there are"))
        }
        CursorError::Corrupt(_) => Failure::No(format!("{text}; end it with rm")),
        CursorError::Offset { .. } => Failure::No(format!("{text}; choose a place in the log")),
        CursorError::Reset => Failure::No(format!("{text}; choose a place of this log")),
        _ => Failure::System(text),
    }
}
