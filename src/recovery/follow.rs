//! Reading a log that another process may be writing: recovery's scan in memory, nothing written,
//! nothing cut.
//!
//! Bytes are taken by `read`, verified in a private buffer, and only then made readable in the map:
//! this process never looks at mapped bytes that the writer may still be changing.

use super::ending::{Ending, Look, keys_of};
use super::listing::Listing;
use super::survey::{self, Survey, read_history, read_mark};
use super::{DurablePlace, Recovered};
use crate::dir::Directory;
use crate::error::OpenError;
use crate::format::{self, FRAME_HEADER, HEADER_BYTES, HeaderFault, Mark, Meta, SegmentHeader};
use crate::history::History;
use crate::map::RegionFollower;
use crate::segment::{self, Keys, Place, Scanned, Segment, Tail};
use crate::types::{Epoch, LogId};
use std::io;
use std::sync::Arc;

const CHUNK: usize = 1 << 20;

/// A log opened for reading, and what keeps up with its writer.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) recovered: Recovered,
    pub(crate) follower: Follower,
}

/// Follows the active segment of another process.
#[derive(Debug)]
pub(crate) struct Follower {
    dir: Arc<dyn Directory>,
    meta: Meta,
    region: RegionFollower,
    keys: Keys,
    base: u64,
    place: Place,
    /// Epochs that began and are not in the history that was handed on.
    met: Vec<(Epoch, u64)>,
    /// The writer's durable mark, as it was read last.
    mark: Option<Mark>,
}

/// What a look has found.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// The next offset, if events came.
    pub(crate) next: Option<u64>,
    /// Segments that follow, in order.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// The history, if an epoch began.
    pub(crate) history: Option<History>,
    /// The writer has begun an epoch that is not where this log was followed to: it has cut what
    /// was taken for the end. Or it has trimmed the log beyond where it was followed to.
    pub(crate) was_cut: bool,
    /// The writer's durable mark, so far as it could be read.
    pub(crate) durable: u64,
    /// The same as a place: base of a segment, and frame position in it.
    pub(crate) durable_at: Option<(u64, u64)>,
    /// Base of the oldest segment.
    pub(crate) first: u64,
}

/// Opens a log for reading only. Another process may be writing it, or none.
pub(crate) fn open_read_only(dir: Arc<dyn Directory>) -> Result<Followed, OpenError> {
    survey::again(|| try_open(&dir))
}

fn try_open(dir: &Arc<dyn Directory>) -> Result<Followed, OpenError> {
    let Survey {
        meta,
        mark,
        ending,
        history,
    } = survey::look(dir)?;
    let follower = Follower::start(dir, &meta, &ending, mark)?;
    let segment = follower.segment(&ending)?;
    let durable = mark.map_or(0, |mark| mark.offset.min(ending.end));
    let durable = DurablePlace {
        offset: durable,
        segment: Arc::clone(&segment),
        at: follower.place.at,
        epoch: follower.place.epoch,
        time: ending.time,
    };
    let recovered = Recovered {
        dir: Arc::clone(dir),
        meta,
        lock: None,
        bases: ending.bases,
        active: segment,
        writer: None,
        next: ending.end,
        time: ending.time,
        history,
        durable,
        mark_file: None,
        cursors: None,
        report: ending.report,
    };
    Ok(Followed {
        recovered,
        follower,
    })
}

/// There is no segment in which the log ends: it is being made, or that segment is damaged.
fn no_end(dir: &Arc<dyn Directory>, ending: &Ending) -> OpenError {
    match ending.report.damaged.first() {
        Some(corruption) => OpenError::Damaged(corruption.clone()),
        None => OpenError::NotFound {
            path: dir.path().into(),
        },
    }
}

impl Follower {
    /// Where the writer's durable mark stands: base of a segment, and frame position in it.
    pub(crate) fn durable_at(&self) -> Option<(u64, u64)> {
        self.mark.map(|mark| (mark.base, mark.position))
    }

    fn start(
        dir: &Arc<dyn Directory>,
        meta: &Meta,
        ending: &Ending,
        mark: Option<Mark>,
    ) -> Result<Self, OpenError> {
        let last = ending.last.as_ref().ok_or_else(|| no_end(dir, ending))?;
        let io = |error| OpenError::from_io(dir.path().join(&last.name), "map", error);
        let mut region = dir.follow_region(&last.name, HEADER_BYTES).map_err(io)?;
        region.publish(last.end.at);
        let base = last
            .header
            .activation
            .as_ref()
            .map_or(0, |activation| activation.base);
        let keys = keys_of(&last.header);
        let (dir, meta) = (Arc::clone(dir), meta.clone());
        Ok(Self {
            dir,
            meta,
            region,
            keys,
            base,
            place: last.end,
            met: Vec::new(),
            mark,
        })
    }

    fn segment(&self, ending: &Ending) -> Result<Arc<Segment>, OpenError> {
        let last = ending.last.as_ref();
        let segment =
            last.and_then(|last| Segment::new(&last.header, self.region.region().clone()));
        segment
            .map(Arc::new)
            .ok_or_else(|| no_end(&self.dir, ending))
    }

