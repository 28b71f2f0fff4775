//! Where does the log end? Pure decisions over what is found; one function per row of
//! docs/durability.md.
//!
//! Looks at the last two segments at most: a roll waits until the one before is on disk.

use super::listing::Listing;
use super::report::{RecoveryReport, TornTail};
use crate::error::{Corruption, OpenError};
use crate::format::{Activation, HEADER_BYTES, HeaderFault, Mark, SegmentHeader, VERSION};
use crate::segment::{self, Keys, Place, Scanned, Tail};
use crate::types::{Epoch, LogId, to_u64, to_usize};

/// How segments are looked at: through a map by the one writer, by reading when another process may
/// write.
pub(super) trait Look {
    /// The header of a file, or what is wrong with it.
    fn header(&mut self, name: &str) -> Result<Result<SegmentHeader, HeaderFault>, OpenError>;
    /// The valid frames from `start` on.
    fn scan(&mut self, name: &str, start: Place, keys: &Keys) -> Result<Scanned, OpenError>;
}

/// The segment in which the log ends.
#[derive(Clone, Debug)]
pub(crate) struct LastSegment {
    pub(crate) name: String,
    pub(crate) header: SegmentHeader,
    /// Behind the last valid frame.
    pub(crate) end: Place,
    pub(crate) tail: Tail,
}

/// What was decided.
#[derive(Debug)]
pub(crate) struct Ending {
    /// The segments that stay, oldest first.
    pub(crate) bases: Vec<u64>,
    /// An activated spare that is one of them and still has its old name.
    pub(crate) rename: Option<(String, u64)>,
    /// Files that are not part of the log (any more), above the durable mark.
    pub(crate) unlink: Vec<String>,
    /// `None`: the log ends in a file that cannot be read, or there is no segment.
    pub(crate) last: Option<LastSegment>,
    /// What is recovered but may not be on disk: file, first and last frame position.
    pub(crate) unsure: Vec<(String, usize, usize)>,
    /// The next offset.
    pub(crate) end: u64,
    /// Time of the last event.
    pub(crate) time: u64,
    /// Epochs that were met on the way.
    pub(crate) epochs: Vec<(Epoch, u64)>,
    pub(crate) report: RecoveryReport,
}

pub(super) struct Finder<'a> {
    look: &'a mut dyn Look,
    log: LogId,
    ending: Ending,
}

struct Candidate {
    name: String,
    base: u64,
    header: SegmentHeader,
}

impl<'a> Finder<'a> {
    pub(super) fn new(look: &'a mut dyn Look, log: LogId, listing: &Listing) -> Self {
        let ending = Ending {
            bases: listing.bases.clone(),
            rename: None,
            unlink: listing.temporary.clone(),
            last: None,
            unsure: Vec::new(),
            end: 0,
            time: 0,
            epochs: Vec::new(),
            report: RecoveryReport::default(),
        };
        Self { look, log, ending }
    }

    pub(super) fn find(
        mut self,
        spares: &[String],
        mark: Option<Mark>,
    ) -> Result<Ending, OpenError> {
        self.adopt_spare(spares, mark.as_ref())?;
        let Some(last) = self.ending.bases.last().copied() else {
            return Ok(self.no_segment(mark));
        };
        let before = self.ending.bases.iter().rev().nth(1).copied();
        match mark {
            None => self.mark_lost(last)?,
            Some(mark) if mark.base > last => self.segment_of_mark_missing(mark),
            Some(mark) if mark.base == last => self.mark_in_last(last, mark)?,
            Some(mark) => match before {
                Some(before) => self.mark_before_last(before, last, mark)?,
                None => self.mark_lost(last)?,
            },
        }
        Ok(self.ending)
    }

