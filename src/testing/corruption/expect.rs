//! What must come of a damage: decided from the bytes that differ, not from how recovery works.

use super::damage::{Changed, Damage};
use super::truth::{CursorTruth, DEFINITIONS, SLOTS, Truth, is_segment, options};
use super::verify;
use crate::format::{FrameBuffer, HEADER_BYTES, Limits, RecordRef};
use crate::history::Verdict;
use crate::reader::{Scan, Scanner};
use crate::segment;
use crate::store::{Shared, Wait};
use crate::types::FilterSet;
use crate::{AppendError, Gap, GapReason, NewEvent, OpenError, recovery};
use std::ops::Range;
use std::sync::Arc;

pub(super) type Checked = Result<(), String>;

macro_rules! ensure {
    ($good:expr, $($text:tt)+) => {
        if !$good {
            return Err(format!($($text)+));
        }
    };
}

/// Damages the log, opens it, and reads all of it; with `again`, appends an event, lets the process
/// die, and opens it once more.
pub(super) fn check(truth: &Truth, damage: &Damage, again: bool) -> Checked {
    let (dir, changed) = damage.dir(truth);
    let mut expected = Expected::of(truth, &changed);
    if again {
        verify::check(truth, &dir, &changed, &expected)
            .map_err(|wrong| format!("verify: {wrong}"))?;
    }
    for open in ["first", "second"].into_iter().take(1 + usize::from(again)) {
        let recovered = match recovery::open(Arc::new(dir.clone()), &options(), None) {
            Ok(recovered) => recovered,
            Err(error) if expected.may_refuse(&error) => return Ok(()),
            Err(error) => return Err(format!("{open} open: {error:?}")),
        };
        let shared = Shared::new(recovered, options());
        let checked = expected.compare(truth, &shared, again);
        checked.map_err(|wrong| format!("{open} open: {wrong}"))?;
        if again {
            let appended = append(&shared).map_err(|wrong| format!("{open} open: {wrong}"))?;
            expected.appended += u64::from(appended);
        }
    }
    Ok(())
}

