//! What happens to the events that a client missed? `cargo run --example missed_events`
//!
//! Alice reads along in a room, goes away in the middle of it, and comes back after the process
//! was started again. She gets exactly what she missed, then what is new, from the same cursor.

use wakelog::{Cursor, Event, Log, NewEvent, Opened, Position, ReadError, Start};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let log = Log::open(dir.path())?;
    let mut inbox = alice(&log)?;
    say(&log, "bob", "hello")?;
    say(&log, "bob", "anyone here?")?;
    while let Some(event) = inbox.next()? {
        show("read", &event);
        inbox.ack(&event)?;
    }
    println!("alice goes away, her cursor stands at {}", inbox.acked());
    drop(inbox);
    say(&log, "bob", "where is alice?")?;
    log.append("room.7", "a word in another room")?;
    say(&log, "carol", "she will read it later")?;

    drop(log);
    println!("\n-- the process ends, and another one opens the same log --\n");
    let log = Log::open(dir.path())?;
    say(&log, "bob", "was there a restart?")?;
    let mut inbox = alice(&log)?;
    assert_eq!(inbox.opened(), Opened::Resumed);
    println!("alice is back, her cursor stands at {}", inbox.acked());
    let mut missed = 0;
    while let Some(event) = inbox.next()? {
        missed += 1;
        show("missed", &event);
        inbox.ack(&event)?;
    }
    println!("  = {missed} missed: each once, in order, none of another room");
    say(&log, "bob", "welcome back")?;
    show("live", &inbox.recv()?);

    // What cannot be given back is said, in numbers: here to a client that has seen three events
    // which this log does not have, as after a power loss or with an old backup.
    let end = log.position();
    let seen = Position {
        offset: end.offset + 3,
        ..end
    };
    println!("\na client comes with the position {seen}");
    let mut reader = log.reader().start(Start::Position(seen)).open()?;
    if let Err(ReadError::Gap(gap)) = reader.next() {
        println!("  gap: {gap}; it goes on at {}", gap.resume_at());
    }
    Ok(())
}

/// The name is all it takes to go on where the last ack was. A new name begins at the end.
fn alice(log: &Log) -> Result<Cursor> {
    let cursor = log.cursor("alice").topics(["room.42", "user.alice"]);
    Ok(cursor.start(Start::Latest).open()?)
}

fn say(log: &Log, who: &str, text: &str) -> Result<()> {
    let offset = log.append_event(NewEvent::new("room.42", text).from(who))?;
    println!("{who} says {text:?} (event {offset})");
    Ok(())
}

fn show(what: &str, event: &Event) {
    let text = String::from_utf8_lossy(event.payload());
    let from = event.from().unwrap_or("somebody");
    println!("  {what:<7}{:>2}  {from}: {text}", event.offset());
}
