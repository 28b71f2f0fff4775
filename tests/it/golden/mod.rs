//! Directories that went wrong, well over a hundred, and what comes of each: what `verify` says,
//! what opens read-only and for writing, where the cursors stand, what is left of the files. The
//! outcomes stand in `tests/golden/outcomes.txt`, to be read and judged; `WAKELOG_GOLDEN=write`
//! writes them anew.
//!
//! Whatever the outcome is, here it must not be a panic, a wrong event, a silent skip, or a refusal
//! that has changed a file.

mod cases;
mod kept;
mod logs;
mod look;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use cases::Case;
use logs::Logs;

#[test]
fn bad_directories_come_out_as_written_down() {
    let text = outcomes(&Logs::write(), &cases::all());
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/outcomes.txt");
    if std::env::var("WAKELOG_GOLDEN").is_ok_and(|value| value == "write") {
        fs::write(&kept, &text).unwrap();
    }
    compare(&kept, &text);
}

fn outcomes(logs: &Logs, cases: &[Case]) -> String {
    let mut text =
        String::from("What comes of bad directories; tests/it/golden/ makes them, and this.\n");
    for case in cases {
        let outcome = look::outcome(logs, case);
        writeln!(text, "\n{}\n{outcome}", case.what).unwrap();
    }
    text
}

/// Fails with the first place at which the text is not what the file says.
fn compare(kept: &Path, text: &str) {
    let due = fs::read_to_string(kept).unwrap();
    let differs = due.lines().zip(text.lines()).position(|(a, b)| a != b);
    if let Some(line) = differs {
        let part = |text: &str| {
            let from = text.lines().skip(line.saturating_sub(8)).take(16);
            from.collect::<Vec<_>>().join("\n")
        };
        panic!(
            "{} {}: due\n{}\n\nis\n{}",
            kept.display(),
            line + 1,
            part(&due),
            part(text)
        );
    }
    assert_eq!(due.lines().count(), text.lines().count());
}
