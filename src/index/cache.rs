//! Indexes that are open, a bounded number of them; where they come from and where they go.

use super::build::build;
use super::run::{Bytes, Run};
use super::{Index, Unfit};
use crate::dir::Directory;
use crate::format::HEADER_BYTES;
use crate::segment::{self, Segment};
use crate::sync::Mutex;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

/// Indexes that are open at a time.
const OPEN_INDEXES: usize = 64;

/// The indexes of a log's segments.
#[derive(Debug, Default)]
pub(crate) struct Indexes {
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    by_base: HashMap<u64, (u64, Arc<Slot>)>,
    uses: u64,
}

/// What is known of one segment's index. Whoever builds holds `known`; nobody else needs it then
/// but those who would build the same.
#[derive(Debug)]
struct Slot {
    /// Two segments may have had the same base.
    salt: [u8; 16],
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    index: Arc<Index>,
    /// The file was looked at.
    looked: bool,
    /// The file has bytes that do not verify.
    distrusted: bool,
    /// The segment has bytes that do not verify, so that it cannot be indexed to its end.
    hopeless: bool,
}

impl Indexes {
    fn slot(&self, segment: &Segment) -> Arc<Slot> {
        let salt = segment.keys().salt;
        let mut slots = self.slots.lock();
        slots.uses += 1;
        let uses = slots.uses;
        let new = || {
            let known = Mutex::default();
            (uses, Arc::new(Slot { salt, known }))
        };
        let entry = slots.by_base.entry(segment.base()).or_insert_with(new);
        entry.0 = uses;
        if entry.1.salt != salt {
            *entry = new();
        }
        let slot = Arc::clone(&entry.1);
        if slots.by_base.len() > OPEN_INDEXES {
            let oldest = slots.by_base.iter().min_by_key(|(_, (used, _))| *used);
            if let Some(base) = oldest.map(|(base, _)| *base) {
                slots.by_base.remove(&base);
            }
        }
        slot
    }

    /// The index of `segment`: out of memory, out of its file, or built now. Up to the offset
    /// `below` where the next segment begins, up to the published end without one. `None`: it has
    /// bytes that do not verify, or no event. `built` is set if a file should be written.
    pub(crate) fn get(
        &self,
        dir: &dyn Directory,
        segment: &Segment,
        below: Option<u64>,
        built: &mut bool,
    ) -> Option<Arc<Index>> {
        let slot = self.slot(segment);
        let mut known = slot.known.lock();
        known.judge(segment, below);
        if known.reaches(segment, below) {
            return known.index();
        }
        // One that is sealed may have been written since by whoever writes the log.
        known.looked &= below.is_none();
        known.look(dir, segment, below);
        if !known.reaches(segment, below) && !known.hopeless {
            known.extend(segment, below);
            *built = below.is_some() && !known.hopeless;
        }
        // Of the active segment what there is helps; a sealed one is indexed whole or walked.
        let enough = below.is_none() || known.reaches(segment, below);
        enough.then(|| known.index())?
    }

    /// What is there without building anything, nor waiting for whoever builds.
    pub(crate) fn peek(&self, dir: &dyn Directory, segment: &Segment) -> Option<Arc<Index>> {
        let slot = self.slot(segment);
        let mut known = slot.known.try_lock()?;
        known.judge(segment, None);
        known.look(dir, segment, None);
        known.index()
    }

    /// Segments may have been cut, and gone on with in the same files.
    pub(crate) fn clear(&self) {
        self.slots.lock().by_base.clear();
    }

    /// Segments below `first` are gone.
    pub(crate) fn forget_below(&self, first: u64) {
        let mut slots = self.slots.lock();
        slots.by_base.retain(|base, _| *base >= first);
    }

    /// The index of this segment has bytes that do not verify: neither it nor its file is used any
    /// more.
    pub(crate) fn discard(&self, segment: &Segment) {
        let slot = self.slot(segment);
        let mut known = slot.known.lock();
        known.index = Arc::default();
        known.distrusted = true;
    }

