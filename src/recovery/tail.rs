//! Making the end good: what is recovered is put on disk, a new epoch begins, the log goes on.
//!
//! The order matters, each step may be the last before a crash: drop what is above the end; sync
//! what is recovered; lower the cursors; record the epoch; go on in the segment or in a new one;
//! move the mark.

use super::ending::{Ending, Finder, LastSegment, Look, keys_of};
use super::epochs::{self, EpochsFound};
use super::identity;
use super::listing::{EPOCHS, Listing};
use super::survey::read_mark;
use super::{DurablePlace, Recovered};
use crate::cursor_file::CursorFile;
use crate::dir::Directory;
use crate::error::{Corruption, OpenError};
use crate::format::{
    Activation, EpochRecord, FrameBuffer, HEADER_BYTES, HeaderFault, Mark, Meta, SegmentHeader,
};
use crate::history::History;
use crate::host;
use crate::mark_file::MarkFile;
use crate::options::Options;
use crate::segment::{self, Keys, Place, Scanned, Segment, SegmentWriter, Tail};
use crate::types::{Epoch, LogId, to_u64};
use std::io;
use std::sync::Arc;

pub(super) struct Recovery<'a> {
    pub(super) dir: &'a Arc<dyn Directory>,
    options: &'a Options,
    pub(super) meta: &'a Meta,
    /// Handles of this process have seen bytes that a failed sync may have taken back: the log goes
    /// on in a new segment, whatever stands behind the end (docs/memory.md, M6).
    shown: bool,
    /// Where a mirror that holds nothing yet begins.
    pub(super) begin: Option<(Epoch, u64)>,
}

/// See [`super::open`] and [`super::reopen`]; `cursors` are those of a log that is open already.
pub(super) fn recover(
    dir: &Arc<dyn Directory>,
    options: &Options,
    meta: &Meta,
    cursors: Option<&CursorFile>,
    begin: Option<(Epoch, u64)>,
) -> Result<Recovered, OpenError> {
    Recovery {
        dir,
        options,
        meta,
        shown: cursors.is_some(),
        begin,
    }
    .run(cursors)
}

/// Whether the close has synced all that was found. An epoch that has begun since counts no event,
/// and its sync may have failed; that of the header of a new segment, too.
fn is_synced(ending: &Ending, mark: Option<Mark>) -> bool {
    let nothing_above = matches!(&ending.unsure[..], [(_, from, to)] if from == to);
    nothing_above && ending.rename.is_none() && mark.is_some_and(|mark| mark.closed)
}

