//! How much of a log lies in the memory of the process that reads it.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use wakelog::{Log, Options, ReaderBuilder, SyncPolicy};

const EVENTS: u64 = 32 << 10;
const MIB: u64 = 1 << 20;

/// Bytes of the files below `dir` that are mapped and present, as the system counts them.
fn resident(dir: &Path) -> u64 {
    let (maps, place) = (
        fs::read_to_string("/proc/self/smaps"),
        dir.to_str().unwrap(),
    );
    let (mut ours, mut all) = (false, 0);
    for line in maps.unwrap().lines() {
        let mut words = line.split_whitespace();
        match words.next().unwrap_or_default() {
            "Rss:" if ours => all += words.next().unwrap().parse::<u64>().unwrap() << 10,
            // The head of a mapping begins with its addresses.
            word if word.contains('-') => ours = line.contains(place),
            _ => {}
        }
    }
    all
}

fn payload(offset: u64) -> Vec<u8> {
    offset.to_le_bytes().repeat(128)
}

/// Reads all in pages, and looks at each byte; what is resident then.
fn read(reader: ReaderBuilder, dir: &Path) -> u64 {
    let mut reader = reader.open().unwrap();
    let (mut next, mut held) = (0, None);
    while let Some(page) = reader.page_of(512, 48 << 10).unwrap() {
        for event in page.iter() {
            assert_eq!(
                (event.offset(), event.payload()),
                (next, &payload(next)[..])
            );
            next += 1;
        }
        held = held.or_else(|| page.events().next());
    }
    assert_eq!(next, EVENTS);
    let resident = resident(dir);
    assert_eq!(held.unwrap().payload(), payload(0));
    resident
}

/// Two segments and a half, of which nearly nothing stays mapped, but for what was read just now.
#[test]
fn what_was_read_is_released_by_who_was_asked_to() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::new().segment_bytes(14 << 20);
    let log = options.clone().sync(SyncPolicy::Manual).open(dir.path());
    let log = log.unwrap();
    for offset in 0..EVENTS {
        log.append("a", payload(offset)).unwrap();
    }
    log.close().unwrap();
    drop(log);
    let log: Log = options.open(dir.path()).unwrap();
    let releasing = read(log.reader().release_behind(), dir.path());
    let keeping = read(log.reader(), dir.path());
    println!("{releasing} bytes resident behind one, {keeping} behind the other");
    assert!(releasing < 8 * MIB, "{releasing}");
    assert!(keeping > 24 * MIB, "{keeping}");
    // Again, though some of it is mapped and some is not.
    assert!(read(log.reader().release_behind(), dir.path()) < 8 * MIB);
}
