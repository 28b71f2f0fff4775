//! Directories that hold what they should not: a typed error, and not a byte is changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;
use wakelog::{Log, OpenError, Options, Start, SyncPolicy};

const META: &str = "wakelog.meta";
const FIRST: &str = "00000000000000000000.log";

/// Where the second copy of a header stands, and the checksum in each.
const COPY_AT: u64 = 512;
const CRC_AT: usize = 60;

/// A log in a directory, with a few events.
fn make_log(dir: &Path, text: &str) {
    let log = Log::open(dir).unwrap();
    for _ in 0..3 {
        log.append("a", text).unwrap();
    }
}

/// All names with their bytes; the lock file may be made by an open that is refused later.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let named = entries.map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        let plain = entry.file_type().unwrap().is_file();
        (
            name,
            if plain {
                fs::read(entry.path()).unwrap()
            } else {
                Vec::new()
            },
        )
    });
    named.filter(|(name, _)| name != "wakelog.lock").collect()
}

/// Opens in both ways, checks each error, and that nothing was changed.
fn refused(dir: &Path, is_right: impl Fn(&OpenError) -> bool) {
    let before = files(dir);
    for result in [Log::open(dir), Log::open_read_only(dir)] {
        let error = result.map(|log| log.next_offset()).unwrap_err();
        assert!(is_right(&error), "{error:?}");
        assert!(files(dir) == before, "{error:?} changed something");
    }
}

/// The log is whole, and goes on.
fn works(dir: &Path, text: &str) {
    let log = Log::open(dir).unwrap();
    let mut reader = log.reader().open().unwrap();
    for _ in 0..3 {
        assert_eq!(reader.next().unwrap().unwrap().payload(), text.as_bytes());
    }
    log.append("a", text).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().payload(), text.as_bytes());
}

/// Changes both copies of a 64-byte header and its checksum.
fn patch(path: &Path, change: impl Fn(&mut [u8; 64])) {
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    for at in [0, COPY_AT] {
        let mut header = [0; 64];
        file.read_exact_at(&mut header, at).unwrap();
        let crc = crc32fast::hash(&header[..CRC_AT]).to_le_bytes();
        assert_eq!(
            header[CRC_AT..],
            crc,
            "the copies are where the format says"
        );
        change(&mut header);
        let crc = crc32fast::hash(&header[..CRC_AT]).to_le_bytes();
        header[CRC_AT..].copy_from_slice(&crc);
        file.write_all_at(&header, at).unwrap();
    }
}

/// Overwrites bytes of a file.
fn scratch(path: &Path, at: u64, bytes: &[u8]) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

#[test]
fn a_directory_of_somebody_else_is_not_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
    fs::create_dir(dir.path().join("figures")).unwrap();
    let error = Log::open(dir.path()).unwrap_err();
    assert!(
        matches!(&error, OpenError::NotALog { path } if path == dir.path()),
        "{error:?}"
    );
    // Not even a lock file was left there.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    refused(dir.path(), |error| {
        matches!(
            error,
            OpenError::NotALog { .. } | OpenError::NotFound { .. }
        )
    });
}

#[test]
fn a_file_is_no_directory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "text").unwrap();
    for result in [
        Log::open(&file),
        Log::open_read_only(&file),
        Log::open(file.join("below")),
    ] {
        let error = result.map(|_| ()).unwrap_err();
        assert!(matches!(error, OpenError::Io(_)), "{error:?}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"text");
}

#[test]
fn foreign_files_in_a_log_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    make_log(dir.path(), "mine");
    let foreign = [
        "README",
        ".hidden",
        "1.log",
        "00000000000000000001.log.bak",
        "0000000000000000000a.log",
        "spare-.log",
        "notes.new",
        "\u{e9}\u{1f600}",
    ];
    for name in foreign {
        fs::write(dir.path().join(name), name).unwrap();
    }
    // A directory with the name of a segment is no segment.
    fs::create_dir(dir.path().join("00000000000000000009.log")).unwrap();
    works(dir.path(), "mine");
    works(dir.path(), "mine");
    for name in foreign {
        assert_eq!(fs::read(dir.path().join(name)).unwrap(), name.as_bytes());
    }
    assert!(dir.path().join("00000000000000000009.log").is_dir());
}

