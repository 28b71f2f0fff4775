//! All that a log holds, as a text.

use super::super::logs::{files, options};
use super::super::look::{refusal, report, resumed, said, verify};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;
use wakelog::{
    CursorBuilder, EventRef, Log, MirrorSource, NewEvent, OpenError, Position, ReadError, Start,
};

/// Cursors that may be in a kept log, and one that is not.
pub(super) const CURSORS: [&str; 6] = ["lowered", "behind", "filtered", "living", "gone", "nobody"];
pub(super) const POSITIONS: &str = "positions";

/// What stands in a kept directory: by `verify`, read-only, for writing, and once more.
pub(super) fn of(kept: &Path) -> String {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (name, bytes) in files(kept) {
        if name != POSITIONS {
            fs::write(dir.join(name), bytes).unwrap();
        }
    }
    let mut text = format!("verify     {}\n", verify(dir));
    let reading = options().open_read_only(dir).map(|log| events(&log));
    let reading = reading.unwrap_or_else(|error| refusal(dir, &error));
    let log = match open(dir) {
        Ok(log) => log,
        Err(error) => return text + &format!("open       {}\n", refusal(dir, &error)),
    };
    let (first, next) = (log.first_offset(), log.next_offset());
    let epoch = log.position().epoch.counter;
    writeln!(
        text,
        "open       {first}..{next}, epoch {epoch}{}",
        report(&log.recovery())
    )
    .unwrap();
    let read = events(&log);
    text.push_str(&read);
    let same = reading == read;
    writeln!(
        text,
        "read-only  {}",
        if same { "the same" } else { &reading }
    )
    .unwrap();
    text.push_str(&filtered(&log));
    let positions = fs::read_to_string(kept.join(POSITIONS)).unwrap_or_default();
    for position in positions.lines() {
        let place = judged(&log, position.parse().unwrap());
        writeln!(text, "position   {position}: {place}").unwrap();
    }
    text.push_str(&cursors(&log, dir));
    text.push_str(&ids(&log));
    log.close().unwrap();
    let log = open(dir).unwrap();
    let (first, next) = (log.first_offset(), log.next_offset());
    writeln!(
        text,
        "once more  {first}..{next}{}",
        report(&log.recovery())
    )
    .unwrap();
    text
}

/// A log of its own, or a mirror.
fn open(dir: &Path) -> Result<Log, OpenError> {
    let open = options().dedup_ids(64).open(dir);
    let Err(OpenError::Options { option: "kind", .. }) = &open else {
        return open;
    };
    let Position { log, epoch, .. } = options().open_read_only(dir)?.position();
    let source = MirrorSource {
        log,
        epoch,
        first: 0,
    };
    Ok(options().open_mirror(dir, source)?.log().clone())
}

/// The cursor of this name, as it is made.
pub(super) fn cursor(log: &Log, name: &str) -> CursorBuilder {
    let builder = log.cursor(name);
    match name {
        "filtered" => builder
            .topics(["room.*", "user.\u{e4}"])
            .identities(["tab 1"]),
        "living" => builder
            .topics(["all"])
            .ttl(Duration::from_secs(100 * 365 * 86_400)),
        _ => builder.topics([">"]),
    }
}

fn events(log: &Log) -> String {
    let mut reader = log.reader().start(Start::Earliest).open().unwrap();
    let mut text = String::new();
    loop {
        match reader.next() {
            Ok(Some(event)) => text.push_str(&told(&event.as_event_ref())),
            Ok(None) => return text,
            Err(ReadError::Gap(gap)) => writeln!(text, "           {}", said(&gap)).unwrap(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// An event in one line.
fn told(event: &EventRef<'_>) -> String {
    let topics: Vec<&str> = event.topics().collect();
    let not_to: Vec<&str> = event.not_to().collect();
    let mut text = format!("  {} {} {topics:?}", event.offset(), event.time());
    if !not_to.is_empty() {
        write!(text, " not to {not_to:?}").unwrap();
    }
    let texts = [
        ("name", event.name()),
        ("id", event.id()),
        ("from", event.from()),
    ];
    for (what, value) in texts {
        if let Some(value) = value {
            write!(text, " {what} {value:?}").unwrap();
        }
    }
    for tag in 128..=255 {
        if let Some(bytes) = event.attribute(tag) {
            write!(text, " {tag}: {bytes:?}").unwrap();
        }
    }
    let payload = event.payload();
    let crc = crc32fast::hash(payload);
    writeln!(text, ", {} bytes, crc {crc:08x}", payload.len()).unwrap();
    text
}

/// The offsets under filters, which the topic indexes find.
fn filtered(log: &Log) -> String {
    let mut text = String::new();
    for filter in ["room.*", "user.\u{e4}", "none"] {
        let mut reader = log
            .reader()
            .topics([filter])
            .start(Start::Earliest)
            .open()
            .unwrap();
        write!(text, "filter     {filter}:").unwrap();
        loop {
            match reader.next() {
                Ok(Some(event)) => write!(text, " {}", event.offset()).unwrap(),
                Ok(None) => break,
                Err(ReadError::Gap(gap)) => write!(text, " ({})", said(&gap)).unwrap(),
                Err(error) => panic!("{error}"),
            }
        }
        text.push('\n');
    }
    text
}

/// Where a client comes in that has kept this position.
fn judged(log: &Log, position: Position) -> String {
    let mut reader = match log.reader().start(Start::Position(position)).open() {
        Ok(reader) => reader,
        Err(error) => return error.to_string(),
    };
    match reader.next() {
        Ok(Some(event)) => format!("goes on with {}", event.offset()),
        Ok(None) => "is at the end".to_owned(),
        Err(ReadError::Gap(gap)) => said(&gap),
        Err(error) => error.to_string(),
    }
}

fn cursors(log: &Log, dir: &Path) -> String {
    let mut list = log.cursor_list().unwrap();
    list.sort_by(|one, other| one.name.cmp(&other.name));
    let mut text = String::new();
    for info in list {
        let (name, filters, identities) = (info.name, info.filters, info.identities);
        let (acked, ttl, state) = (info.acked, info.ttl, info.state);
        let wants = format!("{filters:?}, identities {identities:?}, ttl {ttl:?}");
        writeln!(text, "cursor     {name}: {state:?} at {acked:?}, {wants}").unwrap();
    }
    for name in CURSORS {
        let place = resumed(cursor(log, name), dir);
        writeln!(text, "opened     {name}: {place}").unwrap();
    }
    text
}

/// Which ids are known still: those are not stored again.
fn ids(log: &Log) -> String {
    let mut text = String::from("ids       ");
    // A new one pushes out the oldest of those that are known.
    for number in (0..60).rev() {
        let id = format!("id-{number}");
        let event = NewEvent::new("again", b"").from("x").id(&id);
        match log.append_once(event) {
            Ok(of) if of.duplicate => write!(text, " {id} at {}", of.offset).unwrap(),
            Ok(_) => {}
            Err(error) => return format!("{text} {error}\n"),
        }
    }
    text + "\n"
}
