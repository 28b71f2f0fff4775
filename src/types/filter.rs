//! Filters: which topics a consumer wants.

use std::fmt;
use std::str::FromStr;

use super::topic::{MAX_NAME_BYTES, TopicError};

/// A pattern over topics: tokens split by `.`, where `*` stands for exactly one token and `>`,
/// only as the last token, for one or more.
///
/// A wildcard as the first token never matches a topic whose first token begins with `$`; a
/// filter that spells that token out does.
///
/// ```
/// use wakelog::Filter;
///
/// let filter = Filter::parse("room.*.typing")?;
/// assert!(filter.matches("room.42.typing"));
/// assert!(!filter.matches("room.42.joined"));
/// assert!(Filter::parse("room.>")?.matches("room.42.joined"));
/// assert!(!Filter::parse(">")?.matches("$all"));
/// # Ok::<(), wakelog::FilterError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter {
    text: Box<str>,
    literal: bool,
}

/// Why a text is not a filter, or filters and identities are not a set. The caller may correct
/// them and try again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// It has no bytes.
    #[error("the filter is empty")]
    Empty,
    /// It has more than [`MAX_NAME_BYTES`] bytes.
    #[error("the filter has {bytes} bytes, more than {MAX_NAME_BYTES}")]
    TooLong {
        /// How many bytes it has.
        bytes: usize,
    },
    /// Two dots stand side by side, or one stands at an end.
    #[error("the filter {filter:?} has an empty token")]
    EmptyToken {
        /// The filter.
        filter: String,
    },
    /// It holds white space or a control character.
    #[error("the filter {filter:?} has the character {character:?}")]
    Character {
        /// The filter.
        filter: String,
        /// The character.
        character: char,
    },
    /// `*` or `>` stands inside a longer token.
    #[error("the filter {filter:?} has a wildcard that is not a whole token")]
    PartialWildcard {
        /// The filter.
        filter: String,
    },
    /// `>` is followed by more tokens.
    #[error("the filter {filter:?} goes on after '>'")]
    RestNotLast {
        /// The filter.
        filter: String,
    },
    /// The set has too many filters.
    #[error("there are more than {limit} filters")]
    TooManyFilters {
        /// The highest number allowed.
        limit: usize,
    },
    /// The set has too many identities.
    #[error("there are more than {limit} identities")]
    TooManyIdentities {
        /// The highest number allowed.
        limit: usize,
    },
    /// An identity is not a name.
    #[error("an identity is not a name: {0}")]
    Identity(#[source] TopicError),
}

impl Filter {
    /// The filter that the text says.
    ///
    /// # Errors
    /// The first rule that it breaks: 1 to 255 bytes, no empty token, no white space or control
    /// character, wildcards only as whole tokens, `>` only as the last one.
    pub fn parse(text: &str) -> Result<Filter, FilterError> {
        match text.len() {
            0 => return Err(FilterError::Empty),
            1..=MAX_NAME_BYTES => {}
            bytes => return Err(FilterError::TooLong { bytes }),
        }
        let filter = || String::from(text);
        let mut literal = true;
        let mut tokens = text.split('.').peekable();
        while let Some(token) = tokens.next() {
            let wrong = |c: &char| c.is_whitespace() || c.is_control();
            if let Some(character) = token.chars().find(wrong) {
                return Err(FilterError::Character {
                    filter: filter(),
                    character,
                });
            }
            match token {
                "" => return Err(FilterError::EmptyToken { filter: filter() }),
                "*" => literal = false,
                ">" if tokens.peek().is_some() => {
                    return Err(FilterError::RestNotLast { filter: filter() });
                }
                ">" => literal = false,
                _ if token.contains(['*', '>']) => {
                    return Err(FilterError::PartialWildcard { filter: filter() });
                }
                _ => {}
            }
        }
        Ok(Filter {
            text: text.into(),
            literal,
        })
    }

    /// The text of the filter.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the filter has no wildcard, so that it names exactly one topic.
    pub fn is_literal(&self) -> bool {
        self.literal
    }

    /// Whether it is `>`.
    pub(super) fn is_everything(&self) -> bool {
        self.as_str() == ">"
    }

    /// Whether the filter matches the topic.
    pub fn matches(&self, topic: &str) -> bool {
        self.matches_bytes(topic.as_bytes())
    }

