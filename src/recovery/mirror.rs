//! What is different when the log is a mirror: offsets and epochs come from a source, and what the
//! source does not stand by any more is dropped.

use super::ending::{Ending, Look};
use super::epochs::EpochsFound;
use super::tail::Recovery;
use crate::error::OpenError;
use crate::format::{HEADER_BYTES, Mark, MetaKind};
use crate::mark_file::{self, MarkFile};
use crate::segment;
use crate::types::{Epoch, MAX_OFFSET, to_u64};
use std::io;

impl Recovery<'_> {
    pub(super) fn is_mirror(&self) -> bool {
        self.meta.kind == MetaKind::Mirror
    }

    /// Finishes what [`super::begin_epoch`] may have begun; returns the offset above which no
    /// cursor may stand.
    ///
    /// The record of an epoch comes first and its first frame last, so an epoch without a frame is
    /// one that was being entered: what stands at or above its first offset is of an older epoch.
    pub(super) fn as_mirror(
        &self,
        ending: &mut Ending,
        found: &EpochsFound,
        look: &mut dyn Look,
        (mark_file, mark): (&mut MarkFile, Option<Mark>),
    ) -> Result<u64, OpenError> {
        let begin = self.begin.filter(|_| mark.is_none());
        if let Some((_, first)) = begin.filter(|_| ending.bases.is_empty()) {
            ending.end = first;
            return Ok(MAX_OFFSET);
        }
        // The mark is written last, so its epoch has been entered too.
        let frames = ending.last.as_ref().map(|last| last.end.epoch);
        let entered = frames.into_iter().chain(mark.map(|mark| mark.epoch));
        let entered = entered.map(|epoch| epoch.counter).max().unwrap_or(0);
        let history = found.history();
        let newer = history.entries().iter();
        let newer = newer.filter(|(epoch, _)| epoch.counter > entered);
        let Some(first) = newer.map(|(_, first)| *first).min() else {
            // What a power loss has taken comes again, with the same bytes: nobody is lowered.
            return Ok(MAX_OFFSET);
        };
        if first < ending.end {
            // Where a drop that was interrupted has ended.
            let floor = mark.map_or(first, |mark| mark.offset.min(first));
            let epoch = drop_from(ending, first, floor, look)?;
            // Never raised here: what stands above the mark is not on disk yet.
            if mark.is_some_and(|mark| mark.offset >= ending.end) {
                self.lower_mark(mark_file, ending, epoch)
                    .map_err(self.io("write the mark"))?;
            }
        }
        let end = ending.end;
        // What is dropped is no damage any more: it comes again. Nor is a mark that says so.
        let lowered = |file: &str| mark.is_some() && file == mark_file::NAME;
        ending.report.damaged.retain(|found| match found.offset {
            Some(offset) => offset < end,
            None => !lowered(&found.file),
        });
        Ok(first)
    }

    /// Before the files go, so that an open never looks for them. In both slots: the older mark is
    /// not a lower bound any more.
    fn lower_mark(&self, file: &mut MarkFile, ending: &Ending, epoch: Epoch) -> io::Result<()> {
        file.write_both(Mark {
            sequence: 0,
            offset: ending.end,
            base: ending.end,
            position: to_u64(HEADER_BYTES),
            epoch,
            time: ending.time,
            closed: false,
        })?;
        self.dir.sync()
    }
}

/// Drops the segment in which `first` stands and all behind it, so that the log goes on where that
/// one began, or at `floor` if it is gone with all before it. Returns the epoch in which it began.
fn drop_from(
    ending: &mut Ending,
    first: u64,
    floor: u64,
    look: &mut dyn Look,
) -> Result<Epoch, OpenError> {
    let kept = ending.bases.partition_point(|base| *base <= first);
    let dropped = ending.bases.split_off(kept.saturating_sub(1));
    let base = dropped.first().copied().filter(|base| *base <= first);
    ending.end = base.unwrap_or(floor);
    ending.time = 0;
    let mut epoch = Epoch::default();
    for base in dropped.iter().rev() {
        let name = segment::name_of(*base);
        let spare = ending.rename.take_if(|(_, renamed)| renamed == base);
        let spare = spare.map(|(spare, _)| spare);
        let header = look.header(spare.as_ref().unwrap_or(&name))?;
        if let Some(activation) = header.ok().and_then(|header| header.activation) {
            // No event of that segment is older, and none before it is newer.
            ending.time = activation.time;
            epoch = activation.epoch;
        }
        ending.unlink.push(name);
        ending.unlink.extend(spare);
    }
    ending.last = None;
    ending.report.torn = None;
    let unlink = &ending.unlink;
    ending.unsure.retain(|(name, _, _)| !unlink.contains(name));
    Ok(epoch)
}
