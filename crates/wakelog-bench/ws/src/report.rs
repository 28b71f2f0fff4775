//! Rounds, tables and goals.

use serde_json::{Value, json};

use crate::server::Kind;
use crate::work::{WORKS, Work};

/// A server, and its figures by round.
pub type Line = (Kind, Vec<Vec<f64>>);

/// The figures of one work.
pub struct Table {
    pub work: &'static Work,
    pub lines: Vec<Line>,
}

/// A goal of the table and what came of it.
pub struct Verdict {
    text: &'static str,
    measured: f64,
    limit: f64,
    at_least: bool,
}

impl Verdict {
    fn met(&self) -> Option<bool> {
        let met = if self.at_least {
            self.measured >= self.limit
        } else {
            self.measured <= self.limit
        };
        self.measured.is_finite().then_some(met)
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

impl Table {
    fn rounds(&self, kind: Kind, column: usize) -> Vec<f64> {
        let line = self.lines.iter().find(|(one, _)| *one == kind);
        let rounds = line.into_iter().flat_map(|(_, rounds)| rounds);
        let figure = |round: &Vec<f64>| round.get(column).copied().unwrap_or(f64::NAN);
        rounds.map(figure).collect()
    }

    fn median(&self, kind: Kind, column: usize) -> f64 {
        median(self.rounds(kind, column))
    }

    /// The median over the rounds of ours divided by the best of others in the same round.
    fn ratio(&self, column: usize, theirs: usize, others: &[Kind]) -> f64 {
        let ours = self.rounds(Kind::Wakelog, column);
        let others: Vec<_> = others
            .iter()
            .map(|other| self.rounds(*other, theirs))
            .collect();
        let ratio = |(round, ours): (usize, &f64)| {
            let best = others.iter().filter_map(|rounds| rounds.get(round));
            ours / best.copied().fold(f64::INFINITY, f64::min)
        };
        median(ours.iter().enumerate().map(ratio).collect())
    }

    /// What is asked of it; ratios are made within a round.
    pub fn verdicts(&self) -> Vec<Verdict> {
        let bare = [Kind::Axum, Kind::Fast];
        let at_most = |text, measured, limit| Verdict {
            text,
            measured,
            limit,
            at_least: false,
        };
        let title = |at: usize| self.work.title == WORKS[at].title;
        match () {
            () if title(0) => vec![at_most(
                "(a) CPU a delivery, times the better bare server",
                self.ratio(0, 0, &bare),
                1.5,
            )],
            () if title(1) => vec![
                at_most(
                    "(b) CPU a delivery, times the better bare server",
                    self.ratio(0, 0, &bare),
                    1.3,
                ),
                at_most(
                    "(f) p99 without the sync, times the better bare server",
                    self.ratio(4, 2, &bare),
                    2.0,
                ),
            ],
            () if title(2) => vec![at_most(
                "(c) memory of an idle connection, times tokio-tungstenite",
                self.ratio(0, 0, &[Kind::Plain]),
                1.3,
            )],
            () if title(3) => vec![
                Verdict {
                    text: "(d) % of their rate that those who read keep",
                    measured: self.median(Kind::Wakelog, 2),
                    limit: 90.0,
                    at_least: true,
                },
                at_most(
                    "(d) KiB that a stalled client costs: a page and what an idle one costs",
                    self.median(Kind::Wakelog, 3),
                    80.0,
                ),
            ],
            () => vec![
                at_most(
                    "(e) MiB of its own by which it grows",
                    self.median(Kind::Wakelog, 1),
                    16.0,
                ),
                at_most(
                    "(e) MiB by which the peak grows, with the log's pages",
                    self.median(Kind::Wakelog, 2),
                    16.0,
                ),
            ],
        }
    }

    pub fn text(&self) -> String {
        let mut out = format!("{}\n", self.work.title);
        for (at, column) in self.work.columns.iter().enumerate() {
            out.push_str(&format!("  {column}\n"));
            for (kind, _) in &self.lines {
                let rounds = self.rounds(*kind, at);
                let least = rounds.iter().copied().fold(f64::NAN, f64::min);
                let most = rounds.iter().copied().fold(f64::NAN, f64::max);
                let name = kind.name();
                let middle = median(rounds);
                let line = format!("    {name:36} {middle:10.3}  ({least:.3} - {most:.3})\n");
                out.push_str(&line);
            }
        }
        for verdict in self.verdicts() {
            let Verdict {
                text,
                measured,
                limit,
                at_least,
            } = verdict;
            let word = match verdict.met() {
                Some(true) => "met",
                Some(false) => "NOT MET",
                None => "not measured",
            };
            let sign = if at_least { ">=" } else { "<=" };
            out.push_str(&format!(
                "  {text}: {measured:.2} ({sign} {limit}) {word}\n"
            ));
        }
        out
    }

    pub fn json(&self) -> Value {
        let line = |(kind, rounds): &Line| json!({ "server": kind.name(), "rounds": rounds });
        let verdict = |verdict: &Verdict| {
            json!({
                "goal": verdict.text,
                "measured": verdict.measured,
                "limit": verdict.limit,
                "met": verdict.met(),
            })
        };
        json!({
            "title": self.work.title,
            "columns": self.work.columns,
            "lines": self.lines.iter().map(line).collect::<Vec<_>>(),
            "goals": self.verdicts().iter().map(verdict).collect::<Vec<_>>(),
        })
    }
}
