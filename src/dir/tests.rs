//! What both backings promise alike.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::atomic::Ordering;

use super::*;

const LEN: usize = 3 * 4096 + 100;
const WORDS: usize = 64;

fn on_both(test: impl Fn(&dyn Directory)) {
    test(&MemoryDir::new());
    let temp = tempfile::tempdir().unwrap();
    test(&DiskDir::create(&temp.path().join("log")).unwrap());
}

fn kind<T: fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn a_region_is_made_whole_and_opened_again() {
    on_both(|dir| {
        let head: Vec<u8> = (0..5000).map(|n| u8::try_from(n % 250).unwrap()).collect();
        let mut writer = dir.create_region("a", LEN, WORDS, &head).unwrap();
        assert_eq!((writer.region().len(), writer.region().end()), (LEN, WORDS));
        assert_eq!(&writer.unpublished()[..5000 - WORDS], &head[WORDS..]);
        assert!(
            writer.unpublished()[5000 - WORDS..]
                .iter()
                .all(|&byte| byte == 0)
        );
        let first = writer.region().load_word(0, Ordering::Relaxed);
        assert_eq!(first.to_le_bytes(), head[..8]);
        writer.write(6000, b"kept");
        writer.publish(6004);
        writer.region().sync(0..LEN).unwrap();
        assert_eq!(
            kind(dir.create_region("a", LEN, WORDS, &[])),
            io::ErrorKind::AlreadyExists
        );
        drop(writer);
        let writer = dir.open_region("a", WORDS).unwrap();
        assert_eq!(&writer.unpublished()[6000 - WORDS..][..4], b"kept");
        let mut follower = dir.follow_region("a", WORDS).unwrap();
        let mut buf = [0; 4];
        assert_eq!(follower.region().len(), LEN);
        drop(writer);
        assert_eq!(follower.read_at(6000, &mut buf).unwrap(), 4);
        assert_eq!(&buf, b"kept");
        follower.publish(6004);
        dir.unlink("a").unwrap();
        assert_eq!(
            follower.region().bytes(6000..6004),
            Some(&b"kept"[..]),
            "still mapped"
        );
        assert_eq!(kind(dir.open_region("a", WORDS)), io::ErrorKind::NotFound);
    });
}

#[test]
fn a_file_that_is_too_short_is_no_region() {
    on_both(|dir| {
        let file = dir.create_file("short").unwrap();
        assert_eq!(dir.follow_region("short", 0).unwrap().region().len(), 0);
        file.write_at(&[1; 63], 0).unwrap();
        drop(file);
        assert_eq!(
            kind(dir.open_region("short", 64)),
            io::ErrorKind::InvalidData
        );
        assert_eq!(
            kind(dir.follow_region("short", 64)),
            io::ErrorKind::InvalidData
        );
        let writer = dir.open_region("short", 56).unwrap();
        assert_eq!(writer.unpublished(), [1; 7]);
        assert_eq!(kind(dir.open_region("none", 0)), io::ErrorKind::NotFound);
        assert_eq!(kind(dir.follow_region("none", 0)), io::ErrorKind::NotFound);
    });
}

#[test]
fn raw_files_grow_and_read_back() {
    on_both(|dir| {
        let file = dir.create_file("raw").unwrap();
        assert_eq!(kind(dir.create_file("raw")), io::ErrorKind::AlreadyExists);
        file.write_at(b"tail", 10).unwrap();
        file.sync().unwrap();
        assert_eq!(file.len().unwrap(), 14);
        let read_only = dir.open_file("raw", false).unwrap();
        assert!(read_only.write_at(b"x", 0).is_err());
        let mut buf = [9; 20];
        assert_eq!(read_only.read_at(&mut buf, 8).unwrap(), 6);
        assert_eq!(&buf[..7], b"\0\0tail\x09");
        assert_eq!(read_only.read_at(&mut buf, 14).unwrap(), 0);
        assert_eq!(read_only.read_at(&mut buf, 1 << 40).unwrap(), 0);
        dir.open_file("raw", true)
            .unwrap()
            .write_at(b"HEAD", 0)
            .unwrap();
        assert_eq!(file.read_at(&mut buf, 0).unwrap(), 14);
        assert_eq!(&buf[..14], b"HEAD\0\0\0\0\0\0tail");
        assert_eq!(kind(dir.open_file("none", true)), io::ErrorKind::NotFound);
    });
}

#[test]
fn names_are_listed_renamed_and_removed() {
    on_both(|dir| {
        dir.create_file("b").unwrap().write_at(b"12345", 0).unwrap();
        dir.create_region("a", 4096, 8, &[]).unwrap();
        let entry = |name: &str, bytes| Entry {
            name: name.to_owned(),
            bytes,
            file: true,
        };
        assert_eq!(dir.list().unwrap(), [entry("a", 4096), entry("b", 5)]);
        dir.rename("b", "c").unwrap();
        assert_eq!(dir.list().unwrap(), [entry("a", 4096), entry("c", 5)]);
        dir.rename("c", "a").unwrap();
        assert_eq!(dir.list().unwrap(), [entry("a", 5)]);
        assert_eq!(kind(dir.rename("c", "d")), io::ErrorKind::NotFound);
        dir.sync().unwrap();
        dir.unlink("a").unwrap();
        assert_eq!(kind(dir.unlink("a")), io::ErrorKind::NotFound);
        assert_eq!(dir.list().unwrap(), []);
    });
}

