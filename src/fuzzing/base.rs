//! The log that is damaged: its files are part of the source, so that an input does the same
//! everywhere.

use super::damage;
use super::input::Input;
use crate::dir::{Directory, Image, MemoryDir};
use std::sync::OnceLock;

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_bytes!(concat!("base/", $name)))),+]
    };
}

const FILES: [(&str, &[u8]); 14] = files![
    "00000000000000000000.index",
    "00000000000000000000.log",
    "00000000000000000034.index",
    "00000000000000000034.log",
    "00000000000000000066.index",
    "00000000000000000066.log",
    "00000000000000000093.log",
    "cursors-00.slots",
    "cursors.defs",
    "spare-b487dff6f72e686a.log",
    "wakelog.epochs",
    "wakelog.ids",
    "wakelog.mark",
    "wakelog.meta",
];

/// The cursors in it.
pub(super) const CURSORS: [&str; 3] = ["all", "few", "some"];

/// A directory with the log in it.
pub(super) struct LogDir {
    pub(super) dir: MemoryDir,
    pub(super) indexes_are_good: bool,
}

impl LogDir {
    /// The log, with such of its files damaged as `data` says.
    pub(super) fn damaged(data: &[u8], may: impl Fn(&str) -> bool) -> Self {
        let dir = whole();
        let mut input = Input::new(data);
        let mut indexes_are_good = true;
        while !input.is_empty() {
            let changed = damage::one(&dir, &mut input, &may);
            indexes_are_good &= !changed.is_some_and(|name| name.ends_with(".index"));
        }
        Self {
            dir,
            indexes_are_good,
        }
    }

    pub(super) fn files(&self) -> Vec<(String, Vec<u8>)> {
        files(&self.dir)
    }
}

/// A directory with the log as it was written.
pub(super) fn whole() -> MemoryDir {
    static WHOLE: OnceLock<Image> = OnceLock::new();
    let image = WHOLE.get_or_init(|| {
        let dir = MemoryDir::new();
        FILES
            .iter()
            .for_each(|(name, bytes)| dir.write(name, bytes));
        dir.image()
    });
    MemoryDir::from_image(image)
}

/// All files with their bytes.
pub(super) fn files(dir: &MemoryDir) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = dir.list() else {
        return Vec::new();
    };
    let read = entries.into_iter().map(|entry| {
        let bytes = dir.read(&entry.name);
        (entry.name, bytes)
    });
    read.collect()
}
