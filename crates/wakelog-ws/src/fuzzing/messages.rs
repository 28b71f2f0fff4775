//! Messages of a client.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wakelog::Start;

use crate::protocol::{ClientMessage, Encoding, Outgoing, decode};

/// Any bytes as a text message.
///
/// # Panics
/// When a message that was taken is another one once it is written down and decoded again, or a
/// refusal hands back more than it may.
pub fn messages(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match decode(text) {
        Ok(message) => {
            let again = write(&message);
            assert_eq!(decode(&again), Ok(message), "{again}");
        }
        Err(error) => {
            let short = |name: &Option<String>| name.as_ref().is_none_or(|name| name.len() <= 64);
            assert!(short(&error.sub) && short(&error.id), "{error:?}");
            assert!(!error.message.is_empty());
        }
    }
}

/// The message as a client would write it.
fn write(message: &ClientMessage) -> String {
    let value = match message {
        ClientMessage::Hello(hello) => json!({
            "type": "hello", "consumer": hello.consumer, "token": hello.token,
            "client": hello.client,
        }),
        ClientMessage::Subscribe(subscribe) => {
            let mut value = json!({
                "type": "subscribe", "sub": subscribe.sub, "filters": subscribe.filters,
            });
            match subscribe.start {
                None => {}
                Some(Start::Earliest) => value["start"] = json!("earliest"),
                Some(Start::Latest) => value["start"] = json!("latest"),
                Some(Start::Offset(offset)) => value["start"] = json!(offset),
                Some(Start::Position(position)) => value["position"] = json!(position.to_string()),
                Some(other) => unreachable!("{other:?}"),
            }
            if let Some(credit) = &subscribe.credit {
                value["credit"] = json!(credit);
            }
            value
        }
        ClientMessage::Change { sub, filters } => json!({
            "type": "change", "sub": sub, "filters": filters,
        }),
        ClientMessage::Credit { sub, grant } => json!({
            "type": "credit", "sub": sub, "events": grant.events, "bytes": grant.bytes,
        }),
        ClientMessage::Ack { position } => json!({
            "type": "ack", "position": position.to_string(),
        }),
        ClientMessage::Publish(event) => return publish(event),
        ClientMessage::Unsubscribe { sub } => json!({"type": "unsubscribe", "sub": sub}),
        ClientMessage::Heartbeat => json!({"type": "heartbeat"}),
    };
    value.to_string()
}

/// JSON in a payload is kept as it was written, so it is put in as text.
fn publish(event: &Outgoing) -> String {
    let mut value = json!({
        "type": "publish", "id": event.id, "topics": event.topics, "not_to": event.not_to,
        "name": event.name,
    });
    let bytes = event.payload.as_bytes();
    match event.payload.encoding() {
        Encoding::Text => value["text"] = Value::from(String::from_utf8_lossy(bytes)),
        Encoding::Bytes => value["base64"] = Value::from(STANDARD.encode(bytes)),
        Encoding::Json => {
            let text = value.to_string();
            let head = text.strip_suffix('}').unwrap_or(&text);
            let data = String::from_utf8_lossy(bytes);
            return format!("{head},\"data\":{data}}}");
        }
    }
    value.to_string()
}