impl Recovery<'_> {
    fn run(&self, open_cursors: Option<&CursorFile>) -> Result<Recovered, OpenError> {
        let log = self.meta.log;
        let mark = read_mark(&**self.dir, self.meta).map_err(self.io("read the mark"))?;
        let found = epochs::read(&**self.dir, log).map_err(self.io("read the epochs"))?;
        let listing = Listing::read(&**self.dir).map_err(self.io("list"))?;
        let mut look = Mapped(&**self.dir, self.meta.log);
        let ending = Finder::new(&mut look, log, &listing).find(&listing.spares, mark);
        let mut ending = ending.map_err(|error| identity::which_is_foreign(&**self.dir, error))?;
        // Nothing was changed so far: the log may have been refused.
        let (mut mark_file, mark) =
            MarkFile::open(&**self.dir, log).map_err(self.io("read the mark"))?;
        let lowered_to = if self.is_mirror() {
            let mark = (&mut mark_file, mark);
            self.as_mirror(&mut ending, &found, &mut look, mark)?
        } else {
            tell_lost_segments(&found, &mut ending);
            ending.end
        };
        let orphan = |base: &&u64| !ending.bases.contains(base);
        let orphans = listing.indexes.iter().filter(orphan);
        let orphans: Vec<_> = orphans.map(|base| segment::index_name_of(*base)).collect();
        ending.unlink.extend(orphans);
        self.drop_files(&ending)?;
        // Before a spare has its name: until then the next open knows that it was adopted.
        if !is_synced(&ending, mark) {
            self.rewrite(&ending).map_err(self.io("sync"))?;
        }
        self.settle_files(&mut ending).map_err(self.io("clean"))?;
        let cursors = match open_cursors {
            Some(cursors) => {
                cursors
                    .lower(lowered_to)
                    .map_err(self.io("lower the cursors"))?;
                None
            }
            None => Some(self.open_cursors(&mut ending, lowered_to)?),
        };
        let (epoch, history) = self.begin_epoch(&found, &ending, mark)?;
        if mark.is_none() && ending.bases.is_empty() {
            self.first_mark(&mut mark_file, &ending, epoch)
                .map_err(self.io("write the mark"))?;
        }
        let (active, writer) = self.go_on(&mut ending, epoch)?;
        let durable = DurablePlace {
            offset: ending.end,
            segment: Arc::clone(&active),
            at: writer.place().at,
            epoch,
            time: ending.time,
        };
        let mark_file = self
            .move_mark(mark_file, &durable)
            .map_err(self.io("write the mark"))?;
        Ok(Recovered {
            dir: Arc::clone(self.dir),
            meta: self.meta.clone(),
            lock: None,
            bases: ending.bases,
            active,
            writer: Some(writer),
            next: ending.end,
            time: ending.time,
            history,
            durable,
            mark_file: Some(mark_file),
            cursors,
            report: ending.report,
        })
    }

    pub(super) fn io(&self, operation: &'static str) -> impl Fn(io::Error) -> OpenError {
        let path = self.dir.path().to_path_buf();
        move |error| OpenError::from_io(&path, operation, error)
    }

    /// Drops what is above the end, and what did not come to its rename.
    fn drop_files(&self, ending: &Ending) -> Result<(), OpenError> {
        for name in &ending.unlink {
            match self.dir.unlink(name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(OpenError::from_io(
                        self.dir.path().join(name),
                        "unlink",
                        error,
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives an adopted spare its name. The directory is synced before anything else happens: no
    /// file of the same name as one that was dropped may follow too early.
    fn settle_files(&self, ending: &mut Ending) -> io::Result<()> {
        if let Some((spare, base)) = ending.rename.take() {
            let name = segment::name_of(base);
            self.dir
                .open_region(&spare, HEADER_BYTES)?
                .region()
                .sync(0..HEADER_BYTES)?;
            self.dir.rename(&spare, &name)?;
            if let Some(last) = ending.last.as_mut().filter(|last| last.name == spare) {
                last.name.clone_from(&name);
            }
            for (file, _, _) in ending
                .unsure
                .iter_mut()
                .filter(|(file, _, _)| *file == spare)
            {
                file.clone_from(&name);
            }
        }
        self.dir.sync()
    }

    /// Writes what may not be on disk again, with the same bytes, and syncs it: after a failed sync
    /// the kernel holds the pages for clean.
    fn rewrite(&self, ending: &Ending) -> io::Result<()> {
        for (name, from, to) in &ending.unsure {
            let mut writer = self.dir.open_region(name, HEADER_BYTES)?;
            writer.publish(*to);
            if !sabotaged!("reopen-without-rewrite") {
                writer.rewrite(0..HEADER_BYTES)?;
                writer.rewrite(*from..*to)?;
            }
            writer.region().sync(0..HEADER_BYTES)?;
            writer.region().sync(*from..*to)?;
        }
        Ok(())
    }

    fn open_cursors(&self, ending: &mut Ending, end: u64) -> Result<CursorFile, OpenError> {
        let dir = Arc::clone(self.dir);
        let (cursors, faults) =
            CursorFile::open(dir, self.meta, end, self.options.max_cursors_value())?;
        ending.report.damaged.extend(faults);
        Ok(cursors)
    }

    fn begin_epoch(
        &self,
        found: &EpochsFound,
        ending: &Ending,
        mark: Option<Mark>,
    ) -> Result<(Epoch, History), OpenError> {
        let complete = found.is_complete(mark.map(|mark| mark.epoch));
        let mut met = ending.epochs.clone();
        if !complete {
            met.extend(self.epochs_in_segments(ending)?);
        }
        let history = found.history().completed(&met);
        if let Some(epoch) = history.newest().filter(|_| self.is_mirror()) {
            if !complete {
                let bytes = found.bytes_of(self.meta.log, &history);
                let written = identity::replace(&**self.dir, EPOCHS, &bytes);
                written.map_err(self.io("write the epochs"))?;
            }
            return Ok((epoch, history));
        }
        let newest = history
            .newest()
            .into_iter()
            .chain(mark.map(|mark| mark.epoch));
        let newest = newest.map(|epoch| epoch.counter).max().unwrap_or(0);
        let used_up = || {
            OpenError::Damaged(Corruption {
                file: EPOCHS.into(),
                offset: None,
                position: 0,
                expected: "an epoch counter below 2^32 - 1",
            })
        };
        let epoch = match self.begin {
            Some((epoch, _)) => epoch,
            None if sabotaged!("epoch-reused") && history.newest().is_some() => {
                history.newest().unwrap_or_default()
            }
            None => Epoch {
                counter: newest.checked_add(1).ok_or_else(used_up)?,
                tag: u32::from_le_bytes(host::random().map_err(self.io("begin an epoch"))?),
            },
        };
        let record = EpochRecord {
            epoch,
            first: ending.end,
            began: host::now(),
        };
        found
            .append(&**self.dir, self.meta.log, record, &history, complete)
            .map_err(self.io("write the epochs"))?;
        Ok((epoch, history.with(epoch, ending.end)))
    }

    /// Every epoch that left a trace in a segment, for when records are damaged or missing: the one
    /// case in which open looks at more than two segments.
    fn epochs_in_segments(&self, ending: &Ending) -> Result<Vec<(Epoch, u64)>, OpenError> {
        let mut epochs = Vec::new();
        let mut look = Mapped(&**self.dir, self.meta.log);
        for base in &ending.bases {
            let name = segment::name_of(*base);
            let Ok(header) = look.header(&name)? else {
                continue;
            };
            let Some(activation) = &header.activation else {
                continue;
            };
            epochs.push((activation.epoch, activation.base));
            let keys = keys_of(&header);
            let context = keys.context(activation.epoch);
            let start = Place {
                at: HEADER_BYTES,
                offset: *base,
                epoch: activation.epoch,
                context,
            };
            epochs.extend(look.scan(&name, start, &keys)?.epochs);
        }
        Ok(epochs)
    }

    /// Goes on behind the last frame if there is nothing but zeros and room, in a new segment
    /// otherwise; also if somebody has made the file shorter or longer than its header says, which
    /// the next open would hold the frames against.
    fn go_on(
        &self,
        ending: &mut Ending,
        epoch: Epoch,
    ) -> Result<(Arc<Segment>, SegmentWriter), OpenError> {
        let mut mark = FrameBuffer::new();
        mark.epoch(epoch, host::now());
        if let Some(last) = ending
            .last
            .take_if(|last| last.tail == Tail::Clean && !self.shown)
        {
            let mapped = self.dir.open_region(&last.name, HEADER_BYTES);
            let region = mapped.map_err(self.io("map a segment"))?;
            let log = self.meta.log;
            let base = ending.bases.last().copied().unwrap_or_default();
            let whole = segment::is_as_long_as_made(region.region(), log, base);
            let segment = Segment::new(&last.header, region.region().clone()).filter(|_| whole);
            if !whole {
                ending.report.damaged.push(Corruption {
                    file: last.name.clone(),
                    offset: Some(ending.end),
                    position: to_u64(region.region().len()),
                    expected: "a segment as long as its header says",
                });
            }
            let mut writer = SegmentWriter::new(region, last.end);
            if let Some(segment) = segment.filter(|_| writer.fits(mark.bytes())) {
                if self.is_mirror() && last.end.epoch == epoch {
                    return Ok((Arc::new(segment), writer));
                }
                writer.enter(&segment, epoch);
                writer.append(&mut mark, ending.time);
                let region = segment.region();
                region
                    .sync(last.end.at..writer.place().at)
                    .map_err(self.io("sync"))?;
                return Ok((Arc::new(segment), writer));
            }
            ending.last = Some(last);
        }
        self.cut(ending, epoch)
    }

    /// A new segment at the recovered end. Its header says where the valid bytes of the one before
    /// end.
    fn cut(
        &self,
        ending: &mut Ending,
        epoch: Epoch,
    ) -> Result<(Arc<Segment>, SegmentWriter), OpenError> {
        let base = ending.end;
        let end_of = |last: &LastSegment| u32::try_from(last.end.at).unwrap_or(u32::MAX);
        let torn = ending
            .last
            .as_ref()
            .is_some_and(|last| last.tail == Tail::Torn);
        let mut before = (ending.last.as_ref().map_or(0, end_of), torn);
        if ending.bases.last() == Some(&base) {
            // No event stands in it. The new one takes its name and its place by the rename: were
            // it unlinked first, a loss of power in between would leave a mark without its segment.
            let replaced = ending.last.take().and_then(|last| last.header.activation);
            before = replaced.map_or((0, false), |replaced| {
                (replaced.previous.map_or(0, |(_, end)| end), replaced.cut)
            });
            ending.bases.pop();
        }
        let make = self.io("make a segment");
        let bytes = self.options.first_segment_bytes();
        let spare = segment::make(&**self.dir, self.meta.log, bytes).map_err(&make)?;
        let name = spare.name.clone();
        let (previous_end, cut) = before;
        let previous = ending
            .bases
            .last()
            .map(|previous| (*previous, previous_end));
        let activation = Activation {
            base,
            epoch,
            previous,
            cut,
            mirror: self.is_mirror(),
            time: ending.time,
        };
        let (segment, writer) = segment::activate(spare, activation);
        segment.region().sync(0..HEADER_BYTES).map_err(&make)?;
        self.dir
            .rename(&name, &segment::name_of(base))
            .map_err(&make)?;
        self.dir.sync().map_err(&make)?;
        ending.bases.push(base);
        Ok((segment, writer))
    }

    /// A new log has a mark before it has a segment: one that has none has lost it. Its name is on
    /// disk with that of the segment on its way.
    fn first_mark(&self, file: &mut MarkFile, ending: &Ending, epoch: Epoch) -> io::Result<()> {
        file.write(Mark {
            sequence: 0,
            offset: ending.end,
            base: ending.end,
            position: to_u64(HEADER_BYTES),
            epoch,
            time: ending.time,
            closed: false,
        })?;
        file.sync()
    }

    fn move_mark(&self, mut file: MarkFile, durable: &DurablePlace) -> io::Result<MarkFile> {
        file.write(Mark {
            sequence: 0,
            offset: durable.offset,
            base: durable.segment.base(),
            position: to_u64(durable.at),
            epoch: durable.epoch,
            time: durable.time,
            closed: false,
        })?;
        file.sync()?;
        self.dir.sync()?;
        Ok(file)
    }
}

/// A log that has had events has a segment, since retention does not take the last one. Where the
/// mark is an old one or lost, the epochs may still know of them.
fn tell_lost_segments(found: &EpochsFound, ending: &mut Ending) {
    let history = found.history();
    let later = history.entries().iter().any(|(_, first)| *first > 0);
    let untold = ending.report.damaged.is_empty();
    if ending.bases.is_empty() && untold && (ending.end > 0 || later) {
        ending.report.damaged.push(Corruption {
            file: segment::name_of(ending.end),
            offset: Some(ending.end),
            position: 0,
            expected: "a segment: the log has had events",
        });
    }
}

/// Looks at segments through a map: nobody else writes them.
struct Mapped<'a>(&'a dyn Directory, LogId);

impl Mapped<'_> {
    fn io<'e>(&'e self, name: &'e str) -> impl Fn(io::Error) -> OpenError + 'e {
        move |error| OpenError::from_io(self.0.path().join(name), "read", error)
    }
}

impl Look for Mapped<'_> {
    fn header(&mut self, name: &str) -> Result<Result<SegmentHeader, HeaderFault>, OpenError> {
        match self.0.open_region(name, HEADER_BYTES) {
            Ok(writer) => Ok(segment::read_header(
                writer.region(),
                self.1,
                segment::parse_name(name),
            )),
            // Too short for a header, or not a regular file.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Ok(Err(HeaderFault::Damaged))
            }
            Err(error) => Err(self.io(name)(error)),
        }
    }

    fn scan(&mut self, name: &str, start: Place, keys: &Keys) -> Result<Scanned, OpenError> {
        let writer = self
            .0
            .open_region(name, HEADER_BYTES)
            .map_err(self.io(name))?;
        Ok(segment::scan(
            writer.unpublished(),
            HEADER_BYTES,
            start,
            keys,
        ))
    }
}
