//! Walking all segments as a reader does, over private copies.

use super::Progress;
use super::report::{CorruptReason, Verification};
use crate::dir::{Directory, MemoryDir, RawFile};
use crate::error::{Corruption, OpenError};
use crate::format::{self, FRAME_HEADER, HEADER_BYTES, MAX_SEGMENT_BYTES, SECTOR, SegmentHeader};
use crate::map::Region;
use crate::recovery::Survey;
use crate::segment::{self, Place, Segment, Step};
use crate::types::{to_u64, to_usize};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How much is read by one call.
const CHUNK: usize = 1 << 20;

pub(super) struct Walk<'a, 'p> {
    dir: &'a dyn Directory,
    survey: &'a Survey,
    report: Verification,
    progress: Option<Progress<'p>>,
    total: u64,
    /// All offsets below were read, or told as lost.
    reached: u64,
}

/// A segment's file, read into memory of our own.
struct Copy {
    region: Region,
    /// Behind the last byte that is not zero.
    used: usize,
}

impl<'a, 'p> Walk<'a, 'p> {
    pub(super) fn new(
        dir: &'a dyn Directory,
        survey: &'a Survey,
        progress: Option<Progress<'p>>,
    ) -> Self {
        Self {
            dir,
            survey,
            report: Verification::default(),
            progress,
            total: 0,
            reached: 0,
        }
    }

    pub(super) fn run(mut self) -> Result<Verification, OpenError> {
        let ending = &self.survey.ending;
        let io = |error| OpenError::from_io(self.dir.path(), "list", error);
        let counts = |name: &String| {
            let base = segment::parse_name(name);
            base.is_some()
                || ending
                    .rename
                    .as_ref()
                    .is_some_and(|(spare, _)| spare == name)
        };
        let entries = self.dir.list().map_err(io)?.into_iter();
        self.total = entries
            .filter(|entry| entry.file && counts(&entry.name))
            .map(|entry| entry.bytes)
            .sum();
        let first = ending.bases.first().copied().unwrap_or(ending.end);
        self.reached = first;
        (self.report.first, self.report.next) = (first, ending.end);
        self.report.segments = to_u64(ending.bases.len());
        let below = ending.bases.iter().skip(1).copied();
        for (base, below) in ending.bases.iter().zip(below.chain([ending.end])) {
            self.segment(*base, below)?;
        }
        self.lost(
            segment::name_of(self.reached),
            ending.end,
            CorruptReason::Missing,
        );
        for name in &ending.unlink {
            if segment::parse_name(name).is_some() {
                let copy = self.copy(name)?;
                let torn = copy.map_or(0, |copy| copy.used.saturating_sub(HEADER_BYTES));
                self.report.torn_tail_bytes += to_u64(torn);
            }
        }
        Ok(self.report)
    }

    /// One segment, which ends where the next one, or the log, does.
    fn segment(&mut self, base: u64, below: u64) -> Result<(), OpenError> {
        let name = segment::name_of(base);
        let spare = self.survey.ending.rename.as_ref();
        let spare = spare.filter(|(_, renamed)| *renamed == base);
        let copy = match spare {
            Some((spare, _)) => self.copy(spare)?,
            None => None,
        };
        let copy = match copy {
            Some(copy) => Some(copy),
            None => self.copy(&name)?,
        };
        let Some(copy) = copy else {
            if self.survey.was_trimmed(self.dir, base) {
                self.reached = below;
            }
            let why = match self.dir.open_file(&name, false) {
                Ok(_) => CorruptReason::CutShort,
                Err(_) => CorruptReason::Missing,
            };
            self.lost(name, below, why);
            return Ok(());
        };
        self.lost(segment::name_of(self.reached), base, CorruptReason::Missing);
        self.walk(&name, base, below, &copy);
        Ok(())
    }