    /// A spare whose activation fits behind the last segment *is* the next one. One that begins
    /// where the last one does replaces it: no event stands in that.
    fn adopt_spare(&mut self, spares: &[String], mark: Option<&Mark>) -> Result<(), OpenError> {
        for name in spares {
            let activation = self
                .header(name, None)?
                .and_then(|header| header.activation);
            let adopted = self.ending.rename.is_some();
            match activation {
                Some(activation) if !adopted && self.fits(&activation, mark) => {
                    self.ending.rename = Some((name.clone(), activation.base));
                    if self.ending.bases.last() != Some(&activation.base) {
                        self.ending.bases.push(activation.base);
                    }
                }
                // No roll leaves one that belongs further back: its events may be all there are.
                Some(Activation { base, .. }) if self.is_missing(base) => {
                    self.damaged(name, Some(base), 0, "the name of the segment that it is");
                }
                _ => self.ending.unlink.push(name.clone()),
            }
        }
        Ok(())
    }

    /// Whether segments stand around the place of this one, and none in it.
    fn is_missing(&self, base: u64) -> bool {
        let bases = &self.ending.bases;
        bases.last().is_some_and(|last| base < *last) && !bases.contains(&base)
    }

    fn fits(&self, activation: &Activation, mark: Option<&Mark>) -> bool {
        let mut bases = self.ending.bases.iter().rev().copied();
        let (last, before) = (bases.next(), bases.next());
        let previous = activation.previous.map(|(base, _)| base);
        let behind = previous == last && last.is_none_or(|last| activation.base > last);
        // Without a mark too it is all that is left: a log has a mark before its first segment.
        let alone = last.is_none() && mark.is_none();
        // Without a segment before, the one that it names was trimmed. A roll replaces one in which
        // no durable event stands; else this is damage, and the segment has its name.
        let empty = mark.is_none_or(|mark| mark.offset <= activation.base);
        let replaces = previous == before || before.is_none();
        let instead = last == Some(activation.base) && replaces && empty;
        behind || instead || alone
    }

    /// Row 1: no segment. A new log begins at 0; one whose segments were all taken away goes on at
    /// the mark.
    fn no_segment(mut self, mark: Option<Mark>) -> Ending {
        if let Some(mark) = mark {
            self.ending.end = mark.offset;
            self.ending.time = mark.time;
            // Retention never takes the segment in which the mark stands.
            if mark.base < mark.offset {
                let name = segment::name_of(mark.base);
                self.damaged(&name, Some(mark.base), 0, "the segment of the durable mark");
            }
        }
        self.ending
    }

    /// Row 2: the mark does not verify. What stands below the last segment is taken as durable.
    fn mark_lost(&mut self, last: u64) -> Result<(), OpenError> {
        let name = self.name(last);
        let Some(header) = self.header(&name, Some(last))? else {
            // Nothing says how much is lost with it.
            return Err(OpenError::Damaged(Corruption {
                file: name,
                offset: Some(last),
                position: 0,
                expected: "a segment header, or a durable mark",
            }));
        };
        self.damaged(crate::mark_file::NAME, None, 0, "a durable mark");
        let start = place_of(&header, HEADER_BYTES, last, None);
        self.scan_last(
            Candidate {
                name,
                base: last,
                header,
            },
            start,
        )
    }

    /// Row 3: the segment in which the mark stands is not there. Everything below the mark that is
    /// missing is told as corrupt; the log goes on at the mark.
    fn segment_of_mark_missing(&mut self, mark: Mark) {
        let name = segment::name_of(mark.base);
        self.damaged(&name, Some(mark.base), 0, "the segment of the durable mark");
        self.end_at_mark(mark);
    }

