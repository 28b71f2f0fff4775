//! Lists of places: where the events of one topic stand, in chunks that verify one by one.

use crate::format::{FRAME_HEADER, crc, put_varint, take_varint};
use crate::types::{to_u64, to_usize};

/// Events in one chunk of a list.
pub(super) const CHUNK: usize = 128;

/// Bytes of an entry in the table of a list that has several chunks.
const CHUNK_ENTRY: usize = 16;

/// Bytes of the index that do not verify, or do not fit together. The index is not used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unfit;

/// Where one event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Posting {
    pub(crate) offset: u64,
    /// Frame position of the frame.
    pub(crate) frame: u32,
    /// Frame position of the record in it.
    pub(crate) record: u32,
    /// Whether it is *not to* somebody, so that the record must be asked.
    pub(crate) excluding: bool,
}

/// A list as its topic's entry tells it. `bytes` are those of the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct List<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) base: u64,
    pub(super) events: u64,
    /// Of the chunk, or of the table of chunks; `None` where the block has vouched for it.
    pub(super) crc: Option<u32>,
}

/// Writes a list of `events` postings in the order of their offsets.
pub(super) fn encode(
    base: u64,
    events: usize,
    postings: impl Iterator<Item = Posting>,
    out: &mut Vec<u8>,
) {
    let several = events > CHUNK;
    let table = if several {
        events.div_ceil(CHUNK) * CHUNK_ENTRY
    } else {
        0
    };
    let start = out.len();
    out.resize(start + table, 0);
    let (mut chunk, mut began, mut first) = (0, out.len(), base);
    let mut before = Before::new(base);
    let close = |out: &mut Vec<u8>, chunk: usize, began: usize, first: u64| {
        let end = u32::try_from(out.len() - start - table).unwrap_or(u32::MAX);
        let sum = crc(&out[began..]);
        let entry = &mut out[start + chunk * CHUNK_ENTRY..][..CHUNK_ENTRY];
        entry[..8].copy_from_slice(&(first - base).to_le_bytes());
        entry[8..12].copy_from_slice(&end.to_le_bytes());
        entry[12..].copy_from_slice(&sum.to_le_bytes());
    };
    for (number, posting) in postings.enumerate() {
        if several && number % CHUNK == 0 {
            if number > 0 {
                close(out, chunk, began, first);
                chunk += 1;
            }
            (began, first) = (out.len(), posting.offset);
            before = Before::new(base);
        }
        before.put(&posting, out);
    }
    if several {
        close(out, chunk, began, first);
    }
}

/// How many bytes at the beginning of a list the entry's checksum is over.
pub(super) fn vouched(events: usize, bytes: &[u8]) -> &[u8] {
    let table = events.div_ceil(CHUNK) * CHUNK_ENTRY;
    if events > CHUNK {
        &bytes[..table]
    } else {
        bytes
    }
}

/// What the next posting is told by its difference from.
struct Before {
    offset: u64,
    frame: u64,
}

impl Before {
    fn new(base: u64) -> Self {
        Self {
            offset: base,
            frame: 0,
        }
    }

    fn put(&mut self, posting: &Posting, out: &mut Vec<u8>) {
        let frame = u64::from(posting.frame);
        let inside = to_usize(posting.record - posting.frame);
        let elsewhere = inside != FRAME_HEADER;
        let bits = u64::from(posting.excluding) | u64::from(elsewhere) << 1;
        put_varint(out, (posting.offset - self.offset) << 2 | bits);
        put_varint(out, (frame - self.frame) / 8);
        if elsewhere {
            put_varint(out, to_u64(inside));
        }
        *self = Self {
            offset: posting.offset,
            frame,
        };
    }

