//! What users must not append, filter or name: each gets the error that says why, and the log is
//! as good as before.

use wakelog::{
    AppendError, CursorError, Filter, FilterError, Log, MAX_FILTERS, MAX_IDENTITIES,
    MAX_NAME_BYTES, NewEvent, Options, ReadError, Start, Topic, TopicError,
};

/// A log in memory with one event; [`Victim::is_unharmed`] at the end of each test.
struct Victim(Log);

impl Victim {
    fn new(options: &Options) -> Victim {
        let log = options.in_memory().unwrap();
        log.append("before", "kept").unwrap();
        Victim(log)
    }

    /// Nothing of what was refused is in the log, and it still takes what is good.
    fn is_unharmed(&self, accepted: u64) {
        let log = &self.0;
        assert_eq!(log.next_offset(), 1 + accepted);
        assert_eq!(log.append("after", "good").unwrap(), 1 + accepted);
        log.append_batch([NewEvent::new("after", "a"), NewEvent::new("after", "b")])
            .unwrap();
        let mut reader = log.reader().topics(["before", "after"]).open().unwrap();
        let mut found = Vec::new();
        while let Some(event) = reader.next().unwrap() {
            found.push(event.payload().to_vec());
        }
        assert_eq!(found, [&b"kept"[..], b"good", b"a", b"b"]);
        log.sync().unwrap();
    }
}

fn bad_topics() -> Vec<(String, TopicError)> {
    let token = |text: &str, at| (text.to_owned(), TopicError::EmptyToken { at });
    let wild = |text: &str, at| (text.to_owned(), TopicError::Wildcard { at });
    let letter = |text: &str, at| {
        let character = text[at..].chars().next().unwrap();
        (text.to_owned(), TopicError::Character { character, at })
    };
    vec![
        (String::new(), TopicError::Empty),
        ("a".repeat(256), TopicError::TooLong { bytes: 256 }),
        // 255 bytes are the limit, not 255 characters.
        ("\u{e9}".repeat(128), TopicError::TooLong { bytes: 256 }),
        token(".", 0),
        token(".a", 0),
        token("a.", 2),
        token("a..b", 2),
        token("\u{e9}..b", 3),
        wild("*", 0),
        wild(">", 0),
        wild("a.*", 2),
        wild("a.b>", 3),
        wild("\u{e9}.*", 3),
        letter("a b", 1),
        letter(" ", 0),
        letter("a\tb", 1),
        letter("a\nb", 1),
        letter("a\0", 1),
        letter("a\u{7f}", 1),
        letter("a\u{85}", 1),
        letter("a\u{a0}b", 1),
        letter("a.\u{3000}", 2),
    ]
}

#[test]
fn bad_topics_are_refused() {
    let victim = Victim::new(&Options::new());
    let log = &victim.0;
    for (topic, expected) in bad_topics() {
        let events = [
            NewEvent::new(&topic, "x"),
            NewEvent::new("good", "x").also_to(&topic),
        ];
        assert_eq!(Topic::check(&topic), Err(expected.clone()), "{topic:?}");
        for event in events {
            let alone = log.append_event(event.clone());
            let tried = log.try_append(event.clone());
            let batch = log
                .append_batch([NewEvent::new("good", "x"), event])
                .map(|_| 0);
            for result in [alone, tried, batch] {
                match result {
                    Err(AppendError::Topic(error)) => assert_eq!(error, expected, "{topic:?}"),
                    other => panic!("{topic:?}: {other:?}"),
                }
            }
        }
    }
    victim.is_unharmed(0);
}

#[test]
fn the_longest_and_strangest_good_topics_are_taken() {
    let victim = Victim::new(&Options::new());
    let longest = "a".repeat(MAX_NAME_BYTES);
    let good = [
        &longest,
        "$all",
        "$a.b",
        "-",
        "a/b",
        "a:b@c",
        "\u{e9}.\u{1f600}",
        "%",
        "\\",
    ];
    for topic in good {
        let offset = victim.0.append(topic, "x").unwrap();
        let mut reader = victim.0.reader().topics([topic]).open().unwrap();
        assert_eq!(
            reader.next().unwrap().unwrap().offset(),
            offset,
            "{topic:?}"
        );
        assert!(reader.next().unwrap().is_none());
    }
    victim.is_unharmed(u64::try_from(good.len()).unwrap());
}

fn bad_filters() -> Vec<(String, FilterError)> {
    let token = |filter: &str| {
        (
            filter.into(),
            FilterError::EmptyToken {
                filter: filter.into(),
            },
        )
    };
    let partial = |text: &str| {
        let filter = String::from(text);
        (text.into(), FilterError::PartialWildcard { filter })
    };
    let rest = |filter: &str| {
        (
            filter.into(),
            FilterError::RestNotLast {
                filter: filter.into(),
            },
        )
    };
    let letter = |text: &str, character| {
        let filter = String::from(text);
        (text.into(), FilterError::Character { filter, character })
    };
    vec![
        (String::new(), FilterError::Empty),
        ("a".repeat(256), FilterError::TooLong { bytes: 256 }),
        token("."),
        token("a..>"),
        token("a."),
        partial("a*"),
        partial("*a.b"),
        partial("a.**"),
        partial("a>"),
        rest(">.a"),
        rest("a.>.b"),
        rest(">.>"),
        letter("a b", ' '),
        letter("a.\u{2028}", '\u{2028}'),
        letter("a\n", '\n'),
    ]
}

