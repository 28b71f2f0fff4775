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
    /// Two sectors of segments have changed places.
    Swapped {
        one: (String, usize),
        other: (String, usize),
    },
    /// The sector holds what stood there at an earlier moment of the log.
    Older {
        file: String,
        sector: usize,
        moment: usize,
    },
    /// The sector holds what stands there in another log.
    Foreign {
        file: String,
        sector: usize,
    },
    Missing {
        file: String,
    },
}

/// A file that was changed: its name, and its bytes now; `None` if it was taken away.
pub(super) type Replaced = (String, Option<Vec<u8>>);

pub(super) type Changed = Vec<Replaced>;

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

    /// Every pair of sectors of segments that are not alike.
    pub(super) fn every_swap(truth: &Truth) -> Vec<Self> {
        let sectors = |(file, bytes): (&String, &Vec<u8>)| {
            let file = file.clone();
            (0..bytes.len() / SECTOR).map(move |sector| (file.clone(), sector))
        };
        let segments = truth.files.iter().filter(|(file, _)| is_segment(file));
        let all: Vec<_> = segments.flat_map(sectors).collect();
        let bytes = |(file, sector): &(String, usize)| {
            &truth.files[file][sector * SECTOR..(sector + 1) * SECTOR]
        };
        let mut swaps = Vec::new();
        for (n, one) in all.iter().enumerate() {
            for other in &all[n + 1..] {
                if bytes(one) != bytes(other) {
                    swaps.push(Self::Swapped {
                        one: one.clone(),
                        other: other.clone(),
                    });
                }
            }
        }
        swaps
    }

    /// Every sector of a segment as it was at each earlier moment, and as it is in another log.
    pub(super) fn every_stranger(truth: &Truth) -> Vec<Self> {
        let mut all = Vec::new();
        for (file, bytes) in truth.files.iter().filter(|(file, _)| is_segment(file)) {
            for sector in 0..bytes.len() / SECTOR {
                let file = || file.clone();
                all.push(Self::Foreign {
                    file: file(),
                    sector,
                });
                for (moment, files) in truth.earlier.iter().enumerate() {
                    if files.contains_key(&file()) {
                        all.push(Self::Older {
                            file: file(),
                            sector,
                            moment,
                        });
                    }
                }
            }
        }
        all
    }

    /// The files that it changes, with their bytes; `None` without bytes: it is missing.
    pub(super) fn apply(&self, truth: &Truth) -> Changed {
        let original = |file: &String| truth.files[file].clone();
        let (file, bytes) = match self {
            Self::None => return Vec::new(),
            Self::Swapped { one, other } => return swap(truth, one, other),
            Self::Older {
                file,
                sector,
                moment,
            } => (
                file,
                Some(with_sector(
                    &original(file),
                    *sector,
                    &truth.earlier[*moment][file],
                )),
            ),
            Self::Foreign { file, sector } => (
                file,
                Some(with_sector(&original(file), *sector, truth.foreign(file))),
            ),
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
        vec![(file.clone(), bytes)]
    }

    /// A directory of its own with the damage in it, and what `apply` says.
    pub(super) fn dir(&self, truth: &Truth) -> (MemoryDir, Changed) {
        let dir = truth.dir();
        let changed = self.apply(truth);
        for (name, bytes) in &changed {
            match bytes {
                Some(bytes) => dir.write(name, bytes),
                None => dir.unlink(name).unwrap(),
            }
        }
        dir.sync().unwrap();
        (dir, changed)
    }
}

fn swap(truth: &Truth, one: &(String, usize), other: &(String, usize)) -> Changed {
    let files = &truth.files;
    let placed = |bytes: &[u8], to: &(String, usize), from: &(String, usize)| {
        let sector = &files[&from.0][from.1 * SECTOR..(from.1 + 1) * SECTOR];
        let mut bytes = bytes.to_vec();
        bytes[to.1 * SECTOR..(to.1 + 1) * SECTOR].copy_from_slice(sector);
        bytes
    };
    let first = placed(&files[&one.0], one, other);
    if one.0 == other.0 {
        return vec![(one.0.clone(), Some(placed(&first, other, one)))];
    }
    let second = placed(&files[&other.0], other, one);
    vec![
        (one.0.clone(), Some(first)),
        (other.0.clone(), Some(second)),
    ]
}

/// The bytes with one sector of others; what these do not have is zeros.
fn with_sector(bytes: &[u8], sector: usize, from: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let range = sector * SECTOR..bytes.len().min((sector + 1) * SECTOR);
    let there = from.get(range.start..).unwrap_or_default();
    let there = &there[..there.len().min(range.len())];
    bytes[range.clone()].fill(0);
    bytes[range.start..range.start + there.len()].copy_from_slice(there);
    bytes
}
