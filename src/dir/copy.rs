//! Copying a file.

use super::RawFile;
use crate::types::to_u64;
use std::io;

/// How much is in memory where the system cannot copy by itself.
const WINDOW: usize = 1 << 20;

/// Copies all of `from` into the empty file `to` and says how many bytes those were. Between files
/// of one file system the kernel does it, and shares the blocks where it can. Not synced.
///
/// # Errors
/// What the file system says; a part may be copied then.
pub(crate) fn copy(from: &dyn RawFile, to: &dyn RawFile) -> io::Result<u64> {
    let mut at = match (from.file(), to.file()) {
        (Some(from), Some(to)) => by_the_kernel(from, to)?,
        _ => 0,
    };
    let mut window = vec![0; WINDOW];
    loop {
        let got = from.read_at(&mut window, at)?;
        if got == 0 {
            return Ok(at);
        }
        to.write_at(&window[..got], at)?;
        at += to_u64(got);
    }
}

/// How far the kernel has come; it may not want to at all.
#[cfg(target_os = "linux")]
fn by_the_kernel(from: &std::fs::File, to: &std::fs::File) -> io::Result<u64> {
    use rustix::io::Errno;
    /// What one call is asked for.
    const AT_ONCE: usize = 1 << 30;
    let mut done = 0;
    loop {
        let (mut read_at, mut write_at) = (done, done);
        let copied =
            rustix::fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), AT_ONCE);
        match copied {
            Ok(0) => return Ok(done),
            Ok(count) => done += to_u64(count),
            Err(Errno::INTR) => {}
            // Two file systems, or one that cannot; seccomp filters answer with PERM.
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
                return Ok(done);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn by_the_kernel(_from: &std::fs::File, _to: &std::fs::File) -> io::Result<u64> {
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::super::{Directory, DiskDir, MemoryDir};
    use super::*;

    fn copied(from: &dyn Directory, to: &dyn Directory, bytes: &[u8]) -> Vec<u8> {
        let source = from.create_file("from").unwrap();
        source.write_at(bytes, 0).unwrap();
        let target = to.create_file("to").unwrap();
        assert_eq!(copy(&*source, &*target).unwrap(), to_u64(bytes.len()));
        let mut read = vec![0; bytes.len() + 1];
        let got = target.read_at(&mut read, 0).unwrap();
        read.truncate(got);
        read
    }

    #[test]
    fn a_copy_is_the_same_between_any_two_directories() {
        let temporary = tempfile::tempdir().unwrap();
        let disk = |name: &str| DiskDir::create(&temporary.path().join(name)).unwrap();
        let long: Vec<u8> = (0..u8::MAX).cycle().take(WINDOW * 2 + 77).collect();
        for bytes in [&[][..], b"short", &long] {
            let (a, b) = (MemoryDir::new(), MemoryDir::new());
            assert_eq!(copied(&a, &b, bytes), bytes);
            let name = bytes.len();
            let (c, d) = (disk(&format!("c{name}")), disk(&format!("d{name}")));
            assert_eq!(copied(&c, &d, bytes), bytes);
            assert_eq!(
                copied(&MemoryDir::new(), &disk(&format!("e{name}")), bytes),
                bytes
            );
            assert_eq!(
                copied(&disk(&format!("f{name}")), &MemoryDir::new(), bytes),
                bytes
            );
        }
    }
}
