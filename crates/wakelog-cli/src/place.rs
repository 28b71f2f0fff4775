//! Places in a log as they are typed: `earliest`, an offset, a position, a time.

use std::str::FromStr;
use wakelog::{Position, Start};

/// Where to begin to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(pub(crate) Start);

const WORDS: &str = "expected earliest, latest, an offset, a position, \
                     or a time such as 2026-05-01T12:00:00Z";

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        Ok(Place(match text {
            "earliest" => Start::Earliest,
            "latest" => Start::Latest,
            _ if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                let offset = text.parse();
                Start::Offset(offset.map_err(|_| "the offset is too large".to_owned())?)
            }
            _ => other(text)?,
        }))
    }
}

fn other(text: &str) -> Result<Start, String> {
    match text.parse::<Position>() {
        Ok(position) => Ok(Start::Position(position)),
        // A position has two dots; nothing else has.
        Err(error) if text.matches('.').count() == 2 => Err(error.to_string()),
        Err(_) => Err(WORDS.to_owned()),
    }
}
