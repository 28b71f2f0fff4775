//! What readers of one source share, and what they must not.

mod alone;

use std::future::poll_fn;
use std::task::Poll;

use super::*;
use crate::protocol::{EncodedPage, Grant, Payload};
use crate::session::{ReadAnswer, ReadPage};
use crate::source::SourceReader as _;

const MOST: Grant = Grant {
    events: 10,
    bytes: 1 << 20,
};

async fn append(source: &LogSource, event: Outgoing) {
    let position = source.append(event).await.unwrap();
    source.durable(position).await.unwrap();
}

async fn open(source: &LogSource, identity: &str, start: Start) -> LogReader {
    let spec = ReaderSpec {
        filters: vec!["room".to_owned()],
        identities: vec![identity.to_owned()],
        start,
        binary: false,
    };
    source.open_reader(spec).await.unwrap()
}

/// The events of the next page, as they are sent.
async fn text(reader: &mut LogReader) -> EncodedPage {
    let ReadAnswer::Page(ReadPage { page, at, .. }) = reader.read(MOST).await else {
        panic!("no page");
    };
    assert!(page.events() > 0);
    assert_eq!(reader.position(), at);
    page
}

fn is_caught_up(answer: &ReadAnswer) -> bool {
    matches!(answer, ReadAnswer::Page(read) if read.page.events() == 0)
}

fn source() -> (tempfile::TempDir, LogSource) {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path().join("log")).unwrap();
    (dir, LogSource::new(log).unwrap())
}

#[tokio::test]
async fn a_page_is_shared_with_those_who_may_see_it_and_with_nobody_else() {
    let (_dir, source) = source();
    append(&source, Outgoing::to("room", Payload::text("for all"))).await;
    let secret = Outgoing::to("room", Payload::text("a secret")).not_to("bob");
    append(&source, secret).await;
    let mut hers = Vec::new();
    for _ in 0..3 {
        let mut ann = open(&source, "ann", Start::Earliest).await;
        hers.push(text(&mut ann).await);
    }
    assert!(hers[0].contains("a secret"));
    assert!(hers[0].is_shared_with(&hers[1]) && hers[1].is_shared_with(&hers[2]));
    let mut bob = open(&source, "bob", Start::Earliest).await;
    let his = text(&mut bob).await;
    assert!(
        his.contains("for all") && !his.contains("a secret"),
        "{his:?}"
    );
}

/// However it was found, and whoever has found it.
#[tokio::test]
async fn an_event_is_written_once_for_all_who_hear_it() {
    let (_dir, source) = source();
    let mut ann = open(&source, "ann", Start::Latest).await;
    let spec = ReaderSpec {
        filters: vec!["room".to_owned(), "*".to_owned(), ">".to_owned()],
        identities: Vec::new(),
        start: Start::Latest,
        binary: false,
    };
    let mut all = source.open_reader(spec).await.unwrap();
    append(&source, Outgoing::to("room", Payload::text("one"))).await;
    assert!(text(&mut ann).await.is_shared_with(&text(&mut all).await));
    append(&source, Outgoing::to("other", Payload::text("two"))).await;
    append(&source, Outgoing::to("room", Payload::text("three"))).await;
    let (hers, other) = (text(&mut ann).await, text(&mut all).await);
    assert!(
        !hers.contains("two") && other.contains("two"),
        "{hers:?} {other:?}"
    );
}

async fn say(source: &LogSource, text: String) {
    append(source, Outgoing::to("room", Payload::text(text))).await;
}

