//! Topics and names: the rules for the texts that users choose.

use std::convert::Infallible;

/// The longest topic, filter, identity or cursor name, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// Why a text is not a topic, or not a name. The caller may correct it and try again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// It has no bytes.
    #[error("it is empty")]
    Empty,
    /// It has more than [`MAX_NAME_BYTES`] bytes.
    #[error("it has {bytes} bytes, more than {MAX_NAME_BYTES}")]
    TooLong {
        /// How many bytes it has.
        bytes: usize,
    },
    /// Two dots stand side by side, or one stands at an end.
    #[error("it has an empty token at byte {at}")]
    EmptyToken {
        /// Where the empty token stands, in bytes.
        at: usize,
    },
    /// It holds white space or a control character.
    #[error("it has the character {character:?} at byte {at}")]
    Character {
        /// The character.
        character: char,
        /// Where it stands, in bytes.
        at: usize,
    },
    /// It holds `*` or `>`, which only filters may.
    #[error("it has a wildcard at byte {at}")]
    Wildcard {
        /// Where it stands, in bytes.
        at: usize,
    },
}

/// The rules of topics, as one place to ask.
///
/// A topic is 1 to 255 bytes of UTF-8: tokens split by `.`, none of them empty, without white
/// space and control characters. `*` and `>` are for filters alone. A first token that begins
/// with `$` belongs to the adapters of the log: no wildcard matches it.
#[derive(Clone, Copy, Debug)]
pub struct Topic {
    _rules_only: Infallible,
}

impl Topic {
    /// Whether the text may be the topic of an event.
    ///
    /// # Errors
    /// The first rule that it breaks.
    ///
    /// ```
    /// use wakelog::{Topic, TopicError};
    ///
    /// assert!(Topic::check("room.42").is_ok());
    /// assert_eq!(Topic::check("room..42"), Err(TopicError::EmptyToken { at: 5 }));
    /// ```
    pub fn check(topic: &str) -> Result<(), TopicError> {
        check_topic(topic)
    }
}

/// Whether the text may be the topic of an event; the rules are those of [`Topic`].
///
/// # Errors
/// The first rule that it breaks.
pub(crate) fn check_topic(topic: &str) -> Result<(), TopicError> {
    check_length(topic)?;
    // Appends come through here, and nearly all topics are plain ASCII: one pass over the bytes.
    let mut before = b'.';
    for &byte in topic.as_bytes() {
        if !is_plain(byte) || (byte == b'.' && before == b'.') {
            return check_characters(topic);
        }
        before = byte;
    }
    if before == b'.' {
        return check_characters(topic);
    }
    Ok(())
}

/// Bytes that may stand in a topic, if one minds the dots.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~') && byte != b'*' && byte != b'>'
}

/// The rules, for all texts: which of them is broken, and where.
fn check_characters(topic: &str) -> Result<(), TopicError> {
    let mut token_is_empty = true;
    for (at, character) in topic.char_indices() {
        match character {
            '.' if token_is_empty => return Err(TopicError::EmptyToken { at }),
            '.' => token_is_empty = true,
            '*' | '>' => return Err(TopicError::Wildcard { at }),
            _ if character.is_whitespace() || character.is_control() => {
                return Err(TopicError::Character { character, at });
            }
            _ => token_is_empty = false,
        }
    }
    if token_is_empty {
        return Err(TopicError::EmptyToken { at: topic.len() });
    }
    Ok(())
}

/// Whether the text may be the name of a cursor or an identity: 1 to 255 bytes of UTF-8 without
/// control characters. Identities and names are compared byte for byte.
///
/// # Errors
/// The first rule that it breaks.
pub(crate) fn check_name(name: &str) -> Result<(), TopicError> {
    check_length(name)?;
    match name
        .char_indices()
        .find(|(_, character)| character.is_control())
    {
        Some((at, character)) => Err(TopicError::Character { character, at }),
        None => Ok(()),
    }
}

fn check_length(text: &str) -> Result<(), TopicError> {
    match text.len() {
        0 => Err(TopicError::Empty),
        1..=MAX_NAME_BYTES => Ok(()),
        bytes => Err(TopicError::TooLong { bytes }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn good_topics() {
        let long = "x".repeat(255);
        for topic in [
            "a",
            "room.42",
            "$all",
            "a.$b",
            "user.J\u{fc}rgen",
            "1.2.3.4",
            &long,
        ] {
            assert_eq!(check_topic(topic), Ok(()), "{topic}");
        }
    }

    #[test]
    fn each_rule_has_its_error() {
        assert_eq!(check_topic(""), Err(TopicError::Empty));
        assert_eq!(
            check_topic(&"x".repeat(256)),
            Err(TopicError::TooLong { bytes: 256 })
        );
        assert_eq!(check_topic("."), Err(TopicError::EmptyToken { at: 0 }));
        assert_eq!(check_topic("a."), Err(TopicError::EmptyToken { at: 2 }));
        assert_eq!(check_topic(".a"), Err(TopicError::EmptyToken { at: 0 }));
        assert_eq!(check_topic("a..b"), Err(TopicError::EmptyToken { at: 2 }));
        assert_eq!(
            check_topic("\u{fc}."),
            Err(TopicError::EmptyToken { at: 3 })
        );
        assert_eq!(check_topic("room.*"), Err(TopicError::Wildcard { at: 5 }));
        assert_eq!(check_topic("a>b"), Err(TopicError::Wildcard { at: 1 }));
        for (text, character, at) in [
            ("a b", ' ', 1),
            ("a\n", '\n', 1),
            ("\u{7f}", '\u{7f}', 0),
            ("a\u{a0}", '\u{a0}', 1),
        ] {
            assert_eq!(
                check_topic(text),
                Err(TopicError::Character { character, at })
            );
        }
    }

    #[test]
    fn names_may_hold_spaces_and_dots() {
        assert_eq!(check_name("Alice Smith, 2nd tab."), Ok(()));
        assert_eq!(check_name(""), Err(TopicError::Empty));
        assert_eq!(
            check_name("a\0"),
            Err(TopicError::Character {
                character: '\0',
                at: 1
            })
        );
        assert_eq!(
            check_name(&"x".repeat(256)),
            Err(TopicError::TooLong { bytes: 256 })
        );
    }

    proptest! {
        #[test]
        fn the_fast_pass_agrees_with_the_plain_one(topic in "[ab.*> \u{fc}\u{a0}\n]{1,9}") {
            prop_assert_eq!(check_topic(&topic), check_characters(&topic));
        }
    }
}
