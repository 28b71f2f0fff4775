//! Writes the logs that are kept.

use super::super::logs::{self, Files, Logs, Place, files, options};
use super::super::{cases, outcomes};
use super::dump::{self, POSITIONS};
use std::fs;
use std::path::Path;
use std::time::Duration;
use wakelog::{Epoch, Log, MirrorSource, NewEvent, Options, Position, SkipReason, Start};

pub(super) fn all(to: &Path) {
    let clean = Logs::write();
    let named = [
        ("closed", &clean.closed),
        ("killed", &clean.killed),
        ("trimmed", &clean.trimmed),
        ("earlier", &clean.earlier),
        ("other", &clean.other),
    ];
    for (name, files) in named {
        put(&to.join("bare").join(name), files);
    }
    let text = outcomes(&clean, &cases::all());
    fs::write(to.join("outcomes.txt"), text).unwrap();
    let (closed, killed, positions) = rich();
    let rich = to.join("rich");
    put(&rich.join("closed"), &closed);
    put(&rich.join("killed"), &killed);
    put(&rich.join("mirror"), &mirror());
    for (name, spoil) in DAMAGES {
        put(&rich.join(name), &killed);
        let dir = &rich.join(name);
        spoil(&Place { dir, logs: &clean });
    }
    for dir in super::directories(&rich) {
        fs::write(dir.join(POSITIONS), &positions).unwrap();
        fs::write(dir.with_extension("txt"), dump::of(&dir)).unwrap();
    }
}

fn put(dir: &Path, files: &Files) {
    fs::create_dir_all(dir).unwrap();
    for (name, bytes) in files {
        fs::write(dir.join(name), bytes).unwrap();
    }
}

fn with_ids() -> Options {
    options().dedup_ids(64)
}

/// Some of each kind of event, so many.
fn some(log: &Log, from: u64, count: u64) {
    for number in from..from + count {
        let (id, room) = (format!("id-{number}"), format!("room.{}", number % 3));
        let payload = vec![b'a' + u8::try_from(number % 26).unwrap(); 700];
        let event = NewEvent::new(&room, &payload).from("x").id(&id);
        let appended = match number % 4 {
            0 => event.name("said").not_to("tab 1").not_to("tab 2"),
            1 => event
                .also_to("user.\u{e4}")
                .also_to("all")
                .attribute(128, b"")
                .attribute(255, &[7; 9]),
            2 => NewEvent::new(&room, b"").id(&id),
            _ => event,
        };
        log.append_once(appended).unwrap();
    }
    let batch = [
        NewEvent::new("batch", b"1"),
        NewEvent::new("batch", b"2"),
        NewEvent::new("room.0", b"3"),
    ];
    log.append_batch(batch).unwrap();
}

fn cursor(log: &Log, name: &str, acked: u64) {
    drop(
        dump::cursor(log, name)
            .start(Start::Offset(acked))
            .open()
            .unwrap(),
    );
}

/// A log closed in order, the same killed later, and positions of it.
fn rich() -> (Files, Files, String) {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut positions: Vec<Position> = Vec::new();
    let log = with_ids().open(dir).unwrap();
    some(&log, 0, 60);
    positions.push(log.position());
    let ends = log.next_offset();
    for (name, acked) in [
        ("behind", 3),
        ("filtered", ends / 2),
        ("living", ends),
        ("gone", 1),
    ] {
        cursor(&log, name, acked);
    }
    log.sync().unwrap();
    log.delete_cursor("gone").unwrap();
    log.sync().unwrap();
    let last = logs::segments(&still(dir)).pop().unwrap();
    let synced = fs::read(dir.join(&last)).unwrap();
    // A tail that is lost with the power, after a cursor has acked it.
    log.append("room.1", b"lost").unwrap();
    log.append("room.2", b"lost").unwrap();
    cursor(&log, "lowered", log.next_offset());
    positions.push(log.position());
    let mut lost = still(dir);
    assert_eq!(
        logs::segments(&lost).pop().unwrap(),
        last,
        "no roll between"
    );
    lost.insert(last, synced);
    drop(log);
    fs::remove_dir_all(dir).unwrap();
    put(dir, &lost);
    let log = with_ids().open(dir).unwrap();
    assert_eq!(log.next_offset(), ends);
    some(&log, 100, 20);
    positions.push(log.position());
    assert!(log.trim(ends / 2).unwrap() > 0);
    log.close().unwrap();
    let closed = files(dir);
    let log = with_ids().open(dir).unwrap();
    some(&log, 200, 5);
    positions.push(log.position());
    let killed = still(dir);
    let texts: String = positions
        .iter()
        .map(|position| format!("{position}\n"))
        .collect();
    (closed, killed, texts)
}

/// The files of a log that is open, without what comes and goes.
fn still(dir: &Path) -> Files {
    std::thread::sleep(Duration::from_millis(300));
    let mut files = files(dir);
    files.retain(|name, _| !name.starts_with("spare-") && !name.ends_with(".new"));
    files
}

fn mirror() -> Files {
    let dir = tempfile::tempdir().unwrap();
    let log = "0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.1042"
        .parse::<Position>()
        .unwrap()
        .log;
    let epoch = |counter| Epoch {
        counter,
        tag: 0x9c1e_22b7,
    };
    let source = MirrorSource {
        log,
        epoch: epoch(3),
        first: 100,
    };
    let mirror = options().open_mirror(dir.path(), source).unwrap();
    let event = NewEvent::new("room.1", b"of the source")
        .id("id-1")
        .name("said");
    mirror.append_at(100, 5, &event).unwrap();
    mirror.skip(110, SkipReason::Hole).unwrap();
    mirror.skip(120, SkipReason::Trimmed).unwrap();
    mirror
        .append_batch_at(120, 9, &[event.clone(), event.clone(), event])
        .unwrap();
    mirror.begin_epoch(epoch(5), 123).unwrap();
    mirror
        .append_at(123, 11, &NewEvent::new("room.2", b"of a later epoch"))
        .unwrap();
    cursor(mirror.log(), "behind", 101);
    mirror.log().close().unwrap();
    files(dir.path())
}

type Damage = (&'static str, fn(&Place<'_>));

const SLOT: u64 = 4_096;

const DAMAGES: [Damage; 6] = [
    ("flipped", |p| {
        let (segment, index) = (p.segment(1), p.segment(0).replace(".log", ".index"));
        for (name, at) in [
            (&*segment, 8_000),
            (&segment, 12_345),
            (&index, 300),
            (logs::SLOTS, SLOT + 24),
        ] {
            p.put(
                name,
                at,
                &[p.bytes(name)[usize::try_from(at).unwrap()] ^ 0x10],
            );
        }
    }),
    ("zeroed", |p| {
        p.put(&p.segment(0), 8_192, &[0; 512]);
        p.put(&p.segment(1), 0, &[0; 512]);
        p.put(logs::SLOTS, SLOT + 64, &[0; 64]);
    }),
    ("cut", |p| {
        p.cut(&p.segment(1), 9_000);
        p.cut(logs::DEFINITIONS, 64);
    }),
    ("missing", |p| {
        for name in [&*p.segment(1), logs::EPOCHS, logs::IDS] {
            p.remove(name);
        }
    }),
    ("torn", |p| {
        let last = p.last();
        let end = p.bytes(&last).iter().rposition(|byte| *byte != 0).unwrap();
        p.put(&last, u64::try_from(end - 100).unwrap(), &[0x55; 40]);
    }),
    ("exchanged", |p| {
        p.swap(&p.segment(0), &p.segment(1));
        p.put(logs::MARK, 0, &[0; 512]);
    }),
];