    fn take(&mut self, bytes: &mut &[u8]) -> Option<Posting> {
        let first = take_varint(bytes)?;
        self.offset = self.offset.checked_add(first >> 2)?;
        let step = take_varint(bytes)?.checked_mul(8)?;
        self.frame = self.frame.checked_add(step)?;
        let inside = if first & 2 == 0 {
            to_u64(FRAME_HEADER)
        } else {
            take_varint(bytes)?
        };
        let record = self.frame.checked_add(inside)?;
        Some(Posting {
            offset: self.offset,
            frame: u32::try_from(self.frame).ok()?,
            record: u32::try_from(record).ok()?,
            excluding: first & 1 != 0,
        })
    }
}

impl<'a> List<'a> {
    /// Appends to `out` the postings from the offset `from` on, at least `least` of them if there
    /// are as many. Returns the offset below which they are all there.
    pub(super) fn read(
        &self,
        from: u64,
        least: usize,
        out: &mut Vec<Posting>,
    ) -> Result<u64, Unfit> {
        let begun = out.len();
        let (chunks, body) = self.chunks()?;
        let first = chunks.first_at_or_below(from.saturating_sub(self.base));
        for number in first..chunks.count() {
            if out.len() - begun >= least {
                return chunks.first_offset(number, self.base);
            }
            self.chunk(&chunks, body, number, |posting| {
                if posting.offset >= from {
                    out.push(posting);
                }
            })?;
        }
        Ok(u64::MAX)
    }

