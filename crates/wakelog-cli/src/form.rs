//! The forms in which events are printed: raw bytes, JSON lines, columns for people.

use crate::failure::Failure;
use crate::output::{self, Output};
use crate::time;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::Serialize;
use std::fmt::Write as _;
use wakelog::{EventRef, Gap, GapReason};

/// The attribute with which `append` marks a last line that had no newline, so that `cat --raw`
/// gives back the same bytes. Other writers may use the tag for something else, hence the value.
pub(crate) const UNENDED: (u8, &[u8]) = (255, b"wakelog: no newline");

/// How events are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Columns.
    Text,
    /// The payload and a newline.
    Raw,
    /// One object a line.
    Json,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FormArgs {
    /// Print each payload as it is, and a newline; what `append` has read comes out the same.
    #[arg(long, conflicts_with = "json")]
    raw: bool,

    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

impl FormArgs {
    pub(crate) fn form(&self) -> Form {
        match (self.raw, self.json) {
            (true, _) => Form::Raw,
            (_, true) => Form::Json,
            _ => Form::Text,
        }
    }
}

#[derive(Debug, Serialize)]
struct EventLine<'a> {
    offset: u64,
    position: String,
    time: String,
    topics: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_to: Vec<&'a str>,
    name: Option<&'a str>,
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(flatten)]
    data: Data<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Data<'a> {
    Data(&'a str),
    Data64(String),
}

#[derive(Debug, Serialize)]
struct GapLine {
    gap: GapNumbers,
}

#[derive(Debug, Serialize)]
struct GapNumbers {
    from: u64,
    to: u64,
    reason: &'static str,
}

impl Form {
    /// Prints an event.
    pub(crate) fn event(self, event: &EventRef<'_>, output: &mut Output) -> Result<(), Failure> {
        match self {
            Form::Text => text(event, output),
            Form::Json => json(event, output),
            Form::Raw => {
                output.write(event.payload())?;
                if event.attribute(UNENDED.0) == Some(UNENDED.1) {
                    return Ok(());
                }
                output.write(b"\n")
            }
        }
    }

    /// Tells a gap: in JSON among the events, otherwise as a message.
    pub(crate) fn gap(self, gap: &Gap, output: &mut Output) -> Result<(), Failure> {
        if self == Form::Json {
            let Gap { from, to, .. } = *gap;
            let reason = reason(gap.reason);
            return output.json(&GapLine {
                gap: GapNumbers { from, to, reason },
            });
        }
        // The message belongs behind what was printed before.
        output.flush()?;
        output.complain(&format!("gap: {gap}"));
        Ok(())
    }
}

fn reason(reason: GapReason) -> &'static str {
    match reason {
        GapReason::Trimmed => "trimmed",
        GapReason::Corrupt => "corrupt",
        GapReason::Diverged => "diverged",
        _ => "other",
    }
}

fn json(event: &EventRef<'_>, output: &mut Output) -> Result<(), Failure> {
    let data = match std::str::from_utf8(event.payload()) {
        Ok(text) => Data::Data(text),
        Err(_) => Data::Data64(BASE64_STANDARD.encode(event.payload())),
    };
    output.json(&EventLine {
        offset: event.offset(),
        position: event.position().to_string(),
        time: time::text(event.time()),
        topics: event.topics().collect(),
        not_to: event.not_to().collect(),
        name: event.name(),
        id: event.id(),
        from: event.from(),
        data,
    })
}

/// Offset, time, topics, name and payload: in columns on a terminal, with tabs between them
/// elsewhere.
fn text(event: &EventRef<'_>, output: &mut Output) -> Result<(), Failure> {
    let topics = event.topics().map(visible_text).collect::<Vec<_>>();
    let topics = topics.join(",");
    let name = event.name().map(visible_text).unwrap_or_default();
    let payload = visible(event.payload());
    let time = time::text(event.time());
    let offset = event.offset();
    if !output.terminal.columns {
        return output.line(&format!("{offset}\t{time}\t{topics}\t{name}\t{payload}"));
    }
    let offset = output.styled(output::BOLD, &format!("{offset:>8}"));
    let time = output.styled(output::DIM, &time);
    let topics = output.styled(output::TOPIC, &format!("{topics:<14}"));
    let name = match name.as_str() {
        "" => String::new(),
        name => format!("  {}", output.styled(output::NAME, name)),
    };
    output.line(&format!("{offset}  {time}  {topics}{name}  {payload}"))
}

/// Bytes as text in one line. What could move the cursor of a terminal is written as an escape.
fn visible(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        push_visible(chunk.valid(), &mut text);
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

fn visible_text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    push_visible(text, &mut shown);
    shown
}

fn push_visible(text: &str, to: &mut String) {
    for character in text.chars() {
        if character.is_control() || is_direction_mark(character) {
            to.extend(character.escape_default());
        } else {
            to.push(character);
        }
    }
}

/// Characters that turn the direction of the text around them.
fn is_direction_mark(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_printed_moves_a_cursor() {
        assert_eq!(visible(b"plain"), "plain");
        assert_eq!(visible(b"a\tb\r\n"), "a\\tb\\r\\n");
        assert_eq!(visible(b"\x1b[2J"), "\\u{1b}[2J");
        assert_eq!(visible(b"\xff\xc3\xa4"), "\\xff\u{e4}");
        assert_eq!(visible("a\u{202e}b".as_bytes()), "a\\u{202e}b");
    }
}
