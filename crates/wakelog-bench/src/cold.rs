//! Making files cold: out of the page cache, without a word to the rest of the machine.

use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::path::Path;

use crate::peers::Outcome;

/// Everything in this directory is on disk when it returns.
pub fn sync(dir: &Path) -> Outcome<()> {
    each_file(dir, &|file| Ok(file.sync_all()?))
}

/// Drops the pages of every file in this directory. No one may have them mapped.
pub fn drop_pages(dir: &Path) -> Outcome<()> {
    each_file(dir, &|file| {
        file.sync_all()?;
        Ok(fadvise(file, 0, None, Advice::DontNeed)?)
    })
}

fn each_file(dir: &Path, act: &dyn Fn(&File) -> Outcome<()>) -> Outcome<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            each_file(&path, act)?;
        } else {
            act(&File::open(&path)?)?;
        }
    }
    Ok(())
}
