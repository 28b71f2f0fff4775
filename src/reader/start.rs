//! From a start to an offset.

use super::scanner::{Scan, Scanner};
use crate::error::ReadError;
use crate::history::Verdict;
use crate::options::{ReadLevel, Start};
use crate::store::{Located, Shared};
use crate::types::{FilterSet, Gap, GapReason};
use std::io;

/// The least number of events that are looked at in one step back from the end.
const STEP_BACK: u64 = 64;

/// The offset of a start, and the gap that lies before it.
pub(crate) fn start_at(
    shared: &Shared,
    start: Start,
    level: ReadLevel,
    filters: &FilterSet,
) -> Result<(u64, Option<Gap>), ReadError> {
    let io = |error| ReadError::from_io(shared.dir.path(), "read", error);
    match start {
        Start::Earliest => Ok((shared.marks.first(), None)),
        Start::Latest => Ok((shared.marks.limit(level), None)),
        Start::Offset(asked) => {
            let next = shared.judged_end();
            if asked > next {
                return Err(ReadError::Offset { asked, next });
            }
            Ok((asked, None))
        }
        Start::Position(position) => match shared.judge(&position) {
            Verdict::Valid => Ok((position.offset, None)),
            Verdict::Diverged(gap) => Ok((gap.from, Some(gap))),
            Verdict::Reset => Err(ReadError::Reset),
        },
        Start::Time(time) => Ok((first_at(shared, time, level).map_err(io)?, None)),
        Start::Last(count) => Ok((last(shared, count, level, filters).map_err(io)?, None)),
        Start::LastPerTopic => Err(ReadError::NotAPlace),
    }
}

/// The first event that is not before `time`, or the damage that may hide it.
fn first_at(shared: &Shared, time: u64, level: ReadLevel) -> io::Result<u64> {
    let limit = shared.marks.limit(level);
    let mut scanner = Scanner::new(before(shared, time)?.max(shared.marks.first()));
    let mut damage = None;
    loop {
        match scanner.advance(shared, limit, |_| true)? {
            Scan::Event(_, spot) if spot.time >= time => {
                return Ok(damage.unwrap_or(spot.offset));
            }
            Scan::Event(..) => damage = None,
            Scan::Gap(gap) if gap.reason == GapReason::Corrupt => {
                damage = damage.or(Some(gap.from));
            }
            Scan::Gap(_) => {}
            Scan::Done => return Ok(damage.unwrap_or(limit)),
        }
    }
}

/// An offset not far before the first event that is not before `time`.
fn before(shared: &Shared, time: u64) -> io::Result<u64> {
    let bases = shared.bases();
    let (mut low, mut high) = (0, bases.len());
    let mut found = None;
    while low < high {
        let middle = usize::midpoint(low, high);
        // Of segments that cannot be read, the one before them says when.
        let mut readable = None;
        for index in (low..=middle).rev() {
            if let Located::Segment { segment, below } = shared.locate(bases[index])? {
                readable = Some((index, segment, below));
                break;
            }
        }
        match readable {
            Some((index, segment, _)) if segment.began() >= time => high = index,
            Some((_, segment, below)) => {
                found = Some((segment, below));
                low = middle + 1;
            }
            None => low = middle + 1,
        }
    }
    let Some((segment, below)) = found else {
        return Ok(0);
    };
    let index = shared.index_at_hand(&segment);
    let place = index.and_then(|index| index.before_time(&segment, time));
    // An index may still speak of what was cut away, in the offsets of the segment that follows.
    Ok(place.map_or(segment.base(), |place| place.offset.min(below)))
}

/// The offset from which on so many events match. Looks back in steps that grow, since most of what
/// is wanted is near, and never over more than one segment at a time.
fn last(shared: &Shared, count: u64, level: ReadLevel, filters: &FilterSet) -> io::Result<u64> {
    let limit = shared.marks.limit(level);
    let (mut below, mut wanted) = (limit, count);
    let mut step = count.saturating_mul(2).max(STEP_BACK);
    while wanted > 0 && below > shared.marks.first() {
        let base = match shared.locate(below - 1)? {
            Located::Segment { segment, .. } => segment.base(),
            Located::Damaged { .. } => shared.base_of(below - 1),
            Located::Trimmed { first } => return Ok(first),
        };
        let from = below
            .saturating_sub(step)
            .max(base)
            .max(shared.marks.first());
        if from >= below {
            break;
        }
        let matches = Scanner::new(from).count(shared, below, filters, u64::MAX)?;
        if matches >= wanted {
            return nth(shared, from, matches - wanted, limit, filters);
        }
        wanted -= matches;
        below = from;
        step = step.saturating_mul(4);
    }
    Ok(below)
}

/// The match behind `count` others from `from` on, or the damage that may hide it.
fn nth(shared: &Shared, from: u64, count: u64, limit: u64, filters: &FilterSet) -> io::Result<u64> {
    let mut scanner = Scanner::new(from);
    scanner.count(shared, limit, filters, count)?;
    loop {
        match scanner.advance_to(shared, limit, filters)? {
            Scan::Event(_, spot) => return Ok(spot.offset),
            Scan::Gap(gap) if gap.reason == GapReason::Corrupt => return Ok(gap.from),
            Scan::Gap(_) => {}
            // It was trimmed meanwhile, or lost.
            Scan::Done => return Ok(limit),
        }
    }
}
