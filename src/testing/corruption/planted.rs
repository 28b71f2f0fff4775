//! Frames in a payload: who can read the files, or has a copy of them, can have them appended.

use super::truth::options;
use crate::dir::MemoryDir;
use crate::format::{HEADER_BYTES, SHARED_END_AT};
use crate::reader::{Scan, Scanner};
use crate::store::Shared;
use crate::{Gap, GapReason, recovery, segment};
use std::sync::Arc;

/// The only copy that is left of some events stands in the payload of a later one, whose head is
/// gone too. It is not in its place, so it is not taken for what stood there.
#[test]
fn frames_in_a_payload_are_never_found() {
    for padding in 0..8 {
        let dir = MemoryDir::new();
        let log = options().open_in(Arc::new(dir.clone())).unwrap();
        for number in 0..5 {
            log.append("a", [number; 40]).unwrap();
        }
        log.sync().unwrap();
        let name = segment::name_of(0);
        let end = |dir: &MemoryDir| {
            let bytes: [u8; 8] = dir.read(&name)[SHARED_END_AT..][..8].try_into().unwrap();
            usize::try_from(u64::from_le_bytes(bytes)).unwrap()
        };
        let carrier = end(&dir);
        let mut payload = vec![0; padding];
        payload.extend_from_slice(&dir.read(&name)[HEADER_BYTES..carrier]);
        assert_eq!(log.append("a", &payload).unwrap(), 5);
        assert_eq!(log.append("a", b"last").unwrap(), 6);
        log.close().unwrap();
        drop(log);

        let mut bytes = dir.read(&name);
        let planted = bytes
            .windows(payload.len())
            .rposition(|seen| seen == payload);
        // From the first frame on up to the payload, whose head goes with them.
        bytes[HEADER_BYTES..planted.unwrap()].fill(0xa5);
        dir.write(&name, &bytes);
        let recovered = recovery::open(Arc::new(dir), &options(), None).unwrap();
        let shared = Shared::new(recovered, options());
        let mut scanner = Scanner::new(0);
        let mut next = || {
            scanner
                .advance(&shared, shared.marks.next(), |_| true)
                .unwrap()
        };
        let gap = Gap {
            from: 0,
            to: 6,
            reason: GapReason::Corrupt,
        };
        assert!(
            matches!(next(), Scan::Gap(told) if told == gap),
            "{padding}"
        );
        assert!(
            matches!(next(), Scan::Event(_, spot) if spot.offset == 6),
            "{padding}"
        );
        assert!(matches!(next(), Scan::Done), "{padding}");
    }
}
