//! The tables as a picture: bars on a logarithmic scale, readable on white and on black.

use serde_json::Value;
use std::fmt::Write;

use crate::peers::Outcome;
use crate::table::figure;

/// What is drawn: a workload, its column, and the words above the bars.
const PANELS: [(&str, &str, &str); 8] = [
    ("W1", "100 B", "append 100 B, 1 thread"),
    ("W2", "ns an event", "append 100 B, 4 threads"),
    ("W3", "ns an event", "append in batches of 100"),
    ("W4", "16 threads", "each on disk, 16 threads"),
    ("W5", "first", "read on, first time"),
    ("W7", "1 GiB", "open after SIGKILL, 1 GiB"),
    ("W8", "ack", "ack, 100,000 cursors"),
    ("W9", "warm", "1,000 missed of one topic"),
];

const COLUMNS: usize = 2;
const PANEL_WIDTH: f64 = 420.0;
const LABEL_WIDTH: f64 = 134.0;
const FIGURE_WIDTH: f64 = 76.0;
const BAR: f64 = 15.0;
const STEP: f64 = 20.0;
const TITLE: f64 = 34.0;
const GAP: f64 = 20.0;

/// Colours that stand out from both grounds; words take the ground's opposite.
const STYLE: &str = "<style>\
text{font:12px system-ui,sans-serif;fill:#1f2328}\
.t{font-weight:600;font-size:13px}.f{fill:#59636e}\
.d{stroke:#59636e;stroke-opacity:.35}\
.wakelog{fill:#2f81f7}.rival{fill:#8b949e}.memory{fill:#d29922}.bare{fill:#8b949e;opacity:.45}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.f{fill:#9198a1}}\
</style>";

struct Bar {
    name: String,
    class: &'static str,
    value: f64,
}

struct Panel {
    title: String,
    unit: String,
    bars: Vec<Bar>,
}

impl Panel {
    fn height(&self) -> f64 {
        TITLE + STEP * self.bars.len() as f64
    }
}

/// Draws a run as [`crate::json`] has written it.
pub fn draw(run: &Value) -> Outcome<String> {
    let tables = run["tables"].as_array().ok_or("a run has tables")?;
    let panels: Vec<Panel> = PANELS
        .iter()
        .filter_map(|panel| find(tables, panel))
        .collect();
    let mut body = String::new();
    let mut y = 0.0;
    for row in panels.chunks(COLUMNS) {
        for (at, panel) in row.iter().enumerate() {
            let x = (PANEL_WIDTH + GAP) * at as f64;
            draw_panel(&mut body, panel, x, y)?;
        }
        y += row.iter().map(Panel::height).fold(0.0, f64::max) + GAP;
    }
    let width = PANEL_WIDTH * COLUMNS as f64 + GAP * (COLUMNS - 1) as f64;
    let height = y + 8.0;
    writeln!(
        body,
        "<text class=\"f\" x=\"0\" y=\"{y:.0}\">Each line is ten times the one before. \
         Blue: wakelog, grey: persistent rivals, yellow: in memory, pale: the bare machine.</text>"
    )?;
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         role=\"img\" aria-label=\"wakelog and its rivals\">\n{STYLE}\n{body}</svg>\n"
    ))
}

fn find(tables: &[Value], (id, column, title): &(&str, &str, &str)) -> Option<Panel> {
    let table = tables.iter().find(|table| table["id"] == *id)?;
    let columns = table["columns"].as_array()?;
    let unit = columns.iter().find(|known| known["name"] == *column)?["unit"].as_str()?;
    let mut bars: Vec<Bar> = table["lines"]
        .as_array()?
        .iter()
        .filter_map(|line| bar(line, column))
        .collect();
    bars.sort_by(|a, b| a.value.total_cmp(&b.value));
    if unit == "/s" {
        bars.reverse();
    }
    let direction = if unit == "/s" {
        "more is better"
    } else {
        "less is better"
    };
    let unit = format!("{unit}, {direction}");
    let title = (*title).to_owned();
    (!bars.is_empty()).then_some(Panel { title, unit, bars })
}

fn bar(line: &Value, column: &str) -> Option<Bar> {
    let figures = line["figures"].as_array()?;
    let value = figures.iter().find(|figure| figure["column"] == column)?["median"].as_f64()?;
    let class = match line["kind"].as_str()? {
        "wakelog" => "wakelog",
        "in memory" => "memory",
        "bare machine" => "bare",
        _ => "rival",
    };
    let name = line["peer"].as_str()?.to_owned();
    Some(Bar { name, class, value })
}

fn draw_panel(out: &mut String, panel: &Panel, x: f64, y: f64) -> Outcome<()> {
    let values = panel.bars.iter().map(|bar| bar.value);
    let (least, most) = values.fold((f64::MAX, 0.0_f64), |(least, most), value| {
        (least.min(value), most.max(value))
    });
    // From the power of ten below the smallest on, so that the shortest bar has a length.
    let from = least.log10().floor() - 0.15;
    let room = PANEL_WIDTH - LABEL_WIDTH - FIGURE_WIDTH;
    let scale = room / (most.log10() - from).max(0.5);
    let Panel { title, unit, .. } = panel;
    writeln!(
        out,
        "<text class=\"t\" x=\"{x:.0}\" y=\"{:.0}\">{title} <tspan class=\"f\" \
         font-weight=\"400\">[{unit}]</tspan></text>",
        y + 16.0
    )?;
    for decade in (from.ceil() as i32)..=(most.log10().floor() as i32) {
        let line = x + LABEL_WIDTH + (f64::from(decade) - from) * scale;
        let (top, bottom) = (y + TITLE - 11.0, y + panel.height() - 8.0);
        writeln!(
            out,
            "<path class=\"d\" d=\"M{line:.1} {top:.0}V{bottom:.0}\"/>"
        )?;
    }
    for (at, bar) in panel.bars.iter().enumerate() {
        let top = y + TITLE - 8.0 + STEP * at as f64;
        let left = x + LABEL_WIDTH;
        let length = (bar.value.log10() - from) * scale;
        let (base, Bar { name, class, value }) = (top + 12.0, bar);
        writeln!(
            out,
            "<text x=\"{:.0}\" y=\"{base:.0}\" text-anchor=\"end\">{name}</text>\
             <rect class=\"{class}\" x=\"{left:.0}\" y=\"{top:.0}\" width=\"{length:.1}\" \
             height=\"{BAR}\" rx=\"2\"/>\
             <text class=\"f\" x=\"{:.1}\" y=\"{base:.0}\">{}</text>",
            left - 6.0,
            left + length + 6.0,
            figure(*value)
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn draws_a_bar_for_each_line_with_a_figure() {
        let line = |name: &str, kind: &str, median: Option<f64>| {
            let figures = [json!({ "column": "100 B", "median": median })];
            json!({ "peer": name, "kind": kind, "figures": figures })
        };
        let run = json!({ "tables": [{
            "id": "W1",
            "columns": [{ "name": "100 B", "unit": "ns" }],
            "lines": [
                line("wakelog", "wakelog", Some(70.0)),
                line("other", "persistent rival", Some(800.0)),
                line("broken", "persistent rival", None),
            ],
        }]});
        let picture = draw(&run).unwrap();
        assert_eq!(picture.matches("<rect").count(), 2);
        assert!(!picture.contains("NaN") && !picture.contains("inf"));
    }
}
