//! The messages of [`protocol`](crate::protocol), seen from the other side.

mod binary;
mod decode;
mod encode;

pub(super) use binary::decode_binary;
pub(super) use decode::{Heard, Page, decode};
pub(super) use encode::encode;

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::protocol::{ClientMessage, Hello, Outgoing, Payload, ServerMessage};

    /// Every example of the protocol, read by the one side and written by it again, is the same to
    /// the other.
    #[test]
    fn both_sides_speak_of_the_same() {
        let text = include_str!("../../../PROTOCOL.md");
        let mut seen = 0;
        for block in text.split("```json ").skip(1) {
            let (side, rest) = block.split_once('\n').unwrap();
            let (example, _) = rest.split_once("```").unwrap();
            if side == "client" {
                let message = crate::protocol::decode(example).unwrap();
                let again = crate::protocol::decode(&encode(&message)).unwrap();
                assert_eq!(again, message);
            } else if let Heard::Said(message) = decode(example).unwrap() {
                let again: Value = serde_json::from_str(&message.encode()).unwrap();
                assert_eq!(again, serde_json::from_str::<Value>(example).unwrap());
            } else {
                assert!(example.contains("\"events\""), "{example}");
            }
            seen += 1;
        }
        assert!(seen > 20, "{seen} examples");
    }

    #[test]
    fn what_there_is_not_is_left_out() {
        let nobody = ClientMessage::Hello(Hello::default());
        assert_eq!(encode(&nobody), r#"{"type":"hello"}"#);
        let plain = Outgoing::to("a", Payload::text("")).id("1");
        let plain = encode(&ClientMessage::Publish(plain));
        assert_eq!(
            plain,
            r#"{"type":"publish","topics":["a"],"id":"1","text":""}"#
        );
    }

    #[test]
    fn pages_hold_what_was_written() {
        let page = r#"{"type":"events","sub":"s",
            "stem":"0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.",
            "events":[{"offset":7,"time":1,"topics":["a"],"data":null},
                      {"offset":9,"time":2,"topics":["a","b"],"not_to":["x"],"from":"y","text":""},
                      {"offset":10,"time":2,"topics":["a"],"base64":"AAEC/w==","later":1}],
            "position":"0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.12","bytes":99,"live":true}"#;
        let Heard::Page(page) = decode(page).unwrap() else {
            panic!("no page");
        };
        let payloads = page.events.iter().map(|event| event.payload.as_bytes());
        let expected: [&[u8]; 3] = [b"null", b"", b"\x00\x01\x02\xff"];
        assert_eq!(payloads.collect::<Vec<_>>(), expected);
        let after = page.events.iter().map(|event| event.position.offset);
        assert_eq!(after.collect::<Vec<_>>(), [8, 10, 11]);
        assert_eq!(
            (page.position.offset, page.bytes, page.live),
            (12, 99, true)
        );
    }

    #[test]
    fn what_is_new_is_passed_over_and_what_is_broken_is_not() {
        assert!(matches!(decode(r#"{"type":"later"}"#), Ok(Heard::Unknown)));
        let unknown = r#"{"type":"error","code":"later","retry":true,"message":"m","re":"x"}"#;
        let Heard::Said(ServerMessage::Error(error)) = decode(unknown).unwrap() else {
            panic!("no error");
        };
        assert!(error.code.retry() && error.re.is_none());
        // All else that a later server may say within this version (PROTOCOL.md, section 15).
        for new in [
            r#"{"type":"reset","sub":"s","reason":"later",
                "earliest":"0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.0",
                "end":"0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.7","more":1}"#,
            r#"{"type":"gap","sub":"s","from":1,"to":2,"reason":"later","more":[],
                "position":"0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.2"}"#,
        ] {
            assert!(matches!(decode(new), Ok(Heard::Said(_))), "{new}");
        }
        for broken in ["", "{}", r#"{"type":"gap","sub":"s"}"#, r#"{"type":"bye"}"#] {
            assert!(decode(broken).is_err(), "{broken}");
        }
    }
}