#[test]
fn a_segment_of_another_log_is_refused() {
    let (mine, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    make_log(mine.path(), "mine");
    make_log(other.path(), "other");
    let own = fs::read(mine.path().join(FIRST)).unwrap();
    fs::copy(other.path().join(FIRST), mine.path().join(FIRST)).unwrap();
    refused(
        mine.path(),
        |error| matches!(error, OpenError::Foreign { file } if file == FIRST),
    );
    // As it asks for: the file is taken out and the right one is back.
    fs::write(mine.path().join(FIRST), own).unwrap();
    works(mine.path(), "mine");
}

#[test]
fn a_newer_format_is_told_from_damage() {
    for name in [META, FIRST] {
        let dir = tempfile::tempdir().unwrap();
        make_log(dir.path(), "mine");
        let path = dir.path().join(name);
        patch(&path, |header| header[8..10].copy_from_slice(&[7, 1]));
        refused(dir.path(), |error| match error {
            OpenError::Newer {
                file,
                found,
                supported,
            } => {
                assert_eq!((file.as_str(), *found, *supported), (name, 0x107, 1));
                true
            }
            _ => false,
        });
        // The newer release has gone back: here is what it left.
        patch(&path, |header| header[8..10].copy_from_slice(&[1, 0]));
        works(dir.path(), "mine");
    }
}

#[test]
fn one_copy_of_the_identity_is_enough() {
    for at in [0, COPY_AT] {
        let dir = tempfile::tempdir().unwrap();
        make_log(dir.path(), "mine");
        scratch(&dir.path().join(META), at, &[0xff; 64]);
        works(dir.path(), "mine");
    }
}

#[test]
fn a_log_without_identity_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    make_log(dir.path(), "mine");
    let path = dir.path().join(META);
    let whole = fs::read(&path).unwrap();
    let is_right =
        |error: &OpenError| matches!(error, OpenError::Damaged(what) if what.file == META);
    let mut both = whole.clone();
    both[20] ^= 1;
    both[512 + 40] ^= 1;
    for bytes in [&both[..], &[], &whole[..63], b"text"] {
        fs::write(&path, bytes).unwrap();
        refused(dir.path(), is_right);
    }
    fs::remove_file(&path).unwrap();
    refused(dir.path(), is_right);
    fs::write(&path, &whole).unwrap();
    works(dir.path(), "mine");
}

#[test]
fn what_is_no_file_does_not_hang_or_fool_an_open() {
    let dir = tempfile::tempdir().unwrap();
    make_log(dir.path(), "mine");
    let path = dir.path().join(META);
    let aside = dir.path().parent().unwrap().join(format!(
        "{}.meta",
        dir.path().file_name().unwrap().to_str().unwrap()
    ));
    fs::rename(&path, &aside).unwrap();
    let is_right = |error: &OpenError| matches!(error, OpenError::Io(_) | OpenError::Damaged(_));

    fs::create_dir(&path).unwrap();
    refused(dir.path(), is_right);
    fs::remove_dir(&path).unwrap();

    // A link may lead anywhere.
    std::os::unix::fs::symlink(&aside, &path).unwrap();
    refused(dir.path(), is_right);
    fs::remove_file(&path).unwrap();

    fs::rename(&aside, &path).unwrap();
    works(dir.path(), "mine");
}

#[test]
fn options_out_of_bounds_touch_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("log");
    let wrong = [
        (Options::new().segment_bytes(1), "segment_bytes"),
        (
            Options::new().sync(SyncPolicy::Every(Duration::ZERO)),
            "sync",
        ),
        (Options::new().max_event_bytes(u32::MAX), "max_event_bytes"),
        (Options::new().max_batch_events(0), "max_batch_events"),
        (Options::new().max_cursors(0), "max_cursors"),
        (
            Options::new().poll_interval(Duration::from_secs(1)),
            "poll_interval",
        ),
        (Options::new().max_page_bytes(0), "max_page_bytes"),
    ];
    for (options, name) in wrong {
        for result in [
            options.open(&missing),
            options.open_read_only(&missing),
            options.in_memory(),
        ] {
            let error = result.map(|_| ()).unwrap_err();
            assert!(
                matches!(error, OpenError::Options { option, .. } if option == name),
                "{name}: {error:?}"
            );
        }
        assert!(!missing.exists());
    }
}

/// Whoever goes on in a file that is not as long as its header says writes what the next open
/// cannot find.
#[test]
fn a_segment_of_another_length_is_not_gone_on_in() {
    let options = || {
        let options = Options::new().segment_bytes(16 << 10);
        options.sync(SyncPolicy::Manual)
    };
    for bytes in [5_000, 7_664, 7_668, 8_192, 12_288, 20_480] {
        let dir = tempfile::tempdir().unwrap();
        let append = |log: &Log, count: u8| {
            for number in 0..count {
                log.append("a", [number; 200]).unwrap();
            }
        };
        let log = options().open(dir.path()).unwrap();
        append(&log, 3);
        log.close().unwrap();
        let file = fs::File::options()
            .write(true)
            .open(dir.path().join(FIRST))
            .unwrap();
        file.set_len(bytes).unwrap();
        let log = options().open(dir.path()).unwrap();
        let told = log.recovery().damaged;
        assert!(
            matches!(&*told, [one] if one.file == FIRST && one.position == bytes),
            "{bytes}: {told:?}"
        );
        append(&log, 100);
        log.sync().unwrap();
        log.close().unwrap();
        let log = options().open(dir.path()).unwrap();
        assert_eq!(log.recovery().damaged, [], "{bytes}");
        let mut reader = log.reader().start(Start::Earliest).open().unwrap();
        for offset in 0..103 {
            assert_eq!(reader.next().unwrap().unwrap().offset(), offset, "{bytes}");
        }
        assert!(reader.next().unwrap().is_none());
    }
}
