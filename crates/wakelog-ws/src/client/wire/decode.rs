//! What the server says, as values.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::Error as _;
use serde_json::Error;
use serde_json::value::RawValue;
use wakelog::{Epoch, Gap, GapReason, LogId, Position};

use super::super::event::Event;
use crate::protocol::{
    CursorState, ErrorCode, Failure, Limits, LoadedCursor, Payload, Reconnect, Reset, ResetReason,
    ServerMessage, Welcome, present,
};

/// What came from the server.
#[derive(Debug)]
pub(in crate::client) enum Heard {
    Page(Page),
    Said(ServerMessage),
    /// Of a type that this client does not know.
    Unknown,
}

/// `events` or `volatile`.
#[derive(Debug)]
pub(in crate::client) struct Page {
    pub(in crate::client) sub: String,
    pub(in crate::client) events: Vec<Event>,
    pub(in crate::client) position: Position,
    pub(in crate::client) bytes: u32,
    pub(in crate::client) live: bool,
    pub(in crate::client) volatile: bool,
}

/// Reads a message. Fields that this client does not know are passed over.
pub(in crate::client) fn decode(text: &str) -> Result<Heard, Error> {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(rename = "type", borrow)]
        kind: Cow<'a, str>,
    }
    let head: Head<'_> = serde_json::from_str(text)?;
    let said = match head.kind.as_ref() {
        kind @ ("events" | "volatile") => {
            return page(text, kind == "volatile").map(Heard::Page);
        }
        "welcome" => ServerMessage::Welcome(Box::new(welcome(text)?)),
        "gap" => gap(text)?,
        "reset" => reset(text)?,
        "reply" => reply(text)?,
        "error" => ServerMessage::Error(error(text)?),
        "heartbeat" => heartbeat(text)?,
        "fenced" => ServerMessage::Fenced,
        "subscribed" | "unsubscribed" | "ack_ok" | "published" | "bye" => plain(text)?,
        _ => return Ok(Heard::Unknown),
    };
    Ok(Heard::Said(said))
}

/// The messages whose fields are what they look like.
fn plain(text: &str) -> Result<ServerMessage, Error> {
    #[derive(Deserialize)]
    #[serde(tag = "type", rename_all = "snake_case")]
    enum Wire {
        Subscribed {
            sub: String,
            position: Position,
            end: u64,
        },
        Unsubscribed {
            sub: String,
            position: Position,
        },
        AckOk {
            position: Position,
        },
        Published {
            id: String,
            offset: u64,
            position: Position,
        },
        Bye {
            #[serde(rename = "in")]
            window: [u64; 2],
        },
    }
    Ok(match serde_json::from_str(text)? {
        Wire::Subscribed { sub, position, end } => ServerMessage::Subscribed { sub, position, end },
        Wire::Unsubscribed { sub, position } => ServerMessage::Unsubscribed { sub, position },
        Wire::AckOk { position } => ServerMessage::AckOk { position },
        Wire::Published {
            id,
            offset,
            position,
        } => ServerMessage::Published {
            id,
            offset,
            position,
        },
        Wire::Bye { window } => ServerMessage::Bye { window },
    })
}

fn welcome(text: &str) -> Result<Welcome, Error> {
    #[derive(Deserialize)]
    struct Cursor {
        state: CursorState,
        position: Position,
    }
    #[derive(Deserialize)]
    struct Wire {
        log: LogId,
        epoch: Epoch,
        end: Position,
        from: Option<String>,
        consumer: Option<String>,
        cursor: Option<Cursor>,
        heartbeat_ms: u64,
        reconnect: Reconnect,
        limits: Limits,
    }
    let wire: Wire = serde_json::from_str(text)?;
    Ok(Welcome {
        log: wire.log,
        epoch: wire.epoch,
        end: wire.end,
        from: wire.from,
        consumer: wire.consumer,
        cursor: wire.cursor.map(|cursor| LoadedCursor {
            state: cursor.state,
            position: cursor.position,
            gap: None,
        }),
        heartbeat_ms: wire.heartbeat_ms,
        reconnect: wire.reconnect,
        limits: wire.limits,
    })
}

fn gap(text: &str) -> Result<ServerMessage, Error> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        sub: String,
        from: u64,
        to: u64,
        #[serde(borrow)]
        reason: Cow<'a, str>,
        position: Position,
    }
    let wire: Wire<'_> = serde_json::from_str(text)?;
    let reason = match wire.reason.as_ref() {
        "corrupt" => GapReason::Corrupt,
        "diverged" => GapReason::Diverged,
        // A reason that is not known counts as this one.
        _ => GapReason::Trimmed,
    };
    let (from, to) = (wire.from, wire.to);
    Ok(ServerMessage::Gap {
        sub: wire.sub,
        gap: Gap { from, to, reason },
        position: wire.position,
    })
}