    /// Row 4: the mark stands in the last segment: what is valid behind the mark is kept.
    fn mark_in_last(&mut self, last: u64, mark: Mark) -> Result<(), OpenError> {
        let name = self.name(last);
        // Without an event below the mark, the whole segment is looked at: it may have replaced the
        // one in which the mark's frame position was.
        let whole = mark.offset == last;
        let header = self.header(&name, Some(last))?;
        let expected = match header {
            Some(_) => "the frames below the durable mark",
            None => "a segment header",
        };
        let Some(header) = header.filter(|header| whole || reaches(header, &mark)) else {
            self.unreadable(last, mark, expected);
            return Ok(());
        };
        let start = if whole {
            place_of(&header, HEADER_BYTES, last, None)
        } else {
            let at = to_usize_saturating(mark.position);
            place_of(&header, at, mark.offset, Some(&mark))
        };
        self.ending.time = mark.time;
        let base = last;
        self.scan_last(Candidate { name, base, header }, start)
    }

    /// Row 5: the last segment cannot be read, and the mark says how far it was durable.
    fn unreadable(&mut self, last: u64, mark: Mark, expected: &'static str) {
        let name = self.name(last);
        self.damaged(&name, Some(last), 0, expected);
        if mark.offset == last {
            // No durable event stands in it; the segment that follows has the same name.
            self.ending.bases.pop();
            self.ending.unlink.push(name);
        }
        self.end_at_mark(mark);
    }

    fn end_at_mark(&mut self, mark: Mark) {
        self.ending.end = mark.offset;
        self.ending.time = mark.time;
        self.ending.epochs.push((mark.epoch, mark.offset));
    }

    /// Rows 6 and 7: the mark stands before the last segment: a roll was under way.
    fn mark_before_last(&mut self, before: u64, last: u64, mark: Mark) -> Result<(), OpenError> {
        let name = segment::name_of(before);
        let header = self.header(&name, Some(before))?;
        let at_mark = mark.base == before;
        let Some(header) = header.filter(|header| !at_mark || reaches(header, &mark)) else {
            self.damaged(&name, Some(before), 0, "a segment header");
            return self.successor_of_unreadable(last, at_mark.then_some(mark));
        };
        let start = if at_mark {
            place_of(
                &header,
                to_usize_saturating(mark.position),
                mark.offset,
                Some(&mark),
            )
        } else {
            // A stale mark: the roll into `before` was on disk before the next one began.
            place_of(&header, HEADER_BYTES, before, None)
        };
        self.ending.time = mark.time;
        let keys = keys_of(&header);
        let scanned = self.look.scan(&name, start, &keys)?;
        let next_name = self.name(last);
        let next = self
            .header(&next_name, Some(last))?
            .filter(|next| follows(next, before) && scanned.end.offset == last);
        self.ending
            .unsure
            .push((name.clone(), start.at, scanned.end.at));
        match next {
            Some(next) => {
                self.met(&scanned);
                let start = place_of(&next, HEADER_BYTES, last, None);
                self.scan_last(
                    Candidate {
                        name: next_name,
                        base: last,
                        header: next,
                    },
                    start,
                )
            }
            None => {
                self.drop_last(next_name);
                self.take(
                    Candidate {
                        name,
                        base: before,
                        header,
                    },
                    scanned,
                    Tail::Torn,
                );
                Ok(())
            }
        }
    }

    /// Row 7: the last segment does not follow what is on disk: none of it was durable.
    fn drop_last(&mut self, name: String) {
        self.ending.bases.pop();
        self.ending.rename = None;
        self.ending.unlink.push(name);
    }

    /// The segment before the last cannot be read. The last one may still be whole.
    fn successor_of_unreadable(&mut self, last: u64, mark: Option<Mark>) -> Result<(), OpenError> {
        let name = self.name(last);
        match (self.header(&name, Some(last))?, mark) {
            (Some(header), _) => {
                let start = place_of(&header, HEADER_BYTES, last, None);
                self.scan_last(
                    Candidate {
                        name,
                        base: last,
                        header,
                    },
                    start,
                )
            }
            (None, Some(mark)) => {
                self.drop_last(name);
                self.end_at_mark(mark);
                Ok(())
            }
            (None, None) => Err(OpenError::Damaged(Corruption {
                file: name,
                offset: Some(last),
                position: 0,
                expected: "a segment header, here or in the segment before",
            })),
        }
    }

