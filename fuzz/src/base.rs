//! Writes the log that the targets `directory`, `cursors` and `index` damage: two epochs that were
//! closed, and one whose process died with events behind the durable mark, a batch, three cursors,
//! ids and indexes. `cargo run --bin base -- ../src/fuzzing/base` in this folder.

use std::error::Error;
use std::path::Path;
use std::time::Duration;
use wakelog::{Log, NewEvent, Options, Start, SyncPolicy};

const TOPICS: [&str; 5] = ["a", "a.b", "b", "a.c", "$sys.x"];

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("base DIRECTORY")?;
    let path = Path::new(&path);
    let options = Options::new()
        .segment_bytes(16 << 10)
        .sync(SyncPolicy::Manual);
    for epoch in 0..2 {
        let log = options.open(path)?;
        fill(&log, epoch * 40, 40)?;
        log.close()?;
    }
    let log = options.open(path)?;
    let filters = [[">", "$sys.>"], ["a.*", "b"], ["a", "a.b"]];
    for (name, filters) in ["all", "some", "few"].into_iter().zip(filters) {
        let mut cursor = log
            .cursor(name)
            .topics(filters)
            .start(Start::Earliest)
            .open()?;
        for _ in 0..7 {
            let event = cursor.next()?.ok_or("too few events")?;
            cursor.ack(&event)?;
        }
    }
    fill(&log, 80, 30)?;
    log.sync()?;
    let batch = ["one", "two", "three"].map(|text| NewEvent::new("a.b", text));
    log.append_batch(batch)?;
    fill(&log, 110, 8)?;
    // The threads write indexes and a spare.
    std::thread::sleep(Duration::from_secs(1));
    std::process::exit(0);
}

fn fill(log: &Log, from: usize, count: usize) -> Result<(), Box<dyn Error>> {
    for number in from..from + count {
        let payload = vec![u8::try_from(number % 251)?; number * 37 % 700];
        let id = format!("id-{number}");
        let mut event = NewEvent::new(TOPICS[number % TOPICS.len()], &payload);
        if number % 3 == 0 {
            event = event.id(&id).from("alice").name("said");
        }
        if number % 7 == 0 {
            event = event.also_to("b.c").not_to("bob").attribute(200, b"extra");
        }
        log.append_once(event)?;
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
