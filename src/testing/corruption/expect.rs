//! What must come of a damage: decided from the bytes that differ, not from how recovery works.

use super::damage::Damage;
use super::truth::{FrameTruth, Truth, is_segment, options};
use crate::format::HEADER_BYTES;
use crate::history::Verdict;
use crate::reader::{Scan, Scanner};
use crate::segment;
use crate::store::Shared;
use crate::{Gap, GapReason, OpenError, recovery};
use std::sync::Arc;

type Checked = Result<(), String>;
type Changed = Option<(String, Option<Vec<u8>>)>;

macro_rules! ensure {
    ($good:expr, $($text:tt)+) => {
        if !$good {
            return Err(format!($($text)+));
        }
    };
}

/// Damages the log, opens it, and reads all of it; with `again`, as if killed, once more.
pub(super) fn check(truth: &Truth, damage: &Damage, again: bool) -> Checked {
    let (dir, changed) = damage.dir(truth);
    let expected = Expected::of(truth, &changed);
    for open in ["first", "second"].into_iter().take(1 + usize::from(again)) {
        let recovered = match recovery::open(Arc::new(dir.clone()), &options()) {
            Ok(recovered) => recovered,
            Err(error) if expected.may_refuse(&error) => return Ok(()),
            Err(error) => return Err(format!("{open} open: {error:?}")),
        };
        let shared = Shared::new(recovered, options());
        let read = read_all(truth, &shared).map_err(|wrong| format!("{open} open: {wrong}"))?;
        let checked = expected.compare(truth, &shared, &read);
        checked.map_err(|wrong| format!("{open} open: {wrong}"))?;
    }
    Ok(())
}

/// The gaps that a reader from the first event on is told. What comes between them is compared
/// with the truth, byte for byte.
fn read_all(truth: &Truth, shared: &Shared) -> Result<Vec<Gap>, String> {
    let mut scanner = Scanner::new(0);
    let mut gaps = Vec::new();
    let mut next = 0;
    loop {
        let limit = shared.marks.next();
        match scanner.advance(shared, limit, |_| true) {
            Err(error) => return Err(format!("reading at {next}: {error}")),
            Ok(Scan::Done) => {
                ensure!(next == limit, "read to {next} of {limit}");
                return Ok(gaps);
            }
            Ok(Scan::Event(segment, spot)) => {
                ensure!(spot.offset == next, "{} where {next} is due", spot.offset);
                let record = segment.region().bytes(spot.at..spot.at + spot.bytes);
                let event = truth.events.get(usize::try_from(next).unwrap());
                let same = event.is_some_and(|event| {
                    record == Some(&event.record[..]) && spot.time == event.time
                });
                ensure!(same, "event {next} has other bytes");
                next += 1;
            }
            Ok(Scan::Gap(gap)) => {
                let dense = gap.from == next && gap.to > next && gap.to <= limit;
                ensure!(
                    dense && gap.reason == GapReason::Corrupt,
                    "{gap:?} at {next}"
                );
                next = gap.to;
                gaps.push(gap);
            }
        }
    }
}

/// What must come.
struct Expected {
    /// The end of the log. With a damaged mark file the mark is not known to have been there.
    end: u64,
    /// Offsets below the end that cannot come.
    lost: Vec<u64>,
    refusable: bool,
}

impl Expected {
    fn of(truth: &Truth, changed: &Changed) -> Self {
        let mut expected = Self {
            end: truth.end(),
            lost: Vec::new(),
            refusable: false,
        };
        let Some((file, bytes)) = changed else {
            return expected;
        };
        let original = &truth.files[file];
        // The identity stands twice in one file: nothing is left if both are gone.
        let identity = |bytes: &[u8]| bytes.get(..64) == original.get(..64);
        expected.refusable = file == "wakelog.meta"
            && !bytes.as_ref().is_some_and(|bytes| {
                identity(bytes) || bytes.get(512..576) == original.get(512..576)
            });
        if is_segment(file) {
            expected.in_segment(truth, segment::parse_name(file).unwrap(), bytes.as_deref());
        }
        expected
    }

    fn in_segment(&mut self, truth: &Truth, base: u64, bytes: Option<&[u8]>) {
        let original = &truth.files[&segment::name_of(base)];
        // A file without a whole header is none; one copy of the header is enough.
        let bytes = bytes
            .filter(|bytes| bytes.len() >= HEADER_BYTES)
            .unwrap_or_default();
        let whole = |range: std::ops::Range<usize>| bytes.get(range.clone()) == original.get(range);
        for frame in truth.frames.iter().filter(|frame| frame.base == base) {
            if frame.offsets.start < truth.mark {
                if !whole(frame.bytes.clone()) {
                    self.lost.extend(frame.offsets.clone());
                }
            } else if !whole(frame.padded()) {
                // What was not durable ends at the first frame that is not whole.
                self.end = self.end.min(frame.offsets.start);
            }
        }
    }

    fn may_refuse(&self, error: &OpenError) -> bool {
        self.refusable && matches!(error, OpenError::Damaged(_))
    }

    fn compare(&self, truth: &Truth, shared: &Shared, gaps: &[Gap]) -> Checked {
        let end = shared.marks.next();
        ensure!(end == self.end, "the end is {end}, not {}", self.end);
        ensure!(
            shared.marks.durable() == end,
            "open left {} durable",
            shared.marks.durable()
        );
        let lost: Vec<u64> = gaps.iter().flat_map(|gap| gap.from..gap.to).collect();
        ensure!(
            lost == self.lost,
            "gaps {gaps:?}, but lost are {:?}",
            self.lost
        );
        self.positions(truth, shared)
    }

    /// Positions of all epochs, of the one that lost its tail too.
    fn positions(&self, truth: &Truth, shared: &Shared) -> Checked {
        ensure!(shared.log_id() == truth.log, "another log");
        for position in &truth.positions {
            let verdict = shared.judge(position);
            let good = match verdict {
                Verdict::Valid => position.offset <= self.end,
                Verdict::Diverged(gap) => {
                    let reason = GapReason::Diverged;
                    gap == Gap {
                        from: self.end,
                        to: position.offset,
                        reason,
                    } && gap.from < gap.to
                }
                Verdict::Reset => false,
            };
            ensure!(good, "{position} is {verdict:?}");
        }
        Ok(())
    }
}

/// Not every frame ends at a multiple of eight, and the mark stands between two frames: otherwise
/// the cases above would be missing.
#[test]
fn the_log_has_what_the_cases_need() {
    for ended in [super::Ended::Closed, super::Ended::Killed] {
        let truth = Truth::new(ended);
        let padded = |frame: &&FrameTruth| frame.padded() != frame.bytes;
        assert!(truth.frames.iter().filter(padded).count() > 10);
        assert!(
            truth
                .frames
                .iter()
                .filter(|f| f.offsets.end - f.offsets.start == 4)
                .count()
                > 3
        );
        assert!(
            truth
                .frames
                .iter()
                .any(|frame| frame.offsets.start == truth.mark)
                || { ended == super::Ended::Closed && truth.mark == truth.end() }
        );
        assert_eq!(truth.bases().len(), 4);
        let undurable = truth.end() - truth.mark;
        assert!(if ended == super::Ended::Closed {
            undurable == 0
        } else {
            undurable > 10
        });
    }
}
