//! `wakelog.meta`: who this log is.

use super::bytes::{SECTOR, array, copies, crc, put, u16_at, u32_at, u64_at};
use crate::types::LogId;
use std::fmt;

const MAGIC: [u8; 8] = *b"WAKELOG\0";

const MAGIC_AT: usize = 0;
const VERSION_AT: usize = MAGIC_AT + 8;
const KIND_AT: usize = VERSION_AT + 2;
const LOG_AT: usize = KIND_AT + 1 + 5;
const SECRET_AT: usize = LOG_AT + 16;
const CREATED_AT: usize = SECRET_AT + 16;
const CRC_AT: usize = CREATED_AT + 8 + 4;
const RECORD: usize = CRC_AT + 4;
const _: () = assert!(RECORD == 64 && LOG_AT == 16 && CREATED_AT == 48);

/// Bytes of the whole file.
pub(crate) const META_BYTES: usize = 2 * SECTOR;

/// Where offsets and epochs come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetaKind {
    /// They are made here.
    Own,
    /// They come from a source.
    Mirror,
}

/// The identity of a log.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) version: u16,
    pub(crate) kind: MetaKind,
    pub(crate) log: LogId,
    /// The key of the hashes of names and ids; not to be told to anybody.
    pub(crate) secret: [u8; 16],
    /// UTC microseconds.
    pub(crate) created: u64,
}

/// Why the file says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetaFault {
    /// It does not begin as such a file does.
    NotOurs,
    /// It is whole, and of a version that this release does not know.
    Newer(u16),
    /// The same, and no release reads it any more.
    Older(u16),
    /// Neither copy verifies.
    Damaged,
}

impl Meta {
    pub(crate) fn to_bytes(&self) -> [u8; META_BYTES] {
        let mut file = [0; META_BYTES];
        for at in [0, SECTOR] {
            file[at..at + RECORD].copy_from_slice(&self.record());
        }
        file
    }

    fn record(&self) -> [u8; RECORD] {
        let mut record = [0; RECORD];
        put(&mut record, MAGIC_AT, MAGIC);
        put(&mut record, VERSION_AT, self.version.to_le_bytes());
        put(&mut record, KIND_AT, [self.kind.code()]);
        put(&mut record, LOG_AT, self.log.0);
        put(&mut record, SECRET_AT, self.secret);
        put(&mut record, CREATED_AT, self.created.to_le_bytes());
        let checksum = crc(&record[..CRC_AT]);
        put(&mut record, CRC_AT, checksum.to_le_bytes());
        record
    }

    /// Reads whichever copy is good.
    pub(crate) fn parse(file: &[u8]) -> Result<Meta, MetaFault> {
        let mut fault = MetaFault::NotOurs;
        for record in copies::<RECORD>(file) {
            match parse_record(record) {
                Ok(meta) => return Ok(meta),
                // A whole copy says more than a damaged one, and that more than a stranger.
                Err(other @ (MetaFault::Newer(_) | MetaFault::Older(_))) => fault = other,
                Err(MetaFault::Damaged) if fault == MetaFault::NotOurs => {
                    fault = MetaFault::Damaged
                }
                Err(_) => {}
            }
        }
        Err(fault)
    }
}

fn parse_record(record: &[u8; RECORD]) -> Result<Meta, MetaFault> {
    if array(record, MAGIC_AT) != MAGIC {
        return Err(MetaFault::NotOurs);
    }
    if u32_at(record, CRC_AT) != crc(&record[..CRC_AT]) {
        return Err(MetaFault::Damaged);
    }
    let version = u16_at(record, VERSION_AT);
    if version > super::VERSION {
        return Err(MetaFault::Newer(version));
    }
    if version < super::OLDEST {
        return Err(MetaFault::Older(version));
    }
    let kind = MetaKind::from_code(record[KIND_AT]).ok_or(MetaFault::Damaged)?;
    Ok(Meta {
        version,
        kind,
        log: LogId(array(record, LOG_AT)),
        secret: array(record, SECRET_AT),
        created: u64_at(record, CREATED_AT),
    })
}

impl MetaKind {
    fn code(self) -> u8 {
        match self {
            MetaKind::Own => 1,
            MetaKind::Mirror => 2,
        }
    }

    fn from_code(code: u8) -> Option<MetaKind> {
        [MetaKind::Own, MetaKind::Mirror]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}

impl fmt::Debug for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the secret: this ends up in users' logs.
        f.debug_struct("Meta")
            .field("version", &self.version)
            .field("kind", &self.kind)
            .field("log", &self.log)
            .field("created", &self.created)
            .finish_non_exhaustive()
    }
}
