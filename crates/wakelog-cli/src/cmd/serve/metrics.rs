//! The numbers of a log and of its hub, for Prometheus and what else reads its text form.

use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;
use wakelog::Log;
use wakelog_ws::Hub;

/// Of numbers that only grow while the process lives; all others may fall.
const COUNTERS: [&str; 13] = [
    "appended_bytes",
    "appended_events",
    "rolls",
    "syncs",
    "trimmed_bytes",
    "trimmed_segments",
    "drained",
    "event_bytes",
    "events",
    "fenced",
    "publishes",
    "refusals",
    "stalled",
];

/// One line a number, with a line for its type. Times and spans are microseconds.
pub(super) fn text(log: &Log, hub: &Hub) -> String {
    let mut text = String::new();
    write(&mut text, "wakelog", &log.stats());
    write(&mut text, "wakelog_ws", &hub.stats());
    text
}

fn write(text: &mut String, prefix: &str, stats: &impl Serialize) {
    let Ok(Value::Object(fields)) = serde_json::to_value(stats) else {
        return;
    };
    for (name, value) in fields {
        let counts = COUNTERS.contains(&&*name);
        let (kind, suffix) = if counts {
            ("counter", "_total")
        } else {
            ("gauge", "")
        };
        let name = format!("{prefix}_{name}{suffix}");
        let mut lines = String::new();
        match value {
            Value::Number(number) => lines = format!("{name} {number}\n"),
            Value::Bool(flag) => lines = format!("{name} {}\n", u8::from(flag)),
            Value::Object(codes) => {
                for (code, count) in codes {
                    // Codes are ours: nothing in them is to be escaped.
                    let _ = writeln!(lines, "{name}{{code=\"{code}\"}} {count}");
                }
            }
            // A number that is not there, or no number.
            _ => continue,
        }
        let _ = write!(text, "# TYPE {name} {kind}\n{lines}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_counter_is_a_number_that_there_is() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(dir.path().join("log")).unwrap();
        let hub = Hub::new(log.clone()).unwrap();
        let text = text(&log, &hub);
        for name in COUNTERS {
            let line = format!("_{name}_total counter\n");
            assert!(text.contains(&line), "{name}: {text}");
        }
    }
}
