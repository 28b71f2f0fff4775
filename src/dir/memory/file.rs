//! One file on the heap: bytes that can grow, or a block once somebody has mapped it.

use std::ops::Range;
use std::sync::Arc;
use std::{fmt, io};

use crate::sync::Mutex;

#[cfg(not(any(test, fuzzing)))]
use super::super::plain::{Disk, Platter};
#[cfg(any(test, fuzzing))]
use super::super::simulate::{Disk, Platter};
use super::super::{RawFile, too_short};
use crate::map::{Block, BlockDisk, RegionFollower, RegionWriter};

/// One file. It outlives its name while somebody has it open.
pub(in crate::dir) struct File {
    pub(in crate::dir) body: Mutex<Body>,
    disk: Arc<Disk>,
}

pub(in crate::dir) struct Body {
    pub(in crate::dir) content: Content,
    pub(in crate::dir) platter: Platter,
}

/// The bytes of a file.
pub(in crate::dir) enum Content {
    /// Never mapped so far, so it can grow. Shared with copies of the file until one is changed.
    Raw(Arc<Vec<u8>>),
    /// Mapped by somebody, now or before.
    Block(Arc<Block>),
}

impl File {
    pub(in crate::dir) fn new(content: Content, platter: Platter, disk: &Arc<Disk>) -> Arc<File> {
        let body = Mutex::new(Body { content, platter });
        Arc::new(File {
            body,
            disk: Arc::clone(disk),
        })
    }

    /// Gives an empty file its bytes, the first `head` of them synced; if that fails it stays
    /// empty. The zeros are on the disk from the start, as those of a real file are before its name
    /// is synced.
    pub(super) fn fill(&self, content: Content, head: usize) -> io::Result<()> {
        let mut platter = Platter::zeroed(content.len());
        self.disk.sync_file(&mut platter, &content, 0..head)?;
        *self.body.lock() = Body { content, platter };
        Ok(())
    }

    pub(super) fn writer(self: Arc<Self>, words: usize) -> io::Result<RegionWriter> {
        let block = self.body.lock().content.block(words)?;
        block.writer(self)
    }

    pub(super) fn follower(self: Arc<Self>, words: usize) -> io::Result<RegionFollower> {
        let block = self.body.lock().content.block(words)?;
        Ok(block.follower(self))
    }
}

impl BlockDisk for File {
    fn sync(&self, range: Range<usize>) -> io::Result<()> {
        let mut body = self.body.lock();
        let Body { content, platter } = &mut *body;
        self.disk.sync_file(platter, content, range)
    }

    fn rewritten(&self, range: Range<usize>) {
        self.body.lock().platter.written(range);
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.disk.free(to_u64(self.body.get_mut().content.len()));
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").finish_non_exhaustive()
    }
}

impl Content {
    pub(in crate::dir) fn len(&self) -> usize {
        match self {
            Content::Raw(bytes) => bytes.len(),
            Content::Block(block) => block.len(),
        }
    }

    /// Copies what may be read now from `at` into `buf` and says how many bytes that were: all,
    /// except that the bytes a writer has not published keep what `buf` held.
    ///
    /// # Panics
    /// When `at + buf.len()` lies behind the content.
    pub(in crate::dir) fn copy(&self, at: usize, buf: &mut [u8]) -> usize {
        match self {
            Content::Raw(bytes) => {
                buf.copy_from_slice(&bytes[at..at + buf.len()]);
                buf.len()
            }
            Content::Block(block) => block.copy_readable(at, buf),
        }
    }

    /// The content as a block with that many bytes of words.
    fn block(&mut self, words: usize) -> io::Result<Arc<Block>> {
        if self.len() < words {
            return Err(too_short(to_u64(self.len()), words));
        }
        if let Content::Block(block) = self {
            if block.words() == words {
                return Ok(Arc::clone(block));
            }
            // The same bytes cannot be words to one and frozen bytes to another.
            if Arc::get_mut(block).is_none() {
                return Err(io::ErrorKind::ResourceBusy.into());
            }
        }
        let mut block = Block::zeroed(self.len(), words)?;
        self.copy(0, block.as_mut_bytes());
        let block = Arc::new(block);
        *self = Content::Block(Arc::clone(&block));
        Ok(block)
    }

    /// The bytes, to be changed and to grow; `None` while somebody has them mapped.
    pub(in crate::dir) fn as_raw(&mut self) -> Option<&mut Vec<u8>> {
        if let Content::Block(block) = self {
            let bytes = Arc::get_mut(block)?.as_mut_bytes().to_vec();
            *self = Content::Raw(Arc::new(bytes));
        }
        match self {
            Content::Raw(bytes) => Some(Arc::make_mut(bytes)),
            Content::Block(_) => None,
        }
    }
}

/// A file that somebody has open for calls.
#[derive(Debug)]
pub(super) struct MemoryFile {
    pub(super) file: Arc<File>,
    pub(super) write: bool,
}

impl RawFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(to_u64(self.file.body.lock().content.len()))
    }

    /// What the writer of a region has not published reads as zeros.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let content = &self.file.body.lock().content;
        let at = usize::try_from(at).unwrap_or(usize::MAX).min(content.len());
        let count = buf.len().min(content.len() - at);
        let buf = &mut buf[..count];
        buf.fill(0);
        content.copy(at, buf);
        Ok(count)
    }

    /// A file that is mapped is not written by calls: `ResourceBusy`.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        if !self.write {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let at = usize::try_from(at).ok();
        let end = at.and_then(|at| at.checked_add(bytes.len()));
        let (Some(at), Some(end)) = (at, end) else {
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        let mut body = self.file.body.lock();
        let Body { content, platter } = &mut *body;
        let raw = content.as_raw().ok_or(io::ErrorKind::ResourceBusy)?;
        self.file
            .disk
            .write(to_u64(end.saturating_sub(raw.len())))?;
        if raw.len() < end {
            raw.resize(end, 0);
        }
        raw[at..end].copy_from_slice(bytes);
        platter.written(at..end);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let len = self.file.body.lock().content.len();
        BlockDisk::sync(&*self.file, 0..len)
    }
}

/// A length as file systems count it. No memory is larger than that.
pub(in crate::dir) fn to_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
