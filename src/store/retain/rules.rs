//! Which segments may go: plain numbers in, a number out.

use crate::types::Retention;

/// A segment that the log has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) base: u64,
    pub(super) bytes: u64,
}

/// How many of the oldest segments go by bytes, events or acks. The last one stays. `end` is the
/// next offset; `acked` is what the last of the cursors wants next, if there is a cursor.
pub(super) fn going(
    retention: &Retention,
    segments: &[Kept],
    end: u64,
    acked: Option<u64>,
) -> usize {
    let ends = || segments.iter().skip(1).map(|next| next.base);
    let by_bytes = retention.bytes().map_or(0, |most| {
        let mut total: u64 = segments.iter().map(|kept| kept.bytes).sum();
        let sealed = segments.len().saturating_sub(1);
        let goes = |kept: &&Kept| {
            let goes = total > most && !sabotaged!("retention-without-cap");
            total -= kept.bytes;
            goes
        };
        segments.iter().take(sealed).take_while(goes).count()
    });
    let by_events = retention.events().map_or(0, |most| {
        let newest = end.saturating_sub(most);
        ends()
            .take_while(|segment_end| *segment_end <= newest)
            .count()
    });
    let acked = acked.filter(|_| retention.acked());
    let by_acks = acked.map_or(0, |acked| {
        ends()
            .take_while(|segment_end| *segment_end <= acked)
            .count()
    });
    by_bytes.max(by_events).max(by_acks)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments of 10 events and 100 bytes each.
    fn segments(count: u64) -> Vec<Kept> {
        (0..count)
            .map(|number| Kept {
                base: number * 10,
                bytes: 100,
            })
            .collect()
    }

    #[test]
    fn each_rule_lets_whole_segments_go_and_never_the_last() {
        let (new, five) = (Retention::new, segments(5));
        let gone = |retention: Retention, acked| going(&retention, &five, 47, acked);
        assert_eq!(gone(new(), Some(47)), 0);
        for (bytes, expected) in [(500, 0), (499, 1), (400, 1), (100, 4), (1, 4)] {
            assert_eq!(
                gone(new().max_bytes(bytes), None),
                expected,
                "{bytes} bytes"
            );
        }
        for (events, expected) in [(47, 0), (38, 0), (37, 1), (8, 3), (7, 4), (1, 4)] {
            assert_eq!(
                gone(new().max_events(events), None),
                expected,
                "{events} events"
            );
        }
        let acked = new().until_acked().max_bytes(1_000);
        for (acked_to, expected) in [(None, 0), (Some(9), 0), (Some(10), 1), (Some(47), 4)] {
            assert_eq!(gone(acked, acked_to), expected, "acked {acked_to:?}");
        }
    }

    #[test]
    fn a_cap_wins_over_cursors() {
        let capped = Retention::new().until_acked().max_bytes(300);
        assert_eq!(going(&capped, &segments(5), 50, Some(0)), 2);
        assert_eq!(going(&capped, &segments(5), 50, Some(35)), 3);
    }
}
