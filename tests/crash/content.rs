//! What the events of this test hold: enough that everything about one can be told from its bytes.

use std::fmt;

/// Numbers that look random and follow from a seed (splitmix64).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Who appended an event, and when in the order of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// Which process.
    pub(crate) round: u64,
    pub(crate) thread: u64,
    /// Number of the append within its thread.
    pub(crate) turn: u64,
    /// Place in the batch, and how many the batch has.
    pub(crate) index: u64,
    pub(crate) count: u64,
    /// Some append had returned an offset just below this one before this append began.
    pub(crate) after: u64,
    /// Bytes of filler.
    pub(crate) filler: u64,
}

impl Content {
    /// The payload: the fields, then bytes that follow from them.
    pub(crate) fn payload(&self) -> Vec<u8> {
        let mut bytes = format!("{self} ").into_bytes();
        let length = bytes.len() + usize::try_from(self.filler).unwrap();
        let fields = [self.round, self.thread, self.turn, self.index];
        let seed = fields
            .iter()
            .fold(0, |mixed, field| Random::new(mixed ^ *field).next());
        let mut random = Random::new(seed);
        while bytes.len() < length {
            bytes.extend_from_slice(&random.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// The content of a payload; panics if it is not exactly one that [`Content::payload`] makes.
    pub(crate) fn parse(payload: &[u8]) -> Content {
        let fields: Vec<u64> = payload
            .split(|byte| *byte == b' ')
            .take(7)
            .map(|field| std::str::from_utf8(field).unwrap().parse().unwrap())
            .collect();
        let &[round, thread, turn, index, count, after, filler] = &fields[..] else {
            panic!("a payload with {} fields", fields.len());
        };
        let content = Content {
            round,
            thread,
            turn,
            index,
            count,
            after,
            filler,
        };
        assert!(content.payload() == payload, "altered bytes in {content:?}");
        content
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Content {
            round,
            thread,
            turn,
            index,
            count,
            after,
            filler,
        } = self;
        write!(
            f,
            "{round} {thread} {turn} {index} {count} {after} {filler}"
        )
    }
}

/// Most events are on a common topic, few on a rare one.
pub(crate) fn topic(content: &Content) -> &'static str {
    const COMMON: [&str; 4] = ["many.0", "many.1", "many.2", "many.3"];
    if is_rare(content) {
        "rare"
    } else {
        COMMON[usize::try_from(content.thread).unwrap()]
    }
}

pub(crate) fn is_rare(content: &Content) -> bool {
    is_rare_turn(content.turn + content.index)
}

pub(crate) fn is_rare_turn(turn: u64) -> bool {
    turn % 50 == 7
}