/// `false`: the segment is full, and no thread is there to make another.
pub(super) fn append(shared: &Shared) -> Result<bool, String> {
    let mut frame = FrameBuffer::new();
    let limits = Limits::new(&options());
    frame
        .event(&NewEvent::new("after", b"more"), &limits)
        .map_err(|error| error.to_string())?;
    let next = shared.marks.next();
    match shared.append(&mut frame, Wait::Never) {
        Ok(appended) => {
            ensure!(
                appended.offsets == (next..next + 1),
                "{appended:?} was appended at {next}"
            );
            Ok(true)
        }
        Err(AppendError::WouldBlock) => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

/// Filters that are asked of the topic index.
const FILTERS: [&[&str]; 3] = [&["a.b"], &["b", "$sys.x"], &["*.c"]];

/// What must come.
pub(super) struct Expected {
    /// The end of what is left of the log.
    pub(super) end: u64,
    /// How many events were appended since, by this test.
    appended: u64,
    /// Offsets below the end that cannot come.
    pub(super) lost: Vec<u64>,
    /// The first segment is gone, as retention leaves a log.
    pub(super) trimmed: bool,
    pub(super) refusable: bool,
    /// A cursor file is damaged: cursors may be, but say so. Whole slots may be gone.
    cursors: Option<Harm>,
    events: bool,
    /// Filters to read under, by their number.
    filters: Range<usize>,
}

/// What of the cursors may be gone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Harm {
    OneBit,
    Much,
}

impl Expected {
    fn of(truth: &Truth, changed: &Changed) -> Self {
        let mut expected = Self {
            end: truth.end(),
            appended: 0,
            lost: Vec::new(),
            trimmed: false,
            refusable: false,
            cursors: None,
            events: true,
            filters: 0..FILTERS.len(),
        };
        for (file, bytes) in changed {
            expected.in_file(truth, file, bytes.as_deref());
        }
        if let [(file, _)] = &changed[..] {
            if !is_segment(file) && segment::parse_index_name(file).is_none() {
                expected.filters = 0..0;
            }
        }
        if changed.iter().any(|(file, _)| is_segment(file)) {
            // One of them will do: there are many damages to each frame.
            let one = expected.lost.len() + changed.len();
            let one = (one + usize::try_from(expected.end).unwrap()) % FILTERS.len();
            expected.filters = one..one + 1;
        }
        expected.lost.sort_unstable();
        // What has lost its end has lost no more.
        let end = expected.end;
        expected.lost.retain(|lost| *lost < end);
        expected
    }

    fn in_file(&mut self, truth: &Truth, file: &String, bytes: Option<&[u8]>) {
        let original = &truth.files[file];
        let same = |range: Range<usize>| {
            bytes.is_some_and(|bytes| bytes.get(range.clone()) == original.get(range))
        };
        // The identity stands twice in one file: nothing is left if both are gone.
        self.refusable |= file == "wakelog.meta" && !same(0..64) && !same(512..576);
        if is_segment(file) {
            self.trimmed |=
                bytes.is_none() && truth.bases().first() == segment::parse_name(file).as_ref();
            self.in_segment(truth, segment::parse_name(file).unwrap(), bytes);
        }
        if file == SLOTS || file == DEFINITIONS {
            let bits = bytes.filter(|bytes| bytes.len() == original.len());
            let flips = bits.map(|bytes| {
                let bits = bytes
                    .iter()
                    .zip(original)
                    .map(|(a, b)| (a ^ b).count_ones());
                bits.sum::<u32>()
            });
            self.cursors = Some(if flips == Some(1) {
                Harm::OneBit
            } else {
                Harm::Much
            });
            self.events = false;
        }
    }

    fn in_segment(&mut self, truth: &Truth, base: u64, bytes: Option<&[u8]>) {
        let original = &truth.files[&segment::name_of(base)];
        // A file without a whole header is none; one copy of the header is enough.
        let bytes = bytes
            .filter(|bytes| bytes.len() >= HEADER_BYTES)
            .unwrap_or_default();
        let whole = |range: Range<usize>| bytes.get(range.clone()) == original.get(range);
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

    fn compare(&self, truth: &Truth, shared: &Shared, all: bool) -> Checked {
        let (end, due) = (shared.marks.next(), self.end + self.appended);
        ensure!(end == due, "the end is {end}, not {due}");
        ensure!(
            shared.marks.durable() == end,
            "open left {} durable",
            shared.marks.durable()
        );
        ensure!(shared.log_id() == truth.log, "another log");
        if self.events || all {
            self.events(truth, shared)?;
            self.filtered(truth, shared)?;
            self.positions(truth, shared)?;
        }
        truth
            .cursors
            .iter()
            .try_for_each(|cursor| self.cursor(cursor, shared))
    }

    /// What comes is, byte for byte, what was appended, and what cannot come is told.
    fn events(&self, truth: &Truth, shared: &Shared) -> Checked {
        let mut scanner = Scanner::new(0);
        let mut lost = Vec::new();
        let mut next = 0;
        loop {
            let limit = shared.marks.next();
            match scanner.advance(shared, limit, |_| true) {
                Err(error) => return Err(format!("reading at {next}: {error}")),
                Ok(Scan::Done) => break,
                Ok(Scan::Event(segment, spot)) => {
                    ensure!(spot.offset == next, "{} where {next} is due", spot.offset);
                    let record = segment.region().bytes(spot.at..spot.at + spot.bytes);
                    let event = truth.events.get(usize::try_from(next).unwrap());
                    let same = event.is_some_and(|event| {
                        record == Some(&event.record[..]) && spot.time == event.time
                    });
                    ensure!(same || next >= self.end, "event {next} has other bytes");
                    next += 1;
                }
                Ok(Scan::Gap(gap)) => {
                    let dense = gap.from == next && gap.to > next && gap.to <= limit;
                    let trimmed = self.trimmed && gap.reason == GapReason::Trimmed;
                    let corrupt = gap.reason == GapReason::Corrupt;
                    ensure!(dense && (corrupt || trimmed), "{gap:?} at {next}");
                    next = gap.to;
                    lost.extend(gap.from..gap.to);
                }
            }
        }
        ensure!(next == shared.marks.next(), "read to {next}");
        ensure!(
            lost == self.lost,
            "the gaps are {lost:?}, but lost are {:?}",
            self.lost
        );
        Ok(())
    }

    /// Under a filter, every match comes or is told, whether the index knows of it or not.
    fn filtered(&self, truth: &Truth, shared: &Shared) -> Checked {
        for filter in &FILTERS[self.filters.clone()] {
            let filters = FilterSet::new(filter.iter(), Some(&[])).unwrap();
            let mut scanner = Scanner::new(0);
            let mut next = 0;
            let wanted = |offset: u64| {
                let event = truth.events.get(usize::try_from(offset).unwrap());
                let record = event.and_then(|event| RecordRef::parse(&event.record));
                record.is_some_and(|(record, _)| filters.matches(record.topics(), record.not_to()))
            };
            loop {
                let limit = shared.marks.next();
                let (at, to) = match scanner.advance_to(shared, limit, &filters) {
                    Err(error) => return Err(format!("{filter:?} at {next}: {error}")),
                    Ok(Scan::Done) => break,
                    Ok(Scan::Event(_, spot)) => {
                        let lost = self.lost.contains(&spot.offset);
                        ensure!(wanted(spot.offset) && !lost, "{filter:?}: {spot:?}");
                        (spot.offset, spot.offset + 1)
                    }
                    Ok(Scan::Gap(gap)) => {
                        let told = gap.from..gap.to;
                        let here = |offset: u64| wanted(offset) && !self.lost.contains(&offset);
                        ensure!(!told.into_iter().any(here), "{filter:?}: {gap:?}");
                        (gap.from, gap.to)
                    }
                };
                let passed = (next..at).find(|offset| wanted(*offset));
                ensure!(
                    at >= next && passed.is_none(),
                    "{filter:?}: {passed:?} did not come"
                );
                next = to;
            }
            let passed = (next..self.end).find(|offset| wanted(*offset));
            ensure!(passed.is_none(), "{filter:?}: {passed:?} did not come");
        }
        Ok(())
    }

    /// Positions of all epochs, of those that lost their tails too.
    fn positions(&self, truth: &Truth, shared: &Shared) -> Checked {
        for (position, bound) in &truth.positions {
            let (from, to) = (self.end.min(*bound), position.offset);
            let verdict = shared.judge(position);
            let good = match verdict {
                Verdict::Valid => to <= from,
                Verdict::Diverged(gap) => {
                    gap == Gap {
                        from,
                        to,
                        reason: GapReason::Diverged,
                    } && from < to
                }
                Verdict::Reset => false,
            };
            ensure!(good, "{position} is {verdict:?}, in a log of {}", self.end);
        }
        Ok(())
    }

    /// A cursor is where it was, or it says that it is damaged.
    fn cursor(&self, truth: &CursorTruth, shared: &Shared) -> Checked {
        let name = truth.name;
        let harmed = self.cursors.is_some();
        let slot = match shared.cursors.as_ref().unwrap().find(name) {
            Ok(Some(slot)) => slot,
            // As if it had never been made: only when its slot is empty.
            Ok(None) if self.cursors == Some(Harm::Much) => return Ok(()),
            Ok(None) => return Err(format!("{name} is gone")),
            Err(_) if harmed => return Ok(()),
            Err(error) => return Err(format!("{name}: {error}")),
        };
        let lowered = truth.acked > self.end;
        let acked = truth.acked.min(self.end);
        let kept = if lowered {
            truth.kept.max(Some(truth.acked))
        } else {
            truth.kept
        };
        let (now, gap) = (slot.acked(), slot.kept());
        let told = harmed && !shared.report().damaged.is_empty();
        let behind = now == truth.saved && (told || self.appended > 0 && harmed);
        ensure!(now == acked || behind, "{name} is at {now}, not at {acked}");
        let untold = gap.is_none() && (told || self.appended > 0 && harmed);
        ensure!(gap == kept || untold, "{name} keeps {gap:?}, not {kept:?}");
        let definition = slot.definition().map_err(|error| error.to_string())?;
        let good =
            definition.filters.len() == 2 && definition.identities == Some(vec!["nobody".into()]);
        ensure!(good, "{name} has {definition:?}");
        Ok(())
    }
}
