//! The rules for names that a client may choose.

use wakelog::{Filter, Topic};

/// A name that breaks a rule; the text says which, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(pub(crate) String);

/// Checks the name of a consumer: 1..=128 of `A-Z a-z 0-9 . _ -`, no empty token between dots.
///
/// # Errors
/// Says which rule the name breaks.
pub fn check_consumer(name: &str) -> Result<(), NameError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let fault = if name.is_empty() || name.len() > 128 {
        "a consumer name has 1..128 bytes"
    } else if !name.bytes().all(plain) {
        "a consumer name is made of A-Z a-z 0-9 . _ -"
    } else if name.split('.').any(str::is_empty) {
        // The name is also the session's identity, which follows the rule for topics.
        "a consumer name has no empty token between dots"
    } else {
        return Ok(());
    };
    Err(NameError(fault.to_owned()))
}

/// Checks a topic or identity that a client names.
pub(super) fn check_topic(topic: &str) -> Result<(), NameError> {
    Topic::check(topic).map_err(|error| NameError(error.to_string()))?;
    refuse_reserved(topic)
}

/// Checks a filter that a client names.
pub(super) fn check_filter(filter: &str) -> Result<(), NameError> {
    Filter::parse(filter).map_err(|error| NameError(error.to_string()))?;
    refuse_reserved(filter)
}

/// Checks that `text` has 1..=`max` bytes and no control character.
pub(super) fn check_text(what: &str, text: &str, max: usize) -> Result<(), NameError> {
    if text.is_empty() || text.len() > max {
        return Err(NameError(format!("{what} has 1..{max} bytes")));
    }
    if text.chars().any(char::is_control) {
        return Err(NameError(format!("{what} has no control characters")));
    }
    Ok(())
}

fn refuse_reserved(name: &str) -> Result<(), NameError> {
    if name.starts_with('$') {
        let text = "topics that begin with $ belong to the server";
        return Err(NameError(text.to_owned()));
    }
    Ok(())
}
