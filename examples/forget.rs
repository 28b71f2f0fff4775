//! How is a person forgotten by a log that deletes no event? `cargo run --example forget`
//!
//! Each payload is encrypted under a key of the person it is about. To forget the person, the key
//! is destroyed: what stands in the log, in its copies and on the disks of those who read it is
//! noise from then on. docs/deletion.md says what else belongs to it.

use chacha20poly1305::aead::{Aead, AeadCore, KeyInit, OsRng, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use std::collections::HashMap;
use wakelog::{Event, Log, NewEvent};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Bytes of a nonce, which stands before what it was used for. It is random and long enough never
/// to be the same twice.
const NONCE_BYTES: usize = 24;

/// Where the keys live: *not* in the log, and in no backup that is kept longer than a deletion may
/// take. In earnest a table of a database, or a key management service.
#[derive(Default)]
struct Keys(HashMap<String, Key>);

impl Keys {
    /// The cipher of a person, whose key is made when it is needed first.
    fn cipher(&mut self, person: &str) -> XChaCha20Poly1305 {
        let make = || XChaCha20Poly1305::generate_key(&mut OsRng);
        XChaCha20Poly1305::new(self.0.entry(person.to_owned()).or_insert_with(make))
    }

    /// Destroys the key. This is the deletion.
    fn forget(&mut self, person: &str) {
        self.0.remove(person);
    }

    /// What stands in the log for `text`. It is bound to the person: moved to somebody else's
    /// event, it does not open.
    fn seal(&mut self, person: &str, text: &[u8]) -> Result<Vec<u8>> {
        let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
        let payload = Payload {
            msg: text,
            aad: person.as_bytes(),
        };
        let sealed = self.cipher(person).encrypt(&nonce, payload);
        let sealed = sealed.map_err(|_| "the text is too long")?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// The text of an event; `None` when the person was forgotten.
    fn open(&self, event: &Event) -> Result<Option<Vec<u8>>> {
        let person = event.from().ok_or("an event without its person")?;
        let Some(key) = self.0.get(person) else {
            return Ok(None);
        };
        let parts = event.payload().split_at_checked(NONCE_BYTES);
        let (nonce, sealed) = parts.ok_or("too short for a nonce")?;
        let payload = Payload {
            msg: sealed,
            aad: person.as_bytes(),
        };
        let cipher = XChaCha20Poly1305::new(key);
        let text = cipher.decrypt(XNonce::from_slice(nonce), payload);
        Ok(Some(text.map_err(|_| "not what was sealed")?))
    }
}

/// `person` is a pseudonym: topics and attributes stand in the log as they are.
fn say(log: &Log, keys: &mut Keys, person: &str, text: &str) -> Result<u64> {
    let sealed = keys.seal(person, text.as_bytes())?;
    let event = NewEvent::new("room.1", &sealed).from(person);
    Ok(log.append_event(event)?)
}

fn read(log: &Log, keys: &Keys) -> Result<Vec<Option<String>>> {
    let mut reader = log.reader().topics(["room.1"]).open()?;
    let mut texts = Vec::new();
    while let Some(event) = reader.next()? {
        let text = keys.open(&event)?.map(String::from_utf8).transpose()?;
        println!("{} {:?}: {text:?}", event.offset(), event.from());
        texts.push(text);
    }
    Ok(texts)
}

fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let log = Log::open(dir.path().join("log"))?;
    let mut keys = Keys::default();
    say(&log, &mut keys, "p-81f3", "I live in the old mill")?;
    say(&log, &mut keys, "p-c02a", "nice place")?;
    assert!(read(&log, &keys)?.iter().all(Option::is_some));
    // A backup from before the deletion.
    log.snapshot(dir.path().join("backup"))?;

    println!("\n-- p-81f3 asks to be forgotten --\n");
    keys.forget("p-81f3");
    let expected = [None, Some("nice place".to_owned())];
    assert_eq!(read(&log, &keys)?, expected);
    // The backup forgets too: it never held the key.
    let backup = Log::open(dir.path().join("backup"))?;
    assert_eq!(read(&backup, &keys)?, expected);
    Ok(())
}

#[test]
fn a_person_is_forgotten_in_the_log_and_in_its_copies() {
    main().unwrap();
}

#[test]
fn what_was_changed_or_moved_does_not_open() {
    let log = Log::in_memory().unwrap();
    let mut keys = Keys::default();
    let mut sealed = keys.seal("a", b"text").unwrap();
    keys.cipher("b");
    // In the name of somebody else, and with a bit flipped.
    log.append_event(NewEvent::new("x", &sealed).from("b"))
        .unwrap();
    sealed[30] ^= 1;
    log.append_event(NewEvent::new("x", &sealed).from("a"))
        .unwrap();
    let mut reader = log.reader().open().unwrap();
    while let Some(event) = reader.next().unwrap() {
        assert!(keys.open(&event).is_err());
    }
}