    /// Looks for what the writer did since the last call. What was found before an error is in
    /// `news` all the same, and must be taken: it is not found again.
    pub(crate) fn poll(&mut self, news: &mut News) -> io::Result<()> {
        self.advance(news)?;
        let mark = read_mark(&*self.dir, &self.meta)?;
        if mark.is_some_and(|mark| mark.epoch.counter > self.place.epoch.counter) {
            // An epoch's first frame or segment is there before the mark is.
            self.advance(news)?;
            news.was_cut = mark.is_some_and(|mark| mark.epoch.counter > self.place.epoch.counter);
        }
        if !self.met.is_empty() {
            news.history = Some(read_history(&*self.dir, &self.meta, &self.met)?);
            self.met.clear();
        }
        let durable = mark.map_or(0, |mark| mark.offset);
        news.durable = durable.min(self.place.offset);
        self.mark = mark.or(self.mark);
        news.durable_at = self.durable_at();
        let listing = Listing::read(&*self.dir)?;
        news.first = listing.bases.first().copied().unwrap_or(self.base);
        // The segment that would follow has left already: there is no way on from here.
        news.was_cut |= news.first > self.place.offset;
        Ok(())
    }

    /// Takes all frames there are, through as many segments as follow.
    fn advance(&mut self, news: &mut News) -> io::Result<()> {
        loop {
            self.take_frames(news)?;
            let epoch = self.place.epoch;
            let Some(segment) = self.next_segment()? else {
                return Ok(());
            };
            if self.place.epoch != epoch {
                self.met.push((self.place.epoch, segment.base()));
            }
            news.segments.push(segment);
        }
    }

    fn take_frames(&mut self, news: &mut News) -> io::Result<()> {
        let scanned = scan_by_reading(&self.region, self.place, &self.keys)?;
        if scanned.end.at > self.place.at {
            self.region.publish(scanned.end.at);
            self.place = scanned.end;
            news.next = Some(self.place.offset);
            self.met.extend(scanned.epochs);
        }
        Ok(())
    }

    /// The segment that begins where this one ends, renamed already or still under a spare's name.
    fn next_segment(&mut self) -> io::Result<Option<Arc<Segment>>> {
        let end = self.place.offset;
        let listing = Listing::read(&*self.dir)?;
        let named = listing.bases.contains(&end).then(|| segment::name_of(end));
        for name in named.into_iter().chain(listing.spares) {
            let mut region = match self.dir.follow_region(&name, HEADER_BYTES) {
                Ok(region) => region,
                Err(error) => match error.kind() {
                    // Renamed or unlinked since the listing, or a spare that is being made: the
                    // next poll finds it.
                    io::ErrorKind::NotFound | io::ErrorKind::InvalidData => continue,
                    _ => return Err(error),
                },
            };
            let Ok(header) = segment::read_header(region.region(), self.meta.log, Some(end)) else {
                continue;
            };
            let Some(activation) = &header.activation else {
                continue;
            };
            let follows = activation.base == end
                && header.making.log == self.meta.log
                && header.making.salt != self.keys.salt;
            if !follows {
                continue;
            }
            region.publish(HEADER_BYTES);
            let Some(segment) = Segment::new(&header, region.region().clone()) else {
                continue;
            };
            self.keys = *segment.keys();
            self.base = segment.base();
            self.place = segment.start();
            self.region = region;
            return Ok(Some(Arc::new(segment)));
        }
        Ok(None)
    }
}

/// Looks at segments by reading.
pub(super) struct ByReading<'a>(pub(super) &'a dyn Directory, pub(super) LogId);

impl Look for ByReading<'_> {
    fn header(&mut self, name: &str) -> Result<Result<SegmentHeader, HeaderFault>, OpenError> {
        match self.0.follow_region(name, HEADER_BYTES) {
            Ok(region) => Ok(segment::read_header(
                region.region(),
                self.1,
                segment::parse_name(name),
            )),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Ok(Err(HeaderFault::Damaged))
            }
            Err(error) => Err(OpenError::from_io(self.0.path().join(name), "read", error)),
        }
    }

    fn scan(&mut self, name: &str, start: Place, keys: &Keys) -> Result<Scanned, OpenError> {
        let io = |error| OpenError::from_io(self.0.path().join(name), "read", error);
        let region = self.0.follow_region(name, HEADER_BYTES).map_err(io)?;
        scan_by_reading(&region, start, keys).map_err(io)
    }
}

/// Scans in chunks. What does not verify is the end here, never corruption: the writer may be about
/// to finish it.
pub(super) fn scan_by_reading(
    region: &RegionFollower,
    start: Place,
    keys: &Keys,
) -> io::Result<Scanned> {
    let mut all = Scanned {
        end: start,
        time: None,
        epochs: Vec::new(),
        tail: Tail::Clean,
    };
    let mut want = 16 << 10;
    let mut bytes = Vec::new();
    loop {
        let left = region.region().len().saturating_sub(all.end.at);
        bytes.resize(left.min(want), 0);
        let got = region.read_at(all.end.at, &mut bytes)?;
        bytes.truncate(got);
        let scanned = segment::scan(&bytes, all.end.at, all.end, keys);
        let moved = scanned.end.at > all.end.at;
        let next_frame = bytes
            .get(scanned.end.at - all.end.at..)
            .filter(|rest| rest.len() >= FRAME_HEADER)
            .and_then(format::decode_head)
            .map_or(FRAME_HEADER, |head| format::padded(head.bytes()));
        all.end = scanned.end;
        all.time = scanned.time.or(all.time);
        all.epochs.extend(scanned.epochs);
        // A frame that was cut off by the chunk is asked for whole; one that was there whole and
        // did not verify is the end.
        let whole = next_frame <= got;
        if got == 0 || (!moved && whole) || next_frame > left {
            return Ok(all);
        }
        want = CHUNK.max(next_frame);
    }
}
