//! An event as it stands in the input.

use crate::failure::Failure;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use wakelog::NewEvent;

/// An event that waits for the rest of its batch.
#[derive(Debug)]
pub(super) enum Entry {
    /// A line, as it is.
    Plain { bytes: Vec<u8>, ended: bool },
    /// What an object has said.
    Full(FullEvent),
}

#[derive(Debug)]
pub(super) struct FullEvent {
    to: Vec<String>,
    not_to: Vec<String>,
    name: Option<String>,
    id: Option<String>,
    from: Option<String>,
    data: Vec<u8>,
}

/// An object of the input. `offset`, `position` and `time` stand in what `cat --json` prints; the
/// log gives new ones.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object<'a> {
    topic: Option<String>,
    #[serde(alias = "topics")]
    to: Option<Vec<String>>,
    #[serde(default)]
    not_to: Vec<String>,
    name: Option<String>,
    id: Option<String>,
    from: Option<String>,
    #[serde(default, borrow, deserialize_with = "given")]
    data: Option<&'a RawValue>,
    data64: Option<String>,
    #[serde(rename = "offset")]
    _offset: Option<u64>,
    #[serde(rename = "position")]
    _position: Option<String>,
    #[serde(rename = "time")]
    _time: Option<String>,
}

impl Entry {
    pub(super) fn plain(bytes: &[u8], ended: bool) -> Self {
        Self::Plain {
            bytes: bytes.to_vec(),
            ended,
        }
    }

    /// Reads an object; `topic` and `name` are for one that has none.
    pub(super) fn parse(bytes: &[u8], topic: &str, name: Option<&str>) -> Result<Self, Failure> {
        let wrong = |text: &str| Failure::Usage(text.to_owned());
        let object: Object<'_> = serde_json::from_slice(bytes)
            .map_err(|error| Failure::Usage(format!("not an event: {}", plain_words(&error))))?;
        let to = match (object.topic, object.to) {
            (Some(_), Some(_)) => return Err(wrong("it has both topic and to; give one")),
            (Some(topic), None) => vec![topic],
            (None, Some(to)) if to.is_empty() => return Err(wrong("its list of topics is empty")),
            (None, Some(to)) => to,
            (None, None) => vec![topic.to_owned()],
        };
        let data = match (object.data, object.data64) {
            (Some(_), Some(_)) => return Err(wrong("it has both data and data64; give one")),
            (Some(data), None) => payload(data)?,
            (None, Some(text)) => BASE64_STANDARD
                .decode(text)
                .map_err(|error| Failure::Usage(format!("its data64 is not base64: {error}")))?,
            (None, None) => Vec::new(),
        };
        Ok(Self::Full(FullEvent {
            to,
            not_to: object.not_to,
            name: object.name.or_else(|| name.map(str::to_owned)),
            id: object.id,
            from: object.from,
            data,
        }))
    }
}

impl FullEvent {
    pub(super) fn to_event(&self) -> NewEvent<'_> {
        // `parse` lets no empty list pass.
        let (first, others) = match self.to.split_first() {
            Some((first, others)) => (first.as_str(), others),
            None => ("", &[][..]),
        };
        let mut event = NewEvent::new(first, &self.data);
        event = others
            .iter()
            .fold(event, |event, topic| event.also_to(topic));
        event = self
            .not_to
            .iter()
            .fold(event, |event, name| event.not_to(name));
        if let Some(name) = &self.name {
            event = event.name(name);
        }
        if let Some(id) = &self.id {
            event = event.id(id);
        }
        if let Some(from) = &self.from {
            event = event.from(from);
        }
        event
    }
}

/// `null` is data as any other value is.
fn given<'de, D: Deserializer<'de>>(value: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(value).map(Some)
}

/// A string is its bytes; anything else is its JSON text.
fn payload(data: &RawValue) -> Result<Vec<u8>, Failure> {
    let text = data.get();
    if !text.starts_with('"') {
        return Ok(text.as_bytes().to_vec());
    }
    let text: String = serde_json::from_str(text)
        .map_err(|error| Failure::Usage(format!("its data is not text: {error}")))?;
    Ok(text.into_bytes())
}

/// The error without the line number of the parser, which saw one line alone.
fn plain_words(error: &serde_json::Error) -> String {
    error
        .to_string()
        .replace(" at line 1 column ", " at column ")
}
