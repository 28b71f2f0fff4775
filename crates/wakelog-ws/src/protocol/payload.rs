//! Payloads: bytes, and how a browser writes them.

/// The attribute of an event in which the adapter keeps how its payload was written: one byte, see
/// [`Encoding`].
///
/// It stands at the far end of the tags that are free for users (128..=255).
pub const ENCODING_ATTRIBUTE: u8 = 255;

/// How a payload is written in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// JSON text, embedded as it is (`data`).
    Json,
    /// UTF-8 (`text`).
    Text,
    /// Any bytes (`base64`).
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

/// The bytes of an event and how they are written for browsers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    encoding: Encoding,
    bytes: Vec<u8>,
}

impl Payload {
    /// A JSON value.
    ///
    /// # Errors
    /// What serde says when the value cannot be written as JSON.
    pub fn json(value: &impl serde::Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self {
            encoding: Encoding::Json,
            bytes: serde_json::to_vec(value)?,
        })
    }

    /// Plain text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            encoding: Encoding::Text,
            bytes: text.into().into_bytes(),
        }
    }

    /// Any bytes.
    #[must_use]
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            encoding: Encoding::Bytes,
            bytes: bytes.into(),
        }
    }

    /// JSON text that has been checked by the decoder.
    pub(super) fn checked_json(text: &str) -> Self {
        Self {
            encoding: Encoding::Json,
            bytes: text.as_bytes().to_vec(),
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
