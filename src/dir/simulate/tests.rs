use std::collections::BTreeSet;
use std::io;

use super::*;
use crate::dir::Directory;
use crate::map::RegionWriter;

const LEN: usize = 4 * PAGE_BYTES;
const WORDS: usize = 64;

/// A directory with one synced region, and its writer.
fn synced() -> (MemoryDir, RegionWriter) {
    let dir = MemoryDir::new();
    let writer = dir.create_region("log", LEN, WORDS, b"head").unwrap();
    dir.sync().unwrap();
    (dir, writer)
}

fn put(writer: &mut RegionWriter, at: usize, bytes: &[u8]) {
    writer.write(at, bytes);
    writer.publish(at + bytes.len());
}

fn at(dir: &MemoryDir, at: usize, len: usize) -> Vec<u8> {
    dir.read("log")[at..at + len].to_vec()
}

fn names(dir: &MemoryDir) -> Vec<String> {
    dir.list()
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect()
}

#[test]
fn synced_pages_survive_and_others_may_not() {
    let (dir, mut writer) = synced();
    put(&mut writer, 100, b"kept");
    writer.region().sync(100..104).unwrap();
    put(&mut writer, 2 * PAGE_BYTES, b"lost");
    drop(writer);
    dir.power_loss(0);
    assert_eq!(at(&dir, 0, 4), b"head");
    assert_eq!(at(&dir, 100, 4), b"kept");
    assert_eq!(at(&dir, 2 * PAGE_BYTES, 4), [0; 4]);
}

#[test]
fn a_sync_covers_whole_pages_and_words() {
    let (dir, mut writer) = synced();
    put(&mut writer, 100, b"same page");
    writer
        .region()
        .word(8)
        .store(5, std::sync::atomic::Ordering::Relaxed);
    writer.region().sync(200..201).unwrap();
    dir.power_loss(0);
    assert_eq!(at(&dir, 100, 9), b"same page");
    assert_eq!(at(&dir, 8, 1), [5]);
}

#[test]
fn everything_may_survive_even_what_was_never_published() {
    let (dir, mut writer) = synced();
    put(&mut writer, 100, b"published");
    writer.write(3000, b"torn append");
    drop(writer);
    dir.power_loss(1);
    assert_eq!(at(&dir, 100, 9), b"published");
    assert_eq!(at(&dir, 3000, 11), b"torn append");
}

#[test]
fn a_living_writers_bytes_are_not_read() {
    let (dir, mut writer) = synced();
    writer.write(3000, b"under way");
    assert_eq!(at(&dir, 3000, 9), [0; 9]);
    let copy = MemoryDir::from_image(&dir.image());
    copy.power_loss(1);
    assert_eq!(at(&copy, 3000, 9), [0; 9]);
}

/// Over many seeds a page of eight sectors survives as every kind of thing that a disk leaves.
#[test]
fn seeds_reach_whole_missing_and_torn_sectors() {
    let (dir, mut writer) = synced();
    put(&mut writer, PAGE_BYTES, &[0xff; PAGE_BYTES]);
    drop(writer);
    let image = dir.image();
    let mut kinds = BTreeSet::new();
    for seed in 0..400 {
        let dir = MemoryDir::from_image(&image);
        dir.power_loss(seed);
        let page = at(&dir, PAGE_BYTES, PAGE_BYTES);
        let sectors: Vec<usize> = page
            .chunks(SECTOR_BYTES)
            .map(|sector| sector.iter().filter(|&&byte| byte == 0xff).count())
            .collect();
        for word in page.chunks(8) {
            assert!(
                word == [0; 8] || word == [0xff; 8],
                "eight bytes are never torn"
            );
        }
        let full = sectors
            .iter()
            .filter(|&&count| count == SECTOR_BYTES)
            .count();
        let empty = sectors.iter().filter(|&&count| count == 0).count();
        kinds.insert((full, empty));
    }
    for kind in [(0, 8), (8, 0), (1, 7), (7, 1)] {
        assert!(kinds.contains(&kind), "{kind:?} in {kinds:?}");
    }
    let most_torn = kinds.iter().map(|(full, empty)| 8 - full - empty).max();
    assert!(
        most_torn >= Some(2),
        "several sectors are torn at once: {kinds:?}"
    );
}

