//! What the model test does to a log, and how it comes to do it.

use crate::testing::sample::{IDENTITIES, Sample, TOPICS};
use proptest::collection::vec;
use proptest::prelude::*;

/// Cursors that there may be.
pub(super) const CURSORS: usize = 3;
/// Positions that are kept at a time.
pub(super) const KEPT: usize = 6;

/// Filters and identities. Cursor `n` has those at `n`.
pub(super) const FILTERS: [(&[&str], Option<&[&str]>); 9] = [
    (&["a.>"], None),
    (&["a.b", "b.*"], None),
    (&[">"], Some(&["alice"])),
    (&[">"], None),
    (&["*"], Some(&["bob", "a.b"])),
    (&["a.*", "b"], Some(&[])),
    (&["*.b", "*.b.c"], None),
    (&["$sys.>", "b.c"], None),
    (&[], None),
];

/// Where a reader or a cursor begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum From {
    Earliest,
    Latest,
    /// This part of the log, in 256ths.
    Part(u8),
    /// So far beyond the end.
    Beyond(u8),
    Kept(usize),
    /// By the time of the event at this part of the log, and so much later.
    Time(u8, bool),
    Last(u64),
}

/// What happens to an index file while nobody has the log open.
#[derive(Clone, Copy, Debug)]
pub(super) enum IndexHarm {
    Flip(usize),
    Cut(usize),
    Gone,
    /// Another index has its name.
    Another(usize),
    /// It is as it was once.
    Older,
}

/// How events are taken.
#[derive(Clone, Copy, Debug)]
pub(super) enum Take {
    Next(usize),
    Page { events: usize, bytes: usize },
}

/// What follows a failed sync.
#[derive(Clone, Copy, Debug)]
pub(super) enum Then {
    Reopen,
    /// The first reopen meets a disk that still fails.
    FailAgainAndReopen,
    Kill,
    PowerLoss(u64),
}

/// What happens to the file of the ids while nobody has the log open.
#[derive(Clone, Copy, Debug)]
pub(super) enum Harm {
    Deleted,
    /// The one from the last time.
    Older,
    /// Cut to this part of it, in 256ths.
    Torn(u8),
    /// A bit is flipped at this part of it.
    Flipped(u8),
}

#[derive(Clone, Debug)]
pub(super) enum Operation {
    Append(Sample),
    TryAppend(Sample),
    Batch(Vec<Sample>),
    Sync,
    /// Waits for an event so far from the end.
    WaitDurable(u8),
    Read {
        filter: usize,
        from: From,
        durable: bool,
        pages: Option<(usize, usize)>,
    },
    /// Reads the last event of each topic.
    LastPerTopic {
        filter: usize,
        page: bool,
    },
    Topics {
        filter: usize,
    },
    /// The process dies, and an index file is harmed before the log is opened again.
    HarmIndex {
        which: usize,
        harm: IndexHarm,
    },
    /// Keeps the position so far before the end.
    Keep {
        place: usize,
        back: u8,
    },
    /// Opens a reader that lives on, through reopens too.
    Follow {
        filter: usize,
        from: From,
    },
    ReadOn(usize),
    OpenCursor {
        cursor: usize,
        from: From,
    },
    Take {
        cursor: usize,
        take: Take,
    },
    /// Acks the event that was handed out so many before the last, perhaps in an earlier epoch.
    Ack {
        cursor: usize,
        back: usize,
    },
    AckKept {
        cursor: usize,
        kept: usize,
    },
    AckGap {
        cursor: usize,
    },
    SeekCursor {
        cursor: usize,
        from: From,
    },
    /// Copies the log, in memory or to a disk, and opens the copy.
    Snapshot {
        to_disk: bool,
    },
    DeleteCursor(usize),
    /// Nobody uses the cursor for longer than it lives, and it is opened again.
    Expire {
        cursor: usize,
        from: From,
    },
    SetCursor {
        cursor: usize,
        from: From,
    },
    /// Lets go what is below this part of the log, in 256ths.
    Trim(u8),
    Close,
    Kill,
    PowerLoss(u64),
    /// Closed or killed, and then something happens to the file of the ids.
    Ids {
        kill: bool,
        harm: Harm,
    },
    FailSync {
        kth: u64,
        appends: Vec<Sample>,
        then: Then,
    },
    /// No room for new segments, told by the create or by the room that is left.
    FullDisk {
        by_room: bool,
        appends: Vec<Sample>,
    },
}

pub(super) fn operations() -> impl Strategy<Value = Vec<Operation>> {
    vec(operation(), 20..60)
}

fn sample() -> impl Strategy<Value = Sample> {
    let payload_bytes = prop_oneof![
        6 => 0..64_usize,
        4 => 64..1_000_usize,
        2 => 1_000..7_500_usize,
    ];
    let topics = vec(0..TOPICS.len(), 1..4);
    let not_to = prop_oneof![3 => Just(Vec::new()), 1 => vec(0..IDENTITIES.len(), 1..3)];
    // Ids that repeat, and few enough events with one that the window overflows all the time.
    (topics, not_to, 0..72_u8, payload_bytes).prop_map(|(topics, not_to, texts, payload_bytes)| {
        Sample {
            topics,
            not_to,
            texts,
            payload_bytes,
            serial: 0,
        }
    })
}

