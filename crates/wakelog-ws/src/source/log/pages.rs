//! Pages that were written down a moment ago. After a cut all clients of a room come back at once
//! and have missed the same: what was read and written for one is sent to all.

use std::sync::Arc;

use parking_lot::Mutex;
use quick_cache::{Weighter, unsync::Cache};
use wakelog::Position;

use crate::protocol::{EncodedPage, Grant};

/// So many bytes of pages are kept.
const BYTES_MAX: u64 = 4 << 20;

/// The filters and the identities of a reader. Who may not see an event is decided by the
/// identities: pages of readers with other ones are other pages.
pub(super) type Asked = (Vec<String>, Vec<String>);

/// Who reads, from where on, and how much at most.
pub(super) type Key = (Arc<Asked>, Position, Grant);

/// A page, and the position after it; none for one that was asked for once: the pages of a long
/// backlog are not kept, since nobody else may want them.
pub(super) type Kept = Option<(EncodedPage, Position)>;

/// The pages of all readers of a source that are likely to be asked for again.
#[derive(Debug)]
pub(super) struct Pages(pub(super) Mutex<Cache<Key, Kept, Bytes>>);

#[derive(Clone, Debug)]
pub(super) struct Bytes;

impl Weighter<Key, Kept> for Bytes {
    fn weight(&self, _: &Key, kept: &Kept) -> u64 {
        kept.as_ref().map_or(256, |(page, _)| page.bytes())
    }
}

impl Default for Pages {
    fn default() -> Self {
        Self(Mutex::new(Cache::with_weighter(64, BYTES_MAX, Bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{EventHead, PageWriter};

    fn page(bytes: usize) -> EncodedPage {
        let mut writer = PageWriter::new();
        let payload = &*vec![b'x'; bytes];
        let head = EventHead {
            payload,
            ..EventHead::default()
        };
        writer.push(head, ["a"], []);
        writer.finish()
    }

    fn at(offset: u64) -> Position {
        format!("0f8fad5bd9cb469fa16570867728950e.3-9c1e22b7.{offset}")
            .parse()
            .unwrap()
    }

    fn key(identities: &[&str], offset: u64) -> Key {
        let identities = identities.iter().map(|&name| name.to_owned()).collect();
        let asked = (vec!["a".to_owned()], identities);
        (Arc::new(asked), at(offset), Grant::default())
    }

    #[test]
    fn a_page_is_for_those_of_the_same_identities_and_place_alone() {
        let pages = Pages::default();
        let mut pages = pages.0.lock();
        pages.insert(key(&["ann"], 1), Some((page(10), at(2))));
        assert_eq!(pages.get(&key(&["ann"], 1)), Some(&Some((page(10), at(2)))));
        assert_eq!(pages.get(&key(&["bob"], 1)), None);
        assert_eq!(pages.get(&key(&[], 1)), None);
        assert_eq!(pages.get(&key(&["ann"], 2)), None);
    }

    #[test]
    fn bytes_are_bounded_and_others_take_the_place_of_old_pages() {
        let pages = Pages::default();
        let mut pages = pages.0.lock();
        for offset in 0..1_000 {
            // Twice each, as when two read at once.
            for _ in 0..2 {
                pages.insert(key(&[], offset), Some((page(100_000), at(offset + 1))));
            }
            let bytes: u64 = pages
                .iter()
                .map(|(key, kept)| Bytes.weight(key, kept))
                .sum();
            assert!(bytes <= BYTES_MAX, "{bytes}");
        }
        assert!(pages.get(&key(&[], 999)).is_some());
        assert!(pages.len() > 30, "{}", pages.len());
    }
}