    fn scan_last(&mut self, candidate: Candidate, start: Place) -> Result<(), OpenError> {
        let keys = keys_of(&candidate.header);
        let scanned = self.look.scan(&candidate.name, start, &keys)?;
        self.ending
            .unsure
            .push((candidate.name.clone(), start.at, scanned.end.at));
        let tail = scanned.tail;
        self.take(candidate, scanned, tail);
        Ok(())
    }

    /// The log ends here.
    fn take(&mut self, candidate: Candidate, scanned: Scanned, tail: Tail) {
        self.met(&scanned);
        let Candidate { name, base, header } = candidate;
        if let Some(activation) = &header.activation {
            self.ending.epochs.push((activation.epoch, base));
            self.ending.time = self.ending.time.max(activation.time);
        }
        self.ending.end = scanned.end.offset;
        if tail == Tail::Torn {
            self.ending.report.torn = Some(TornTail {
                file: name.clone(),
                position: to_u64(scanned.end.at),
                offset: scanned.end.offset,
            });
        }
        self.ending.last = Some(LastSegment {
            name,
            header,
            end: scanned.end,
            tail,
        });
    }

    fn met(&mut self, scanned: &Scanned) {
        self.ending.epochs.extend_from_slice(&scanned.epochs);
        self.ending.time = self.ending.time.max(scanned.time.unwrap_or_default());
    }

    /// The name under which a segment stands now.
    fn name(&self, base: u64) -> String {
        match &self.ending.rename {
            Some((name, renamed)) if *renamed == base => name.clone(),
            _ => segment::name_of(base),
        }
    }

    /// A header that is this log's, activated at `base` if one is given; `None` if it is damaged.
    fn header(
        &mut self,
        name: &str,
        base: Option<u64>,
    ) -> Result<Option<SegmentHeader>, OpenError> {
        match self.look.header(name)? {
            Ok(header) if header.making.log != self.log => {
                Err(OpenError::Foreign { file: name.into() })
            }
            Ok(header) => {
                let active = header.activation.as_ref().map(|activation| activation.base);
                Ok((base.is_none() || active == base).then_some(header))
            }
            Err(HeaderFault::Newer(found)) => Err(OpenError::Newer {
                file: name.into(),
                found,
                supported: VERSION,
            }),
            Err(_) => Ok(None),
        }
    }

    fn damaged(&mut self, file: &str, offset: Option<u64>, position: u64, expected: &'static str) {
        let corruption = Corruption {
            file: file.into(),
            offset,
            position,
            expected,
        };
        self.ending.report.damaged.push(corruption);
    }
}

pub(super) fn keys_of(header: &SegmentHeader) -> Keys {
    Keys {
        log: header.making.log,
        salt: header.making.salt,
        mirror: header
            .activation
            .as_ref()
            .is_some_and(|activation| activation.mirror),
    }
}

fn place_of(header: &SegmentHeader, at: usize, offset: u64, mark: Option<&Mark>) -> Place {
    let activation = header
        .activation
        .as_ref()
        .map(|activation| activation.epoch);
    let epoch = mark
        .map(|mark| mark.epoch)
        .or(activation)
        .unwrap_or_default();
    Place {
        at,
        offset,
        epoch,
        context: keys_of(header).context(epoch),
    }
}

/// Whether the mark's frame position can stand in this segment.
fn reaches(header: &SegmentHeader, mark: &Mark) -> bool {
    let position = to_usize_saturating(mark.position);
    (HEADER_BYTES..=to_usize(header.making.bytes)).contains(&position)
}

fn follows(header: &SegmentHeader, before: u64) -> bool {
    header
        .activation
        .as_ref()
        .is_some_and(|activation| activation.previous.is_some_and(|(base, _)| base == before))
}

fn to_usize_saturating(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}
