//! Looks at a bad directory in every way there is, and says in a few lines what it saw.

use super::cases::Case;
use super::logs::{CURSORS, Files, Logs, Place, append, files, options, payload, topic};
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use wakelog::{
    Corruption, CursorBuilder, Gap, Log, NewEvent, ReadError, RecoveryReport, Start, VerifyOptions,
};

/// What comes of the case.
pub(super) fn outcome(logs: &Logs, case: &Case) -> String {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (name, bytes) in logs.of(case.of) {
        fs::write(dir.join(name), bytes).unwrap();
    }
    (case.spoil)(&Place { dir, logs });
    let before = files(dir);
    let verified = verify(dir);
    assert!(
        files(dir) == before,
        "{}: verify changed something",
        case.what
    );
    let reading = options().open_read_only(dir).map(|log| events(&log));
    let reading = reading.unwrap_or_else(|error| refusal(dir, &error));
    assert!(
        files(dir) == before,
        "{}: reading changed something",
        case.what
    );
    let (opened, again) = match options().open(dir) {
        Ok(log) => (opened(&log, dir), Some(log)),
        Err(error) => {
            assert!(files(dir) == before, "{}: refused and changed", case.what);
            (refusal(dir, &error), None)
        }
    };
    let mut text = format!("  verify     {verified}\n");
    if reading != opened.lines().next().unwrap_or_default() {
        writeln!(text, "  read-only  {reading}").unwrap();
    }
    write!(text, "  open       {opened}").unwrap();
    if let Some(log) = again {
        text.push_str(&going_on(&log, dir, &before));
    }
    assert!(!text.contains("WRONG"), "{}\n{text}", case.what);
    text
}

/// An error with all that is behind it, without what differs from run to run.
pub(super) fn refusal(dir: &Path, error: &dyn Error) -> String {
    let mut text = format!("refused: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        write!(text, ": {error}").unwrap();
        source = error.source();
    }
    text.replace(dir.to_str().unwrap(), "DIR")
}

fn corruption(found: &Corruption) -> String {
    let offset = found
        .offset
        .map_or(String::new(), |offset| format!(" (offset {offset})"));
    format!("\n             damaged: {found}{offset}")
}

pub(super) fn verify(dir: &Path) -> String {
    let found = match wakelog::verify(dir, VerifyOptions::new()) {
        Ok(found) => found,
        Err(error) => return refusal(dir, &error),
    };
    let whole = if found.ok { "whole, " } else { "" };
    let mut text = format!("{whole}{}..{}", found.first, found.next);
    for range in &found.corrupt {
        let (segment, from, to, why) = (&range.segment, range.from, range.to, range.why);
        write!(text, "\n             lost {from}..{to}: {segment}: {why}").unwrap();
    }
    if found.torn_tail_bytes > 0 {
        text.push_str(", a torn tail");
    }
    text + &found.damaged.iter().map(corruption).collect::<String>()
}

/// What is read, all of it and under a filter. Every offset comes, is told as a gap, or has left.
fn events(log: &Log) -> String {
    let mut text = format!("{}..{}", log.first_offset(), log.next_offset());
    let mut read = BTreeSet::new();
    for filter in [&[">"][..], &["b"]] {
        let mut reader = log
            .reader()
            .topics(filter.iter().copied())
            .start(Start::Earliest)
            .open()
            .unwrap();
        let mut next = log.first_offset();
        let mut told = String::new();
        loop {
            let at = match reader.next() {
                Ok(None) => break,
                Ok(Some(event)) => {
                    let (topics, bytes) = (event.topics(), event.payload());
                    let due = payload("event", event.offset());
                    if !topics.eq([topic(event.offset())]) || bytes != due {
                        write!(text, "\n             WRONG bytes at {}", event.offset()).unwrap();
                    }
                    if filter == [">"] {
                        read.insert(event.offset());
                    }
                    event.offset()..event.offset() + 1
                }
                Err(ReadError::Gap(gap)) => {
                    write!(told, ", {}", said(&gap)).unwrap();
                    next = next.min(gap.from);
                    gap.from..gap.to
                }
                Err(error) => {
                    write!(text, "\n             WRONG {}", refusal(log.path(), &error)).unwrap();
                    break;
                }
            };
            let passed = (next..at.start).find(|offset| filter == [">"] || topic(*offset) == "b");
            if let Some(offset) = passed {
                write!(text, "\n             WRONG {offset} was passed over").unwrap();
            }
            next = at.end;
        }
        let due = |offset: &u64| filter == [">"] || topic(*offset) == "b";
        if let Some(offset) = (next..log.next_offset()).find(due) {
            write!(text, "\n             WRONG {offset} did not come").unwrap();
        }
        if filter == [">"] {
            text.push_str(&told);
        }
    }
    text
}

pub(super) fn report(found: &RecoveryReport) -> String {
    let created = if found.created {
        "\n             created"
    } else {
        ""
    };
    let torn = found.torn.as_ref().map(|torn| {
        let (file, position, offset) = (&torn.file, torn.position, torn.offset);
        format!("\n             torn: {file} at byte {position}, offset {offset}")
    });
    let damaged: String = found.damaged.iter().map(corruption).collect();
    format!("{created}{}{damaged}", torn.unwrap_or_default())
}

fn opened(log: &Log, dir: &Path) -> String {
    let mut text = events(log) + &report(&log.recovery());
    for name in CURSORS {
        let builder = log.cursor(name).topics([">"]);
        let place = resumed(builder, dir);
        write!(text, "\n             cursor {name}: {place}").unwrap();
    }
    text
}

/// How the cursor is opened, where it stands, and the gap that it is told.
pub(super) fn resumed(builder: CursorBuilder, dir: &Path) -> String {
    let mut cursor = match builder.start(Start::Earliest).open() {
        Ok(cursor) => cursor,
        Err(error) => return refusal(dir, &error),
    };
    let (how, acked) = (cursor.opened(), cursor.acked());
    match cursor.next() {
        Err(ReadError::Gap(gap)) => format!("{how:?} at {acked}, {}", said(&gap)),
        _ => format!("{how:?} at {acked}"),
    }
}

pub(super) fn said(gap: &Gap) -> String {
    format!("gap {}..{} {:?}", gap.from, gap.to, gap.reason)
}

/// An event with an id that is known, new ones, a second open; and which files have gone.
fn going_on(log: &Log, dir: &Path, before: &Files) -> String {
    let next = log.next_offset();
    let once = payload("event", next);
    let appended = log
        .append_once(NewEvent::new(topic(next), &once).id("id-30"))
        .unwrap();
    let id = match appended.duplicate {
        true => format!("id-30 is known, at {}", appended.offset),
        false => "id-30 is new".to_owned(),
    };
    append(log, "event", 2);
    log.close().unwrap();
    let log = match options().open(dir) {
        Ok(log) => log,
        Err(error) => return format!("\n  then       WRONG {}", refusal(dir, &error)),
    };
    let mut text = format!("\n             {id}\n  then       {}", events(&log));
    text.push_str(&report(&log.recovery()));
    log.close().unwrap();
    let now = files(dir);
    let gone: Vec<_> = before
        .keys()
        .filter(|name| !now.contains_key(*name))
        .collect();
    if !gone.is_empty() {
        write!(text, "\n  gone       {gone:?}").unwrap();
    }
    text
}
