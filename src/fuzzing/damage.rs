//! What can happen to the files of a log while nobody looks.

use super::input::Input;
use crate::dir::{Directory, MemoryDir};

/// Names that a file can get, some of which mean something.
const NAMES: [&str; 8] = [
    "00000000000000000034.log",
    "00000000000000000110.log",
    "00000000000000000034.index",
    "00000000000000000093.index",
    "spare-0000000000000000.log",
    "cursors-01.slots",
    "cursors.defs.new",
    "README",
];

/// Longer than any file of the log; a larger one would only take time.
const BYTES_MAX: usize = 128 << 10;

/// One change of one file; its name, if one was changed.
pub(super) fn one(
    dir: &MemoryDir,
    input: &mut Input<'_>,
    may: impl Fn(&str) -> bool,
) -> Option<String> {
    let names = dir.list().ok()?.into_iter().map(|entry| entry.name);
    let names: Vec<String> = names.filter(|name| may(name)).collect();
    let kind = input.byte() % 10;
    let name = names.get(input.below(names.len()))?.clone();
    let mut bytes = dir.read(&name);
    match kind {
        0 | 1 => {
            let at = input.below(bytes.len());
            let count = usize::from(input.byte() % 64);
            overwrite(&mut bytes, at, input.bytes(count));
        }
        2 => {
            let bit = input.below(bytes.len() * 8);
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        }
        3 => {
            let (at, count) = (input.below(bytes.len()), input.below(4_096));
            let end = bytes.len().min(at + count);
            bytes[at..end].fill(0);
        }
        4 => bytes.truncate(input.below(bytes.len())),
        5 => {
            let other = dir.read(names.get(input.below(names.len()))?);
            let (from, to) = (input.below(other.len()), input.below(bytes.len()));
            let count = input.below(4_096).min(other.len() - from);
            overwrite(&mut bytes, to, &other[from..from + count]);
        }
        6 => {
            let count = input.below(4_096);
            bytes.resize(bytes.len() + count, input.byte());
        }
        7 => bytes = dir.read(names.get(input.below(names.len()))?),
        8 => {
            dir.unlink(&name).ok()?;
            dir.sync().ok()?;
            return Some(name);
        }
        _ => {
            let new = NAMES[input.below(NAMES.len())];
            if !may(new) {
                return None;
            }
            bytes.truncate(BYTES_MAX);
            dir.write(new, &bytes);
            return Some(new.to_owned());
        }
    }
    bytes.truncate(BYTES_MAX);
    dir.write(&name, &bytes);
    Some(name)
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    let count = with.len().min(bytes.len() - at);
    bytes[at..at + count].copy_from_slice(&with[..count]);
}
