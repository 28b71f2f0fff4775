//! One subscription: its credit, its place, and whether it has caught up.

use wakelog::{Gap, Position};

use super::request::SubKey;
use crate::protocol::Grant;

/// What a subscription is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Doing {
    /// Its reader is being opened.
    #[default]
    Opening,
    /// There may be something to read.
    Ready,
    /// A page is being read.
    Reading,
    /// Everything was read; the driver watches for more.
    Waiting,
}

#[derive(Debug, Default)]
pub(super) struct Subscription {
    pub(super) key: SubKey,
    pub(super) name: String,
    pub(super) doing: Doing,
    /// A gap of the stored cursor, told right after `subscribed`.
    pub(super) kept_gap: Option<Gap>,
    /// Where reading stands; none until the reader is open.
    pub(super) at: Option<Position>,
    /// It has moved since the client was told of it.
    moved: bool,
    pub(super) live: bool,
    /// Other filters that wait for the page that is being read.
    pub(super) change: Option<Vec<String>>,
    /// The reader that goes on if the one with other filters cannot be opened.
    pub(super) replaced: Option<SubKey>,
    events: u32,
    /// Below zero after a page that took more than there was.
    bytes: i64,
    cap: Grant,
}

impl Subscription {
    pub(super) fn new(key: SubKey, name: String, cap: Grant, credit: Grant) -> Self {
        let mut subscription = Self {
            key,
            name,
            cap,
            ..Self::default()
        };
        subscription.add(credit);
        subscription
    }

    /// Adds credit, up to the cap.
    pub(super) fn add(&mut self, credit: Grant) {
        let events = self.events.saturating_add(credit.events);
        self.events = events.min(self.cap.events);
        let bytes = self.bytes.saturating_add(i64::from(credit.bytes));
        self.bytes = bytes.min(i64::from(self.cap.bytes));
    }

    /// Takes from the credit what a page has used.
    pub(super) fn take(&mut self, events: u32, bytes: u64) {
        self.events = self.events.saturating_sub(events);
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// How large the next page may be; none without credit.
    pub(super) fn allowance(&self, page: Grant) -> Option<Grant> {
        if self.events == 0 || self.bytes <= 0 {
            return None;
        }
        Some(Grant {
            events: self.events.min(page.events),
            bytes: u32::try_from(self.bytes).map_or(page.bytes, |n| n.min(page.bytes)),
        })
    }

    /// The client is told that it stands there.
    pub(super) fn tell(&mut self, position: Position) {
        (self.at, self.moved) = (Some(position), false);
    }

    /// Reading has passed over events that the client does not get.
    pub(super) fn pass_to(&mut self, position: Position) {
        self.moved |= self.at != Some(position);
        self.at = Some(position);
    }

    /// The position, if it is one that the client has not been told.
    pub(super) fn untold(&mut self) -> Option<Position> {
        self.at.filter(|_| std::mem::take(&mut self.moved))
    }
}
