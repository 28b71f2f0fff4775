//! What a copy of a log needs besides events and cursors: who it is, and its history.

use super::epochs;
use super::identity::replace;
use super::listing::{EPOCHS, META};
use crate::dir::Directory;
use crate::format::Meta;
use crate::history::History;
use crate::types::to_u64;
use std::io;

/// Puts the identity and this history into `to`, synced. The identity comes last: what has none is
/// no log. Returns how many bytes those are.
///
/// # Errors
/// What the file system says.
pub(crate) fn copy_identity(
    from: &dyn Directory,
    to: &dyn Directory,
    meta: &Meta,
    history: &History,
) -> io::Result<u64> {
    let epochs = epochs::read(from, meta.log)?.bytes_of(meta.log, history);
    replace(to, EPOCHS, &epochs)?;
    let meta = meta.to_bytes();
    replace(to, META, &meta)?;
    Ok(to_u64(epochs.len() + meta.len()))
}
