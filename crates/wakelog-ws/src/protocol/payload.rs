//! Payloads: bytes, and how a browser writes them.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// The attribute of an event in which the adapter keeps how its payload was written: one byte, see
/// [`Encoding`].
///
/// It stands at the far end of the tags that are free for users (128..=255).
pub const ENCODING_ATTRIBUTE: u8 = 255;

/// How a payload is written in a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// JSON text, embedded as it is (`data`).
    Json,
    /// UTF-8 (`text`).
    Text,
    /// Any bytes (`base64`).
    #[default]
    Bytes,
}

impl Encoding {
    /// The value of [`ENCODING_ATTRIBUTE`].
    #[must_use]
    pub const fn mark(self) -> u8 {
        match self {
            Self::Json => 1,
            Self::Text => 2,
            Self::Bytes => 3,
        }
    }

    /// Reads the attribute of a stored event; anything unknown counts as no mark.
    #[must_use]
    pub const fn from_attribute(value: Option<&[u8]>) -> Option<Self> {
        match value {
            Some([1]) => Some(Self::Json),
            Some([2]) => Some(Self::Text),
            Some([3]) => Some(Self::Bytes),
            _ => None,
        }
    }
}

/// The bytes of an event and how they are written for browsers; by default there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    encoding: Encoding,
    bytes: Vec<u8>,
}

impl Payload {
    fn new(encoding: Encoding, bytes: Vec<u8>) -> Self {
        Self { encoding, bytes }
    }

    /// A JSON value.
    ///
    /// # Errors
    /// What serde says when the value cannot be written as JSON.
    pub fn json(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self::new(Encoding::Json, serde_json::to_vec(value)?))
    }

    /// Plain text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Encoding::Text, text.into().into_bytes())
    }

    /// Any bytes.
    #[must_use]
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(Encoding::Bytes, bytes.into())
    }

    /// A payload as its message writes it: in one of three fields, or in none.
    pub(crate) fn from_fields(
        data: Option<&RawValue>,
        text: Option<String>,
        base64: Option<Cow<'_, str>>,
    ) -> Result<Self, &'static str> {
        match (data, text, base64) {
            (Some(raw), None, None) => Ok(Self::new(Encoding::Json, raw.get().as_bytes().to_vec())),
            (None, Some(text), None) => Ok(Self::text(text)),
            (None, None, Some(coded)) => STANDARD
                .decode(coded.as_bytes())
                .map(Self::bytes)
                .map_err(|_| "base64 is not base64"),
            (None, None, None) => Ok(Self::bytes(Vec::new())),
            _ => Err("at most one of data, text and base64"),
        }
    }

    /// How the bytes are written.
    #[must_use]
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The bytes as they are stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// In the field of its encoding.
impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Written::of(Some(self.encoding), &self.bytes).serialize(serializer)
    }
}

/// The field of a message in which a payload stands.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Written<'a> {
    /// JSON text.
    Data(&'a RawValue),
    /// Text.
    Text(&'a str),
    /// Any bytes.
    Base64(String),
}

impl Default for Written<'_> {
    fn default() -> Self {
        Self::Text("")
    }
}

impl<'a> Written<'a> {
    /// A payload as its publisher meant it, or as what it turns out to be.
    ///
    /// The mark is data from disk and is not believed: text that is no JSON would break the whole
    /// message.
    #[must_use]
    pub fn of(encoding: Option<Encoding>, payload: &'a [u8]) -> Self {
        let text = std::str::from_utf8(payload).ok();
        if let (Some(Encoding::Json), Some(text)) = (encoding, text) {
            if let Ok(json) = serde_json::from_str(text) {
                return Self::Data(json);
            }
        }
        match (encoding, text) {
            (Some(Encoding::Bytes), _) | (_, None) if !payload.is_empty() => {
                Self::Base64(STANDARD.encode(payload))
            }
            (_, text) => Self::Text(text.unwrap_or_default()),
        }
    }
}
