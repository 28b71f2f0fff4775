//! From the text of a client's message to checked values.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use wakelog::Position;

use super::client::{ClientMessage, Grant, Hello, Publish, StartAt, Subscribe};
use super::code::ErrorCode;
use super::names::{NameError, check_consumer, check_filter, check_text, check_topic};
use super::payload::Payload;

const MAX_SUB: usize = 64;
const MAX_ID: usize = 64;
const MAX_NAME: usize = 255;
const MAX_TOPICS: usize = 16;
const MAX_OFFSET: u64 = (1 << 53) - 1;

/// Why a text is no message, and as much as can be said about which one it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DecodeError {
    /// The code for the client.
    pub code: ErrorCode,
    /// The reason, for people.
    pub message: String,
    /// The `type` of the message, if it is one that we know.
    pub re: Option<&'static str>,
    /// Its `sub`.
    pub sub: Option<String>,
    /// Its `id`.
    pub id: Option<String>,
}

/// Decodes one text message.
///
/// # Errors
/// [`DecodeError`] carries the code that the client is to get. The text may be anything at all.
pub fn decode(text: &str) -> Result<ClientMessage, DecodeError> {
    let head: Head<'_> = serde_json::from_str(text).map_err(|_| {
        refusal(
            ErrorCode::NotJson,
            "a message is a JSON object with a string `type`",
        )
    })?;
    let (re, result) = match head.kind.as_ref() {
        "hello" => ("hello", hello(text)),
        "subscribe" => ("subscribe", subscribe(text)),
        "change" => ("change", change(text)),
        "credit" => ("credit", credit(text)),
        "ack" => ("ack", ack(text)),
        "publish" => ("publish", publish(text)),
        "unsubscribe" => ("unsubscribe", unsubscribe(text)),
        "heartbeat" => return Ok(ClientMessage::Heartbeat),
        _ => {
            return Err(refusal(
                ErrorCode::UnknownType,
                "this server does not know that `type`",
            ));
        }
    };
    result.map_err(|problem| problem.about(re, text))
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

fn refusal(code: ErrorCode, message: &str) -> DecodeError {
    DecodeError {
        code,
        message: message.to_owned(),
        re: None,
        sub: None,
        id: None,
    }
}

/// What is wrong with a message of a known type.
struct Problem {
    code: ErrorCode,
    message: String,
}

impl Problem {
    fn bad(message: impl ToString) -> Self {
        Self {
            code: ErrorCode::BadMessage,
            message: message.to_string(),
        }
    }

    /// Adds what the text says about its subscription and id. They are returned to the client only
    /// if they are within bounds.
    fn about(self, re: &'static str, text: &str) -> DecodeError {
        #[derive(Default, Deserialize)]
        struct Names {
            #[serde(default)]
            sub: Option<serde_json::Value>,
            #[serde(default)]
            id: Option<serde_json::Value>,
        }
        let names: Names = serde_json::from_str(text).unwrap_or_default();
        let short = |value: Option<serde_json::Value>, max: usize| match value {
            Some(serde_json::Value::String(name)) if name.len() <= max => Some(name),
            _ => None,
        };
        DecodeError {
            code: self.code,
            message: self.message,
            re: Some(re),
            sub: short(names.sub, MAX_SUB),
            id: short(names.id, MAX_ID),
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Problem> {
    serde_json::from_str(text).map_err(Problem::bad)
}

fn named(code: ErrorCode) -> impl Fn(NameError) -> Problem {
    move |error| Problem {
        code,
        message: error.to_string(),
    }
}

fn hello(text: &str) -> Result<ClientMessage, Problem> {
    #[derive(Deserialize)]
    struct Wire {
        consumer: Option<String>,
        token: Option<String>,
        client: Option<String>,
    }
    let wire: Wire = parse(text)?;
    if let Some(consumer) = &wire.consumer {
        check_consumer(consumer).map_err(named(ErrorCode::BadConsumer))?;
    }
    if let Some(client) = &wire.client {
        check_text("client", client, MAX_NAME).map_err(Problem::bad)?;
    }
    Ok(ClientMessage::Hello(Hello {
        consumer: wire.consumer,
        token: wire.token,
        client: wire.client,
    }))
}

fn subscribe(text: &str) -> Result<ClientMessage, Problem> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        sub: String,
        filters: Vec<String>,
        #[serde(borrow)]
        position: Option<Cow<'a, str>>,
        start: Option<Start>,
        credit: Option<Grant>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Start {
        Offset(u64),
        Word(String),
    }
    let wire: Wire<'_> = parse(text)?;
    check_text("sub", &wire.sub, MAX_SUB).map_err(Problem::bad)?;
    check_filters(&wire.filters)?;
    let start = match (wire.position, wire.start) {
        (Some(text), _) => StartAt::Position(position(&text)?),
        (None, None) => StartAt::Cursor,
        (None, Some(Start::Offset(offset))) if offset <= MAX_OFFSET => StartAt::Offset(offset),
        (None, Some(Start::Word(word))) if word == "earliest" => StartAt::Earliest,
        (None, Some(Start::Word(word))) if word == "latest" => StartAt::Latest,
        _ => {
            return Err(Problem::bad(
                "start is \"earliest\", \"latest\" or an offset",
            ));
        }
    };
    let credit = wire.credit;
    Ok(ClientMessage::Subscribe(Subscribe {
        sub: wire.sub,
        filters: wire.filters,
        start,
        credit,
    }))
}

fn check_filters(filters: &[String]) -> Result<(), Problem> {
    if filters.is_empty() {
        return Err(Problem::bad("a subscription has at least one filter"));
    }
    for filter in filters {
        check_filter(filter).map_err(named(ErrorCode::BadFilter))?;
    }
    Ok(())
}

fn change(text: &str) -> Result<ClientMessage, Problem> {
    #[derive(Deserialize)]
    struct Wire {
        sub: String,
        filters: Vec<String>,
    }
    let Wire { sub, filters } = parse(text)?;
    check_filters(&filters)?;
    Ok(ClientMessage::Change { sub, filters })
}

fn credit(text: &str) -> Result<ClientMessage, Problem> {
    #[derive(Deserialize)]
    struct Wire {
        sub: String,
        #[serde(flatten)]
        grant: Grant,
    }
    let wire: Wire = parse(text)?;
    Ok(ClientMessage::Credit {
        sub: wire.sub,
        grant: wire.grant,
    })
}

fn ack(text: &str) -> Result<ClientMessage, Problem> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow)]
        position: Cow<'a, str>,
    }
    let wire: Wire<'_> = parse(text)?;
    Ok(ClientMessage::Ack {
        position: position(&wire.position)?,
    })
}

