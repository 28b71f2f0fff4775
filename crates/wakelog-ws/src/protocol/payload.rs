//! Payloads: bytes, and how a browser writes them.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeStruct as _, Serializer};
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
    pub const fn mark(self) -> u8 {
        match self {
            Self::Json => 1,
            Self::Text => 2,
            Self::Bytes => 3,
        }
    }

    /// Reads the attribute of a stored event; anything unknown counts as no mark.
    pub fn from_attribute(value: Option<&[u8]>) -> Option<Self> {
        let all = [Self::Json, Self::Text, Self::Bytes];
        all.into_iter().find(|one| value == Some(&[one.mark()]))
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
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Encoding::Text, text.into().into_bytes())
    }

    /// Any bytes.
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
            (None, None, Some(coded)) => {
                let decoded = STANDARD.decode(coded.as_bytes()).map(Self::bytes);
                decoded.map_err(|_| "base64 is not base64")
            }
            (None, None, None) => Ok(Self::bytes(Vec::new())),
            _ => Err("at most one of data, text and base64"),
        }
    }

    /// How the bytes are written.
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    pub(crate) fn bare(&self) -> Bare<'_> {
        let (encoding, bytes) = (Some(self.encoding), &*self.bytes);
        Bare { encoding, bytes }
    }

    /// The bytes as they are stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.bare().serialize(serializer)
    }
}

/// A payload as it stands in the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bare<'a> {
    /// How its publisher meant it, if that is known.
    pub encoding: Option<Encoding>,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// In the field of a message: as its publisher meant it, or as what it turns out to be.
impl Serialize for Bare<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut field = serializer.serialize_struct("Payload", 1)?;
        let text = std::str::from_utf8(self.bytes).ok();
        // The mark is data from disk and is not believed: text that is no JSON would break the
        // whole message.
        let json = text.filter(|_| self.encoding == Some(Encoding::Json));
        let json = json.and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
        let text = text.filter(|_| self.encoding != Some(Encoding::Bytes));
        match (json, text) {
            (Some(json), _) => field.serialize_field("data", json)?,
            (_, None) if !self.bytes.is_empty() => {
                field.serialize_field("base64", &STANDARD.encode(self.bytes))?;
            }
            (_, text) => field.serialize_field("text", text.unwrap_or_default())?,
        }
        field.end()
    }
}