/// What is written down is forgotten: who shows the same text has not read for himself.
#[tokio::test]
async fn what_was_read_for_one_is_read_for_all_who_would_read_the_same() {
    let (_dir, source) = source();
    for n in 0..25 {
        say(&source, format!("<{n}>")).await;
    }
    let spec = |filters: &[&str], identity: &str, start| ReaderSpec {
        filters: filters.iter().map(|&filter| filter.to_owned()).collect(),
        identities: vec![identity.to_owned()],
        start,
        binary: false,
    };
    let shared = async |spec, most| {
        let mut first = open(&source, "ann", Start::Earliest).await;
        let hers = text(&mut first).await;
        source.pages[0].forget_texts();
        let mut other = source.open_reader(spec).await.unwrap();
        let ReadAnswer::Page(ReadPage { page, .. }) = other.read(most).await else {
            panic!("no page");
        };
        assert_eq!(other.position().offset, u64::from(page.events()));
        hers.is_shared_with(&page)
    };
    let at = |offset| Position {
        offset,
        ..source.end()
    };
    let all = &["room"][..];
    assert!(shared(spec(all, "ann", Start::Earliest), MOST).await);
    assert!(shared(spec(all, "ann", Start::Offset(0)), MOST).await);
    assert!(shared(spec(all, "ann", Start::Position(at(0))), MOST).await);
    assert!(!shared(spec(all, "bob", Start::Earliest), MOST).await);
    let binary = ReaderSpec {
        binary: true,
        ..spec(all, "ann", Start::Earliest)
    };
    assert!(!shared(binary, MOST).await);
    assert!(!shared(spec(&["*"], "ann", Start::Earliest), MOST).await);
    let other = Grant { events: 9, ..MOST };
    assert!(!shared(spec(all, "ann", Start::Earliest), other).await);
    let other = Grant { bytes: 1, ..MOST };
    assert!(!shared(spec(all, "ann", Start::Earliest), other).await);
    let picks = spec(all, "ann", Start::LastPerTopic);
    let mut picks = source.open_reader(picks).await.unwrap();
    assert!(text(&mut picks).await.contains("<24>"));
}

/// Filters and identities are told apart, however they are named.
#[tokio::test]
async fn nobody_is_taken_for_another() {
    let (_dir, source) = source();
    let names = ["a", "b", "a\", \"b", "a\"], [\"b"];
    let mut all = std::collections::HashSet::new();
    for one in names {
        for identities in [vec![], vec![one], vec!["a", one]] {
            let spec = ReaderSpec {
                filters: vec!["room".to_owned(), "a".to_owned()],
                identities: identities.into_iter().map(str::to_owned).collect(),
                start: Start::Earliest,
                binary: false,
            };
            let reader = source.open_reader(spec).await.unwrap();
            all.insert(reader.who.unwrap());
        }
    }
    assert_eq!(all.len(), 1 + 2 * names.len());
}

/// A page that was cut by the end of the log is not the page any more when there is more.
#[tokio::test]
async fn a_page_grows_with_the_log() {
    let (_dir, source) = source();
    for n in 0..3 {
        say(&source, format!("<{n}>")).await;
        for _ in 0..2 {
            let mut ann = open(&source, "ann", Start::Earliest).await;
            let text = text(&mut ann).await;
            let seen = (0..4).filter(|n| text.contains(&format!("<{n}>")));
            assert_eq!(seen.count(), n + 1);
            let caught_up = ann.read(MOST).await;
            assert!(is_caught_up(&caught_up));
        }
    }
}

