//! The goals of the table: what must be how many times faster than what.

use crate::measure::{Cell, Line};
use crate::peers::{Kind, channel_name, copy_crc_name, lmdb_name, raft_engine_name};

/// A goal for one column of wakelog's line.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// The column.
    pub column: &'static str,
    pub bound: Bound,
}

/// What a figure is held against.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// At most this.
    AtMost(f64),
    /// At most so many times the figure of this yardstick.
    TimesOf(Yardstick, f64),
    /// Better than the best persistent rival, by this factor at least.
    BetterThanBest(f64),
    /// At most so many times another column of the same line.
    TimesColumn(&'static str, f64),
}

/// A line that a goal names.
#[derive(Clone, Copy, Debug)]
pub enum Yardstick {
    CopyCrc,
    Channel,
    RaftEngine,
    Lmdb,
}

impl Yardstick {
    fn name(self) -> &'static str {
        match self {
            Yardstick::CopyCrc => copy_crc_name(),
            Yardstick::Channel => channel_name(),
            Yardstick::RaftEngine => raft_engine_name(),
            Yardstick::Lmdb => lmdb_name(),
        }
    }
}

/// What became of a goal.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub column: &'static str,
    /// The goal in words.
    pub text: String,
    /// What was measured, in the goal's terms; NaN if it could not be.
    pub measured: f64,
    pub limit: f64,
    /// `None`: not measured.
    pub met: Option<bool>,
}

/// The median of the ratios of each round: the machine may be slower in one round than in the next,
/// but it is so for both.
pub fn ratio(a: &Cell, b: &Cell) -> f64 {
    let pairs = a.rounds.iter().zip(&b.rounds);
    let mut ratios: Vec<f64> = pairs.map(|(a, b)| a / b).collect();
    ratios.retain(|ratio| ratio.is_finite());
    crate::measure::median(&mut ratios)
}

impl Goal {
    /// Holds the lines of a table against it.
    pub fn judge(&self, lines: &[Line], more_is_better: bool) -> Verdict {
        let ours = lines.iter().find(|line| line.kind == Kind::Ours);
        let ours = ours.and_then(|line| line.cell(self.column).map(|cell| (line, cell)));
        let (text, limit, measured) = self.against(lines, ours, more_is_better);
        let at_least =
            matches!(self.bound, Bound::BetterThanBest(_)) || self.turned(more_is_better);
        let holds = if at_least {
            limit <= measured
        } else {
            measured <= limit
        };
        let met = measured.is_finite().then_some(holds);
        Verdict {
            column: self.column,
            text,
            measured,
            limit,
            met,
        }
    }

    /// A rate that is held against another rate must be higher, not lower.
    fn turned(&self, more_is_better: bool) -> bool {
        more_is_better && matches!(self.bound, Bound::TimesOf(..))
    }

    fn against(
        &self,
        lines: &[Line],
        ours: Option<(&Line, &Cell)>,
        more_is_better: bool,
    ) -> (String, f64, f64) {
        let named = |name: &str| {
            let line = lines.iter().find(|line| line.name == name)?;
            line.cell(self.column)
        };
        match self.bound {
            Bound::AtMost(limit) => {
                let measured = ours.map_or(f64::NAN, |(_, cell)| cell.median());
                (format!("at most {limit}"), limit, measured)
            }
            Bound::TimesOf(yardstick, limit) => {
                let name = yardstick.name();
                let pair = ours.zip(named(name));
                let measured = pair.map_or(f64::NAN, |((_, cell), other)| ratio(cell, other));
                let word = if more_is_better {
                    "at least"
                } else {
                    "at most"
                };
                (format!("{word} {limit} x {name}"), limit, measured)
            }
            Bound::BetterThanBest(limit) => {
                let best = best_rival(lines, self.column, more_is_better);
                let name = best.map_or("the best rival", |(line, _)| line.name);
                let measured = ours.zip(best).map_or(f64::NAN, |((_, our), (_, theirs))| {
                    if more_is_better {
                        ratio(our, theirs)
                    } else {
                        ratio(theirs, our)
                    }
                });
                let text = format!("at least {limit} x better than the best rival ({name})");
                (text, limit, measured)
            }
            Bound::TimesColumn(column, limit) => {
                let measured = ours.and_then(|(line, cell)| Some((cell, line.cell(column)?)));
                let measured = measured.map_or(f64::NAN, |(cell, other)| ratio(cell, other));
                (format!("at most {limit} x '{column}'"), limit, measured)
            }
        }
    }
}

/// The rival with the best median in a column, of those that have done all of the work.
pub fn best_rival<'l>(
    lines: &'l [Line],
    column: &str,
    more_is_better: bool,
) -> Option<(&'l Line, &'l Cell)> {
    let sound = |line: &&Line| line.kind == Kind::Rival && line.failed.is_none();
    let rivals = lines.iter().filter(sound);
    let cells = rivals.filter_map(|line| line.cell(column).map(|cell| (line, cell)));
    cells.min_by(|(_, a), (_, b)| {
        let order = a.median().total_cmp(&b.median());
        if more_is_better {
            order.reverse()
        } else {
            order
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Line;

    fn line(name: &'static str, kind: Kind, rounds: &[f64]) -> Line {
        Line::of(name, kind, "t", rounds)
    }

    #[test]
    fn ratios_are_of_rounds_and_the_best_rival_counts() {
        let lines = [
            line("wakelog", Kind::Ours, &[10.0, 30.0, 20.0]),
            line("slow", Kind::Rival, &[900.0, 900.0, 900.0]),
            line("fast", Kind::Rival, &[100.0, 300.0, 200.0]),
            line("bare", Kind::Bare, &[1.0, 1.0, 1.0]),
        ];
        let goal = |bound| Goal { column: "t", bound };
        let verdict = goal(Bound::BetterThanBest(10.0)).judge(&lines, false);
        assert_eq!((verdict.measured, verdict.met), (10.0, Some(true)));
        assert!(verdict.text.contains("fast"));
        let verdict = goal(Bound::AtMost(19.0)).judge(&lines, false);
        assert_eq!((verdict.measured, verdict.met), (20.0, Some(false)));
        let verdict = goal(Bound::TimesOf(Yardstick::CopyCrc, 2.0)).judge(&lines, false);
        assert_eq!(verdict.met, None);
    }

    #[test]
    fn of_rates_more_is_better() {
        let lines = [
            line("wakelog", Kind::Ours, &[11.0]),
            line("slow", Kind::Rival, &[2.0]),
            line("raft-engine", Kind::Rival, &[10.0]),
        ];
        let goal = |bound| Goal { column: "t", bound };
        let verdict = goal(Bound::TimesOf(Yardstick::RaftEngine, 1.05)).judge(&lines, true);
        assert_eq!(verdict.met, Some(true));
        let verdict = goal(Bound::BetterThanBest(1.2)).judge(&lines, true);
        assert_eq!(verdict.met, Some(false));
    }
}
