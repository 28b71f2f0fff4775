//! The disk under a [`MemoryDir`](super::MemoryDir) outside tests: there is none. Nothing is kept
//! back, nothing fails, and a loss of power takes all. It has the face of `simulate`.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::memory::{Content, File};

/// What all files share.
#[derive(Default)]
pub(super) struct Disk;

/// What of one file has been synced.
pub(super) struct Platter;

/// What of the names has been synced.
pub(super) struct Journal;

impl Disk {
    pub(super) fn create(&self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn change(&self) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn map(&self) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn unlink(&self) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn write(&self, _grows_by: u64) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn free(&self, _bytes: u64) {}

    pub(super) fn sync_file(
        &self,
        _platter: &mut Platter,
        _content: &Content,
        _range: Range<usize>,
    ) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn sync_names(
        &self,
        _journal: &mut Journal,
        _files: &BTreeMap<String, Arc<File>>,
    ) -> io::Result<()> {
        Ok(())
    }
}

impl Platter {
    pub(super) fn zeroed(_len: usize) -> Platter {
        Platter
    }

    pub(super) fn written(&mut self, _range: Range<usize>) {}
}

impl Journal {
    pub(super) fn empty() -> Journal {
        Journal
    }

    pub(super) fn created(&mut self, _name: &str, _file: &Arc<File>) {}

    pub(super) fn renamed(&mut self, _from: &str, _to: &str, _file: &Arc<File>) {}

    pub(super) fn unlinked(&mut self, _name: &str) {}
}
