//! What a client says, as text.

use serde::Serialize;
use serde_json::{Value, json};
use wakelog::Start;

use crate::protocol::{ClientMessage, Hello, Outgoing, Payload};

/// A message as text.
pub(in crate::client) fn encode(message: &ClientMessage) -> String {
    let value = match message {
        ClientMessage::Hello(hello) => {
            let Hello {
                consumer,
                token,
                client,
            } = hello;
            let mut value = json!({"type": "hello"});
            for (key, said) in [("consumer", consumer), ("token", token), ("client", client)] {
                if let Some(said) = said {
                    value[key] = json!(said);
                }
            }
            value
        }
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
        ClientMessage::Publish(event) => return publish(event),
        ClientMessage::Unsubscribe { sub } => json!({"type": "unsubscribe", "sub": sub}),
        ClientMessage::Heartbeat => json!({"type": "heartbeat"}),
    };
    value.to_string()
}

/// Not by way of a value: a payload that is JSON goes as it is, all its digits too.
fn publish(event: &Outgoing) -> String {
    #[derive(Serialize)]
    #[serde(tag = "type", rename = "publish")]
    struct Wire<'a> {
        topics: &'a [String],
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        not_to: &'a [String],
        #[serde(skip_serializing_if = "Option::is_none")]
        name: &'a Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: &'a Option<String>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        volatile: bool,
        #[serde(flatten)]
        payload: &'a Payload,
    }
    let wire = Wire {
        topics: &event.topics,
        not_to: &event.not_to,
        name: &event.name,
        id: &event.id,
        volatile: event.volatile,
        payload: &event.payload,
    };
    serde_json::to_string(&wire).unwrap_or_default()
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
