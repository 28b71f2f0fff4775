//! Texts that come from outside: topics, filters, positions.

use crate::types::{MAX_NAME_BYTES, MAX_OFFSET};
use crate::{Filter, FilterSet, Position, Topic};

/// A filter, then a topic on the next line.
///
/// # Panics
/// When a text is taken that breaks a rule, or matching differs from its definition.
pub fn filter(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (filter, topic) = text.split_once('\n').unwrap_or((text, text));
    let good_topic = plain(topic) && !topic.contains(['*', '>']);
    assert_eq!(Topic::check(topic).is_ok(), good_topic, "{topic:?}");
    let parsed = Filter::parse(filter);
    assert_eq!(
        parsed.is_ok(),
        plain(filter) && wildcards(filter),
        "{filter:?}"
    );
    let Ok(parsed) = parsed else {
        return;
    };
    assert_eq!(parsed.as_str(), filter);
    assert_eq!(parsed.is_literal(), Topic::check(filter).is_ok());
    if !good_topic {
        return;
    }
    let matches = by_definition(filter, topic);
    assert_eq!(parsed.matches(topic), matches, "{filter:?} on {topic:?}");
    let nobody: Option<&[String]> = Some(&[]);
    let Ok(set) = FilterSet::new([filter], nobody) else {
        panic!("{filter:?} is a filter and no set");
    };
    assert_eq!(
        set.matches([topic].into_iter(), std::iter::empty()),
        matches
    );
}

/// One to so many bytes, tokens that are not empty, no white space, no control character.
fn plain(text: &str) -> bool {
    let strange = |letter: char| letter.is_whitespace() || letter.is_control();
    (1..=MAX_NAME_BYTES).contains(&text.len())
        && !text.contains(strange)
        && text.split('.').all(|token| !token.is_empty())
}

/// Wildcards are whole tokens, and `>` is the last one.
fn wildcards(text: &str) -> bool {
    let tokens: Vec<&str> = text.split('.').collect();
    tokens
        .iter()
        .enumerate()
        .all(|(index, token)| match *token {
            "*" => true,
            ">" => index + 1 == tokens.len(),
            token => !token.contains(['*', '>']),
        })
}

fn by_definition(filter: &str, topic: &str) -> bool {
    let filter: Vec<&str> = filter.split('.').collect();
    let topic: Vec<&str> = topic.split('.').collect();
    let wild = |token: &str| matches!(token, "*" | ">");
    if topic[0].starts_with('$') && wild(filter[0]) {
        return false;
    }
    let rest = filter.last() == Some(&">");
    let fits = |(wanted, token): (&&str, &&str)| wild(wanted) || wanted == token;
    let long = if rest {
        topic.len() >= filter.len()
    } else {
        topic.len() == filter.len()
    };
    long && filter.iter().zip(&topic).all(fits)
}

/// A position as text.
///
/// # Panics
/// When one position has two texts, or an offset is none.
pub fn position(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(position) = text.parse::<Position>() {
        assert_eq!(position.to_string(), text);
        assert!(position.offset <= MAX_OFFSET);
    }
}