fn small() -> impl Strategy<Value = Sample> {
    sample().prop_map(|sample| Sample {
        payload_bytes: sample.payload_bytes % 700,
        ..sample
    })
}

fn from() -> impl Strategy<Value = From> {
    prop_oneof![
        3 => Just(From::Earliest),
        1 => Just(From::Latest),
        3 => any::<u8>().prop_map(From::Part),
        1 => (1..9_u8).prop_map(From::Beyond),
        3 => (0..KEPT).prop_map(From::Kept),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(part, later)| From::Time(part, later)),
        2 => (0..30_u64).prop_map(From::Last),
    ]
}

fn take() -> impl Strategy<Value = Take> {
    prop_oneof![
        2 => (1..9_usize).prop_map(Take::Next),
        1 => (1..12_usize, 1..9_000_usize)
            .prop_map(|(events, bytes)| Take::Page { events, bytes }),
    ]
}

/// Seeds of 0 and 1 keep nothing and all of what was not synced.
fn seed() -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(0), 1 => Just(1), 8 => any::<u64>()]
}

fn then() -> impl Strategy<Value = Then> {
    prop_oneof![
        2 => Just(Then::Reopen),
        1 => Just(Then::FailAgainAndReopen),
        1 => Just(Then::Kill),
        2 => seed().prop_map(Then::PowerLoss),
    ]
}

fn index_harm() -> impl Strategy<Value = IndexHarm> {
    prop_oneof![
        any::<usize>().prop_map(IndexHarm::Flip),
        any::<usize>().prop_map(IndexHarm::Cut),
        Just(IndexHarm::Gone),
        any::<usize>().prop_map(IndexHarm::Another),
        Just(IndexHarm::Older),
    ]
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        1 => Just(Harm::Deleted),
        3 => Just(Harm::Older),
        1 => any::<u8>().prop_map(Harm::Torn),
        1 => any::<u8>().prop_map(Harm::Flipped),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    let filter = || 0..FILTERS.len();
    let cursor = || 0..CURSORS;
    let pages = proptest::option::of((1..40_usize, 1..20_000_usize));
    let writing = prop_oneof![
        8 => sample().prop_map(Operation::Append),
        1 => sample().prop_map(Operation::TryAppend),
        4 => vec(small(), 1..9).prop_map(Operation::Batch),
        2 => Just(Operation::Sync),
        1 => any::<u8>().prop_map(Operation::WaitDurable),
        1 => any::<u8>().prop_map(Operation::Trim),
    ];
    let reading = prop_oneof![
        3 => (filter(), from(), any::<bool>(), pages).prop_map(|(filter, from, durable, pages)| {
            Operation::Read { filter, from, durable, pages }
        }),
        1 => (filter(), any::<bool>())
            .prop_map(|(filter, page)| Operation::LastPerTopic { filter, page }),
        1 => filter().prop_map(|filter| Operation::Topics { filter }),
        3 => (0..KEPT, 0..20_u8).prop_map(|(place, back)| Operation::Keep { place, back }),
        1 => (filter(), from()).prop_map(|(filter, from)| Operation::Follow { filter, from }),
        2 => (1..20_usize).prop_map(Operation::ReadOn),
    ];
    let cursors = prop_oneof![
        4 => (cursor(), from()).prop_map(|(cursor, from)| Operation::OpenCursor { cursor, from }),
        5 => (cursor(), take()).prop_map(|(cursor, take)| Operation::Take { cursor, take }),
        4 => (cursor(), 0..4_usize).prop_map(|(cursor, back)| Operation::Ack { cursor, back }),
        1 => (cursor(), 0..KEPT).prop_map(|(cursor, kept)| Operation::AckKept { cursor, kept }),
        2 => cursor().prop_map(|cursor| Operation::AckGap { cursor }),
        1 => (cursor(), from()).prop_map(|(cursor, from)| Operation::SeekCursor { cursor, from }),
        1 => cursor().prop_map(Operation::DeleteCursor),
        1 => (cursor(), from()).prop_map(|(cursor, from)| Operation::SetCursor { cursor, from }),
        1 => (cursor(), from()).prop_map(|(cursor, from)| Operation::Expire { cursor, from }),
    ];
    let ending = prop_oneof![
        2 => (0..8_u8).prop_map(|disk| Operation::Snapshot { to_disk: disk == 0 }),
        2 => Just(Operation::Close),
        2 => Just(Operation::Kill),
        4 => seed().prop_map(Operation::PowerLoss),
        2 => (any::<bool>(), harm()).prop_map(|(kill, harm)| Operation::Ids { kill, harm }),
        2 => (1..12_u64, vec(small(), 0..6), then())
            .prop_map(|(kth, appends, then)| Operation::FailSync { kth, appends, then }),
        2 => (any::<usize>(), index_harm())
            .prop_map(|(which, harm)| Operation::HarmIndex { which, harm }),
        1 => (any::<bool>(), vec(sample(), 1..9))
            .prop_map(|(by_room, appends)| Operation::FullDisk { by_room, appends }),
    ];
    prop_oneof![12 => writing, 8 => reading, 14 => cursors, 4 => ending]
}
