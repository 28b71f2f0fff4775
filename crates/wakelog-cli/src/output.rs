//! What a command writes: results to the standard output, everything else to the standard error.

use crate::failure::{Failure, Outcome};
use anstyle::{AnsiColor, Style};
use clap::ColorChoice;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::time::{Duration, Instant};

const BUFFER: usize = 64 << 10;

/// How often a progress line is drawn anew.
const REDRAW: Duration = Duration::from_millis(100);

/// What is known of the two streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    /// Results may be coloured.
    pub(crate) colour: bool,
    /// Results are read by a person.
    pub(crate) columns: bool,
    /// Messages may be coloured.
    error_colour: bool,
    /// Progress may be drawn.
    progress: bool,
    quiet: bool,
}

impl Terminal {
    pub(crate) fn new(choice: ColorChoice, quiet: bool) -> Self {
        let colour = |auto: anstream::ColorChoice| match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => auto != anstream::ColorChoice::Never,
        };
        let (out, error) = (io::stdout(), io::stderr());
        Self {
            colour: colour(anstream::AutoStream::choice(&out)),
            columns: out.is_terminal(),
            error_colour: colour(anstream::AutoStream::choice(&error)),
            progress: error.is_terminal() && !quiet,
            quiet,
        }
    }
}

/// The standard output behind a buffer, and what is known of it.
#[derive(Debug)]
pub(crate) struct Output {
    writer: BufWriter<Stdout>,
    pub(crate) terminal: Terminal,
    /// When this began, or the progress line was drawn last.
    drawn: Instant,
    /// A progress line stands on the terminal.
    pending: bool,
}

impl Output {
    pub(crate) fn new(terminal: Terminal) -> Self {
        Self {
            writer: BufWriter::with_capacity(BUFFER, io::stdout()),
            terminal,
            drawn: Instant::now(),
            pending: false,
        }
    }

    /// Writes bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.end_progress();
        self.writer
            .write_all(bytes)
            .map_err(|error| Failure::output(&error))
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.write(line.as_bytes())?;
        self.write(b"\n")
    }

    /// Writes a value as one line of JSON.
    pub(crate) fn json(&mut self, value: &impl serde::Serialize) -> Result<(), Failure> {
        self.end_progress();
        serde_json::to_writer(&mut self.writer, value)
            .map_err(|error| Failure::output(&error.into()))?;
        self.write(b"\n")
    }

    /// Everything written so far leaves this process.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(|error| Failure::output(&error))
    }

    /// Text in a style, where results may be coloured.
    pub(crate) fn styled(&self, style: Style, text: &str) -> String {
        paint(self.terminal.colour, style, text)
    }

    /// A label and its value, for the commands that print a short table.
    pub(crate) fn field(&mut self, label: &str, value: &str) -> Result<(), Failure> {
        let label = self.styled(DIM, &format!("{label:<12}"));
        self.line(&format!("{label} {value}"))
    }

    /// Says how far a long work is, when there is somebody to see it and it takes long enough.
    pub(crate) fn progress(&mut self, text: impl FnOnce() -> String) {
        if self.terminal.progress && self.drawn.elapsed() >= REDRAW {
            self.announce(&text());
        }
    }

    /// Says what a long work is about to do.
    pub(crate) fn announce(&mut self, text: &str) {
        if self.terminal.progress {
            let dim = paint(self.terminal.error_colour, DIM, text);
            say(&format!("\r\x1b[K{dim}"));
            self.drawn = Instant::now();
            self.pending = true;
        }
    }

    /// Takes the progress line away.
    fn end_progress(&mut self) {
        if self.pending {
            say("\r\x1b[K");
            self.pending = false;
        }
    }

    /// Tells something that is no result and no error.
    pub(crate) fn note(&mut self, text: &str) {
        self.end_progress();
        if !self.terminal.quiet {
            let dim = paint(self.terminal.error_colour, DIM, text);
            say(&format!("{dim}\n"));
        }
    }

    /// Tells a person who watches something that is no result; no script sees it.
    pub(crate) fn remark(&mut self, text: &str) {
        self.end_progress();
        if self.terminal.progress {
            self.note(text);
        }
    }

    /// Tells what is no error yet; with --quiet too.
    pub(crate) fn warn(&mut self, text: &str) {
        self.complain(&format!("warning: {text}"));
    }

    /// Tells an error, or damage.
    pub(crate) fn complain(&mut self, text: &str) {
        self.end_progress();
        let name = paint(self.terminal.error_colour, BAD, "wakelog:");
        say(&format!("{name} {text}\n"));
    }
}

/// Writes to the standard error. If nobody reads it, there is nobody left to tell.
fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// `Fine`, or `No` after something was found.
pub(crate) fn unless(found: bool) -> Outcome {
    if found { Outcome::No } else { Outcome::Fine }
}

pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const TOPIC: Style = AnsiColor::Cyan.on_default();
pub(crate) const NAME: Style = AnsiColor::Magenta.on_default();

fn paint(colour: bool, style: Style, text: &str) -> String {
    if colour {
        format!("{style}{text}{style:#}")
    } else {
        text.to_owned()
    }
}

/// A number with its thousands apart: `1,234,567`.
pub(crate) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How much that is: `512 B`, `64.0 KiB`, `1.5 GiB`.
pub(crate) fn bytes(value: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if value < 1 << 10 {
        return format!("{value} B");
    }
    // Tenths of the unit, so that no float is needed.
    let (mut tenths, mut unit) = (value.saturating_mul(10) >> 10, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths >>= 10;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// `1 event`, `2 events`.
pub(crate) fn count(value: u64, what: &str) -> String {
    let plural = if value == 1 { "" } else { "s" };
    format!("{} {what}{plural}", number(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
        assert_eq!(count(1, "event"), "1 event");
        assert_eq!(count(1_000, "event"), "1,000 events");
    }

    #[test]
    fn sizes_have_a_unit() {
        let cases = [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_536, "1.5 KiB"),
            (64 << 20, "64.0 MiB"),
        ];
        for (value, text) in &cases {
            assert_eq!(bytes(*value), *text);
        }
        assert!(bytes(u64::MAX).ends_with("TiB"));
    }
}
