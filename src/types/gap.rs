//! Gaps: what a consumer may have missed, in exact numbers.

use std::fmt;

/// A range of offsets that a consumer may have missed.
///
/// After [`Trimmed`](GapReason::Trimmed) and [`Corrupt`](GapReason::Corrupt) the range will not
/// come, and reading goes on at `to`. After [`Diverged`](GapReason::Diverged) the numbers are of
/// the old epoch: what the consumer saw there is not in this log, and reading goes on at `from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Gap {
    /// The first offset of the range.
    pub from: u64,
    /// The first offset behind the range; `from < to`.
    pub to: u64,
    /// Why the range may have been missed.
    pub reason: GapReason,
}

/// Why there is a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum GapReason {
    /// Retention removed the events before the consumer read them.
    Trimmed,
    /// The bytes of the events do not verify.
    Corrupt,
    /// The events were lost before they were durable, and other events may now stand under
    /// their offsets.
    Diverged,
}

/// Why a mirror has no events for a range of its source's offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SkipReason {
    /// They never existed for this log: readers pass over them silently.
    Hole,
    /// The source had trimmed them before they came: readers are told
    /// ([`GapReason::Trimmed`]).
    Trimmed,
}

impl Gap {
    /// The offset at which reading goes on after this gap.
    pub fn resume_at(&self) -> u64 {
        match self.reason {
            GapReason::Trimmed | GapReason::Corrupt => self.to,
            GapReason::Diverged => self.from,
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "events {}..{} {}", self.from, self.to, self.reason)
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GapReason::Trimmed => "were trimmed",
            GapReason::Corrupt => "are corrupt",
            GapReason::Diverged => "diverged",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_goes_on_behind_a_hole_and_at_the_start_of_a_divergence() {
        let gap = |reason| Gap {
            from: 3,
            to: 9,
            reason,
        };
        assert_eq!(gap(GapReason::Trimmed).resume_at(), 9);
        assert_eq!(gap(GapReason::Corrupt).resume_at(), 9);
        assert_eq!(gap(GapReason::Diverged).resume_at(), 3);
        assert_eq!(
            gap(GapReason::Corrupt).to_string(),
            "events 3..9 are corrupt"
        );
    }
}