#[test]
fn a_seed_is_one_outcome() {
    let (dir, mut writer) = synced();
    put(&mut writer, 100, &[7; 9000]);
    dir.create_file("new").unwrap();
    drop(writer);
    let image = dir.image();
    let outcome = |seed| {
        let dir = MemoryDir::from_image(&image);
        dir.power_loss(seed);
        (names(&dir), dir.read("log"))
    };
    let outcomes: BTreeSet<_> = (0..50).map(outcome).collect();
    assert!(outcomes.len() > 10, "{}", outcomes.len());
    assert!((0..50).all(|seed| outcome(seed) == outcome(seed)));
}

#[test]
fn after_a_loss_all_is_durable_and_unlocked() {
    let (dir, mut writer) = synced();
    put(&mut writer, 100, &[7; 9000]);
    let old_lock = dir.lock("lock").unwrap();
    drop(writer);
    dir.power_loss(7);
    let (before, listed) = (dir.read("log"), names(&dir));
    for seed in 0..20 {
        dir.power_loss(seed);
        assert_eq!(
            (dir.read("log"), names(&dir)),
            (before.clone(), listed.clone())
        );
    }
    let lock = dir.lock("lock").unwrap();
    drop(old_lock);
    assert_eq!(
        dir.lock("lock").unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
    drop(lock);
}

#[test]
fn names_wait_for_the_directory() {
    let dir = MemoryDir::new();
    dir.create_file("spare").unwrap();
    dir.sync().unwrap();
    dir.rename("spare", "log").unwrap();
    let image = dir.image();
    let lost = MemoryDir::from_image(&image);
    lost.power_loss(0);
    assert_eq!(names(&lost), ["spare"]);
    let kept = MemoryDir::from_image(&image);
    kept.power_loss(1);
    assert_eq!(names(&kept), ["log"]);
    dir.sync().unwrap();
    dir.power_loss(0);
    assert_eq!(names(&dir), ["log"]);
}

#[test]
fn changes_of_names_survive_as_a_prefix_or_as_any_set() {
    let dir = MemoryDir::new();
    for name in ["a", "b", "c"] {
        dir.create_file(name).unwrap();
    }
    dir.sync().unwrap();
    dir.unlink("a").unwrap();
    dir.rename("b", "d").unwrap();
    dir.create_file("e").unwrap();
    dir.rename("e", "f").unwrap();
    let image = dir.image();
    let outcomes: BTreeSet<Vec<String>> = (0..500)
        .map(|seed| {
            let dir = MemoryDir::from_image(&image);
            dir.power_loss(seed);
            names(&dir)
        })
        .collect();
    let has =
        |names: &[&str]| outcomes.contains(&names.iter().map(|&n| n.into()).collect::<Vec<_>>());
    assert!(
        has(&["a", "b", "c"]) && has(&["b", "c"]) && has(&["c", "d"]),
        "prefixes"
    );
    assert!(has(&["c", "d", "e"]) && has(&["c", "d", "f"]), "prefixes");
    assert!(
        has(&["a", "b", "c", "f"]) && has(&["a", "c", "d"]),
        "other sets: {outcomes:?}"
    );
    assert!(
        outcomes
            .iter()
            .all(|names| !(names.contains(&"e".into()) && names.contains(&"f".into())))
    );
}

#[test]
fn a_failed_sync_cleans_the_page_without_storing_it() {
    let (dir, mut writer) = synced();
    put(&mut writer, 100, b"first");
    dir.fail_syncs(1, Errno::IO, false);
    let error = writer.region().sync(0..200).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::IO.raw_os_error()));
    writer.region().sync(0..200).unwrap();
    let image = dir.image();
    for seed in 0..50 {
        let dir = MemoryDir::from_image(&image);
        dir.power_loss(seed);
        assert_eq!(at(&dir, 100, 5), [0; 5], "seed {seed}: the kernel lied");
    }
    // A later store into the same page takes the whole page along.
    put(&mut writer, 105, b"second");
    writer.region().sync(0..200).unwrap();
    dir.power_loss(0);
    assert_eq!(at(&dir, 100, 11), b"firstsecond");
}

