//! From the text of a client's message to checked values.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::{RawValue, Value};
use wakelog::{Position, Start};

use super::client::{ClientMessage, Grant, Subscribe};
use super::code::ErrorCode;
use super::names::{NameError, check_consumer, check_filter, check_text, check_topic};
use super::outgoing::Outgoing;
use super::payload::Payload;
use super::server::Failure;

/// Of a subscription's name and an event's id.
const MAX_LABEL: usize = 64;
const MAX_NAME: usize = 255;
const MAX_TOPICS: usize = 16;
const MAX_OFFSET: u64 = (1 << 53) - 1;

type Decoder = fn(&str) -> Result<ClientMessage, Failure>;

/// The messages by their `type`.
const KINDS: [(&str, Decoder); 8] = [
    ("hello", plain),
    ("subscribe", subscribe),
    ("change", plain),
    ("credit", plain),
    ("ack", ack),
    ("publish", publish),
    ("unsubscribe", plain),
    ("heartbeat", |_| Ok(ClientMessage::Heartbeat)),
];

/// Decodes one text message.
///
/// # Errors
/// What the client is to get: it names the message, as far as its text says which one it is. The
/// text may be anything at all.
pub fn decode(text: &str) -> Result<ClientMessage, Failure> {
    let head: Head<'_> = serde_json::from_str(text).map_err(|_| {
        let message = "a message is a JSON object with a string `type`";
        Failure::new(ErrorCode::NotJson, message)
    })?;
    let Some((kind, decode)) = KINDS.iter().find(|(kind, _)| *kind == head.kind) else {
        let message = "this server does not know that `type`";
        return Err(Failure::new(ErrorCode::UnknownType, message));
    };
    decode(text).map_err(|error| about(error.re(kind), text))
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

/// Adds what the text says about its subscription and id. They are returned to the client only if
/// they are within bounds.
fn about(mut error: Failure, text: &str) -> Failure {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Names {
        sub: Value,
        id: Value,
    }
    let names: Names = serde_json::from_str(text).unwrap_or_default();
    let short = |value: Value| {
        let name = value.as_str().filter(|name| name.len() <= MAX_LABEL);
        name.map(str::to_owned)
    };
    error.sub = short(names.sub);
    error.id = short(names.id);
    error
}

fn bad(message: impl ToString) -> Failure {
    Failure::new(ErrorCode::BadMessage, message.to_string())
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(bad)
}

fn named(code: ErrorCode) -> impl Fn(NameError) -> Failure {
    move |NameError(message)| Failure::new(code, message)
}

/// Messages whose fields are what they look like.
fn plain(text: &str) -> Result<ClientMessage, Failure> {
    let message = parse(text)?;
    match &message {
        ClientMessage::Hello(hello) => {
            let consumer = hello.consumer.as_deref().map_or(Ok(()), check_consumer);
            consumer.map_err(named(ErrorCode::BadConsumer))?;
            let check = |client: &str| check_text("client", client, MAX_NAME);
            hello.client.as_deref().map_or(Ok(()), check).map_err(bad)?;
        }
        ClientMessage::Change { filters, .. } => check_filters(filters)?,
        _ => {}
    }
    Ok(message)
}

fn subscribe(text: &str) -> Result<ClientMessage, Failure> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        sub: String,
        filters: Vec<String>,
        #[serde(borrow)]
        position: Option<Cow<'a, str>>,
        start: Option<Value>,
        credit: Option<Grant>,
    }
    let wire: Wire<'_> = parse(text)?;
    check_text("sub", &wire.sub, MAX_LABEL).map_err(bad)?;
    check_filters(&wire.filters)?;
    let start = match (wire.position, wire.start) {
        (Some(text), _) => Some(Start::Position(position(&text)?)),
        (None, None) => None,
        (None, Some(word)) if word == "earliest" => Some(Start::Earliest),
        (None, Some(word)) if word == "latest" => Some(Start::Latest),
        (None, Some(number)) => match number.as_u64() {
            Some(offset) if offset <= MAX_OFFSET => Some(Start::Offset(offset)),
            _ => return Err(bad("start is \"earliest\", \"latest\" or an offset")),
        },
    };
    Ok(ClientMessage::Subscribe(Subscribe {
        sub: wire.sub,
        filters: wire.filters,
        start,
        credit: wire.credit,
    }))
}

fn check_filters(filters: &[String]) -> Result<(), Failure> {
    if filters.is_empty() {
        return Err(bad("a subscription has at least one filter"));
    }
    for filter in filters {
        check_filter(filter).map_err(named(ErrorCode::BadFilter))?;
    }
    Ok(())
}

fn ack(text: &str) -> Result<ClientMessage, Failure> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow)]
        position: Cow<'a, str>,
    }
    let wire: Wire<'_> = parse(text)?;
    let position = position(&wire.position)?;
    Ok(ClientMessage::Ack { position })
}

fn publish(text: &str) -> Result<ClientMessage, Failure> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        id: String,
        topics: Vec<String>,
        #[serde(default)]
        not_to: Vec<String>,
        name: Option<String>,
        #[serde(default)]
        volatile: bool,
        // `Option<&RawValue>` would take `null` for absent; a null payload is a payload.
        #[serde(borrow, default, deserialize_with = "present")]
        data: Option<&'a RawValue>,
        text: Option<String>,
        #[serde(borrow)]
        base64: Option<Cow<'a, str>>,
    }
    let wire: Wire<'_> = parse(text)?;
    check_text("id", &wire.id, MAX_LABEL).map_err(bad)?;
    if let Some(name) = &wire.name {
        check_text("name", name, MAX_NAME).map_err(bad)?;
    }
    if wire.topics.is_empty() || wire.topics.len() > MAX_TOPICS {
        return Err(bad(format!("an event has 1..{MAX_TOPICS} topics")));
    }
    if wire.not_to.len() > MAX_TOPICS {
        let message = format!("not_to has at most {MAX_TOPICS} identities");
        return Err(bad(message));
    }
    for topic in &wire.topics {
        check_topic(topic).map_err(named(ErrorCode::BadTopic))?;
    }
    for identity in &wire.not_to {
        check_text("identity", identity, MAX_NAME).map_err(named(ErrorCode::BadTopic))?;
    }
    let payload = Payload::from_fields(wire.data, wire.text, wire.base64).map_err(bad)?;
    Ok(ClientMessage::Publish(Outgoing {
        id: Some(wire.id),
        topics: wire.topics,
        not_to: wire.not_to,
        name: wire.name,
        from: None,
        volatile: wire.volatile,
        payload,
    }))
}

fn position(text: &str) -> Result<Position, Failure> {
    let refusal = |_| Failure::new(ErrorCode::BadPosition, "not a position");
    text.parse().map_err(refusal)
}

/// A field that is there, even if it is `null`.
pub(crate) fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}
