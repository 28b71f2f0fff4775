use serde_json::{Value, json};
use wakelog::{Gap, GapReason, Position, Start};

use super::{
    Bare, ClientMessage, CloseCode, CursorState, EncodedPage, Encoding, ErrorCode, Failure, Grant,
    Limits, LoadedCursor, Outgoing, PageEvent, Payload, Reconnect, Reset, ResetReason,
    ServerMessage, Welcome, decode,
};

const DOCUMENT: &str = include_str!("../../PROTOCOL.md");

fn position(offset: u64) -> Position {
    format!("0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.{offset}")
        .parse()
        .unwrap()
}

fn bare(encoding: Option<Encoding>, bytes: &[u8]) -> Bare<'_> {
    Bare { encoding, bytes }
}

/// The JSON blocks of PROTOCOL.md that one side sends, as (type, text).
fn examples(side: &str) -> Vec<(String, String)> {
    let fence = format!("```json {side}\n");
    let blocks = DOCUMENT
        .split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap());
    blocks
        .map(|text| {
            let value: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
            (value["type"].as_str().unwrap().to_owned(), text.to_owned())
        })
        .collect()
}

fn code_of(text: &str) -> ErrorCode {
    decode(text).expect_err(text).code
}

#[test]
fn every_client_message_of_the_document_decodes() {
    let examples = examples("client");
    for kind in [
        "hello",
        "subscribe",
        "change",
        "credit",
        "ack",
        "publish",
        "unsubscribe",
        "heartbeat",
    ] {
        assert!(
            examples.iter().any(|(k, _)| k == kind),
            "no example of {kind}"
        );
    }
    for (kind, text) in &examples {
        let message = decode(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let decoded = match message {
            ClientMessage::Hello(_) => "hello",
            ClientMessage::Subscribe(_) => "subscribe",
            ClientMessage::Change { .. } => "change",
            ClientMessage::Credit { .. } => "credit",
            ClientMessage::Ack { .. } => "ack",
            ClientMessage::Publish(_) => "publish",
            ClientMessage::Unsubscribe { .. } => "unsubscribe",
            ClientMessage::Heartbeat => "heartbeat",
        };
        assert_eq!(kind, decoded);
    }
}

fn example_page(binary: bool) -> EncodedPage {
    let first = PageEvent {
        offset: 1042,
        time: 1_767_225_600_000_000,
        topics: vec!["room.42"],
        name: Some("message"),
        id: Some("c0ffee-17"),
        from: Some("alice-laptop"),
        payload: bare(Some(Encoding::Json), br#"{"text": "hello", "n": 1}"#),
        ..PageEvent::default()
    };
    let second = PageEvent {
        offset: 1045,
        time: 1_767_225_600_000_300,
        topics: vec!["room.42", "room.43"],
        not_to: vec!["alice"],
        payload: bare(Some(Encoding::Text), b"plain words"),
        ..PageEvent::default()
    };
    let third = PageEvent {
        offset: 1046,
        time: 1_767_225_600_000_301,
        topics: vec!["$all"],
        payload: bare(None, &[0, 1, 2, 255]),
        ..PageEvent::default()
    };
    EncodedPage::new(&[first, second, third], binary)
}

fn example_typing() -> EncodedPage {
    let event = Outgoing::to("room.42", Payload::text("")).name("typing");
    let event = event.id("c0ffee-21").from("alice-laptop").volatile();
    let time = 1_767_225_600_000_400;
    let event = PageEvent {
        time,
        ..PageEvent::volatile(&event, 2042)
    };
    EncodedPage::new(&[event], false)
}

fn example_welcome() -> ServerMessage {
    let at = |offset| position(offset);
    let alice = || Some("alice-laptop".to_owned());
    let cursor = LoadedCursor {
        state: CursorState::Resumed,
        position: at(1042),
        gap: None,
    };
    ServerMessage::Welcome(Box::new(Welcome {
        log: at(0).log,
        epoch: at(0).epoch,
        end: at(2042),
        from: alice(),
        consumer: alice(),
        cursor: Some(cursor),
        heartbeat_ms: 20_000,
        reconnect: Reconnect {
            min_ms: 500,
            max_ms: 30_000,
        },
        limits: Limits {
            dedup_ids: 65_536,
            ..Limits::default()
        },
    }))
}

fn example_error(code: ErrorCode, message: &str, id: &str, after_ms: Option<u64>) -> ServerMessage {
    ServerMessage::Error(Failure {
        code,
        message: message.to_owned(),
        re: Some("publish"),
        sub: None,
        id: Some(id.to_owned()),
        after_ms,
    })
}

/// Every server message of PROTOCOL.md, built by hand, in the order of the document.
fn server_messages() -> Vec<ServerMessage> {
    use ServerMessage as M;
    let sub = || "room".to_owned();
    let at = |offset| position(offset);
    let (page, empty, typing) = (
        example_page(false),
        EncodedPage::default(),
        example_typing(),
    );
    let gap = Gap {
        from: 1042,
        to: 1500,
        reason: GapReason::Trimmed,
    };
    let (id, reason) = ("c0ffee-17".to_owned(), ResetReason::Log);
    let positions = [(sub(), at(2107))].into();
    let window = [0, 5000];
    let payload = Payload::json(&json!({"ok": true})).unwrap();
    let later = "the log cannot be written at the moment";
    #[rustfmt::skip]
    let messages = vec![
        example_welcome(),
        M::Subscribed { sub: sub(), position: at(1042), end: 2042 },
        M::Events { sub: sub(), page, position: at(1050), live: false, volatile: false },
        M::Events { sub: sub(), page: empty, position: at(2042), live: true, volatile: false },
        M::Events { sub: sub(), page: typing, position: at(2042), live: true, volatile: true },
        M::Gap { sub: sub(), gap, position: at(1500) },
        M::Reset { sub: sub(), reset: Reset { reason, earliest: at(0), end: at(2042) } },
        M::Unsubscribed { sub: sub(), position: at(2042) },
        M::AckOk { position: at(1043) },
        M::Published { id, offset: 1042, position: at(1043) },
        M::Reply { id: "c0ffee-20".to_owned(), payload },
        M::Heartbeat { positions },
        M::Fenced,
        M::Bye { window },
        example_error(ErrorCode::BadTopic, "a topic has no empty token", "c0ffee-17", None),
        example_error(ErrorCode::Unavailable, later, "c0ffee-18", Some(1000)),
    ];
    messages
}

#[test]
fn every_server_message_of_the_document_is_what_the_encoder_writes() {
    let examples = examples("server");
    let messages = server_messages();
    assert_eq!(examples.len(), messages.len());
    for ((_, text), message) in examples.iter().zip(&messages) {
        let documented: Value = serde_json::from_str(text).unwrap();
        let encoded: Value = serde_json::from_str(&message.encode()).unwrap();
        assert_eq!(documented, encoded);
    }
}

/// The bytes of PROTOCOL.md, whose lines end with what they are.
fn documented_bytes() -> Vec<u8> {
    let block = DOCUMENT.split("```hex server\n").nth(1).unwrap();
    let lines = block.split("```").next().unwrap().lines();
    let digits = lines.flat_map(|line| line.split(" |").next().unwrap().split_whitespace());
    digits
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

#[test]
fn the_binary_page_of_the_document_is_what_the_encoder_writes() {
    let message = ServerMessage::Events {
        sub: "room".to_owned(),
        page: example_page(true),
        position: position(1050),
        live: false,
        volatile: false,
    };
    let page = message.encode_page().unwrap();
    let bytes = page.pieces().concat();
    assert_eq!(bytes, documented_bytes(), "{bytes:02x?}");
    assert!(page.is_binary() && page.text().is_empty());
    let [head, events, _] = page.pieces();
    let said = format!("in {} bytes, {} of them events", bytes.len(), events.len());
    assert!(DOCUMENT.contains(&said), "{said}, {}", head.len());
}

#[test]
fn the_codes_of_the_document_are_the_codes_of_the_server() {
    for code in ErrorCode::ALL.iter().copied() {
        let retry = if code.retry() { "yes" } else { "no" };
        let row = format!("| `{}` | {retry} |", code.as_str());
        assert!(DOCUMENT.contains(&row), "{row}");
        if let Some(close) = code.closes() {
            let row = DOCUMENT
                .lines()
                .find(|line| line.starts_with(&row))
                .unwrap();
            assert!(
                row.contains(&format!("closes with {}", close.number())),
                "{row}"
            );
        }
    }
    let table = DOCUMENT.split("## 11. Close codes").nth(1).unwrap();
    let table = table.split("## 12.").next().unwrap();
    for code in CloseCode::ALL {
        let number = code.number().to_string();
        let row = |line: &str| {
            line.split('|')
                .nth(1)
                .is_some_and(|cell| cell.contains(&number))
        };
        assert!(table.lines().any(row), "{code:?}");
    }
}

/// A number as the document writes it.
fn written(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups = groups.map(|group| std::str::from_utf8(group).unwrap());
    groups.collect::<Vec<_>>().join(",")
}

#[test]
fn the_limits_of_the_document_are_the_defaults() {
    let limits = Limits::default();
    let number = |limit: usize| written(u64::try_from(limit).unwrap());
    let (events, bytes) = (limits.credit.events, limits.credit.bytes);
    let credit = format!(
        "{} events, {} bytes",
        written(events.into()),
        written(bytes.into())
    );
    for (field, default) in [
        ("message_bytes", number(limits.message_bytes)),
        ("subscriptions", number(limits.subscriptions)),
        ("filters", number(limits.filters)),
        ("publishes", number(limits.publishes)),
        ("credit", credit),
    ] {
        let start = format!("| `{field}` |");
        let end = format!(" | {default} |");
        let found = |line: &str| line.starts_with(&start) && line.ends_with(&end);
        assert!(DOCUMENT.lines().any(found), "{field}: {default}");
    }
}

/// Each as it is told in section 13: so much is taken, and one more is refused with this code.
#[test]
fn what_a_message_may_hold_is_as_the_document_says() {
    let text = |n| "x".repeat(n);
    let list = |n: usize| (0..n).map(|n| format!("t{n}")).collect::<Vec<_>>();
    let subscribe = |sub: String, filter: String, start: u64| {
        let filters = [filter];
        json!({"type": "subscribe", "sub": sub, "filters": filters, "start": start}).to_string()
    };
    let publish = |id: usize, name: usize, topic: usize, identity: usize| {
        let (topics, not_to) = ([text(topic)], [text(identity)]);
        json!({"type": "publish", "id": text(id), "name": text(name), "topics": topics,
               "not_to": not_to})
        .to_string()
    };
    let lists = |topics: usize, not_to: usize| {
        let (topics, not_to) = (list(topics), list(not_to));
        json!({"type": "publish", "id": "1", "topics": topics, "not_to": not_to}).to_string()
    };
    let hello = |consumer: usize, client: usize| {
        json!({"type": "hello", "consumer": text(consumer), "client": text(client)}).to_string()
    };
    let credit =
        |n: u64| json!({"type": "credit", "sub": "s", "events": n, "bytes": n}).to_string();
    let offset = (1 << 53) - 1;
    let sub = |sub| subscribe(text(sub), "a".to_owned(), 0);
    let filter = |filter| subscribe("s".to_owned(), text(filter), 0);
    let start = |start| subscribe("s".to_owned(), "a".to_owned(), start);
    for (fine, beyond, code) in [
        (sub(64), sub(65), ErrorCode::BadMessage),
        (
            publish(64, 1, 1, 1),
            publish(65, 1, 1, 1),
            ErrorCode::BadMessage,
        ),
        (
            publish(1, 255, 1, 1),
            publish(1, 256, 1, 1),
            ErrorCode::BadMessage,
        ),
        (
            publish(1, 1, 255, 1),
            publish(1, 1, 256, 1),
            ErrorCode::BadTopic,
        ),
        (
            publish(1, 1, 1, 255),
            publish(1, 1, 1, 256),
            ErrorCode::BadTopic,
        ),
        (hello(1, 255), hello(1, 256), ErrorCode::BadMessage),
        (hello(128, 1), hello(129, 1), ErrorCode::BadConsumer),
        (filter(255), filter(256), ErrorCode::BadFilter),
        (lists(16, 0), lists(17, 0), ErrorCode::BadMessage),
        (lists(1, 0), lists(0, 0), ErrorCode::BadMessage),
        (lists(1, 16), lists(1, 17), ErrorCode::BadMessage),
        (start(offset), start(offset + 1), ErrorCode::BadMessage),
        (
            credit(u32::MAX.into()),
            credit(1 << 32),
            ErrorCode::BadMessage,
        ),
    ] {
        assert!(decode(&fine).is_ok(), "{fine}");
        assert_eq!(code_of(&beyond), code, "{beyond}");
    }
}

#[test]
fn a_message_that_is_no_message_is_told_apart() {
    for text in [
        "",
        "x",
        "[]",
        "1",
        "{}",
        r#"{"type": 1}"#,
        "{\"type\": \"ack\"",
        "null",
    ] {
        assert_eq!(code_of(text), ErrorCode::NotJson, "{text}");
    }
    assert_eq!(code_of(r#"{"type": "dance"}"#), ErrorCode::UnknownType);
    let error = decode(r#"{"type":"publish","id":"7","topics":["a..b"]}"#).unwrap_err();
    assert_eq!(
        (error.code, error.re),
        (ErrorCode::BadTopic, Some("publish"))
    );
    assert_eq!(error.id.as_deref(), Some("7"));
    let error = decode(r#"{"type":"subscribe","sub":"s","filters":["$all"]}"#).unwrap_err();
    assert_eq!(
        (error.code, error.sub.as_deref()),
        (ErrorCode::BadFilter, Some("s"))
    );
}

#[test]
fn fields_out_of_bounds_are_refused() {
    let long = "x".repeat(65);
    let many: Vec<String> = (0..17).map(|n| format!("t{n}")).collect();
    let bad = [
        json!({"type": "subscribe", "sub": "", "filters": ["a"]}),
        json!({"type": "subscribe", "sub": long, "filters": ["a"]}),
        json!({"type": "subscribe", "sub": "s", "filters": []}),
        json!({"type": "subscribe", "sub": "s", "filters": ["a"], "start": "now"}),
        json!({"type": "subscribe", "sub": "s", "filters": ["a"], "start": -1}),
        json!({"type": "subscribe", "sub": "s", "filters": ["a"], "start": 1_u64 << 53}),
        json!({"type": "credit", "sub": "s", "events": -1, "bytes": 0}),
        json!({"type": "credit", "sub": "s", "events": 1}),
        json!({"type": "publish", "topics": ["a"]}),
        json!({"type": "publish", "id": long, "topics": ["a"]}),
        json!({"type": "publish", "id": "a\nb", "topics": ["a"]}),
        json!({"type": "publish", "id": "1", "topics": []}),
        json!({"type": "publish", "id": "1", "topics": many}),
        json!({"type": "publish", "id": "1", "topics": ["a"], "not_to": many}),
        json!({"type": "publish", "id": "1", "topics": ["a"], "text": "x", "data": 1}),
        json!({"type": "publish", "id": "1", "topics": ["a"], "base64": "*"}),
    ];
    for message in bad {
        assert_eq!(
            code_of(&message.to_string()),
            ErrorCode::BadMessage,
            "{message}"
        );
    }
    let named = [
        (
            json!({"type": "hello", "consumer": "../etc"}),
            ErrorCode::BadConsumer,
        ),
        (
            json!({"type": "hello", "consumer": ".."}),
            ErrorCode::BadConsumer,
        ),
        (
            json!({"type": "hello", "consumer": "a b"}),
            ErrorCode::BadConsumer,
        ),
        (
            json!({"type": "hello", "consumer": ""}),
            ErrorCode::BadConsumer,
        ),
        (
            json!({"type": "ack", "position": "12"}),
            ErrorCode::BadPosition,
        ),
        (
            json!({"type": "publish", "id": "1", "topics": ["$all"]}),
            ErrorCode::BadTopic,
        ),
        (
            json!({"type": "publish", "id": "1", "topics": ["a.*"]}),
            ErrorCode::BadTopic,
        ),
        (
            json!({"type": "subscribe", "sub": "s", "filters": ["a..b"]}),
            ErrorCode::BadFilter,
        ),
    ];
    for (message, code) in named {
        assert_eq!(code_of(&message.to_string()), code, "{message}");
    }
}

#[test]
fn what_is_given_as_start_is_what_is_asked_for() {
    let start = |rest: &str| {
        let text = format!(r#"{{"type":"subscribe","sub":"s","filters":["a"]{rest}}}"#);
        match decode(&text).unwrap() {
            ClientMessage::Subscribe(subscribe) => (subscribe.start, subscribe.credit),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(start("").0, None);
    assert_eq!(start(r#","start":"latest""#).0, Some(Start::Latest));
    assert_eq!(start(r#","start":7"#).0, Some(Start::Offset(7)));
    let both = format!(r#","start":7,"position":"{}""#, position(9));
    assert_eq!(start(&both).0, Some(Start::Position(position(9))));
    let grant = Grant {
        events: 1,
        bytes: 2,
    };
    assert_eq!(start(r#","credit":{"events":1,"bytes":2}"#).1, Some(grant));
}

fn published_payload(field: &str) -> Payload {
    let text = format!(r#"{{"type":"publish","id":"1","topics":["a"]{field}}}"#);
    match decode(&text).unwrap() {
        ClientMessage::Publish(publish) => publish.payload,
        other => panic!("{other:?}"),
    }
}

fn delivered(encoding: Option<Encoding>, payload: &[u8]) -> String {
    let event = PageEvent {
        payload: bare(encoding, payload),
        ..PageEvent::default()
    };
    let page = EncodedPage::new(&[event], false);
    let prefix = r#"{"offset":0,"time":0,"topics":[],"#;
    page.strip_prefix(prefix)
        .unwrap()
        .strip_suffix('}')
        .unwrap()
        .to_owned()
}

#[test]
fn a_payload_comes_back_in_the_field_in_which_it_was_sent() {
    for field in [
        r#""data":{"b": 1,  "a": [1.50, 123456789012345678901234567890]}"#,
        r#""data":null"#,
        r#""data":"\ud83d\ude00""#,
        r#""text":"line\nbreak \"quoted\" \u0001""#,
        r#""base64":"aGVsbG8=""#,
        r#""text":"""#,
    ] {
        let payload = published_payload(&format!(",{field}"));
        assert_eq!(
            delivered(Some(payload.encoding()), payload.as_bytes()),
            field
        );
    }
    assert_eq!(
        delivered(Some(Encoding::Bytes), published_payload("").as_bytes()),
        r#""text":"""#
    );
}

#[test]
fn payloads_without_a_true_mark_are_written_as_what_they_are() {
    assert_eq!(delivered(None, b"hello"), r#""text":"hello""#);
    assert_eq!(delivered(None, b""), r#""text":"""#);
    assert_eq!(delivered(None, &[0xff, 0xfe]), r#""base64":"//4=""#);
    assert_eq!(
        delivered(Some(Encoding::Text), &[0xff, 0xfe]),
        r#""base64":"//4=""#
    );
    for broken in ["", "{", "1 2", "{}}", "nul", "\"", "1],\"live\":true"] {
        let written = delivered(Some(Encoding::Json), broken.as_bytes());
        assert!(written.starts_with(r#""text":""#), "{broken}: {written}");
    }
    let written = delivered(Some(Encoding::Json), b"\"\xff\"");
    assert!(written.starts_with(r#""base64":""#), "{written}");
    assert_eq!(Encoding::from_attribute(Some(&[1, 1])), None);
}

#[test]
fn names_are_escaped_wherever_they_stand() {
    let sub = "a\"b\\\u{2028}".to_owned();
    let page = EncodedPage::default();
    let text = ServerMessage::Events {
        sub: sub.clone(),
        page,
        position: position(1),
        live: true,
        volatile: false,
    };
    let value: Value = serde_json::from_str(&text.encode()).unwrap();
    assert_eq!(value["sub"], sub.as_str());
}

/// Any text gets an answer; none gets a panic.
#[test]
fn mutated_messages_never_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(bound).unwrap()).unwrap()
    };
    for (_, text) in examples("client") {
        for _ in 0..2_000 {
            let mut chars: Vec<char> = text.chars().collect();
            for _ in 0..=random(4) {
                let at = random(chars.len().max(1));
                match random(3) {
                    0 => chars.insert(at, ['"', '{', '\\', ':', '\u{0}', '9', '.', '$'][random(8)]),
                    1 => drop(chars.drain(at..(at + 1).min(chars.len()))),
                    _ => chars.truncate(at),
                }
            }
            let mutated: String = chars.into_iter().collect();
            if let Err(error) = decode(&mutated) {
                assert!(!error.message.is_empty());
            }
        }
    }
}

#[test]
fn a_token_is_not_shown() {
    let text = r#"{"type":"hello","consumer":"alice","token":"open sesame"}"#;
    let shown = format!("{:?}", decode(text).unwrap());
    assert!(
        shown.contains("alice") && !shown.contains("sesame"),
        "{shown}"
    );
}
