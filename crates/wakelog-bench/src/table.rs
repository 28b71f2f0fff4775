//! The tables as text.

use std::fmt::Write;

use crate::goal::{Verdict, best_rival, ratio};
use crate::measure::{Cell, Line, Table};
use crate::peers::{Kind, copy_crc_name};
use crate::work::Unit;

/// A table with its goals and notes.
pub fn text(table: &Table) -> String {
    let mut out = format!("{}  {}\n\n", table.work.id, table.work.title);
    let mut rows = vec![header(table)];
    rows.extend(table.lines.iter().map(|line| row(table, line)));
    out.push_str(&aligned(&rows));
    out.push('\n');
    table
        .verdicts
        .iter()
        .for_each(|verdict| out.push_str(&goal(verdict)));
    for line in &table.lines {
        if let Some(failed) = &line.failed {
            let _ = writeln!(out, "  {} FAILED: {failed}", line.name);
        }
    }
    table
        .work
        .notes
        .iter()
        .for_each(|note| out.push_str(&wrapped(note)));
    out
}

/// What each peer is, once for all tables.
pub fn notes<'t>(tables: impl Iterator<Item = &'t Table>) -> String {
    let mut seen = Vec::new();
    let mut out = String::from("How each is used\n\n");
    for line in tables.flat_map(|table| &table.lines) {
        if !seen.contains(&line.name) {
            seen.push(line.name);
            out.push_str(&wrapped(&format!("{}: {}.", line.name, line.note)));
        }
    }
    out
}

fn header(table: &Table) -> Vec<String> {
    let mut cells = vec![String::new(), "an append survives".into()];
    for column in table.work.columns {
        cells.push(format!("{} [{}]", column.name, column.unit.name()));
        cells.push("min-max".into());
    }
    cells.push("x wakelog".into());
    if yardstick(table).is_some() {
        cells.push("x copy+crc".into());
    }
    cells
}

fn yardstick(table: &Table) -> Option<&Line> {
    table.lines.iter().find(|line| line.name == copy_crc_name())
}

fn row(table: &Table, line: &Line) -> Vec<String> {
    let mut cells = vec![line.name.to_owned(), line.promise.to_owned()];
    for column in table.work.columns {
        match line.cell(column.name) {
            Some(cell) => {
                cells.push(marked(table, line, column.name, column.unit, cell));
                cells.push(format!("{}-{}", figure(cell.min()), figure(cell.max())));
            }
            None => cells.extend(["-".into(), String::new()]),
        }
    }
    let first = table.work.columns.first().map_or("", |column| column.name);
    let ours = table.lines.iter().find(|line| line.kind == Kind::Ours);
    cells.push(times(
        line.cell(first),
        ours.and_then(|ours| ours.cell(first)),
    ));
    if let Some(bare) = yardstick(table) {
        cells.push(times(line.cell(first), bare.cell(first)));
    }
    cells
}

/// The figure, with a star if it is the best of those that keep events on a disk.
fn marked(table: &Table, line: &Line, column: &str, unit: Unit, cell: &Cell) -> String {
    let best = best_rival(&table.lines, column, unit.more_is_better());
    let star = best.is_some_and(|(best, _)| best.name == line.name);
    format!("{}{}", figure(cell.median()), if star { "*" } else { "" })
}

/// How many times the one figure is the other.
fn times(cell: Option<&Cell>, of: Option<&Cell>) -> String {
    let pair = cell.zip(of);
    pair.map_or_else(|| "-".into(), |(cell, of)| figure(ratio(cell, of)))
}

/// Three digits that count, in groups of three.
pub fn figure(value: f64) -> String {
    if !value.is_finite() {
        return "-".into();
    }
    if value < 10.0 {
        return format!("{value:.2}");
    }
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if 0 < at && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A verdict as a line of its own.
pub fn goal(verdict: &Verdict) -> String {
    let met = match verdict.met {
        Some(true) => "met",
        Some(false) => "NOT MET",
        None => "not measured",
    };
    let measured = figure(verdict.measured);
    let Verdict { column, text, .. } = verdict;
    format!("  goal  {column}: {text}: measured {measured}: {met}\n")
}

/// Columns of the same width: the first two to the left, the others to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| {
        let lengths = rows.iter().filter_map(|row| row.get(at));
        lengths.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::from(" ");
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = if at < 2 {
                write!(line, " {cell:<width$} ")
            } else {
                write!(line, " {cell:>width$} ")
            };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

const NOTE_COLUMNS: usize = 100;

fn wrapped(note: &str) -> String {
    let mut out = String::new();
    let mut line = String::from("  -");
    for word in note.split_whitespace() {
        if NOTE_COLUMNS < line.len() + 1 + word.len() {
            out.push_str(&line);
            out.push('\n');
            line = String::from("   ");
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_commas() {
        let texts = [3.156, 42.42, 999.6, 1_234_567.0, f64::NAN].map(figure);
        assert_eq!(texts, ["3.16", "42.4", "1,000", "1,234,567", "-"]);
    }

    #[test]
    fn notes_are_wrapped() {
        let note = wrapped(&"word ".repeat(60));
        assert!(note.lines().count() > 2);
        assert!(note.lines().all(|line| line.len() <= NOTE_COLUMNS));
    }
}
