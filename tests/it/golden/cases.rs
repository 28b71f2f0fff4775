//! The cases.

use super::logs::{
    CURSORS, DEFINITIONS, EPOCHS, IDS, MARK, META, Of, Place, SLOTS, SPARE, is_segment, segments,
};
use std::fs;
use std::os::unix::fs::symlink;

/// One bad directory.
pub(super) struct Case {
    pub(super) what: &'static str,
    pub(super) of: Of,
    pub(super) spoil: fn(&Place<'_>),
}

use Of::{Closed, Killed, Nothing, Trimmed};

const HEADER: u64 = 4_096;

pub(super) fn all() -> Vec<Case> {
    let groups: [Cases; 6] = [WHOLE, IDENTITY, MARKS, SEGMENTS, SPARES, BESIDE];
    let cases = groups.into_iter().flatten();
    cases
        .map(|&(what, of, spoil)| Case { what, of, spoil })
        .collect()
}

type Cases = &'static [(&'static str, Of, fn(&Place<'_>))];

const WHOLE: Cases = &[
    ("nothing is wrong, closed", Closed, |_| {}),
    ("nothing is wrong, killed", Killed, |_| {}),
    ("nothing is wrong, trimmed", Trimmed, |_| {}),
    ("an empty directory", Nothing, |_| {}),
    ("only the lock file", Nothing, |p| {
        p.write("wakelog.lock", b"")
    }),
    ("a stale lock file with text in it", Closed, |p| {
        p.write("wakelog.lock", b"pid 1")
    }),
    ("the lock file is a directory", Closed, |p| {
        p.make_dir("wakelog.lock")
    }),
    ("only lost+found", Nothing, |p| p.make_dir("lost+found")),
    ("files of somebody else", Nothing, |p| {
        p.write("thesis.txt", b"years of work")
    }),
    ("files of somebody else beside the log", Closed, |p| {
        for name in [
            "README",
            "1.log",
            "00000000000000000001.log.bak",
            "notes.new",
        ] {
            p.write(name, name.as_bytes());
        }
    }),
    (
        "the log in a directory of its own directory",
        Nothing,
        |p| {
            p.make_dir("log");
            for (name, bytes) in &p.logs.closed {
                fs::write(p.path("log").join(name), bytes).unwrap();
            }
        },
    ),
    ("all files of the log are empty", Closed, |p| {
        p.logs.closed.keys().for_each(|name| p.write(name, b""));
    }),
];

const IDENTITY: Cases = &[
    ("the identity is missing", Closed, |p| p.remove(META)),
    ("the identity is empty", Closed, |p| p.write(META, b"")),
    ("the identity is cut to 63 bytes", Closed, |p| {
        p.cut(META, 63)
    }),
    ("the identity is cut to its first copy", Closed, |p| {
        p.cut(META, 512)
    }),
    ("the first copy of the identity is zeros", Closed, |p| {
        p.put(META, 0, &[0; 64])
    }),
    ("the identity is of version 0", Closed, |p| {
        p.version(META, 2, [0, 0])
    }),
    ("the identity is of a newer version", Closed, |p| {
        p.newer(META, 2)
    }),
    (
        "one copy of the identity is of a newer version",
        Closed,
        |p| p.newer(META, 1),
    ),
    ("the identity of another log", Closed, |p| {
        p.take(&p.logs.other, META)
    }),
    (
        "the second copy of the identity is of another log",
        Closed,
        |p| {
            p.put(META, 512, &p.logs.other[META][512..576]);
        },
    ),
    ("the identity is a directory", Closed, |p| p.make_dir(META)),
    ("the identity is a link to itself elsewhere", Closed, |p| {
        p.rename(META, "elsewhere");
        symlink("elsewhere", p.path(META)).unwrap();
    }),
    ("only an identity on its way", Nothing, |p| {
        p.write("wakelog.meta.new", &p.logs.closed[META]);
    }),
    ("only an identity", Nothing, |p| {
        p.take(&p.logs.closed, META)
    }),
    ("only the identity and the epochs", Nothing, |p| {
        p.take(&p.logs.closed, META);
        p.take(&p.logs.closed, EPOCHS);
    }),
    ("only the identity and the mark", Nothing, |p| {
        p.take(&p.logs.closed, META);
        p.take(&p.logs.closed, MARK);
    }),
    ("the epochs are missing", Closed, |p| p.remove(EPOCHS)),
    ("the epochs are empty", Closed, |p| p.write(EPOCHS, b"")),
    ("the epochs are cut in the second", Closed, |p| {
        p.cut(EPOCHS, 100)
    }),
    ("the epochs end with half a record", Closed, |p| {
        let bytes = p.bytes(EPOCHS);
        p.write(EPOCHS, &[&bytes[..], &[7; 30]].concat());
    }),
    ("the epochs of another log", Closed, |p| {
        p.take(&p.logs.other, EPOCHS)
    }),
    ("the epochs are a directory", Closed, |p| p.make_dir(EPOCHS)),
];

const MARKS: Cases = &[
    ("the mark is missing, closed", Closed, |p| p.remove(MARK)),
    ("the mark is missing, killed", Killed, |p| p.remove(MARK)),
    ("the mark is empty", Killed, |p| p.write(MARK, b"")),
    ("the mark is cut to its first slot", Killed, |p| {
        p.cut(MARK, 512)
    }),
    ("the mark of another log", Killed, |p| {
        p.take(&p.logs.other, MARK)
    }),
    ("the mark of an earlier moment", Killed, |p| {
        p.take(&p.logs.earlier, MARK)
    }),
    ("the mark of a later moment", Killed, |p| {
        p.take(&p.logs.closed, MARK)
    }),
    ("both slots of the mark are the same", Closed, |p| {
        let first = p.bytes(MARK)[..64].to_vec();
        p.put(MARK, 512, &first);
    }),
    ("the mark is a directory", Closed, |p| p.make_dir(MARK)),
    ("the mark and the last segment are missing", Closed, |p| {
        p.remove(MARK);
        p.remove(&p.last());
    }),
    (
        "the mark is missing, and the last segment is empty",
        Closed,
        |p| {
            p.remove(MARK);
            p.write(&p.last(), b"");
        },
    ),
];

const SEGMENTS: Cases = &[
    ("the first segment is missing", Closed, |p| {
        p.remove(&p.segment(0))
    }),
    ("a middle segment is missing", Closed, |p| {
        p.remove(&p.segment(1))
    }),
    ("the last segment is missing, closed", Closed, |p| {
        p.remove(&p.last())
    }),
    ("the last segment is missing, killed", Killed, |p| {
        p.remove(&p.last())
    }),
    ("all segments but the last are missing", Closed, |p| {
        let mut names = segments(&p.logs.closed);
        names.pop();
        names.iter().for_each(|name| p.remove(name));
    }),
    ("all segments are missing", Closed, |p| {
        segments(&p.logs.closed)
            .iter()
            .for_each(|name| p.remove(name));
    }),
    ("the first segment is empty", Closed, |p| {
        p.write(&p.segment(0), b"")
    }),
    ("a middle segment is empty", Closed, |p| {
        p.write(&p.segment(1), b"")
    }),
    ("the last segment is empty, closed", Closed, |p| {
        p.write(&p.last(), b"")
    }),
    ("the last segment is empty, killed", Killed, |p| {
        p.write(&p.last(), b"")
    }),
    ("a middle segment is cut in its header", Closed, |p| {
        p.cut(&p.segment(1), 100)
    }),
    ("a middle segment is cut in the middle", Closed, |p| {
        p.cut(&p.segment(1), 8_192)
    }),
    (
        "the last segment is cut below the mark, closed",
        Closed,
        |p| p.cut(&p.last(), 5_000),
    ),
    (
        "the last segment is cut behind the mark, killed",
        Killed,
        |p| {
            let bytes = p.bytes(&p.last());
            let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
            p.cut(&p.last(), u64::try_from(used).unwrap() - 1_000);
        },
    ),
    ("a middle segment is longer than it says", Closed, |p| {
        let bytes = p.bytes(&p.segment(1));
        p.write(&p.segment(1), &[&bytes[..], &[7; 5_000]].concat());
    }),
    ("the header of the first segment is zeros", Closed, |p| {
        p.put(&p.segment(0), 0, &[0; 4_096]);
    }),
    ("the header of a middle segment is zeros", Closed, |p| {
        p.put(&p.segment(1), 0, &[0; 4_096]);
    }),
    (
        "the header of the last segment is zeros, closed",
        Closed,
        |p| {
            p.put(&p.last(), 0, &[0; 4_096]);
        },
    ),
    (
        "the header of the last segment is zeros, killed",
        Killed,
        |p| {
            p.put(&p.last(), 0, &[0; 4_096]);
        },
    ),
    (
        "all of the last segment but its header is zeros, killed",
        Killed,
        |p| {
            let zeros = vec![0; p.bytes(&p.last()).len() - 4_096];
            p.put(&p.last(), HEADER, &zeros);
        },
    ),
    ("the first segment is of another log", Closed, |p| {
        p.take(&p.logs.other, &p.segment(0));
    }),
    ("a middle segment is of another log", Closed, |p| {
        p.take(&p.logs.other, &p.segment(1))
    }),
    ("the last segment is of another log", Closed, |p| {
        p.take(&p.logs.other, &p.last())
    }),
    ("a segment of another log behind the end", Closed, |p| {
        p.write("00000000000000000070.log", &p.logs.other[&p.last()]);
    }),
    ("all segments are of another log", Closed, |p| {
        segments(&p.logs.closed)
            .iter()
            .for_each(|name| p.take(&p.logs.other, name));
    }),
    ("a middle segment is of a newer version", Closed, |p| {
        p.newer(&p.segment(1), 2)
    }),
    ("the last segment is of a newer version", Closed, |p| {
        p.newer(&p.last(), 2)
    }),
    (
        "one copy of the last header is of a newer version",
        Closed,
        |p| p.newer(&p.last(), 1),
    ),
    ("two middle segments have changed names", Closed, |p| {
        p.swap(&p.segment(1), &p.segment(2));
    }),
    (
        "a middle segment and the last have changed names",
        Closed,
        |p| {
            p.swap(&p.segment(1), &p.last());
        },
    ),
    (
        "a copy of a middle segment has a name between two",
        Closed,
        |p| {
            p.copy(&p.segment(1), "00000000000000000015.log");
        },
    ),
    (
        "a copy of a middle segment has a name behind the end",
        Closed,
        |p| {
            p.copy(&p.segment(1), "00000000000000000070.log");
        },
    ),
    (
        "a copy of the last segment has a name behind the end",
        Killed,
        |p| {
            p.copy(&p.last(), "00000000000000000070.log");
        },
    ),
    ("an empty file behind the end", Closed, |p| {
        p.write("00000000000000000070.log", b"")
    }),
    ("a segment that no offset reaches", Closed, |p| {
        p.write("18446744073709551615.log", b"text");
    }),
    ("a number that is no offset", Closed, |p| {
        p.write("99999999999999999999.log", b"text")
    }),
    ("a middle segment is a directory", Closed, |p| {
        p.make_dir(&p.segment(1))
    }),
    ("the last segment is a directory", Closed, |p| {
        p.make_dir(&p.last())
    }),
    ("a middle segment of an earlier moment", Closed, |p| {
        p.take(&p.logs.earlier, &p.segment(2));
    }),
    ("all files of an earlier moment but the mark", Closed, |p| {
        p.logs
            .closed
            .keys()
            .filter(|name| *name != MARK)
            .for_each(|name| p.remove(name));
        let files = p.logs.earlier.keys().filter(|name| *name != MARK);
        files.for_each(|name| p.take(&p.logs.earlier, name));
    }),
    ("a trimmed log with its first segment back", Trimmed, |p| {
        let name = &segments(&p.logs.closed)[0];
        p.take(&p.logs.closed, name);
    }),
];

const SPARES: Cases = &[
    ("a spare alone", Nothing, |p| {
        let last = segments(&p.logs.killed).pop().unwrap();
        p.write(SPARE, &p.logs.killed[&last]);
    }),
    ("a spare and the identity alone", Nothing, |p| {
        p.take(&p.logs.killed, META);
        let last = segments(&p.logs.killed).pop().unwrap();
        p.write(SPARE, &p.logs.killed[&last]);
    }),
    (
        "the last segment has the name of a spare still",
        Killed,
        |p| p.rename(&p.last(), SPARE),
    ),
    ("a middle segment has the name of a spare", Killed, |p| {
        p.rename(&p.segment(1), SPARE)
    }),
    ("a copy of the last segment is a spare", Killed, |p| {
        p.copy(&p.last(), SPARE)
    }),
    ("a copy of a middle segment is a spare", Killed, |p| {
        p.copy(&p.segment(1), SPARE)
    }),
    ("an empty spare", Closed, |p| p.write(SPARE, b"")),
    ("a spare that is text", Closed, |p| {
        p.write(SPARE, &b"text".repeat(4_096))
    }),
    ("a spare of another log", Closed, |p| {
        p.write(SPARE, &p.logs.other[&p.last()])
    }),
    ("a spare of a newer version", Killed, |p| {
        p.copy(&p.last(), SPARE);
        p.newer(SPARE, 2);
    }),
    ("a spare is a directory", Closed, |p| p.make_dir(SPARE)),
];

const BESIDE: Cases = &[
    ("an index is text", Closed, |p| {
        p.write(&index(p, 1), b"text")
    }),
    ("an index is empty", Closed, |p| p.write(&index(p, 1), b"")),
    ("an index of another segment", Closed, |p| {
        p.copy(&index(p, 1), &index(p, 0))
    }),
    ("an index of another log", Closed, |p| {
        p.take(&p.logs.other, &index(p, 1))
    }),
    ("an index of a newer version", Closed, |p| {
        p.newer(&index(p, 1), 1)
    }),
    ("an index is a directory", Closed, |p| {
        p.make_dir(&index(p, 1))
    }),
    ("an index without its segment", Closed, |p| {
        p.copy(&index(p, 1), "00000000000000000015.index");
    }),
    ("the ids are missing", Closed, |p| p.remove(IDS)),
    ("the ids are empty", Closed, |p| p.write(IDS, b"")),
    ("the ids are text", Closed, |p| {
        p.write(IDS, &b"text".repeat(99))
    }),
    ("the ids are cut", Closed, |p| p.cut(IDS, 100)),
    ("the ids of another log", Closed, |p| {
        p.take(&p.logs.other, IDS)
    }),
    ("the ids of an earlier moment", Closed, |p| {
        p.take(&p.logs.earlier, IDS)
    }),
    ("the ids are of a newer version", Closed, |p| {
        p.newer(IDS, 1)
    }),
    ("the ids are a directory", Closed, |p| p.make_dir(IDS)),
    ("the cursor slots are missing", Closed, |p| p.remove(SLOTS)),
    ("the cursor slots are empty", Closed, |p| {
        p.write(SLOTS, b"")
    }),
    ("the cursor slots are cut", Closed, |p| {
        p.cut(SLOTS, HEADER + 64)
    }),
    (
        "the cursor slots are zeros behind their header",
        Closed,
        |p| {
            p.put(SLOTS, HEADER, &[0; 4_096]);
        },
    ),
    ("the header of the cursor slots is zeros", Closed, |p| {
        p.put(SLOTS, 0, &[0; 4_096])
    }),
    ("the cursor slots of another log", Closed, |p| {
        p.take(&p.logs.other, SLOTS)
    }),
    ("the cursor slots are of a newer version", Closed, |p| {
        p.newer(SLOTS, 2)
    }),
    (
        "the cursor slots have the name of another chunk",
        Closed,
        |p| {
            p.rename(SLOTS, "cursors-01.slots");
        },
    ),
    ("a copy of the cursor slots is another chunk", Closed, |p| {
        p.copy(SLOTS, "cursors-01.slots");
    }),
    ("the cursor slots are a directory", Closed, |p| {
        p.make_dir(SLOTS)
    }),
    ("two cursors have changed slots", Closed, |p| {
        let bytes = p.bytes(SLOTS);
        let (first, second) = bytes[4_096..4_224].split_at(64);
        p.put(SLOTS, HEADER, &[second, first].concat());
    }),
    ("the definitions are missing", Closed, |p| {
        p.remove(DEFINITIONS)
    }),
    ("the definitions are empty", Closed, |p| {
        p.write(DEFINITIONS, b"")
    }),
    ("the definitions are cut in the second", Closed, |p| {
        p.cut(DEFINITIONS, 100)
    }),
    ("the definitions are text", Closed, |p| {
        p.write(DEFINITIONS, &b"text".repeat(99))
    }),
    ("the definitions of another log", Closed, |p| {
        p.take(&p.logs.other, DEFINITIONS)
    }),
    ("the definitions are a directory", Closed, |p| {
        p.make_dir(DEFINITIONS)
    }),
    ("both files of the cursors are missing", Closed, |p| {
        p.remove(SLOTS);
        p.remove(DEFINITIONS);
    }),
    ("a foreign file with a name like cursors", Closed, |p| {
        p.write("cursors.txt", b"text")
    }),
    ("files on their way to a rename", Closed, |p| {
        for name in [META, EPOCHS, IDS, DEFINITIONS, SLOTS, &index(p, 0)] {
            p.write(&format!("{name}.new"), b"half of it");
        }
    }),
    (
        "directories with names of files on their way",
        Closed,
        |p| {
            for name in [META, EPOCHS, IDS, DEFINITIONS] {
                p.make_dir(&format!("{name}.new"));
            }
        },
    ),
    ("the files of another log laid over", Closed, |p| {
        p.logs
            .other
            .keys()
            .for_each(|name| p.take(&p.logs.other, name));
        p.take(&p.logs.closed, META);
    }),
];

/// The index of a segment, counted from the first.
fn index(p: &Place<'_>, number: usize) -> String {
    p.segment(number).replace(".log", ".index")
}

#[test]
fn the_cases_are_many_and_no_two_have_one_name() {
    let cases = all();
    let names: std::collections::BTreeSet<_> = cases.iter().map(|case| case.what).collect();
    assert!(
        names.len() == cases.len() && cases.len() > 80,
        "{}",
        cases.len()
    );
    assert!(is_segment("00000000000000000000.log") && CURSORS.len() == 2);
}
