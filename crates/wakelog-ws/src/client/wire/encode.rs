//! What a client says, as text.

use serde_json::{Value, json};

use wakelog::Start;

use crate::protocol::ClientMessage;

/// A message as text.
pub(in crate::client) fn encode(message: &ClientMessage) -> String {
    let value = match message {
        ClientMessage::Hello(hello) => json!({
            "type": "hello", "consumer": hello.consumer, "token": hello.token,
            "client": hello.client,
        }),
        ClientMessage::Subscribe(subscribe) => {
            let (sub, filters) = (&subscribe.sub, &subscribe.filters);
            let mut value = json!({"type": "subscribe", "sub": sub, "filters": filters});
            if let Some((key, place)) = subscribe.start.map(place) {
                value[key] = place;
            }
            if let Some(credit) = subscribe.credit {
                value["credit"] = json!(credit);
            }
            value
        }
        ClientMessage::Change { sub, filters } => {
            json!({"type": "change", "sub": sub, "filters": filters})
        }
        ClientMessage::Credit { sub, grant } => json!({
            "type": "credit", "sub": sub, "events": grant.events, "bytes": grant.bytes,
        }),
        ClientMessage::Ack { position } => {
            json!({"type": "ack", "position": position.to_string()})
        }
        // Not by way of a value: a payload that is JSON goes as it is, all its digits too.
        ClientMessage::Publish(publish) => {
            return serde_json::to_string(publish).unwrap_or_default();
        }
        ClientMessage::Unsubscribe { sub } => json!({"type": "unsubscribe", "sub": sub}),
        ClientMessage::Heartbeat => json!({"type": "heartbeat"}),
    };
    value.to_string()
}

fn place(start: Start) -> (&'static str, Value) {
    match start {
        Start::Earliest => ("start", json!("earliest")),
        Start::Latest => ("start", json!("latest")),
        Start::Offset(offset) => ("start", json!(offset)),
        Start::Position(position) => ("position", json!(position)),
        // The protocol has no word for the others: the server will say so.
        _ => ("start", json!(false)),
    }
}
