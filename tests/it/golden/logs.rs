//! The clean logs that are spoilt, and how to spoil one.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use wakelog::{Log, NewEvent, Options, Start, SyncPolicy};

pub(super) const META: &str = "wakelog.meta";
pub(super) const MARK: &str = "wakelog.mark";
pub(super) const EPOCHS: &str = "wakelog.epochs";
pub(super) const IDS: &str = "wakelog.ids";
pub(super) const SLOTS: &str = "cursors-00.slots";
pub(super) const DEFINITIONS: &str = "cursors.defs";
pub(super) const SPARE: &str = "spare-00000000000000aa.log";
pub(super) const CURSORS: [&str; 2] = ["behind", "near"];

/// Where the second copy of a header stands, and the checksum in each.
const COPY_AT: u64 = 512;
const CRC_AT: usize = 60;

/// All files by name.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// The state of the log that a case begins with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// Closed in order.
    Closed,
    /// Its process died with seven events behind the durable mark.
    Killed,
    /// The first segment has left.
    Trimmed,
    /// No file at all.
    Nothing,
}

/// The clean logs.
pub(super) struct Logs {
    pub(super) closed: Files,
    pub(super) killed: Files,
    pub(super) trimmed: Files,
    /// The log before the last ten events.
    pub(super) earlier: Files,
    /// Another log, closed, with the same numbers.
    pub(super) other: Files,
}

pub(super) fn options() -> Options {
    Options::new()
        .segment_bytes(16 << 10)
        .sync(SyncPolicy::Manual)
}

/// The payload of the event with this offset.
pub(super) fn payload(text: &str, offset: u64) -> Vec<u8> {
    format!("{text} {offset} ").into_bytes().repeat(70)
}

pub(super) fn topic(offset: u64) -> &'static str {
    if offset % 5 == 0 { "b" } else { "a" }
}

pub(super) fn append(log: &Log, text: &str, count: u64) {
    for _ in 0..count {
        let offset = log.next_offset();
        let (payload, id) = (payload(text, offset), format!("id-{offset}"));
        let event = NewEvent::new(topic(offset), &payload).id(&id);
        assert_eq!(log.append_once(event).unwrap().offset, offset);
    }
}

/// The bytes of all plain files of a directory in which nothing moves.
pub(super) fn files(dir: &Path) -> Files {
    if_still(dir).expect("a file has gone while it was read")
}

/// The bytes of all plain files; none if one has gone, perhaps to another name, before it was read.
fn if_still(dir: &Path) -> Option<Files> {
    let mut files = Files::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let entry = entry.unwrap();
        let bytes = match fs::metadata(entry.path()) {
            Ok(of) if of.is_file() => fs::read(entry.path()),
            other => other.map(|_| Vec::new()),
        };
        let bytes = match bytes {
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            bytes => bytes.unwrap(),
        };
        files.insert(entry.file_name().into_string().unwrap(), bytes);
    }
    files.remove("wakelog.lock");
    Some(files)
}

pub(super) fn is_segment(name: &str) -> bool {
    name.ends_with(".log") && !name.starts_with("spare")
}

pub(super) fn segments(files: &Files) -> Vec<String> {
    files
        .keys()
        .filter(|name| is_segment(name))
        .cloned()
        .collect()
}