    /// Writes the index of a segment beside it, all in one run, building it if need be; `below` as
    /// in [`Indexes::get`]. Once it is written it is read from the file. `pace` is called now and
    /// then while it is built.
    ///
    /// # Errors
    /// What the directory says. An index is derived: nobody needs to know.
    pub(crate) fn write(
        &self,
        dir: &dyn Directory,
        segment: &Segment,
        below: Option<u64>,
        pace: &dyn Fn(),
    ) -> io::Result<()> {
        let slot = self.slot(segment);
        let known = slot.known.lock();
        let whole = |run: &&Arc<Run>| match below {
            Some(below) => run.next() == below,
            None => run.covers() == segment.region().end(),
        };
        let run = known.index.runs.first().filter(whole).cloned();
        drop(known);
        let bytes = match run.as_ref().map(|run| run.bytes()) {
            Some(Bytes::Mapped(_)) => return Ok(()),
            Some(Bytes::Heap(bytes)) => Arc::clone(bytes),
            None => match build(segment, segment.start(), below, pace) {
                Ok(Some(bytes)) => bytes.into(),
                Ok(None) | Err(Unfit) => return Ok(()),
            },
        };
        let name = segment::index_name_of(segment.base());
        let temporary = format!("{name}{}", segment::TEMPORARY);
        let created = dir.create_file(&temporary).or_else(|error| {
            if error.kind() != io::ErrorKind::AlreadyExists {
                return Err(error);
            }
            dir.unlink(&temporary)?;
            dir.create_file(&temporary)
        })?;
        let written = created
            .write_at(&bytes, 0)
            .and_then(|()| dir.rename(&temporary, &name));
        if written.is_err() {
            // It would be taken away by the next open.
            let _ = dir.unlink(&temporary);
        }
        written?;
        let mut known = slot.known.lock();
        *known = Known::default();
        Ok(())
    }
}

impl Known {
    fn index(&self) -> Option<Arc<Index>> {
        (!self.index.runs.is_empty()).then(|| Arc::clone(&self.index))
    }

    fn reaches(&self, segment: &Segment, below: Option<u64>) -> bool {
        match below {
            Some(below) => self.index.next() == below && !self.index.runs.is_empty(),
            None => {
                let end = segment.region().end();
                let covers = self.index.covers().max(HEADER_BYTES);
                covers >= end
            }
        }
    }

    /// Forgets what speaks of frames that are cut away: who read before the cut may have left it.
    fn judge(&mut self, segment: &Segment, below: Option<u64>) {
        let fits = |run: &Arc<Run>| run.fits(segment) && within(run, below);
        if !self.index.runs.last().is_none_or(fits) {
            self.index = Arc::default();
            self.looked = false;
        }
    }

    /// Takes the file, once, if it is longer than what is known.
    fn look(&mut self, dir: &dyn Directory, segment: &Segment, below: Option<u64>) {
        if std::mem::replace(&mut self.looked, true) || self.distrusted {
            return;
        }
        let run = open_file(dir, segment).filter(|run| within(run, below));
        if let Some(run) = run.filter(|run| run.covers() > self.index.covers()) {
            let runs = vec![Arc::new(run)];
            self.index = Arc::new(Index { runs });
            let index = Arc::clone(&self.index);
            segment.learn(|| index.places(segment));
        }
    }

    /// Adds a run for what is not indexed yet. Runs before it that are not longer are built again
    /// together with it, so that there are few and each frame is walked a few times only.
    fn extend(&mut self, segment: &Segment, below: Option<u64>) {
        let mut runs = self.index.runs.clone();
        let end = segment.region().end();
        let mut from = self.index.end(segment);
        while let Some(last) = runs.last() {
            let length = last.covers() - last.from();
            if matches!(last.bytes(), Bytes::Mapped(_)) || length > end.saturating_sub(from.at) {
                break;
            }
            from = last.place(segment, last.from(), last.first());
            runs.pop();
        }
        // Somebody waits for it.
        let built = build(segment, from, below, &|| {});
        let Ok(bytes) = built else {
            self.hopeless = true;
            return;
        };
        let run = bytes.and_then(|bytes| Run::open(Bytes::Heap(bytes.into()), segment));
        if let Some(run) = run {
            runs.push(Arc::new(run));
            self.index = Arc::new(Index { runs });
        }
    }
}

/// Whether it speaks of nothing at or above `below`.
fn within(run: &Run, below: Option<u64>) -> bool {
    below.is_none_or(|below| run.next() <= below)
}

fn open_file(dir: &dyn Directory, segment: &Segment) -> Option<Run> {
    let name = segment::index_name_of(segment.base());
    let mut follower = dir.follow_region(&name, 0).ok()?;
    follower.region().scattered();
    follower.publish(follower.region().len());
    let run = Run::open(Bytes::Mapped(follower.region().clone()), segment)?;
    (run.from() == HEADER_BYTES && run.first() == segment.base()).then_some(run)
}