fn reset(text: &str) -> Result<ServerMessage, Error> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        sub: String,
        #[serde(borrow)]
        reason: Cow<'a, str>,
        earliest: Position,
        end: Position,
    }
    let wire: Wire<'_> = serde_json::from_str(text)?;
    let reason = match wire.reason.as_ref() {
        "epoch" => ResetReason::Epoch,
        // A reason that is not known counts as this one.
        _ => ResetReason::Log,
    };
    let (earliest, end) = (wire.earliest, wire.end);
    Ok(ServerMessage::Reset {
        sub: wire.sub,
        reset: Reset {
            reason,
            earliest,
            end,
        },
    })
}

fn heartbeat(text: &str) -> Result<ServerMessage, Error> {
    #[derive(Deserialize)]
    struct Wire {
        #[serde(default)]
        positions: BTreeMap<String, Position>,
    }
    let Wire { positions } = serde_json::from_str(text)?;
    Ok(ServerMessage::Heartbeat { positions })
}

fn error(text: &str) -> Result<Failure, Error> {
    const CAUSES: [&str; 7] = [
        "hello",
        "subscribe",
        "change",
        "credit",
        "ack",
        "publish",
        "unsubscribe",
    ];
    #[derive(Deserialize)]
    struct Wire {
        code: String,
        retry: bool,
        message: String,
        re: Option<String>,
        sub: Option<String>,
        id: Option<String>,
        after_ms: Option<u64>,
    }
    let wire: Wire = serde_json::from_str(text)?;
    let known = ErrorCode::ALL
        .iter()
        .copied()
        .find(|code| code.as_str() == wire.code && code.retry() == wire.retry);
    // A code that is not known is treated by its `retry` alone.
    let code = known.unwrap_or(match wire.retry {
        true => ErrorCode::Internal,
        false => ErrorCode::BadMessage,
    });
    let re = wire.re.as_deref();
    Ok(Failure {
        code,
        message: wire.message,
        re: CAUSES.into_iter().find(|cause| re == Some(*cause)),
        sub: wire.sub,
        id: wire.id,
        after_ms: wire.after_ms,
    })
}

fn reply(text: &str) -> Result<ServerMessage, Error> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        id: String,
        #[serde(borrow, default, deserialize_with = "present")]
        data: Option<&'a RawValue>,
        text: Option<String>,
        #[serde(borrow)]
        base64: Option<Cow<'a, str>>,
    }
    let wire: Wire<'_> = serde_json::from_str(text)?;
    let payload = Payload::from_fields(wire.data, wire.text, wire.base64);
    Ok(ServerMessage::Reply {
        id: wire.id,
        payload: payload.map_err(Error::custom)?,
    })
}

fn page(text: &str, volatile: bool) -> Result<Page, Error> {
    #[derive(Deserialize)]
    struct EventWire<'a> {
        offset: u64,
        time: u64,
        topics: Vec<String>,
        #[serde(default)]
        not_to: Vec<String>,
        name: Option<String>,
        id: Option<String>,
        from: Option<String>,
        #[serde(borrow, default, deserialize_with = "present")]
        data: Option<&'a RawValue>,
        text: Option<String>,
        #[serde(borrow)]
        base64: Option<Cow<'a, str>>,
    }
    #[derive(Deserialize)]
    struct Wire<'a> {
        sub: String,
        #[serde(borrow)]
        events: Vec<EventWire<'a>>,
        position: Position,
        bytes: u32,
        live: bool,
    }
    let wire: Wire<'_> = serde_json::from_str(text)?;
    let events = wire.events.into_iter().map(|event| {
        let payload = Payload::from_fields(event.data, event.text, event.base64);
        Ok(Event {
            offset: event.offset,
            // The page's `stem` is its position's.
            position: Position {
                offset: event.offset.saturating_add(u64::from(!volatile)),
                ..wire.position
            },
            volatile,
            time: event.time,
            topics: event.topics,
            not_to: event.not_to,
            name: event.name,
            id: event.id,
            from: event.from,
            payload: payload.map_err(Error::custom)?,
            missed: false,
        })
    });
    Ok(Page {
        events: events.collect::<Result<_, Error>>()?,
        sub: wire.sub,
        position: wire.position,
        bytes: wire.bytes,
        live: wire.live,
        volatile,
    })
}