/// The files once so many segments have their names, the second one its index, and the ids of all
/// but the last are written down. Spares come and go: there is none.
fn settled(dir: &Path, count: usize) -> Files {
    for _ in 0..5_000 {
        let mut files = if_still(dir).unwrap_or_default();
        let temporary = files.keys().any(|name| name.ends_with(".new"));
        let names = segments(&files);
        let second = names.get(1).map(|name| name.replace(".log", ".index"));
        let indexed = second.is_some_and(|name| files.contains_key(&name));
        let last = names.last().map_or(0, |name| name[..20].parse().unwrap());
        // docs/format.md, 7: below which offset the ids stand in the file.
        let until = files.get(IDS).and_then(|ids| ids.get(40..48));
        let noted =
            until.is_some_and(|until| u64::from_le_bytes(until.try_into().unwrap()) >= last);
        if !temporary && noted && indexed && names.len() == count {
            files.retain(|name, _| !name.starts_with("spare-"));
            return files;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("the log does not come to rest: {:?}", files(dir).keys());
}

impl Logs {
    pub(super) fn write() -> Self {
        let other = Self::log("other");
        let [earlier, killed, closed, trimmed] = Self::log("event");
        Self {
            closed,
            killed,
            trimmed,
            earlier,
            other: other.into_iter().nth(2).unwrap(),
        }
    }

    fn log(text: &str) -> [Files; 4] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let log = options().open(dir).unwrap();
        append(&log, text, 25);
        log.close().unwrap();
        let log = options().open(dir).unwrap();
        append(&log, text, 25);
        for (name, acked) in CURSORS.into_iter().zip([12, 45]) {
            let mut cursor = log
                .cursor(name)
                .topics([">"])
                .start(Start::Earliest)
                .open()
                .unwrap();
            while cursor.acked() < acked {
                let event = cursor.next().unwrap().unwrap();
                cursor.ack(&event).unwrap();
            }
        }
        log.sync().unwrap();
        let earlier = settled(dir, 3);
        append(&log, text, 3);
        log.sync().unwrap();
        settled(dir, 4);
        append(&log, text, 7);
        let killed = settled(dir, 4);
        log.close().unwrap();
        let closed = settled(dir, 4);
        let log = options().open(dir).unwrap();
        assert!(log.trim(20).unwrap() > 0);
        log.close().unwrap();
        let mut trimmed = files(dir);
        trimmed.retain(|name, _| !name.starts_with("spare-"));
        [earlier, killed, closed, trimmed]
    }

    pub(super) fn of(&self, of: Of) -> Files {
        match of {
            Of::Closed => self.closed.clone(),
            Of::Killed => self.killed.clone(),
            Of::Trimmed => self.trimmed.clone(),
            Of::Nothing => Files::new(),
        }
    }
}

/// A directory that is being spoilt.
pub(super) struct Place<'a> {
    pub(super) dir: &'a Path,
    pub(super) logs: &'a Logs,
}

impl Place<'_> {
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The name of a segment, counted from the first.
    pub(super) fn segment(&self, number: usize) -> String {
        segments(&files(self.dir))[number].clone()
    }

    pub(super) fn last(&self) -> String {
        segments(&files(self.dir)).pop().unwrap()
    }

    pub(super) fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub(super) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(super) fn copy(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
    }

    pub(super) fn swap(&self, one: &str, two: &str) {
        let (first, second) = (self.bytes(one), self.bytes(two));
        self.write(one, &second);
        self.write(two, &first);
    }

    pub(super) fn cut(&self, name: &str, bytes: u64) {
        let file = fs::File::options()
            .write(true)
            .open(self.path(name))
            .unwrap();
        file.set_len(bytes).unwrap();
    }

    pub(super) fn put(&self, name: &str, at: u64, bytes: &[u8]) {
        let file = fs::File::options()
            .write(true)
            .open(self.path(name))
            .unwrap();
        file.write_all_at(bytes, at).unwrap();
    }

    /// The same file of another log, or of an earlier moment.
    pub(super) fn take(&self, from: &Files, name: &str) {
        let bytes = from.get(name);
        self.write(
            name,
            bytes.unwrap_or_else(|| panic!("{name}: {:?}", from.keys())),
        );
    }

    /// A directory where the file was.
    pub(super) fn make_dir(&self, name: &str) {
        if self.path(name).exists() {
            self.remove(name);
        }
        fs::create_dir(self.path(name)).unwrap();
    }

    /// Says that the file is of a newer version, in each copy of its header, with a good checksum.
    pub(super) fn newer(&self, name: &str, copies: usize) {
        self.version(name, copies, [7, 1]);
    }

    /// The same with any version.
    pub(super) fn version(&self, name: &str, copies: usize, version: [u8; 2]) {
        let file = fs::File::options()
            .read(true)
            .write(true)
            .open(self.path(name))
            .unwrap();
        for at in [0, COPY_AT].into_iter().take(copies) {
            let mut header = [0; 64];
            file.read_exact_at(&mut header, at).unwrap();
            let crc = |header: &[u8; 64]| crc32fast::hash(&header[..CRC_AT]).to_le_bytes();
            assert_eq!(header[CRC_AT..], crc(&header), "{name}");
            header[8..10].copy_from_slice(&version);
            let sealed = crc(&header);
            header[CRC_AT..].copy_from_slice(&sealed);
            file.write_all_at(&header, at).unwrap();
        }
    }
}