#[test]
fn bad_filters_are_refused() {
    let victim = Victim::new(&Options::new());
    let log = &victim.0;
    for (filter, expected) in bad_filters() {
        assert_eq!(Filter::parse(&filter).unwrap_err(), expected, "{filter:?}");
        match log.reader().topics(["good", &filter]).open() {
            Err(ReadError::Filter(error)) => assert_eq!(error, expected, "{filter:?}"),
            other => panic!("{filter:?}: {other:?}"),
        }
        match log.cursor("alice").topics(["good", &filter]).open() {
            Err(CursorError::Filter(error)) => assert_eq!(error, expected, "{filter:?}"),
            other => panic!("{filter:?}: {other:?}"),
        }
    }
    for filter in ["*", ">", "*.*", "a.*.>", "$a.>", "\u{e9}.*", "a"] {
        log.reader().topics([filter]).open().unwrap();
    }
    victim.is_unharmed(0);
}

#[test]
fn too_many_filters_and_identities_are_refused() {
    let victim = Victim::new(&Options::new());
    let log = &victim.0;
    let names: Vec<String> = (0..=MAX_FILTERS)
        .map(|number| format!("t{number}"))
        .collect();
    log.reader().topics(&names[..MAX_FILTERS]).open().unwrap();
    let many = log.reader().topics(&names).open();
    let limit = MAX_FILTERS;
    let expected = FilterError::TooManyFilters { limit };
    assert!(matches!(many, Err(ReadError::Filter(error)) if error == expected));

    let base = || log.reader().topics(["before"]);
    base().identities(&names[..MAX_IDENTITIES]).open().unwrap();
    let many = base().identities(&names[..=MAX_IDENTITIES]).open();
    let limit = MAX_IDENTITIES;
    let expected = FilterError::TooManyIdentities { limit };
    assert!(matches!(many, Err(ReadError::Filter(error)) if error == expected));
    for (name, expected) in bad_names() {
        let expected = FilterError::Identity(expected);
        let bad = base().identities([name]).open();
        assert!(matches!(bad, Err(ReadError::Filter(error)) if error == expected));
    }
    victim.is_unharmed(0);
}

fn bad_names() -> Vec<(String, TopicError)> {
    let letter =
        |name: &str, character, at| (name.to_owned(), TopicError::Character { character, at });
    vec![
        (String::new(), TopicError::Empty),
        ("n".repeat(256), TopicError::TooLong { bytes: 256 }),
        ("\u{1f600}".repeat(64), TopicError::TooLong { bytes: 256 }),
        letter("a\0b", '\0', 1),
        letter("a\nb", '\n', 1),
        letter("\u{1b}[31m", '\u{1b}', 0),
        letter("a\u{9b}", '\u{9b}', 1),
    ]
}

#[test]
fn bad_names_of_cursors_and_identities_are_refused() {
    let victim = Victim::new(&Options::new());
    let log = &victim.0;
    for (name, expected) in bad_names() {
        match log.cursor(&name).start(Start::Earliest).open() {
            Err(CursorError::Name(error)) => assert_eq!(error, expected, "{name:?}"),
            other => panic!("{name:?}: {other:?}"),
        }
        match log.append_event(NewEvent::new("good", "x").not_to(&name)) {
            Err(AppendError::Topic(error)) => assert_eq!(error, expected, "{name:?}"),
            other => panic!("{name:?}: {other:?}"),
        }
    }
    // Names are no paths, no patterns and no topics.
    let longest = "n".repeat(MAX_NAME_BYTES);
    for name in [
        "../../etc/passwd",
        "/",
        "..",
        "a..b",
        "*",
        ">",
        "$x",
        "\u{1f600}",
        &longest,
    ] {
        let cursor = log.cursor(name).start(Start::Earliest).open().unwrap();
        assert_eq!(cursor.acked(), 0, "{name:?}");
    }
    victim.is_unharmed(0);
}

#[test]
fn a_start_beyond_the_end_is_refused() {
    let victim = Victim::new(&Options::new());
    let log = &victim.0;
    log.reader().start(Start::Offset(1)).open().unwrap();
    for asked in [2, u64::MAX] {
        let reader = log.reader().start(Start::Offset(asked)).open();
        assert!(matches!(reader, Err(ReadError::Offset { asked: told, next: 1 }) if told == asked));
        let cursor = log.cursor("alice").start(Start::Offset(asked)).open();
        assert!(
            matches!(cursor, Err(CursorError::Offset { asked: told, next: 1 }) if told == asked)
        );
    }
    // The refused cursor was not made on the way.
    let cursor = log.cursor("alice").start(Start::Earliest).open().unwrap();
    assert_eq!(cursor.opened(), wakelog::Opened::New);
    victim.is_unharmed(0);
}