/// One whose pages came from elsewhere meets each event once, whether it comes later or was
/// there.
#[tokio::test]
async fn readers_go_on_behind_a_shared_page() {
    let (_dir, source) = source();
    for n in 0..25 {
        append(
            &source,
            Outgoing::to("room", Payload::text(format!("<{n}>"))),
        )
        .await;
    }
    let mut seen = [Vec::new(), Vec::new(), Vec::new()];
    let mut readers = Vec::new();
    for _ in &seen {
        readers.push(open(&source, "ann", Start::Earliest).await);
    }
    // The first and the second fill the cache, the third is given what it has.
    for (reader, seen) in readers.iter_mut().zip(&mut seen) {
        for _ in 0..3 {
            seen.push(text(reader).await);
        }
        assert!(is_caught_up(&reader.read(MOST).await));
    }
    assert_eq!(seen[0], seen[1]);
    assert!(seen[1] == seen[2] && seen[1][2].is_shared_with(&seen[2][2]));
    append(&source, Outgoing::to("room", Payload::text("live"))).await;
    for reader in &mut readers {
        poll_fn(|cx| reader.poll_ready(cx)).await;
        let live = text(reader).await;
        assert!(
            live.contains(r#""offset":25"#) && live.contains("live"),
            "{live:?}"
        );
        assert!(is_caught_up(&reader.read(MOST).await));
    }
}

/// Pages are still kept, but what stands in them is gone from the log.
#[tokio::test]
async fn a_gap_comes_before_any_shared_page() {
    let dir = tempfile::tempdir().unwrap();
    let options = wakelog::Options::new().segment_bytes(16 << 10);
    let log = options.open(dir.path().join("log")).unwrap();
    let source = LogSource::new(log).unwrap();
    for _ in 0..200 {
        let payload = Payload::text("x".repeat(200));
        append(&source, Outgoing::to("room", payload)).await;
    }
    for _ in 0..2 {
        let mut other = open(&source, "ann", Start::Earliest).await;
        text(&mut other).await;
        text(&mut other).await;
    }
    let mut at_first = open(&source, "ann", Start::Earliest).await;
    let mut behind_one = open(&source, "ann", Start::Earliest).await;
    text(&mut behind_one).await;
    let first = source.log.trim(190).unwrap();
    assert!(first > 20, "{first:?}");
    for (reader, from) in [(&mut at_first, 0), (&mut behind_one, 10)] {
        let ReadAnswer::Gap { gap, .. } = reader.read(MOST).await else {
            panic!("no gap");
        };
        assert_eq!((gap.from, gap.to), (from, first));
        text(reader).await;
    }
}

/// The log goes another way, in place: what was kept of the old one is told to nobody.
#[tokio::test]
async fn nothing_is_kept_over_a_divergence() {
    let dir = tempfile::tempdir().unwrap();
    let old: Position = "0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.0"
        .parse()
        .unwrap();
    let begin = wakelog::MirrorSource {
        log: old.log,
        epoch: old.epoch,
        first: 0,
    };
    let mirror = wakelog::Options::new().open_mirror(dir.path(), begin);
    let mirror = mirror.unwrap();
    let feed = |from: u64, text: &str| {
        for offset in from..20 {
            let event = NewEvent::new("room", text.as_bytes());
            mirror.append_at(offset, offset, &event).unwrap();
        }
        mirror.log().wait_durable(19).unwrap();
    };
    let source = LogSource::new(mirror.log().clone()).unwrap();
    feed(0, "old");
    let at = |offset| Position { offset, ..old };
    let mut readers = Vec::new();
    for start in [0, 0, 5, 15] {
        let mut reader = open(&source, "ann", Start::Position(at(start))).await;
        text(&mut reader).await;
        readers.push((reader, (start + 10).min(20)));
    }
    // This one waits, and is told by the log itself.
    let mut waits = open(&source, "ann", Start::Position(at(20))).await;
    let nothing = poll_fn(|cx| Poll::Ready(waits.poll_ready(cx))).await;
    assert!(nothing.is_pending());

    let new = wakelog::Epoch {
        counter: 4,
        ..old.epoch
    };
    let again = mirror.begin_epoch(new, 5).unwrap();
    feed(again, "new");
    // What comes after each gap is there for the taking.
    for _ in 0..2 {
        let mut ann = open(&source, "ann", Start::Offset(5)).await;
        let first = text(&mut ann).await;
        assert!(first.contains("new") && !first.contains("old"), "{first:?}");
    }
    poll_fn(|cx| waits.poll_ready(cx)).await;
    readers.push((waits, 20));
    for start in [20, 10] {
        let reader = open(&source, "ann", Start::Position(at(start))).await;
        readers.push((reader, start));
    }
    for (reader, to) in &mut readers {
        let mut answer = reader.read(MOST).await;
        // What it has at hand it may still tell, under a position that has the gap behind it.
        if let ReadAnswer::Page(ReadPage { page, at, .. }) = &answer {
            assert_eq!(at.epoch, old.epoch);
            assert!(page.contains("old"));
            *to = at.offset;
            answer = reader.read(MOST).await;
        }
        let ReadAnswer::Gap { gap, position } = answer else {
            panic!("no gap up to {to}: {answer:?}");
        };
        let found = (gap.reason, gap.from, gap.to, position.epoch);
        assert_eq!(found, (GapReason::Diverged, 5, *to, new));
        let next = text(reader).await;
        assert!(next.contains(r#""offset":5,"#) && !next.contains("old"));
    }
}
