//! A directory that appears under its name when it is whole, or not at all.

use super::DiskDir;
use crate::host;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A directory beside the one that it will be. Dropped before [`FreshDir::finish`], it is removed
/// with all that is in it.
#[derive(Debug)]
pub(crate) struct FreshDir {
    /// Open until it has its name.
    dir: Option<DiskDir>,
    temporary: PathBuf,
    path: PathBuf,
    parent: PathBuf,
}

impl FreshDir {
    /// Makes an empty directory beside `path`, which must not be there or be an empty directory.
    ///
    /// # Errors
    /// `DirectoryNotEmpty` for a `path` that is something; `InvalidInput` for one without a last
    /// name; and what the file system says.
    pub(crate) fn create(path: &Path) -> io::Result<FreshDir> {
        let Some(name) = path.file_name() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let parent = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        check_free(path)?;
        let random: [u8; 8] = host::random()?;
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{:016x}.new", u64::from_le_bytes(random)));
        let temporary = parent.join(temporary);
        DirBuilder::new()
            .mode(super::disk::DIRECTORY_MODE)
            .create(&temporary)?;
        let mut fresh = FreshDir {
            dir: None,
            temporary,
            path: path.to_path_buf(),
            parent: parent.to_path_buf(),
        };
        fresh.dir = Some(DiskDir::open(&fresh.temporary)?);
        Ok(fresh)
    }

    /// Where files are put. `None` never comes before [`FreshDir::finish`].
    pub(crate) fn dir(&self) -> Option<&DiskDir> {
        self.dir.as_ref()
    }

    /// Gives the directory its name, on disk. Its files are synced, and so are their names.
    ///
    /// # Errors
    /// As [`FreshDir::create`]; nothing is left then.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        // Takes the place of an empty directory, and of nothing else.
        fs::rename(&self.temporary, &self.path)?;
        self.temporary.clone_from(&self.path);
        File::open(&self.parent)?.sync_all()?;
        self.temporary.clear();
        Ok(())
    }
}

fn check_free(path: &Path) -> io::Result<()> {
    let taken = || io::Error::from(io::ErrorKind::DirectoryNotEmpty);
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.is_dir() => Err(taken()),
        Ok(_) => match fs::read_dir(path)?.next() {
            None => Ok(()),
            Some(_) => Err(taken()),
        },
    }
}

impl Drop for FreshDir {
    fn drop(&mut self) {
        self.dir = None;
        if self.temporary != Path::new("") {
            // The error that led here is the one to tell.
            let _ = fs::remove_dir_all(&self.temporary);
        }
    }
}
