//! `verify`: exact numbers, nothing changed, beside a live writer too.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use wakelog::{
    CorruptReason, GapReason, Log, OpenError, Options, ReadError, Verification, VerifyOptions,
};

fn verify(dir: &Path) -> Result<Verification, OpenError> {
    let before = files(dir);
    let found = wakelog::verify(dir, VerifyOptions::new());
    assert!(files(dir) == before, "something was changed");
    found
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.clone(), fs::read(&path).unwrap_or_default()))
        .collect()
}

/// A closed log of several segments.
fn make(dir: &Path) -> u64 {
    let log = Options::new().segment_bytes(16 << 10).open(dir).unwrap();
    for number in 0..400u32 {
        log.append("a.b", [7; 100]).unwrap();
        if number % 50 == 0 {
            log.sync().unwrap();
        }
    }
    log.close().unwrap();
    log.next_offset()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let is_segment = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.ends_with(".log") && !name.starts_with("spare")
    };
    files(dir).into_keys().filter(is_segment).collect()
}

fn base(path: &Path) -> u64 {
    path.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

/// The ranges that a reader is told.
fn told(dir: &Path) -> Vec<(u64, u64)> {
    let log = Log::open_read_only(dir).unwrap();
    let mut reader = log.reader().start(wakelog::Start::Earliest).open().unwrap();
    let mut gaps = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(_)) => {}
            Ok(None) => return gaps,
            Err(ReadError::Gap(gap)) => {
                assert_eq!(gap.reason, GapReason::Corrupt);
                gaps.push((gap.from, gap.to));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_whole_log_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let end = make(dir.path());
    let (mut calls, mut last) = (0, (0, 0));
    let mut progress = |done, all| {
        calls += 1;
        last = (done, all);
    };
    let options = VerifyOptions::new().progress(&mut progress);
    let found = wakelog::verify(dir.path(), options).unwrap();
    assert!(found.ok, "{found:?}");
    assert_eq!((found.first, found.next, found.events), (0, end, end));
    assert_eq!(
        found.segments,
        u64::try_from(segments(dir.path()).len()).unwrap()
    );
    assert_eq!(found.torn_tail_bytes, 0);
    assert!(calls > 1 && last == (found.bytes, found.bytes), "{last:?}");
}

#[test]
fn what_is_lost_is_told_with_exact_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let end = make(dir.path());
    let all = segments(dir.path());
    let (second, third) = (base(&all[1]), base(&all[2]));
    fs::remove_file(&all[1]).unwrap();
    let found = verify(dir.path()).unwrap();
    let [range] = &found.corrupt[..] else {
        panic!("{found:?}")
    };
    assert_eq!(
        (range.from, range.to, range.why),
        (second, third, CorruptReason::Missing)
    );
    assert_eq!(told(dir.path()), [(second, third)]);
    assert_eq!(found.events, end - (third - second));

    // The last one is cut below the durable mark.
    let last = all.last().unwrap();
    let file = fs::File::options().write(true).open(last).unwrap();
    file.set_len(4_096 + 160 * 3).unwrap();
    let found = verify(dir.path()).unwrap();
    let lost: Vec<_> = found
        .corrupt
        .iter()
        .map(|range| (range.from, range.to))
        .collect();
    assert_eq!((lost[0], lost.len(), found.next), ((second, third), 2, end));
    assert_eq!(lost[1].1, end);
    assert!(
        !found.ok && found.corrupt[1].why == CorruptReason::CutShort,
        "{found:?}"
    );
}

#[test]
fn a_torn_tail_is_no_corruption() {
    let dir = tempfile::tempdir().unwrap();
    let end = make(dir.path());
    let last = segments(dir.path()).pop().unwrap();
    let bytes = fs::read(&last).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let file = fs::File::options().write(true).open(&last).unwrap();
    let at = used.next_multiple_of(8);
    file.write_all_at(&[1; 40], u64::try_from(at).unwrap())
        .unwrap();
    let found = verify(dir.path()).unwrap();
    assert!(found.ok, "{found:?}");
    assert_eq!((found.torn_tail_bytes, found.next), (40, end));
}

#[test]
fn bad_directories_are_told_as_an_open_tells_them() {
    let dir = tempfile::tempdir().unwrap();
    let error = verify(&dir.path().join("nothing")).unwrap_err();
    assert!(matches!(error, OpenError::NotFound { .. }), "{error:?}");
    let error = verify(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::NotFound { .. }), "{error:?}");
    fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
    let error = verify(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::NotALog { .. }), "{error:?}");

    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    let meta = dir.path().join("wakelog.meta");
    let whole = fs::read(&meta).unwrap();
    let mut one = whole.clone();
    one[512 + 20] ^= 1;
    fs::write(&meta, &one).unwrap();
    let found = verify(dir.path()).unwrap();
    assert!(!found.ok && found.corrupt.is_empty());
    assert_eq!(
        (found.damaged[0].file.as_str(), found.damaged[0].position),
        ("wakelog.meta", 512)
    );
    one[20] ^= 1;
    fs::write(&meta, &one).unwrap();
    let error = verify(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged(_)), "{error:?}");
    fs::write(&meta, &whole).unwrap();
    assert!(verify(dir.path()).unwrap().ok);
    assert!(Log::open(dir.path()).unwrap().recovery().damaged.is_empty());
}

#[test]
fn beside_a_live_writer_nothing_looks_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let log = Options::new()
        .segment_bytes(32 << 10)
        .open(dir.path())
        .unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut cursor = log.cursor("busy").topics(["a"]).open().unwrap();
            for number in 0..20_000u32 {
                log.append("a", number.to_le_bytes()).unwrap();
                let event = cursor.next().unwrap().unwrap();
                cursor.ack(&event).unwrap();
                if number % 1_000 == 0 {
                    log.cursor(format!("c{number}"))
                        .topics(["a"])
                        .open()
                        .unwrap();
                }
                if number % 100 == 0 {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            }
            stop.store(true, Ordering::Release);
        });
        while !stop.load(Ordering::Acquire) {
            let durable = log.durable_offset();
            let found = wakelog::verify(dir.path(), VerifyOptions::new()).unwrap();
            assert!(found.ok, "{found:?}");
            assert!(
                found.events == found.next && found.next >= durable,
                "{found:?}"
            );
        }
    });
    log.close().unwrap();
    assert_eq!(verify(dir.path()).unwrap().events, 20_000);
}