    /// Calls `each` with the postings below `below`, the last one first, until it says `false`.
    pub(super) fn backwards(
        &self,
        below: u64,
        mut each: impl FnMut(Posting) -> bool,
    ) -> Result<(), Unfit> {
        let (chunks, body) = self.chunks()?;
        let mut postings = Vec::new();
        for number in (0..chunks.count()).rev() {
            postings.clear();
            self.chunk(&chunks, body, number, |posting| postings.push(posting))?;
            let wanted = postings.iter().rev().filter(|p| p.offset < below);
            for posting in wanted {
                if !each(*posting) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn chunks(&self) -> Result<(Chunks<'a>, &'a [u8]), Unfit> {
        let events = usize::try_from(self.events).map_err(|_| Unfit)?;
        if events <= CHUNK {
            return Ok((Chunks::One(self.crc, events), self.bytes));
        }
        let table = events.div_ceil(CHUNK).checked_mul(CHUNK_ENTRY);
        let table = table.and_then(|table| self.bytes.split_at_checked(table));
        let (table, body) = table.ok_or(Unfit)?;
        if self.crc.is_some_and(|sum| sum != crc(table)) {
            return Err(Unfit);
        }
        Ok((Chunks::Several(table, events), body))
    }

    fn chunk(
        &self,
        chunks: &Chunks<'_>,
        body: &[u8],
        number: usize,
        mut each: impl FnMut(Posting),
    ) -> Result<(), Unfit> {
        let mut rest = chunks.bytes(number, body)?;
        let mut before = Before::new(self.base);
        for _ in 0..chunks.events(number) {
            each(before.take(&mut rest).ok_or(Unfit)?);
        }
        if rest.is_empty() { Ok(()) } else { Err(Unfit) }
    }
}

/// The chunks of a list: one, or as many as a table says.
enum Chunks<'a> {
    One(Option<u32>, usize),
    Several(&'a [u8], usize),
}

impl Chunks<'_> {
    fn count(&self) -> usize {
        match self {
            Chunks::One(..) => 1,
            Chunks::Several(_, events) => events.div_ceil(CHUNK),
        }
    }

    fn events(&self, number: usize) -> usize {
        match self {
            Chunks::One(_, events) => *events,
            Chunks::Several(_, events) => CHUNK.min(events - number * CHUNK),
        }
    }

    /// First offset above the base, end in the body, checksum.
    fn entry(table: &[u8], number: usize) -> Option<(u64, usize, u32)> {
        let entry = table.get(number * CHUNK_ENTRY..)?;
        let (first, rest) = entry.split_first_chunk::<8>()?;
        let (end, rest) = rest.split_first_chunk::<4>()?;
        let end = to_usize(u32::from_le_bytes(*end));
        let sum = u32::from_le_bytes(*rest.first_chunk()?);
        Some((u64::from_le_bytes(*first), end, sum))
    }

    fn first_at_or_below(&self, from: u64) -> usize {
        let Chunks::Several(table, _) = self else {
            return 0;
        };
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = usize::midpoint(low, high);
            match Self::entry(table, middle) {
                Some((first, ..)) if first <= from => low = middle + 1,
                _ => high = middle,
            }
        }
        low.saturating_sub(1)
    }

    fn first_offset(&self, number: usize, base: u64) -> Result<u64, Unfit> {
        let Chunks::Several(table, _) = self else {
            return Ok(base);
        };
        let (first, ..) = Self::entry(table, number).ok_or(Unfit)?;
        base.checked_add(first).ok_or(Unfit)
    }

    fn bytes<'b>(&self, number: usize, body: &'b [u8]) -> Result<&'b [u8], Unfit> {
        let (bytes, sum) = match self {
            Chunks::One(sum, _) => (body, *sum),
            Chunks::Several(table, _) => {
                let before = number.checked_sub(1);
                let before = before.map_or(Some(0), |n| Some(Self::entry(table, n)?.1));
                let (start, (_, end, sum)) = before.zip(Self::entry(table, number)).ok_or(Unfit)?;
                (body.get(start..end).ok_or(Unfit)?, Some(sum))
            }
        };
        match sum {
            Some(sum) if sum != crc(bytes) => Err(Unfit),
            _ => Ok(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postings(count: u32) -> Vec<Posting> {
        let posting = |n: u32| {
            let batch = n % 3 == 0;
            let frame = 4096 + 160 * (n / 2 * 2);
            Posting {
                offset: 1_000 + u64::from(n) * 7,
                frame,
                record: frame + if batch { 90 } else { 32 },
                excluding: n % 5 == 0,
            }
        };
        (0..count).map(posting).collect()
    }

    fn with<T>(all: &[Posting], test: impl FnOnce(&List<'_>) -> T) -> T {
        let mut bytes = Vec::new();
        encode(990, all.len(), all.iter().copied(), &mut bytes);
        let sum = crc(vouched(all.len(), &bytes));
        test(&List {
            bytes: &bytes,
            base: 990,
            events: to_u64(all.len()),
            crc: Some(sum),
        })
    }

    #[test]
    fn lists_of_all_lengths_come_back_from_every_offset() {
        for count in [1, 2, 127, 128, 129, 256, 257, 1_000] {
            let all = postings(count);
            with(&all, |list| {
                for from in [
                    0, 990, 1_000, 1_001, 1_300, 1_896, 1_897, 7_993, 7_994, 9_000,
                ] {
                    let mut got = Vec::new();
                    let whole = list.read(from, usize::MAX, &mut got).unwrap();
                    let due: Vec<_> = all.iter().copied().filter(|p| p.offset >= from).collect();
                    assert_eq!((whole, &got), (u64::MAX, &due));
                    got.clear();
                    let bound = list.read(from, 1, &mut got).unwrap();
                    let due: Vec<_> = due.into_iter().filter(|p| p.offset < bound).collect();
                    assert_eq!(got, due);
                    got.clear();
                    list.backwards(from, |posting| {
                        got.push(posting);
                        true
                    })
                    .unwrap();
                    got.reverse();
                    let due: Vec<_> = all.iter().copied().filter(|p| p.offset < from).collect();
                    assert_eq!(got, due);
                }
            });
        }
    }

    #[test]
    fn any_flipped_bit_is_found() {
        for count in [1, 128, 129, 300] {
            let all = postings(count);
            with(&all, |list| {
                for bit in 0..list.bytes.len() * 8 {
                    let mut bytes = list.bytes.to_vec();
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    let flipped = List {
                        bytes: &bytes,
                        ..*list
                    };
                    let read = flipped.read(0, usize::MAX, &mut Vec::new());
                    assert_eq!(read, Err(Unfit), "bit {bit} of {count}");
                }
            });
        }
    }
}
