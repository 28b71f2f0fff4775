//! What can happen to a file.

use super::truth::{Ended, SLOTS, Truth, is_segment};
use crate::dir::MemoryDir;
use crate::segment::name_of;

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

impl Damage {
    /// Every bit of a log that was closed; of one that was killed those that say something else:
    /// its sealed segments are the same. In the slots that no cursor uses, which are all alike,
    /// one bit of 37: in some slot each.
    pub(super) fn every_bit(truth: &Truth) -> Vec<Self> {
        let mut all = Vec::new();
        let bases = truth.bases();
        let sealed = |file: &String| bases.iter().rev().skip(1).any(|b| *file == name_of(*b));
        for (file, bytes) in &truth.files {
            if truth.ended == Ended::Killed && sealed(file) {
                continue;
            }
            let dense = if file == SLOTS {
                6_144 * 8
            } else {
                bytes.len() * 8
            };
            let bits = (0..dense).chain((dense..bytes.len() * 8).step_by(37));
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

    /// A directory of its own with the damage in it.
    pub(super) fn dir(&self, truth: &Truth) -> (MemoryDir, Option<(String, Option<Vec<u8>>)>) {
        let dir = MemoryDir::new();
        let changed = self.apply(truth);
        for (name, bytes) in &truth.files {
            match &changed {
                Some((changed, bytes)) if changed == name => {
                    if let Some(bytes) = bytes {
                        dir.write(name, bytes);
                    }
                }
                _ => dir.write(name, bytes),
            }
        }
        (dir, changed)
    }
}