fn publish(text: &str) -> Result<ClientMessage, Problem> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        id: String,
        topics: Vec<String>,
        #[serde(default)]
        not_to: Vec<String>,
        name: Option<String>,
        // `Option<&RawValue>` would take `null` for absent; a null payload is a payload.
        #[serde(borrow, default, deserialize_with = "present")]
        data: Option<&'a RawValue>,
        text: Option<String>,
        #[serde(borrow)]
        base64: Option<Cow<'a, str>>,
    }
    let wire: Wire<'_> = parse(text)?;
    check_text("id", &wire.id, MAX_ID).map_err(Problem::bad)?;
    if let Some(name) = &wire.name {
        check_text("name", name, MAX_NAME).map_err(Problem::bad)?;
    }
    if wire.topics.is_empty() || wire.topics.len() > MAX_TOPICS {
        return Err(Problem::bad(format!("an event has 1..{MAX_TOPICS} topics")));
    }
    if wire.not_to.len() > MAX_TOPICS {
        return Err(Problem::bad(format!(
            "not_to has at most {MAX_TOPICS} identities"
        )));
    }
    for topic in &wire.topics {
        check_topic(topic).map_err(named(ErrorCode::BadTopic))?;
    }
    for identity in &wire.not_to {
        check_text("identity", identity, MAX_NAME).map_err(named(ErrorCode::BadTopic))?;
    }
    let payload = match (wire.data, wire.text, wire.base64) {
        (Some(raw), None, None) => Payload::checked_json(raw.get()),
        (None, Some(text), None) => Payload::text(text),
        (None, None, Some(coded)) => Payload::bytes(
            STANDARD
                .decode(coded.as_bytes())
                .map_err(|_| Problem::bad("base64 is not base64"))?,
        ),
        (None, None, None) => Payload::bytes(Vec::new()),
        _ => return Err(Problem::bad("at most one of data, text and base64")),
    };
    Ok(ClientMessage::Publish(Publish {
        id: wire.id,
        topics: wire.topics,
        not_to: wire.not_to,
        name: wire.name,
        payload,
    }))
}

fn unsubscribe(text: &str) -> Result<ClientMessage, Problem> {
    #[derive(Deserialize)]
    struct Wire {
        sub: String,
    }
    let wire: Wire = parse(text)?;
    Ok(ClientMessage::Unsubscribe { sub: wire.sub })
}

fn position(text: &str) -> Result<Position, Problem> {
    text.parse().map_err(|_| Problem {
        code: ErrorCode::BadPosition,
        message: "not a position".to_owned(),
    })
}

fn present<'de, D>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    <&RawValue>::deserialize(deserializer).map(Some)
}
