//! Places in a log as they are typed: `earliest`, an offset, a position, a time.

use crate::time;
use std::str::FromStr;
use wakelog::{Position, Start};

/// Where to begin to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(pub(crate) Start);

const WORDS: &str = "expected earliest, latest, last:N, last-per-topic, an offset, a position, \
                     or a time such as 2026-05-01T12:00:00Z";

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse().map_err(|_| format!("{text} is too large")))
        };
        Ok(Place(match text {
            "earliest" => Start::Earliest,
            "latest" => Start::Latest,
            "last-per-topic" => Start::LastPerTopic,
            _ => match (number(text), text.strip_prefix("last:").and_then(number)) {
                (Some(offset), _) => Start::Offset(offset?),
                (None, Some(count)) => Start::Last(count?),
                (None, None) => position_or_time(text)?,
            },
        }))
    }
}

fn position_or_time(text: &str) -> Result<Start, String> {
    if let Some(time) = time::parse(text) {
        return Ok(Start::Time(time));
    }
    match text.parse::<Position>() {
        Ok(position) => Ok(Start::Position(position)),
        // A position has two dots; nothing else has.
        Err(error) if text.matches('.').count() == 2 => Err(error.to_string()),
        Err(_) => Err(WORDS.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart() {
        let position = "0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.1042";
        let cases = [
            ("earliest", Start::Earliest),
            ("latest", Start::Latest),
            ("last-per-topic", Start::LastPerTopic),
            ("last:20", Start::Last(20)),
            ("1042", Start::Offset(1_042)),
            (position, Start::Position(position.parse().unwrap())),
            ("1970-01-01T00:00:01Z", Start::Time(1_000_000)),
            ("1970-01-01T01:00:00.5+01:00", Start::Time(500_000)),
        ];
        for (text, start) in cases {
            assert_eq!(text.parse(), Ok(Place(start)), "{text}");
        }
        let wrong = [
            "",
            "-1",
            "last:",
            "last:-1",
            "last:x",
            "1.2.3",
            "99999999999999999999",
        ];
        for text in wrong {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