    /// Whether the filter matches the topic with these bytes: `.`, `*` and `>` are single bytes, so
    /// nothing has to be known of the characters between them.
    #[inline]
    pub(crate) fn matches_bytes(&self, topic: &[u8]) -> bool {
        let text = self.text.as_bytes();
        if self.literal {
            return *text == *topic;
        }
        // No topic of the adapters is reached by a wildcard in the first place. A literal first
        // token is compared below like any other.
        if topic.starts_with(b"$") && (text.starts_with(b"*") || text.starts_with(b">")) {
            return false;
        }
        text == b">" || matches_tokens(text, topic)
    }
}

fn matches_tokens(filter: &[u8], topic: &[u8]) -> bool {
    let mut tokens = topic.split(|byte| *byte == b'.');
    for wanted in filter.split(|byte| *byte == b'.') {
        match (wanted, tokens.next()) {
            (b">", token) => return token.is_some(),
            (b"*", Some(_)) => {}
            (_, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({:?})", self.text)
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Filter, FilterError> {
        Filter::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::check_topic;
    use proptest::prelude::*;

    fn matches(filter: &str, topic: &str) -> bool {
        Filter::parse(filter).unwrap().matches(topic)
    }

    #[test]
    fn literals_match_themselves_alone() {
        assert!(matches("room.42", "room.42"));
        assert!(!matches("room.42", "room.4"));
        assert!(!matches("room.42", "room.421"));
        assert!(!matches("room", "room.42"));
        assert!(!matches("room.42", "room"));
    }

    #[test]
    fn a_star_is_one_token_and_the_rest_is_one_or_more() {
        assert!(matches("room.*", "room.42"));
        assert!(!matches("room.*", "room"));
        assert!(!matches("room.*", "room.42.typing"));
        assert!(matches("*.42", "room.42"));
        assert!(matches("room.>", "room.42"));
        assert!(matches("room.>", "room.42.typing"));
        assert!(!matches("room.>", "room"));
        assert!(!matches("room.>", "roomy.42"));
        assert!(matches("*.*.>", "a.b.c.d"));
        assert!(!matches("*.*.>", "a.b"));
        assert!(matches(">", "a.b"));
    }

    #[test]
    fn no_wildcard_reaches_a_topic_of_the_adapters() {
        assert!(!matches(">", "$all"));
        assert!(!matches("*", "$all"));
        assert!(!matches("*.>", "$sio.a.b"));
        assert!(matches("$all", "$all"));
        assert!(matches("$sio.*", "$sio.a"));
        assert!(matches("$sio.>", "$sio.a.b"));
        assert!(matches("*.$b", "a.$b"), "only the first token is special");
    }

    #[test]
    fn each_rule_has_its_error() {
        let error = |text: &str| Filter::parse(text).unwrap_err();
        let filter = |text: &str| String::from(text);
        assert_eq!(error(""), FilterError::Empty);
        assert_eq!(error(&"x".repeat(256)), FilterError::TooLong { bytes: 256 });
        assert_eq!(
            error("a..b"),
            FilterError::EmptyToken {
                filter: filter("a..b")
            }
        );
        assert_eq!(
            error("a."),
            FilterError::EmptyToken {
                filter: filter("a.")
            }
        );
        assert_eq!(
            error("a.*b"),
            FilterError::PartialWildcard {
                filter: filter("a.*b")
            }
        );
        assert_eq!(
            error("a>"),
            FilterError::PartialWildcard {
                filter: filter("a>")
            }
        );
        assert_eq!(
            error("a.>.b"),
            FilterError::RestNotLast {
                filter: filter("a.>.b")
            }
        );
        assert_eq!(
            error("a.b c"),
            FilterError::Character {
                filter: filter("a.b c"),
                character: ' '
            }
        );
    }

    /// The definition of a match, said again in the plainest way.
    fn model(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            ([], []) => true,
            ([">"], rest) => !rest.is_empty(),
            (["*", filter @ ..], [_, topic @ ..]) => model(filter, topic),
            ([wanted, filter @ ..], [token, topic @ ..]) => wanted == token && model(filter, topic),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_model(
            filter in "(a|b|\\*|\\$a)(\\.(a|b|\\*)){0,3}(\\.>)?",
            topic in "(a|b|\\$a)(\\.(a|b)){0,4}",
        ) {
            let tokens: Vec<_> = filter.split('.').collect();
            let reserved = topic.starts_with('$') && matches!(tokens[0], "*" | ">");
            let expected = !reserved && model(&tokens, &topic.split('.').collect::<Vec<_>>());
            prop_assert_eq!(matches(&filter, &topic), expected);
        }

        #[test]
        fn a_literal_filter_is_a_topic(text in "[ab.*> $\u{fc}]{0,8}") {
            let literal = Filter::parse(&text).is_ok_and(|filter| filter.is_literal());
            prop_assert_eq!(literal, check_topic(&text).is_ok());
        }
    }
}