#[test]
fn rewriting_heals_after_a_failed_sync() {
    let (dir, mut writer) = synced();
    put(&mut writer, 100, b"first");
    dir.fail_syncs(1, Errno::IO, false);
    writer.region().sync(0..200).unwrap_err();
    writer.rewrite(100..105).unwrap();
    writer.region().sync(0..200).unwrap();
    dir.power_loss(0);
    assert_eq!(at(&dir, 100, 5), b"first");
}

#[test]
fn a_failed_sync_of_a_file_needs_the_bytes_again() {
    let dir = MemoryDir::new();
    let file = dir.create_file("raw").unwrap();
    dir.sync().unwrap();
    file.write_at(b"bytes", 0).unwrap();
    dir.fail_syncs(1, Errno::IO, false);
    file.sync().unwrap_err();
    file.sync().unwrap();
    let lied = MemoryDir::from_image(&dir.image());
    lied.power_loss(1);
    assert_eq!(lied.read("raw"), [0; 5]);
    file.write_at(b"bytes", 0).unwrap();
    file.sync().unwrap();
    dir.power_loss(0);
    assert_eq!(dir.read("raw"), b"bytes");
}

#[test]
fn a_file_that_grew_may_be_short_or_zeros() {
    let dir = MemoryDir::new();
    let file = dir.create_file("raw").unwrap();
    file.write_at(&[1; 700], 0).unwrap();
    file.sync().unwrap();
    dir.sync().unwrap();
    file.write_at(&[2; 2000], 700).unwrap();
    let image = dir.image();
    let (mut lengths, mut zeros) = (BTreeSet::new(), false);
    for seed in 0..300 {
        let dir = MemoryDir::from_image(&image);
        dir.power_loss(seed);
        let bytes = dir.read("raw");
        assert_eq!(bytes[..700], [1; 700], "synced");
        zeros |= bytes.len() > 1600 && bytes[1024..1536] == [0; 512];
        lengths.insert(bytes.len());
    }
    assert!(lengths.contains(&700) && lengths.contains(&2700) && lengths.len() > 5);
    assert!(zeros, "a length may survive without its bytes");
}

#[test]
fn syncs_fail_from_the_kth_once_or_forever() {
    let (dir, writer) = synced();
    dir.fail_syncs(2, Errno::NOSPC, false);
    writer.region().sync(0..8).unwrap();
    assert_eq!(dir.sync().unwrap_err().kind(), io::ErrorKind::StorageFull);
    dir.sync().unwrap();
    dir.fail_syncs(1, Errno::IO, true);
    for _ in 0..3 {
        writer.region().sync(0..8).unwrap_err();
    }
    assert!(dir.create_region("next", LEN, WORDS, &[1]).is_err());
    assert_eq!(names(&dir), ["log"]);
    dir.power_loss(0);
    dir.create_region("next", LEN, WORDS, &[1]).unwrap();
}

#[test]
fn creates_fail_and_the_disk_fills_up() {
    let (dir, writer) = synced();
    dir.fail_creates(2, Errno::DQUOT, false);
    dir.create_file("one").unwrap();
    dir.create_file("two").unwrap_err();
    dir.create_file("two").unwrap();
    dir.set_capacity(to_u64(LEN) + 10);
    let file = dir.open_file("one", true).unwrap();
    file.write_at(&[1; 10], 0).unwrap();
    file.write_at(&[2; 10], 0).unwrap();
    assert_eq!(
        file.write_at(&[1], 10).unwrap_err().kind(),
        io::ErrorKind::StorageFull
    );
    let full = dir.create_region("next", LEN, WORDS, &[]).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    dir.unlink("log").unwrap();
    dir.sync().unwrap();
    assert!(
        dir.create_region("next", LEN, WORDS, &[]).is_err(),
        "it is still mapped"
    );
    drop(writer);
    dir.create_region("next", LEN, WORDS, &[]).unwrap();
}

