//! What can happen to a file.

use super::truth::{Ended, SLOTS, Truth, is_segment};
use crate::dir::{Directory, MemoryDir};
use crate::format::HEADER_BYTES;
use crate::segment::{index_name_of, name_of};

const SECTOR: usize = 512;

/// One damage; its debug form is what makes it again.
#[derive(Clone, Debug)]
pub(super) enum Damage {
    None,
    Flip {
        file: String,
        bit: usize,
    },
    /// Cut to so many bytes.
    Cut {
        file: String,
        bytes: usize,
    },
    Zeroed {
        file: String,
        sector: usize,
    },
    /// The sector holds what stands at the same place in another segment.
    Misplaced {
        file: String,
        sector: usize,
        from: String,
    },
    Missing {
        file: String,
    },
}

/// A file that was changed: its name, and its bytes now; `None` if it was taken away.
pub(super) type Replaced = (String, Option<Vec<u8>>);

impl Damage {
    /// Every bit of a log without cursors, and of the identity and the cursor files of one with
    /// them. Of a log that was killed not the sealed segments: they are those of the log that was
    /// closed. Of what is all zeros and all alike, one bit in so many.
    pub(super) fn every_bit(truth: &Truth) -> Vec<Self> {
        let mut all = Vec::new();
        let bases = truth.bases();
        let sealed = |file: &String| {
            let mut sealed = bases.iter().rev().skip(1);
            sealed.any(|b| [name_of(*b), index_name_of(*b)].contains(file))
        };
        for (file, bytes) in &truth.files {
            let with_cursors = file.starts_with("cursors") || file == "wakelog.meta";
            let twice = truth.ended == Ended::Killed && sealed(file);
            if with_cursors == truth.cursors.is_empty() || twice {
                continue;
            }
            let bits = (0..bytes.len() * 8).filter(|bit| match file.as_str() {
                // Both copies of the page's record, the slots of the cursors and a free one.
                SLOTS => {
                    [0..64, 512..576, 4_096..4_352]
                        .iter()
                        .any(|r| r.contains(&(bit / 8)))
                        || bit % 259 == 0
                }
                spare if spare.starts_with("spare-") => bit / 8 < HEADER_BYTES || bit % 37 == 0,
                _ => true,
            });
            all.extend(bits.map(|bit| Self::Flip {
                file: file.clone(),
                bit,
            }));
        }
        all
    }

    /// Every length of a small file, every seventh of a large one.
    pub(super) fn every_length(truth: &Truth) -> Vec<Self> {
        let mut all = Vec::new();
        for (file, bytes) in &truth.files {
            let step = if bytes.len() > 8_192 { 7 } else { 1 };
            let cut = |bytes| Self::Cut {
                file: file.clone(),
                bytes,
            };
            all.extend((0..bytes.len()).step_by(step).map(cut));
        }
        all
    }

    pub(super) fn every_sector(truth: &Truth) -> Vec<Self> {
        let mut all = Vec::new();
        for (file, bytes) in &truth.files {
            for sector in 0..bytes.len().div_ceil(SECTOR) {
                all.push(Self::Zeroed {
                    file: file.clone(),
                    sector,
                });
                let others = truth
                    .files
                    .keys()
                    .filter(|other| is_segment(other) && *other != file);
                for from in others.filter(|_| is_segment(file)) {
                    all.push(Self::Misplaced {
                        file: file.clone(),
                        sector,
                        from: from.clone(),
                    });
                }
            }
        }
        all
    }

    pub(super) fn every_file(truth: &Truth) -> Vec<Self> {
        truth
            .files
            .keys()
            .map(|file| Self::Missing { file: file.clone() })
            .collect()
    }

    /// The file, and its bytes with the damage; `None` without bytes: it is missing.
    pub(super) fn apply(&self, truth: &Truth) -> Option<(String, Option<Vec<u8>>)> {
        let original = |file: &String| truth.files[file].clone();
        let (file, bytes) = match self {
            Self::None => return None,
            Self::Flip { file, bit } => {
                let mut bytes = original(file);
                bytes[bit / 8] ^= 1 << (bit % 8);
                (file, Some(bytes))
            }
            Self::Cut { file, bytes } => (file, Some(original(file)[..*bytes].to_vec())),
            Self::Zeroed { file, sector } => {
                let mut bytes = original(file);
                let end = bytes.len().min((sector + 1) * SECTOR);
                bytes[sector * SECTOR..end].fill(0);
                (file, Some(bytes))
            }
            Self::Misplaced { file, sector, from } => {
                let mut bytes = original(file);
                let range = sector * SECTOR..(sector + 1) * SECTOR;
                bytes[range.clone()].copy_from_slice(&truth.files[from][range]);
                (file, Some(bytes))
            }
            Self::Missing { file } => (file, None),
        };
        Some((file.clone(), bytes))
    }

    /// A directory of its own with the damage in it, and what `apply` says.
    pub(super) fn dir(&self, truth: &Truth) -> (MemoryDir, Option<Replaced>) {
        let dir = truth.dir();
        let changed = self.apply(truth);
        match &changed {
            None => {}
            Some((name, Some(bytes))) => dir.write(name, bytes),
            Some((name, None)) => {
                dir.unlink(name).unwrap();
                dir.sync().unwrap();
            }
        }
        (dir, changed)
    }
}
