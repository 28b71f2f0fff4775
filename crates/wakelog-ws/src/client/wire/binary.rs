//! Pages in binary (PROTOCOL.md, section 17).

use wakelog::Position;

use super::super::event::Event;
use super::decode::{Heard, Page};
use crate::protocol::{Encoding, Payload};

/// The kind of `events`.
const EVENTS: u8 = 1;

/// Reads a binary message; none if it is broken.
pub(in crate::client) fn decode_binary(message: &[u8]) -> Option<Heard> {
    let mut rest = message;
    let [kind, flags, sub, position] = take_array(&mut rest)?;
    if kind != EVENTS {
        return Some(Heard::Unknown);
    }
    let sub = take_text(&mut rest, sub.into())?;
    let position: Position = take_text(&mut rest, position.into())?.parse().ok()?;
    let (bytes, mut events) = (u32::try_from(rest.len()).ok()?, Vec::new());
    while !rest.is_empty() {
        events.push(event(&mut rest, position)?);
    }
    Some(Heard::Page(Page {
        sub,
        events,
        position,
        bytes,
        live: flags & 1 != 0,
        volatile: false,
    }))
}

fn event(rest: &mut &[u8], page: Position) -> Option<Event> {
    let (offset, time) = (take_u64(rest)?, take_u64(rest)?);
    let [mark] = take_array(rest)?;
    let (names, payload) = (take_length(rest)?, take_length(rest)?);
    let mut names = take(rest, names)?;
    let mut event = Event {
        offset,
        position: Position {
            offset: offset.checked_add(1)?,
            ..page
        },
        volatile: false,
        time,
        topics: Vec::new(),
        not_to: Vec::new(),
        name: None,
        id: None,
        from: None,
        payload: payload_of(mark, take(rest, payload)?),
        missed: false,
    };
    while !names.is_empty() {
        let [tag] = take_array(&mut names)?;
        let length = take_length(&mut names)?;
        match tag {
            1 => event.topics.push(take_text(&mut names, length)?),
            2 => event.not_to.push(take_text(&mut names, length)?),
            3 => event.name = Some(take_text(&mut names, length)?),
            4 => event.id = Some(take_text(&mut names, length)?),
            5 => event.from = Some(take_text(&mut names, length)?),
            _ => drop(take(&mut names, length)?),
        }
    }
    Some(event)
}

/// The payload as its publisher meant it, or as what it turns out to be: as the JSON form writes
/// it.
fn payload_of(mark: u8, bytes: &[u8]) -> Payload {
    let encoding = Encoding::from_attribute(Some(&[mark]));
    let text = std::str::from_utf8(bytes).ok();
    let json = text.filter(|_| encoding == Some(Encoding::Json));
    if let Some(json) = json.and_then(|text| serde_json::from_str(text).ok()) {
        return Payload::from_fields(Some(json), None, None).unwrap_or_default();
    }
    match text.filter(|text| encoding != Some(Encoding::Bytes) || text.is_empty()) {
        Some(text) => Payload::text(text),
        None => Payload::bytes(bytes),
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    take(rest, N)?.try_into().ok()
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    take_array(rest).map(u64::from_le_bytes)
}

fn take_length(rest: &mut &[u8]) -> Option<usize> {
    usize::try_from(take_array(rest).map(u32::from_le_bytes)?).ok()
}

fn take_text(rest: &mut &[u8], length: usize) -> Option<String> {
    let text = std::str::from_utf8(take(rest, length)?).ok()?;
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::decode;
    use super::*;
    use crate::protocol::{Bare, EncodedPage, PageEvent, ServerMessage};

    fn events() -> Vec<PageEvent<'static>> {
        let payloads: [(Option<Encoding>, &[u8]); 10] = [
            (Some(Encoding::Json), b"{\"a\":1.50}"),
            (Some(Encoding::Json), b"no JSON"),
            (Some(Encoding::Json), b"\xff"),
            (Some(Encoding::Text), "gr\u{fc}n".as_bytes()),
            (Some(Encoding::Text), b"\x80"),
            (Some(Encoding::Bytes), b"text"),
            (Some(Encoding::Bytes), b""),
            (None, b"text"),
            (None, b"\0\xff"),
            (None, b""),
        ];
        let numbered = (7..).zip(payloads);
        let event = numbered.map(|(offset, (encoding, bytes))| PageEvent {
            offset,
            time: offset << 40,
            topics: vec!["a", "b.c"],
            not_to: ["x"].into_iter().filter(|_| offset % 2 == 0).collect(),
            name: Some("name").filter(|_| offset % 3 == 0),
            id: Some("").filter(|_| offset % 4 == 0),
            from: Some("from").filter(|_| offset % 5 == 0),
            payload: Bare { encoding, bytes },
        });
        event.collect()
    }

    fn message(binary: bool, live: bool) -> ServerMessage {
        let position = "0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.17";
        ServerMessage::Events {
            sub: "s\u{fc}b".to_owned(),
            page: EncodedPage::new(&events(), binary),
            position: position.parse().unwrap(),
            live,
            volatile: false,
        }
    }

    fn bytes() -> Vec<u8> {
        message(true, true).encode_page().unwrap().pieces().concat()
    }

    /// To a client, a page is the same in both forms, but for what it takes of the credit.
    #[test]
    fn both_forms_say_the_same() {
        for live in [false, true] {
            let binary = message(true, live).encode_page().unwrap().pieces().concat();
            let Some(Heard::Page(binary)) = decode_binary(&binary) else {
                panic!("no page");
            };
            let Ok(Heard::Page(text)) = decode(&message(false, live).encode()) else {
                panic!("no page");
            };
            assert_eq!(binary.events, text.events);
            assert_eq!(
                (&binary.sub, binary.position, binary.live),
                (&text.sub, text.position, live)
            );
            let page = EncodedPage::new(&events(), true);
            assert_eq!(u64::from(binary.bytes), page.bytes());
        }
    }

    #[test]
    fn unknown_kinds_flags_and_tags_are_passed_over() {
        let mut bytes = bytes();
        bytes[1] |= 0xfe;
        // The tag of the first name of the first event: a topic.
        let head = 4 + usize::from(bytes[2]) + usize::from(bytes[3]);
        assert_eq!(bytes[head + 25], 1);
        bytes[head + 25] = 200;
        let Some(Heard::Page(page)) = decode_binary(&bytes) else {
            panic!("no page");
        };
        assert!(page.live && page.events[0].topics == ["b.c"]);
        bytes[0] = 2;
        assert!(matches!(decode_binary(&bytes), Some(Heard::Unknown)));
    }

    /// However it is cut or changed, it is read or it is not: nothing panics, and no length is
    /// believed before there are as many bytes.
    #[test]
    fn broken_pages_are_refused() {
        let bytes = bytes();
        for end in 0..bytes.len() {
            if let Some(Heard::Page(page)) = decode_binary(&bytes[..end]) {
                assert!(page.events.len() < events().len());
            }
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                let _ = decode_binary(&changed);
            }
        }
        assert!(decode_binary(&[]).is_none());
        assert!(decode_binary(&[1, 0, 0, 0]).is_none());
    }
}