    fn walk(&mut self, name: &str, base: u64, below: u64, copy: &Copy) {
        let header = match segment::read_header(&copy.region, self.survey.meta.log, Some(base)) {
            Ok(header) if header.making.log != self.survey.meta.log => {
                return self.lost(name.into(), below, CorruptReason::Foreign);
            }
            Ok(header) => header,
            Err(_) => return self.lost(name.into(), below, CorruptReason::Header),
        };
        let active = header.activation.as_ref().map(|activation| activation.base);
        let Some(segment) = Segment::new(&header, copy.region.clone()) else {
            return self.lost(name.into(), below, CorruptReason::Header);
        };
        segment.know(&Arc::new(self.survey.history.clone()));
        if active != Some(base) {
            return self.lost(name.into(), below, CorruptReason::Header);
        }
        let page = header_page(&copy.region);
        // Above the mark an activation may be on its way, or may not have reached the disk whole.
        let durable = self.survey.mark.is_none_or(|mark| base <= mark.base);
        if durable {
            self.header_copies(name, &header, &page);
        }
        let made = SegmentHeader::parse(&page).map_or(0, |header| header.making.bytes);
        let is_short = copy.region.len() < to_usize(made);
        if !segment::is_as_long_as_made(&copy.region, self.survey.meta.log, base) {
            self.report.add_damage(Corruption {
                file: name.into(),
                offset: None,
                position: to_u64(copy.region.len()),
                expected: "a segment as long as its header says",
            });
        }
        let mut place = segment.start();
        while place.offset < below {
            match segment.step(&mut place) {
                Step::Frame(frame) => {
                    self.report.events += u64::from(frame.head.count);
                    self.reached = self.reached.max(frame.end());
                }
                Step::End => break,
                Step::Damaged => {
                    self.reached = self.reached.max(place.offset);
                    let why = why(&segment, &place);
                    let found = segment.resume(&mut place, below, &self.survey.history);
                    let to = if found { place.offset } else { below };
                    if found {
                        self.lost(name.into(), to, why);
                        continue;
                    }
                    let zeros = segment.region().bytes(place.at..segment.region().end());
                    let zeros = zeros.is_some_and(|rest| rest.iter().all(|byte| *byte == 0));
                    return if zeros && !self.is_followed(base, below) {
                        self.lost(segment::name_of(self.reached), to, CorruptReason::Missing);
                    } else if is_short {
                        self.lost(name.into(), to, CorruptReason::CutShort);
                    } else {
                        self.lost(name.into(), to, why);
                    };
                }
            }
        }
        self.reached = self.reached.max(place.offset.min(below));
        self.lost(name.into(), below, CorruptReason::CutShort);
    }

    /// Whether the segment at `next`, or the mark at the end of the log, says that nothing stood
    /// between it and this one.
    fn is_followed(&self, base: u64, next: u64) -> bool {
        if self.survey.ending.bases.last() == Some(&base) {
            return self.survey.mark.is_none_or(|mark| mark.base <= base);
        }
        let mut page = [0; HEADER_BYTES];
        let file = self.dir.open_file(&segment::name_of(next), false);
        let read = file.and_then(|file| file.read_at(&mut page, 0));
        let header = read.ok().and_then(|_| SegmentHeader::parse(&page).ok());
        let previous = header.and_then(|header| header.activation?.previous);
        previous.is_none_or(|(previous, _)| previous == base)
    }

    /// [reached, to) is lost.
    fn lost(&mut self, name: String, to: u64, why: CorruptReason) {
        self.report.add_range(name, self.reached, to, why);
        self.reached = self.reached.max(to);
    }

    /// The header stands twice; one copy serves. An activation of zeros has not reached the disk
    /// before the process ended, and is no damage.
    fn header_copies(&mut self, name: &str, header: &SegmentHeader, page: &[u8]) {
        for (number, sector) in page.chunks_exact(SECTOR).enumerate() {
            let good = SegmentHeader::parse(sector).is_ok_and(|copy| {
                let same = copy.making.salt == header.making.salt;
                let absent = copy.activation.is_none() && SegmentHeader::is_not_activated(sector);
                same && (copy.activation == header.activation || absent)
            });
            if !good {
                self.report.add_damage(Corruption {
                    file: name.into(),
                    offset: None,
                    position: to_u64(number * SECTOR),
                    expected: "a copy of the segment header",
                });
            }
        }
    }

