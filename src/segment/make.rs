//! Making a segment: a spare first, a segment of the log when it is activated.

use super::{Segment, SegmentWriter};
use crate::dir::Directory;
use crate::format::{self, Activation, HEADER_BYTES, HeaderFault, Making, SECTOR, SegmentHeader};
use crate::host;
use crate::map::{Region, RegionWriter};
use crate::types::{LogId, to_usize};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A segment made ahead: a whole file with a making, on disk under a name without base.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) name: String,
    pub(crate) making: Making,
    pub(crate) writer: RegionWriter,
}

impl Spare {
    pub(crate) fn bytes(&self) -> usize {
        self.writer.region().len()
    }
}

/// `<base, 20 digits>.log`.
pub(crate) fn name_of(base: u64) -> String {
    format!("{base:020}.log")
}

/// `<base, 20 digits>.index`: what a segment has beside it.
pub(crate) fn index_name_of(base: u64) -> String {
    format!("{base:020}.index")
}

/// The base in a segment's name.
pub(crate) fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

/// The base in the name of an index.
pub(crate) fn parse_index_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".index")?;
    parse_name(&format!("{digits}.log"))
}

/// What the name of a file ends with that is on its way to a rename.
pub(crate) const TEMPORARY: &str = ".new";

/// Whether this is the name of an index on its way to a rename.
pub(crate) fn is_index_temporary(name: &str) -> bool {
    let name = name.strip_suffix(TEMPORARY);
    name.is_some_and(|name| parse_index_name(name).is_some())
}

/// Whether this is the name of a spare.
pub(crate) fn parse_spare_name(name: &str) -> bool {
    name.strip_prefix("spare-")
        .and_then(|rest| rest.strip_suffix(".log"))
        .is_some_and(|hex| hex.len() == 16 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Makes a spare of `bytes` bytes and puts its name on disk.
pub(crate) fn make(dir: &dyn Directory, log: LogId, bytes: u32) -> io::Result<Spare> {
    let making = Making {
        log,
        salt: host::random()?,
        bytes,
        made: host::now(),
    };
    let name = format!("spare-{:016x}.log", u64::from_le_bytes(host::random()?));
    let len = usize::try_from(bytes).map_err(io::Error::other)?;
    let writer = dir.create_region(&name, len, HEADER_BYTES, &making.page())?;
    let synced = if sabotaged!("no-directory-sync") {
        Ok(())
    } else {
        dir.sync()
    };
    if let Err(error) = synced {
        // The caller hears of the error; a spare that stays behind is unlinked by the next open.
        let _ = dir.unlink(&name);
        return Err(error);
    }
    Ok(Spare {
        name,
        making,
        writer,
    })
}

/// Turns a spare into the active segment: stores the activation through the map. From here on the
/// file is a segment of the log, whatever its name.
pub(crate) fn activate(spare: Spare, activation: Activation) -> (Arc<Segment>, SegmentWriter) {
    let Spare { making, writer, .. } = spare;
    for (at, word) in format::activation_words(&making, &activation) {
        // Release: a reader in another process that sees the last word sees those before it.
        writer.region().word(at).store(word, Ordering::Release);
    }
    let header = SegmentHeader {
        making,
        activation: Some(activation),
    };
    let segment = Segment::new(&header, writer.region().clone());
    let segment = Arc::new(segment.unwrap_or_else(|| unreachable!("the activation is given")));
    let start = segment.start();
    (segment, SegmentWriter::new(writer, start))
}

/// Reads and checks the header of an open region. `log` is whose it should be, `base` the one that
/// its name says: if the first copy is whole but another segment's, the second one is taken.
pub(crate) fn read_header(
    region: &Region,
    log: LogId,
    base: Option<u64>,
) -> Result<SegmentHeader, HeaderFault> {
    let mut header = header_as_made(region, log, base)?;
    // The file may have been cut short since: what counts is what is there.
    let bytes = u32::try_from(region.len()).unwrap_or(u32::MAX);
    header.making.bytes = header.making.bytes.min(bytes);
    Ok(header)
}

/// Whether the file still has the length that it was made with.
pub(crate) fn is_as_long_as_made(region: &Region, log: LogId, base: u64) -> bool {
    header_as_made(region, log, Some(base))
        .is_ok_and(|header| to_usize(header.making.bytes) == region.len())
}

fn header_as_made(
    region: &Region,
    log: LogId,
    base: Option<u64>,
) -> Result<SegmentHeader, HeaderFault> {
    let mut page = [0; HEADER_BYTES];
    for (index, chunk) in page.chunks_exact_mut(8).enumerate() {
        chunk.copy_from_slice(&region.load_word(index * 8, Ordering::Acquire).to_le_bytes());
    }
    let fits = |header: &SegmentHeader| {
        let active = header.activation.as_ref().map(|activation| activation.base);
        header.making.log == log && (base.is_none() || active == base)
    };
    let mut header = SegmentHeader::parse(&page)?;
    if !fits(&header) {
        let second = page
            .get(SECTOR..)
            .and_then(|rest| SegmentHeader::parse(rest).ok());
        header = second.filter(fits).unwrap_or(header);
    }
    Ok(header)
}