#[test]
fn a_lock_has_one_holder() {
    on_both(|dir| {
        let lock = dir.lock("lock").unwrap();
        assert_eq!(kind(dir.lock("lock")), io::ErrorKind::WouldBlock);
        let other = dir.lock("other").unwrap();
        drop(lock);
        let again = dir.lock("lock").unwrap();
        assert_eq!(kind(dir.lock("lock")), io::ErrorKind::WouldBlock);
        drop((again, other));
        assert_eq!(dir.list().unwrap().len(), 2);
    });
}

#[test]
fn names_cannot_lead_out() {
    on_both(|dir| {
        for name in ["", ".", "..", "a/b", "/etc", "nul\0", "../x"] {
            let bad = io::ErrorKind::InvalidInput;
            assert_eq!(kind(dir.create_region(name, 4096, 8, &[])), bad, "{name:?}");
            assert_eq!(kind(dir.open_region(name, 8)), bad);
            assert_eq!(kind(dir.follow_region(name, 8)), bad);
            assert_eq!(kind(dir.create_file(name)), bad);
            assert_eq!(kind(dir.open_file(name, false)), bad);
            assert_eq!(kind(dir.rename(name, "x")), bad);
            assert_eq!(kind(dir.rename("x", name)), bad);
            assert_eq!(kind(dir.unlink(name)), bad);
            assert_eq!(kind(dir.lock(name)), bad);
        }
    });
}

#[test]
fn the_directory_is_made_private_with_its_parents() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("one/two");
    assert_eq!(kind(DiskDir::open(&path)), io::ErrorKind::NotFound);
    let dir = DiskDir::create(&path).unwrap();
    assert_eq!(dir.path(), path);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    dir.create_file("kept").unwrap();
    assert_eq!(DiskDir::create(&path).unwrap().list().unwrap().len(), 1);
    assert_eq!(
        path.join("kept").metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        kind(DiskDir::create(&path.join("kept"))),
        io::ErrorKind::NotADirectory
    );
}

#[test]
fn only_regular_files_are_opened() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DiskDir::create(temp.path()).unwrap();
    dir.create_file("target")
        .unwrap()
        .write_at(&[0; 100], 0)
        .unwrap();
    symlink("target", temp.path().join("link")).unwrap();
    std::fs::create_dir(temp.path().join("sub")).unwrap();
    let pipe = temp.path().join("pipe");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    for name in ["link", "sub", "pipe"] {
        assert!(dir.open_region(name, 8).is_err(), "{name}");
        assert!(dir.follow_region(name, 8).is_err(), "{name}");
        assert!(dir.open_file(name, false).is_err(), "{name}");
        assert!(dir.lock(name).is_err(), "{name}");
    }
    assert_eq!(
        kind(dir.follow_region("pipe", 8)),
        io::ErrorKind::InvalidData
    );
    let files: Vec<_> = dir
        .list()
        .unwrap()
        .into_iter()
        .map(|e| (e.name, e.file))
        .collect();
    let expected = [
        ("link", false),
        ("pipe", false),
        ("sub", false),
        ("target", true),
    ];
    assert_eq!(files, expected.map(|(name, file)| (name.to_owned(), file)));
}

#[test]
fn a_region_has_its_blocks_and_a_sparse_one_gets_them() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DiskDir::create(temp.path()).unwrap();
    let blocks = |name: &str| temp.path().join(name).metadata().unwrap().blocks();
    dir.create_region("made", 1 << 20, 64, b"head").unwrap();
    assert!(blocks("made") >= 2048, "{}", blocks("made"));
    std::fs::File::create(temp.path().join("sparse"))
        .unwrap()
        .set_len(1 << 20)
        .unwrap();
    assert_eq!(blocks("sparse"), 0);
    dir.open_region("sparse", 64).unwrap();
    assert!(blocks("sparse") >= 2048, "{}", blocks("sparse"));
}

#[test]
fn a_region_that_does_not_fit_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let disk = DiskDir::create(temp.path()).unwrap();
    // More than any file system takes.
    assert!(disk.create_region("huge", 1 << 62, 64, &[]).is_err());
    assert_eq!(disk.list().unwrap(), []);
    let dir = MemoryDir::new();
    dir.set_capacity(8191);
    assert_eq!(
        kind(dir.create_region("a", 8192, 64, &[])),
        io::ErrorKind::StorageFull
    );
    assert_eq!(dir.list().unwrap(), []);
    dir.set_capacity(8192);
    dir.create_region("a", 8192, 64, &[]).unwrap();
}
