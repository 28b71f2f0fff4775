//! What stands in a directory, sorted by what it is to a log.

use crate::dir::Directory;
use crate::segment;
use std::io;

pub(crate) const LOCK: &str = "wakelog.lock";
pub(crate) const META: &str = "wakelog.meta";
pub(crate) const EPOCHS: &str = "wakelog.epochs";
pub(crate) const TEMPORARY: &str = ".new";

/// The names of a directory.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Bases of the segments, ascending.
    pub(crate) bases: Vec<u64>,
    pub(crate) spares: Vec<String>,
    /// Bases in the names of topic indexes.
    pub(crate) indexes: Vec<u64>,
    /// Files on their way to a rename.
    pub(crate) temporary: Vec<String>,
    pub(crate) meta: bool,
    /// A name that no log has.
    pub(crate) foreign: bool,
    /// A name that a log has, besides the lock and `meta`.
    pub(crate) ours: bool,
}

impl Listing {
    pub(crate) fn read(dir: &dyn Directory) -> io::Result<Self> {
        let mut listing = Self::default();
        for entry in dir.list()? {
            listing.add(&entry.name, entry.file);
        }
        listing.bases.sort_unstable();
        Ok(listing)
    }

    fn add(&mut self, name: &str, file: bool) {
        let fixed = [EPOCHS, crate::mark_file::NAME, crate::dedup::NAME].contains(&name);
        if name == META {
            self.meta = true;
        } else if let Some(base) = segment::parse_name(name).filter(|_| file) {
            self.bases.push(base);
        } else if let Some(base) = segment::parse_index_name(name).filter(|_| file) {
            self.indexes.push(base);
        } else if segment::is_index_temporary(name) {
            self.temporary.push(name.into());
        } else if segment::parse_spare_name(name) && file {
            self.spares.push(name.into());
        } else if (name.starts_with("wakelog.") || name.starts_with("cursors"))
            && name.ends_with(TEMPORARY)
        {
            self.temporary.push(name.into());
        } else if fixed || name.starts_with("cursors") {
            self.ours = true;
        } else if name != LOCK && name != "lost+found" {
            self.foreign = true;
        }
    }

    /// Nothing of a log, but something of somebody else.
    pub(crate) fn is_foreign(&self) -> bool {
        self.foreign && !self.meta && !self.has_content()
    }

    /// A log was here, or half of one was made. A spare may be all that is left of its events.
    pub(crate) fn has_content(&self) -> bool {
        self.ours || !self.bases.is_empty() || !self.spares.is_empty()
    }
}
