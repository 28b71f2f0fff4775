//! `wakelog.meta`: who the log is. Written first, by rename, so whoever finds any other file finds
//! this one.

use super::listing::{Listing, META, TEMPORARY};
use crate::dir::Directory;
use crate::error::{Corruption, OpenError};
use crate::format::{
    HEADER_BYTES, META_BYTES, Meta, MetaFault, MetaKind, OLDEST, SegmentHeader, VERSION,
};
use crate::host;
use crate::mark_file;
use crate::types::LogId;

/// Reads the identity; `None` if the directory holds no log yet.
pub(crate) fn read(dir: &dyn Directory, listing: &Listing) -> Result<Option<Meta>, OpenError> {
    if !listing.meta {
        return if listing.is_foreign() {
            Err(OpenError::NotALog {
                path: dir.path().into(),
            })
        } else if listing.has_content() {
            Err(OpenError::Damaged(lost()))
        } else {
            Ok(None)
        };
    }
    let io = |error| OpenError::from_io(dir.path().join(META), "read", error);
    let file = dir.open_file(META, false).map_err(io)?;
    let mut bytes = [0; META_BYTES];
    let got = file.read_at(&mut bytes, 0).map_err(io)?;
    match Meta::parse(bytes.get(..got).unwrap_or_default()) {
        Ok(meta) => Ok(Some(meta)),
        Err(MetaFault::Newer(found)) => Err(OpenError::Newer {
            file: META.into(),
            found,
            supported: VERSION,
        }),
        Err(MetaFault::Older(found)) => Err(OpenError::Older {
            file: META.into(),
            found,
            oldest: OLDEST,
        }),
        Err(MetaFault::NotOurs | MetaFault::Damaged) => Err(OpenError::Damaged(lost())),
    }
}

/// A file of another log that the mark agrees with: then it is the identity that is the stranger.
pub(super) fn which_is_foreign(dir: &dyn Directory, error: OpenError) -> OpenError {
    let OpenError::Foreign { file } = &error else {
        return error;
    };
    let other = || {
        let mut page = [0; HEADER_BYTES];
        let got = dir.open_file(file, false)?.read_at(&mut page, 0)?;
        let Ok(header) = SegmentHeader::parse(page.get(..got).unwrap_or_default()) else {
            return Ok(None);
        };
        mark_file::read(&*dir.open_file(mark_file::NAME, false)?, header.making.log)
    };
    match other() {
        Ok(Some(_)) => OpenError::Foreign { file: META.into() },
        Ok(None) | Err(_) => error,
    }
}

fn lost() -> Corruption {
    Corruption {
        file: META.into(),
        offset: None,
        position: 0,
        expected: "the identity of the log",
    }
}

/// Makes a log of an empty directory, or a mirror of another log.
pub(crate) fn create(dir: &dyn Directory, mirrored: Option<LogId>) -> Result<Meta, OpenError> {
    let io = |error| OpenError::from_io(dir.path().join(META), "create", error);
    let log = match mirrored {
        Some(log) => log,
        None => LogId(host::random().map_err(io)?),
    };
    let meta = Meta {
        version: VERSION,
        kind: mirrored.map_or(MetaKind::Own, |_| MetaKind::Mirror),
        log,
        secret: host::random().map_err(io)?,
        created: host::now(),
    };
    replace(dir, META, &meta.to_bytes()).map_err(io)?;
    Ok(meta)
}

/// Writes a whole file so that it is there with all its bytes, or not at all.
pub(super) fn replace(dir: &dyn Directory, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = format!("{name}{TEMPORARY}");
    match dir.unlink(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = dir.create_file(&temporary)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    dir.rename(&temporary, name)?;
    dir.sync()
}
