//! Rounds: A B C, A B C, so that what the machine does beside hits everybody alike.

use std::path::Path;

use crate::child;
use crate::goal::Verdict;
use crate::peers::Does;
use crate::peers::{Kind, Outcome, PEERS, Peer, Syncs};
use crate::work::{Column, Fill, Scale, Work};

/// The figures of one peer in one column, by round. NaN where there is none.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    pub rounds: Vec<f64>,
}

impl Cell {
    pub fn median(&self) -> f64 {
        median(&mut self.known())
    }

    pub fn min(&self) -> f64 {
        self.known().into_iter().fold(f64::NAN, f64::min)
    }

    pub fn max(&self) -> f64 {
        self.known().into_iter().fold(f64::NAN, f64::max)
    }

    fn known(&self) -> Vec<f64> {
        let known = self.rounds.iter().copied();
        known.filter(|figure| figure.is_finite()).collect()
    }
}

/// The middle value; of an even number the mean of the two in the middle. NaN of none.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// A peer in a table.
#[derive(Clone, Debug)]
pub struct Line {
    pub name: &'static str,
    pub kind: Kind,
    pub promise: &'static str,
    pub note: &'static str,
    pub cells: Vec<(&'static str, Cell)>,
    /// What went wrong in the first round that it did not finish.
    pub failed: Option<String>,
}

impl Line {
    fn new(peer: &Peer, work: &Work) -> Line {
        let sync = if work.does == Does::Durable {
            Syncs::Each
        } else {
            Syncs::Background
        };
        let named = |column: &Column| (column.name, Cell::default());
        Line {
            name: peer.name,
            kind: peer.kind,
            promise: (peer.promise)(sync),
            note: peer.note,
            cells: work.columns.iter().map(named).collect(),
            failed: None,
        }
    }

    /// Its figures in a column, if there are any.
    pub fn cell(&self, column: &str) -> Option<&Cell> {
        let found = self.cells.iter().find(|(name, _)| *name == column);
        let cell = found.map(|(_, cell)| cell);
        cell.filter(|cell| cell.median().is_finite())
    }

    fn put(&mut self, outcome: Outcome<Vec<f64>>) {
        let figures = outcome.unwrap_or_else(|error| {
            self.failed.get_or_insert(error.to_string());
            Vec::new()
        });
        let figures = figures.into_iter().chain(std::iter::repeat(f64::NAN));
        for ((_, cell), figure) in self.cells.iter_mut().zip(figures) {
            cell.rounds.push(figure);
        }
    }

    /// A line with one column.
    #[cfg(test)]
    pub fn of(name: &'static str, kind: Kind, column: &'static str, rounds: &[f64]) -> Line {
        Line {
            name,
            kind,
            promise: "",
            note: "",
            cells: vec![(
                column,
                Cell {
                    rounds: rounds.to_vec(),
                },
            )],
            failed: None,
        }
    }
}

/// What came out of a workload.
pub struct Table {
    pub work: &'static Work,
    pub rounds: usize,
    pub lines: Vec<Line>,
    pub verdicts: Vec<Verdict>,
}

/// Runs all rounds of a workload, or so many, of the peers that `chosen` takes.
pub fn run(
    work: &'static Work,
    dir: &Path,
    scale: Scale,
    most_rounds: usize,
    chosen: impl Fn(&Peer) -> bool,
) -> Outcome<Table> {
    let able = PEERS.iter().filter(|peer| peer.does.contains(&work.does));
    let peers: Vec<&Peer> = able.filter(|peer| chosen(peer)).copied().collect();
    let mut lines: Vec<Line> = peers.iter().map(|peer| Line::new(peer, work)).collect();
    let place = |at: usize| dir.join(format!("{}-{at}", work.id));
    if work.fill == Fill::Once {
        for (at, peer) in peers.iter().enumerate() {
            eprintln!("{} fills {}", work.id, peer.name);
            if let Err(error) = child::prepare(work, peer, &place(at), scale) {
                lines[at].failed = Some(error.to_string());
            }
        }
    }
    let rounds = scale.pick(work.rounds.0, work.rounds.1).min(most_rounds);
    for round in 0..rounds {
        for turn in 0..peers.len() {
            // Another one begins each time.
            let at = (turn + round) % peers.len();
            if lines[at].failed.is_some() {
                lines[at].put(Ok(Vec::new()));
                continue;
            }
            eprint!("{} {}/{rounds} {}: ", work.id, round + 1, peers[at].name);
            let outcome = once(work, peers[at], &place(at), scale);
            match &outcome {
                Ok(figures) => eprintln!("{figures:.1?}"),
                Err(error) => eprintln!("{error}"),
            }
            lines[at].put(outcome);
        }
    }
    if work.fill == Fill::Once {
        for at in 0..peers.len() {
            std::fs::remove_dir_all(place(at))?;
        }
    }
    let judge = |goal: &crate::goal::Goal| {
        let column = work
            .columns
            .iter()
            .find(|column| column.name == goal.column);
        goal.judge(
            &lines,
            column.is_some_and(|column| column.unit.more_is_better()),
        )
    };
    let verdicts = work.goals.iter().map(judge).collect();
    Ok(Table {
        work,
        rounds,
        lines,
        verdicts,
    })
}

fn once(work: &Work, peer: &Peer, dir: &Path, scale: Scale) -> Outcome<Vec<f64>> {
    if work.fill == Fill::Killed {
        child::prepare_and_kill(work, peer, dir, scale)?;
    }
    let figures = child::measure(work, peer, dir, scale);
    if work.fill != Fill::Once {
        std::fs::remove_dir_all(dir)?;
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert!(median(&mut []).is_nan());
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn a_failed_round_leaves_a_hole() {
        let mut line = Line::of("a", Kind::Rival, "t", &[1.0]);
        line.put(Err("broke".into()));
        line.put(Ok(vec![3.0]));
        assert_eq!(line.cell("t").unwrap().rounds.len(), 3);
        assert_eq!(line.cell("t").unwrap().median(), 2.0);
        assert_eq!(line.failed.as_deref(), Some("broke"));
    }
}
