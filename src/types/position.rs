//! Positions: a place in one history of one log, and its text form.

use std::fmt;
use std::str::FromStr;

use super::MAX_OFFSET;

/// The identity of a log: 128 random bits, made when the log is created.
///
/// Its text form is 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub [u8; 16]);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand: each page that goes to a client has a position, and the formatting of 128-bit
        // numbers is slow.
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            for (place, half) in pair.iter_mut().zip([byte >> 4, byte & 0xf]) {
                *place = b"0123456789abcdef"[usize::from(half)];
            }
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogId({self})")
    }
}

/// One period of writing: every open of a log for writing starts a new epoch.
///
/// The tag is random, so that two histories that went apart (a log restored from a backup and
/// then written again) cannot be taken for each other. The default, all zeros, is no epoch of any
/// log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// Which open this was, 1 for the first.
    pub counter: u32,
    /// Random bits of this open.
    pub tag: u32,
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:08x}", self.counter, self.tag)
    }
}

/// A place in a log that stays meaningful across restarts: the log, the epoch, and the next
/// offset to read.
///
/// A position is checked when it is used: it is of this log, its epoch is known, and its offset
/// was part of that epoch; otherwise the answer is a reset or a [`Gap`](crate::Gap) with exact
/// numbers.
///
/// The text form (`Display`, `FromStr`) is compact and needs no escaping in URLs, headers, JSON
/// or file names. One position has exactly one text.
///
/// ```
/// use wakelog::Position;
///
/// let text = "0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.1042";
/// let position: Position = text.parse()?;
/// assert_eq!(position.offset, 1042);
/// assert_eq!(position.epoch.counter, 3);
/// assert_eq!(position.to_string(), text);
/// # Ok::<(), wakelog::PositionParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The log.
    pub log: LogId,
    /// The epoch in which this position was told.
    pub epoch: Epoch,
    /// The next offset to read, at most [`MAX_OFFSET`].
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.log, self.epoch, self.offset)
    }
}

/// The text is not a position. The caller may start anew, or at an offset it knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a position: {expected}")]
pub struct PositionParseError {
    expected: &'static str,
}

impl FromStr for Position {
    type Err = PositionParseError;

    fn from_str(text: &str) -> Result<Position, PositionParseError> {
        parse(text).map_err(|expected| PositionParseError { expected })
    }
}

fn parse(text: &str) -> Result<Position, &'static str> {
    const PARTS: &str = "expected <log id>.<epoch counter>-<epoch tag>.<offset>";
    let (log, rest) = text.split_once('.').ok_or(PARTS)?;
    let (epoch, offset) = rest.split_once('.').ok_or(PARTS)?;
    let (counter, tag) = epoch.split_once('-').ok_or(PARTS)?;

    let mut id = hex(log, 32)
        .ok_or("the log id is not 32 lower-case hex digits")?
        .to_le_bytes();
    id.reverse();
    let counter = (1..=8)
        .contains(&counter.len())
        .then(|| hex(counter, counter.len()))
        .flatten()
        .filter(|_| no_leading_zero(counter))
        .and_then(|value| u32::try_from(value).ok())
        .ok_or("the epoch counter is not a lower-case hex number of 32 bits")?;
    let tag = hex(tag, 8)
        .and_then(|value| u32::try_from(value).ok())
        .ok_or("the epoch tag is not 8 lower-case hex digits")?;
    let digits = offset.bytes().all(|byte| byte.is_ascii_digit());
    let offset = (digits && no_leading_zero(offset))
        .then(|| offset.parse().ok())
        .flatten()
        .filter(|offset| *offset <= MAX_OFFSET)
        .ok_or("the offset is not a decimal number below 2^53")?;
    Ok(Position {
        log: LogId(id),
        epoch: Epoch { counter, tag },
        offset,
    })
}

/// Exactly `digits` lower-case hex digits. `from_str_radix` alone would take signs and capitals.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != digits || !text.bytes().all(lower) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

fn no_leading_zero(text: &str) -> bool {
    text == "0" || !text.starts_with('0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_the_format() {
        let text = "0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.1042";
        let position: Position = text.parse().unwrap();
        assert_eq!(position.log.0[..3], [0x0f, 0x8f, 0xad]);
        assert_eq!(
            position.epoch,
            Epoch {
                counter: 3,
                tag: 0x9c1e_22b7
            }
        );
        assert_eq!(position.offset, 1042);
        assert_eq!(position.to_string(), text);
    }

    #[test]
    fn one_position_has_one_text() {
        let good = "0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.1042";
        let wrong = [
            "",
            ".",
            "0f8fad5bd9cb469fa16570867728950e",
            "0f8fad5bd9cb469fa16570867728950.3-9c1e22b7.1042",
            "0F8fad5bd9cb469fa16570867728950e.3-9c1e22b7.1042",
            "+f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.1042",
            "0f8fad5bd9cb469fa16570867728950e.03-9c1e22b7.1042",
            "0f8fad5bd9cb469fa16570867728950e.-9c1e22b7.1042",
            "0f8fad5bd9cb469fa16570867728950e.+3-9c1e22b7.1042",
            "0f8fad5bd9cb469fa16570867728950e.100000000-9c1e22b7.1042",
            "0f8fad5bd9cb469fa16570867728950e.3-9C1e22b7.1042",
            "0f8fad5bd9cb469fa16570867728950e.3-c1e22b7.1042",
            "0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.01042",
            "0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.+1042",
            "0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.",
            "0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.1042.",
            "0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.1042 ",
            " 0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.1042",
            "0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.9007199254740992",
            "0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.99999999999999999999",
        ];
        assert!(good.parse::<Position>().is_ok());
        for text in wrong {
            assert!(text.parse::<Position>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trip(id: [u8; 16], counter: u32, tag: u32, offset in 0..=MAX_OFFSET) {
            let position = Position { log: LogId(id), epoch: Epoch { counter, tag }, offset };
            prop_assert_eq!(position.to_string().parse::<Position>().unwrap(), position);
        }

        #[test]
        fn what_parses_prints_the_same(
            text in "[0-9a-f]{32}\\.[0-9a-f]{0,9}-[0-9a-f]{8}\\.[0-9]{0,17}",
        ) {
            if let Ok(position) = text.parse::<Position>() {
                prop_assert_eq!(position.to_string(), text);
            }
        }

        #[test]
        fn arbitrary_text_does_not_panic(text: String) {
            prop_assert!(text.parse::<Position>().is_err());
        }
    }
}