    /// Reads a file; `None` if it is not there, or too short to be a segment.
    fn copy(&mut self, name: &str) -> Result<Option<Copy>, OpenError> {
        let file = match self.dir.open_file(name, false) {
            Ok(file) => file,
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::InvalidData => return Ok(None),
                _ => {
                    return Err(OpenError::from_io(
                        self.dir.path().join(name),
                        "read",
                        error,
                    ));
                }
            },
        };
        let end = self.survey.ending.last.as_ref();
        let end = end.filter(|last| last.name == name).map(|last| last.end.at);
        self.read(&*file, end)
            .map_err(|error| OpenError::from_io(self.dir.path().join(name), "read", error))
    }

    fn read(&mut self, file: &dyn RawFile, end: Option<usize>) -> io::Result<Option<Copy>> {
        let most = to_usize(MAX_SEGMENT_BYTES);
        let len = usize::try_from(file.len()?).unwrap_or(most).min(most);
        if len < HEADER_BYTES {
            return Ok(None);
        }
        let mut buffer = vec![0; CHUNK.min(len)];
        let got = read_whole(file, &mut buffer[..HEADER_BYTES], 0)?;
        self.read_bytes(got);
        let copies = MemoryDir::new();
        let mut writer =
            copies.create_region("copy", len, HEADER_BYTES, &buffer[..HEADER_BYTES])?;
        let (mut at, mut used) = (HEADER_BYTES, HEADER_BYTES);
        while at < len {
            let want = CHUNK.min(len - at).min(buffer.len());
            let chunk = &mut buffer[..want];
            let got = read_whole(file, chunk, at)?;
            if let Some(last) = chunk[..got].iter().rposition(|byte| *byte != 0) {
                // Only what is not zero takes memory.
                writer.write(at, &chunk[..=last]);
                used = at + last + 1;
            }
            self.read_bytes(got);
            if got == 0 {
                break;
            }
            at += got;
        }
        if let Some(end) = end {
            self.report.torn_tail_bytes += to_u64(used.saturating_sub(end));
        }
        writer.publish(end.unwrap_or(len).min(len));
        let region = writer.region().clone();
        Ok(Some(Copy { region, used }))
    }

    fn read_bytes(&mut self, got: usize) {
        self.report.bytes += to_u64(got);
        if let Some(progress) = &mut self.progress {
            progress(self.report.bytes, self.total.max(self.report.bytes));
        }
    }
}

/// Both copies of the header.
fn header_page(region: &Region) -> [u8; 2 * SECTOR] {
    let mut page = [0; 2 * SECTOR];
    for (index, word) in page.chunks_exact_mut(8).enumerate() {
        let loaded = region.load_word(index * 8, Ordering::Relaxed);
        word.copy_from_slice(&loaded.to_le_bytes());
    }
    page
}

/// Why a step has found damage at this place.
fn why(segment: &Segment, place: &Place) -> CorruptReason {
    let region = segment.region();
    let frame = region.bytes(place.at..region.end());
    let holds = frame.is_some_and(|rest| {
        let head = format::decode_head(rest).filter(|head| head.bytes() >= FRAME_HEADER);
        let bytes = head.and_then(|head| Some((head, rest.get(..head.bytes())?)));
        bytes.is_some_and(|(head, bytes)| format::verify(bytes, &head, place.bound()))
    });
    if holds {
        CorruptReason::Records
    } else {
        CorruptReason::Checksum
    }
}

/// Fills `buf`, as far as the file goes.
fn read_whole(file: &dyn RawFile, buf: &mut [u8], at: usize) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match file.read_at(&mut buf[filled..], to_u64(at + filled))? {
            0 => break,
            got => filled += got,
        }
    }
    Ok(filled)
}
