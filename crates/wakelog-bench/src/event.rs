//! The events that every peer gets, and what must be found again when they are read.

/// Filler of the payloads: not zero, so that nobody who skips zeros gains by it.
const FILL: u8 = 0x5a;

/// Bytes that say which event it is: its number in its topic, and its topic.
pub const STAMP_BYTES: usize = 12;

/// A run of events of one topic, numbered from `first` on. Each is the same buffer with another
/// number: making an event costs a store of eight bytes, the same for every peer.
pub struct Events {
    buffer: Vec<u8>,
    next: u64,
    end: u64,
}

impl Events {
    /// `count` events of `bytes` (at least [`STAMP_BYTES`]) of a topic.
    pub fn new(topic: u32, first: u64, count: u64, bytes: usize) -> Events {
        assert!(bytes >= STAMP_BYTES, "an event needs its stamp");
        let mut buffer = vec![FILL; bytes];
        buffer[8..STAMP_BYTES].copy_from_slice(&topic.to_le_bytes());
        Events {
            buffer,
            next: first,
            end: first + count,
        }
    }

    /// The next event. It is gone when the one after it is asked for.
    #[inline]
    pub fn next(&mut self) -> Option<&[u8]> {
        if self.next == self.end {
            return None;
        }
        self.buffer[..8].copy_from_slice(&self.next.to_le_bytes());
        self.next += 1;
        Some(&self.buffer)
    }

    /// The next events in one buffer, `most` of them at most; none at the end. Writes into `batch`,
    /// which keeps its room.
    pub fn batch(&mut self, most: usize, batch: &mut Batch) -> bool {
        batch.bytes.clear();
        batch.event_bytes = self.buffer.len();
        for _ in 0..most {
            let Some(event) = self.next() else { break };
            batch.bytes.extend_from_slice(event);
        }
        !batch.bytes.is_empty()
    }
}

/// Some events, one behind the other.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    event_bytes: usize,
}

impl Batch {
    /// An empty one.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// The events.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        self.bytes.chunks_exact(self.event_bytes.max(1))
    }

    /// Takes an event in behind the others, all of one size.
    pub fn push(&mut self, event: &[u8]) {
        self.event_bytes = event.len();
        self.bytes.extend_from_slice(event);
    }

    /// Makes it empty, and keeps its room.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }
}

/// The number of an event in its topic.
#[inline]
pub fn number_of(event: &[u8]) -> u64 {
    event[..8].try_into().map_or(0, u64::from_le_bytes)
}

/// The topic of an event.
#[inline]
pub fn topic_of(event: &[u8]) -> u32 {
    event[8..STAMP_BYTES]
        .try_into()
        .map_or(0, u32::from_le_bytes)
}

/// The key of an event in an ordered store: topic, then number, so that a topic is one range.
#[inline]
pub fn key_of(event: &[u8]) -> [u8; 12] {
    key(topic_of(event), number_of(event))
}

/// The key of this event of this topic.
#[inline]
pub fn key(topic: u32, number: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&topic.to_be_bytes());
    key[4..].copy_from_slice(&number.to_be_bytes());
    key
}

/// What a reader has seen. Every event is touched at its first and last byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Events.
    pub count: u64,
    /// The sum of their numbers.
    pub sum: u64,
    /// The number of the last one.
    pub last: u64,
    /// Events whose last byte was not as it was appended.
    pub damaged: u64,
}

impl Seen {
    /// Takes note of an event.
    #[inline]
    pub fn see(&mut self, event: &[u8]) {
        let number = number_of(event);
        self.count += 1;
        self.sum = self.sum.wrapping_add(number);
        self.last = number;
        self.damaged += u64::from(event.len() > STAMP_BYTES && event.last() != Some(&FILL));
    }

    /// What whoever reads `runs` topics, or runs of one topic, of `count` events each must see.
    pub fn expected(runs: u64, count: u64) -> Seen {
        Seen {
            count: runs * count,
            sum: runs * (count * (count + 1) / 2),
            last: count,
            damaged: 0,
        }
    }

    /// Whether this is all of it: the last one too when there was one run.
    pub fn check(&self, runs: u64, count: u64) -> Result<(), String> {
        let expected = Seen::expected(runs, count);
        let same = self.count == expected.count
            && self.sum == expected.sum
            && self.damaged == 0
            && (runs > 1 || self.last == expected.last);
        if same {
            Ok(())
        } else {
            Err(format!("read {self:?}, appended {expected:?}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_seen_again() {
        let mut events = Events::new(7, 1, 3, 16);
        let mut seen = Seen::default();
        while let Some(event) = events.next() {
            assert_eq!((topic_of(event), event.len()), (7, 16));
            seen.see(event);
        }
        seen.check(1, 3).unwrap();
        assert!(seen.check(1, 4).is_err());
        assert!(seen.check(2, 3).is_err());
    }

    #[test]
    fn batches_hold_all_events_once() {
        let (mut events, mut batch) = (Events::new(0, 1, 5, 16), Batch::new());
        let mut seen = Seen::default();
        let mut sizes = Vec::new();
        while events.batch(2, &mut batch) {
            sizes.push(batch.iter().len());
            batch.iter().for_each(|event| seen.see(event));
        }
        assert_eq!(sizes, [2, 2, 1]);
        seen.check(1, 5).unwrap();
    }

    #[test]
    fn a_changed_event_is_found() {
        let mut seen = Seen::default();
        let mut event = Events::new(0, 1, 1, 16).next().unwrap().to_owned();
        event[15] = 0;
        seen.see(&event);
        assert!(seen.check(1, 1).is_err());
    }
}
