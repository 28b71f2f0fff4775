//! What the bare servers have instead of a log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::broadcast;

use super::Service;
use crate::words::{self, Pages};
use crate::{Outcome, words::clock};

/// So many live messages wait for one that is slow.
const WAITING: usize = 4_096;

/// Messages that lie ready, and those that come.
#[derive(Clone)]
pub struct Stock {
    rooms: Arc<Mutex<HashMap<String, Arc<Vec<Bytes>>>>>,
    live: broadcast::Sender<Bytes>,
    empty: Bytes,
}

impl Stock {
    /// What one who subscribes is sent at once, and what comes later.
    pub fn subscribe(&self, order: &str) -> Option<(Arc<Vec<Bytes>>, broadcast::Receiver<Bytes>)> {
        let topic = words::topic_of(order)?;
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let missed = rooms.get(topic).cloned();
        let missed = missed.unwrap_or_else(|| Arc::new(vec![self.empty.clone()]));
        Some((missed, self.live.subscribe()))
    }
}

pub struct Bare {
    stock: Stock,
    pages: Pages,
    each: bool,
}

impl Bare {
    pub fn new(each: bool) -> Bare {
        let mut pages = Pages::new();
        let stock = Stock {
            rooms: Arc::default(),
            live: broadcast::channel(WAITING).0,
            empty: pages.page("", 0, 0, true).unwrap_or_default(),
        };
        Bare { stock, pages, each }
    }

    pub fn stock(&self) -> Stock {
        self.stock.clone()
    }
}

impl Service for Bare {
    fn fill(&mut self, rooms: usize, events: u64) -> Outcome<()> {
        for room in (0..rooms).map(words::room) {
            let backlog = Arc::new(self.pages.backlog(&room, events, self.each)?);
            let rooms = self.stock.rooms.lock();
            rooms
                .unwrap_or_else(PoisonError::into_inner)
                .insert(room, backlog);
        }
        Ok(())
    }

    fn publish(&mut self) -> Outcome<()> {
        let message = self.pages.page("live", 1, clock(), true)?;
        // Nobody may be there.
        let _ = self.stock.live.send(message);
        Ok(())
    }

    fn flood(&mut self, events: u64) -> Outcome<()> {
        (0..events).try_for_each(|_| self.publish())
    }
}
