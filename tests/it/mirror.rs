//! Mirrors: events, offsets and epochs of another log.

use std::path::Path;
use wakelog::{
    AppendError, Epoch, GapReason, Log, MirrorError, MirrorSource, NewEvent, OpenError, Options,
    ReadError, SkipReason, Start,
};

fn source() -> MirrorSource {
    MirrorSource {
        log: "0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.1042"
            .parse::<wakelog::Position>()
            .unwrap()
            .log,
        epoch: Epoch {
            counter: 3,
            tag: 0x9c1e_22b7,
        },
        first: 100,
    }
}

#[test]
fn a_mirror_has_the_offsets_of_its_source() {
    let dir = tempfile::tempdir().unwrap();
    let mirror = Options::new().open_mirror(dir.path(), source()).unwrap();
    assert_eq!(mirror.log().id(), source().log);
    assert_eq!(mirror.log().next_offset(), 100);
    let event = |text: &'static [u8]| NewEvent::new("room.1", text);
    assert!(mirror.append_at(100, 5, &event(b"one")).unwrap());
    assert!(!mirror.append_at(100, 5, &event(b"one")).unwrap());
    let other = mirror.append_at(100, 5, &event(b"two"));
    assert!(
        matches!(other, Err(MirrorError::Diverged { offset: 100 })),
        "{other:?}"
    );
    let ahead = mirror.append_at(110, 6, &event(b"two"));
    let at = matches!(
        ahead,
        Err(MirrorError::Ahead {
            asked: 110,
            next: 101
        })
    );
    assert!(at, "{ahead:?}");
    assert_eq!(mirror.skip(110, SkipReason::Hole).unwrap(), 110);
    assert_eq!(mirror.skip(120, SkipReason::Trimmed).unwrap(), 120);
    let batch = [event(b"a"), event(b"b"), event(b"c")];
    assert_eq!(mirror.append_batch_at(120, 9, &batch[..2]).unwrap(), 2);
    assert_eq!(mirror.append_batch_at(120, 9, &batch).unwrap(), 1);
    let hole = mirror.append_at(105, 6, &event(b"two"));
    assert!(
        matches!(hole, Err(MirrorError::Diverged { offset: 105 })),
        "{hole:?}"
    );

    let own = mirror.log().append("room.1", b"mine");
    assert!(matches!(own, Err(AppendError::Mirror)), "{own:?}");
    drop(mirror);
    it_opens_as_what_it_is(dir.path());
}

fn it_opens_as_what_it_is(dir: &Path) {
    let error = Log::open(dir).unwrap_err();
    assert!(matches!(error, OpenError::Options { .. }), "{error:?}");
    let stranger = MirrorSource {
        log: Log::in_memory().unwrap().id(),
        ..source()
    };
    let error = Options::new().open_mirror(dir, stranger).unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");

    let mirror = Options::new().open_mirror(dir, source()).unwrap();
    assert_eq!(
        mirror.log().position().epoch,
        source().epoch,
        "opening begins no epoch"
    );
    assert!(
        !mirror
            .append_at(121, 1, &NewEvent::new("room.1", b"b"))
            .unwrap()
    );
    for log in [mirror.log().clone(), Log::open_read_only(dir).unwrap()] {
        let mut reader = log.reader().start(Start::Earliest).open().unwrap();
        assert_eq!(reader.next().unwrap().unwrap().offset(), 100);
        let gap = reader.next();
        let told = matches!(gap, Err(ReadError::Gap(gap))
            if (gap.from, gap.to, gap.reason) == (110, 120, GapReason::Trimmed));
        assert!(told, "{gap:?}");
        for offset in 120..123 {
            assert_eq!(reader.next().unwrap().unwrap().offset(), offset);
        }
        assert!(reader.next().unwrap().is_none());
    }
}

#[test]
fn a_log_of_its_own_is_no_mirror() {
    let dir = tempfile::tempdir().unwrap();
    Log::open(dir.path()).unwrap().append("a", b"").unwrap();
    let error = Options::new()
        .open_mirror(dir.path(), source())
        .unwrap_err();
    assert!(matches!(error, OpenError::Options { .. }), "{error:?}");
}
