//! Damage: one bit of one file of a log.

use std::fs::{self, File};
use std::io::{Error, Result};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::history::Fact;
use crate::random::Random;

/// A bit of a file.
#[derive(Clone, Debug)]
pub(crate) struct Flip {
    path: PathBuf,
    byte: u64,
    bit: u8,
}

impl Flip {
    /// Any bit of any file in a directory; each file is as likely as every other.
    pub(crate) fn draw(dir: &Path, random: &mut Random) -> Result<Self> {
        let mut files = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let bytes = entry.metadata()?.len();
            if bytes > 0 {
                files.push((entry.path(), bytes));
            }
        }
        // A directory has its entries in an order that says nothing.
        files.sort();
        let which = random.below(u64::try_from(files.len()).unwrap_or(u64::MAX));
        let file = usize::try_from(which).ok().and_then(|at| files.get(at));
        let (path, bytes) = file.ok_or_else(|| Error::other("nothing to damage"))?;
        Ok(Self {
            path: path.clone(),
            byte: random.below(*bytes),
            bit: u8::try_from(random.below(8)).unwrap_or(0),
        })
    }

    pub(crate) fn fact(&self) -> Fact {
        let file = self.path.file_name().unwrap_or_default().to_string_lossy();
        Fact::Flip {
            file: file.into_owned(),
            byte: self.byte,
            bit: self.bit,
        }
    }

    /// Flips it; a second time, it is as before.
    pub(crate) fn flip(&self) -> Result<()> {
        let file = File::options().read(true).write(true).open(&self.path)?;
        let mut byte = [0];
        file.read_exact_at(&mut byte, self.byte)?;
        byte[0] ^= 1 << self.bit;
        file.write_all_at(&byte, self.byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_changes_and_changes_back() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("empty"), []).unwrap();
        fs::write(dir.path().join("file"), [7; 100]).unwrap();
        let read = || fs::read(dir.path().join("file")).unwrap();
        for seed in 0..100 {
            let flip = Flip::draw(dir.path(), &mut Random::new(seed)).unwrap();
            flip.flip().unwrap();
            let differ: u32 = read().iter().map(|byte| (byte ^ 7).count_ones()).sum();
            assert_eq!(differ, 1);
            flip.flip().unwrap();
            assert_eq!(read(), [7; 100]);
        }
    }
}
