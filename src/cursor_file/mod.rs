//! interim
use crate::dir::Directory;
use crate::error::*;
use crate::format::Meta;
use crate::types::FilterSet;
use std::io;
use std::sync::Arc;
#[derive(Debug)]
pub(crate) struct CursorFile;
#[derive(Debug, Clone)]
pub(crate) struct SlotHandle;
pub(crate) struct Definition {
    pub(crate) filters: Vec<String>,
    pub(crate) identities: Option<Vec<String>>,
}
impl CursorFile {
    pub(crate) fn open(
        _: Arc<dyn Directory>,
        _: &Meta,
        _: u64,
        _: u32,
        _: bool,
    ) -> Result<(Self, Vec<Corruption>), OpenError> {
        Ok((Self, vec![]))
    }
    pub(crate) fn lower(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    pub(crate) fn dirty(&self) -> bool {
        false
    }
    pub(crate) fn find(&self, _: &str) -> Result<Option<SlotHandle>, Corruption> {
        Ok(None)
    }
    pub(crate) fn create(&self, _: &str, _: &FilterSet, _: u64) -> Result<SlotHandle, CursorError> {
        Ok(SlotHandle)
    }
    pub(crate) fn redefine(&self, _: &SlotHandle, _: &str, _: &FilterSet) -> io::Result<()> {
        Ok(())
    }
}
impl SlotHandle {
    pub(crate) fn number(&self) -> u32 {
        0
    }
    pub(crate) fn acked(&self) -> u64 {
        0
    }
    pub(crate) fn ack(&self, _: u64) -> bool {
        false
    }
    pub(crate) fn kept(&self) -> Option<u64> {
        None
    }
    pub(crate) fn keep(&self, _: u64) {}
    pub(crate) fn clear_kept(&self) {}
    pub(crate) fn definition(&self) -> io::Result<Definition> {
        unimplemented!()
    }
}
