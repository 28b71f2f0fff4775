//! Everything that was measured, for machines: each round, not only the medians.

use serde_json::{Value, json};

use crate::goal::Verdict;
use crate::machine::Machine;
use crate::measure::{Line, Table};
use crate::peers::Kind;
use crate::work::Scale;

/// A whole run.
pub fn run(tables: &[Table], machine: &Machine, scale: Scale) -> Value {
    json!({
        "machine": machine.facts(),
        "scale": scale.pick("full", "quick"),
        "tables": tables.iter().map(table).collect::<Vec<_>>(),
    })
}

fn table(table: &Table) -> Value {
    let columns = table.work.columns.iter();
    let columns: Vec<_> = columns
        .map(|column| json!({ "name": column.name, "unit": column.unit.name() }))
        .collect();
    json!({
        "id": table.work.id,
        "title": table.work.title,
        "rounds": table.rounds,
        "columns": columns,
        "lines": table.lines.iter().map(line).collect::<Vec<_>>(),
        "goals": table.verdicts.iter().map(verdict).collect::<Vec<_>>(),
        "notes": table.work.notes,
    })
}

fn line(line: &Line) -> Value {
    let kind = match line.kind {
        Kind::Ours => "wakelog",
        Kind::Rival => "persistent rival",
        Kind::Memory => "in memory",
        Kind::Bare => "bare machine",
    };
    let cells = line.cells.iter().map(|(name, cell)| {
        json!({
            "column": name,
            "median": cell.median(),
            "min": cell.min(),
            "max": cell.max(),
            "rounds": cell.rounds,
        })
    });
    json!({
        "peer": line.name,
        "kind": kind,
        "survives": line.promise,
        "note": line.note,
        "failed": line.failed,
        "figures": cells.collect::<Vec<_>>(),
    })
}

fn verdict(verdict: &Verdict) -> Value {
    json!({
        "column": verdict.column,
        "goal": verdict.text,
        "limit": verdict.limit,
        "measured": verdict.measured,
        "met": verdict.met,
    })
}