#[test]
fn a_stopped_machine_changes_nothing_more() {
    let (dir, mut writer) = synced();
    let before = dir.operations();
    dir.stop_at(2);
    dir.create_file("last").unwrap();
    put(&mut writer, 100, b"dirty");
    assert!(writer.region().sync(0..200).is_err());
    assert!(dir.create_file("never").is_err());
    assert!(dir.rename("last", "never").is_err());
    assert!(dir.unlink("log").is_err());
    assert!(dir.sync().is_err());
    assert_eq!(dir.operations(), before + 1);
    assert_eq!(names(&dir), ["last", "log"]);
    let image = dir.image();
    let survived = |seed| {
        let dir = MemoryDir::from_image(&image);
        dir.power_loss(seed);
        at(&dir, 100, 5) == b"dirty"
    };
    assert!(
        !survived(0) && survived(1),
        "an unfinished sync leaves the page dirty"
    );
    dir.power_loss(0);
    dir.create_file("again").unwrap();
}

#[test]
fn an_image_is_a_directory_of_its_own() {
    let (dir, mut writer) = synced();
    put(&mut writer, 100, b"before");
    let image = dir.image();
    put(&mut writer, 106, b"after");
    writer.region().sync(0..LEN).unwrap();
    dir.unlink("log").unwrap();
    let copy = MemoryDir::from_image(&image);
    let other = MemoryDir::from_image(&image);
    other.flip_bit("log", 800);
    assert_eq!(at(&copy, 100, 11), b"before\0\0\0\0\0");
    assert_eq!(at(&other, 100, 2), b"ce");
    let mut second = copy.open_region("log", WORDS).unwrap();
    assert_eq!(&second.unpublished()[36..42], b"before");
    put(&mut second, 106, b"mine");
    drop(second);
    copy.power_loss(0);
    assert_eq!(
        at(&copy, 100, 10),
        [0; 10],
        "what was unsynced is unsynced in the copy"
    );
}

#[test]
fn edits_reach_memory_and_disk_but_no_old_handle() {
    let (dir, mut writer) = synced();
    put(&mut writer, 100, b"abc");
    let held = writer.region().clone();
    dir.flip_bit("log", 100 * 8 + 1);
    assert_eq!(
        held.bytes(100..103),
        Some(&b"abc"[..]),
        "held bytes never change"
    );
    assert_eq!(at(&dir, 100, 3), b"cbc");
    put(&mut writer, 103, b"lost");
    writer.region().sync(0..LEN).unwrap();
    assert_eq!(
        at(&dir, 100, 7),
        b"cbc\0\0\0\0",
        "the old handle reaches nothing"
    );
    dir.truncate("log", 5000);
    assert_eq!(dir.read("log").len(), 5000);
    dir.write("log", b"other");
    dir.power_loss(0);
    assert_eq!(dir.read("log"), b"other");
}

#[test]
fn a_mapped_file_keeps_its_words_and_refuses_calls() {
    let (dir, writer) = synced();
    let busy = |error: io::Error| assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    busy(
        dir.open_file("log", true)
            .unwrap()
            .write_at(b"x", 0)
            .unwrap_err(),
    );
    busy(dir.follow_region("log", WORDS + 8).unwrap_err());
    busy(dir.open_region("log", WORDS).unwrap_err());
    drop(writer);
    dir.open_file("log", true)
        .unwrap()
        .write_at(b"x", 0)
        .unwrap();
    assert_eq!(
        dir.open_region("log", WORDS + 8).unwrap().region().words(),
        WORDS + 8
    );
}

/// Syncing and appending at once, with copies taken all the while: each copy is a prefix.
#[test]
fn images_of_a_running_writer_are_prefixes() {
    let (dir, mut writer) = synced();
    std::thread::scope(|scope| {
        let region = writer.region().clone();
        let appender = scope.spawn(move || {
            for at in WORDS..LEN {
                put(&mut writer, at, &[0xaa]);
            }
        });
        while !appender.is_finished() {
            region.sync(0..LEN).unwrap();
            let bytes = dir.read("log");
            let filled = bytes[WORDS..]
                .iter()
                .take_while(|&&byte| byte == 0xaa)
                .count();
            assert!(bytes[WORDS + filled..].iter().all(|&byte| byte == 0));
        }
    });
    assert!(
        at(&dir, WORDS, LEN - WORDS)
            .iter()
            .all(|&byte| byte == 0xaa)
    );
}
