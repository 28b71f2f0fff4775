//! Cursors that nobody uses for as long as they live.

use super::cursors::{Handle, open, opening};
use super::ops::From;
use super::world::World;
use crate::{CursorState, Opened, Start};
use std::time::Duration;

const HOUR: u64 = 3_600_000_000;
/// What the machine's clock says when the world begins.
const BEGIN: u64 = 500_000 * HOUR;

impl World {
    /// A cursor gets a life of an hour, nobody uses it for two, and its name is opened again.
    pub(super) fn expire(&mut self, number: usize, from: From) {
        let (start, expected) = self.start(from, number);
        let (Some(slot), Some((next, gap))) = (self.oracle.cursors.get(&number), expected) else {
            return;
        };
        let acked = slot.acked;
        self.handles.remove(&number);
        self.pass_hours(1);
        let hour = Duration::from_micros(HOUR);
        let mortal = opening(self.log(), number, Start::Latest).ttl(hour).open();
        let mortal = mortal.unwrap();
        assert_eq!((mortal.opened(), mortal.acked()), (Opened::Resumed, acked));
        self.pass_hours(2);
        assert_eq!(self.state_of(number), CursorState::Open);
        drop(mortal);
        assert_eq!(self.state_of(number), CursorState::Live);
        self.pass_hours(2);
        assert_eq!(self.state_of(number), CursorState::Expired);

        let cursor = open(self.log(), number, start).unwrap();
        assert_eq!(cursor.opened(), Opened::Expired { acked });
        assert_eq!(cursor.acked(), next);
        if let Some(slot) = self.oracle.cursors.get_mut(&number) {
            slot.keep(None);
            slot.keep(gap.map(|gap| gap.to));
            slot.put(next);
        }
        self.handles.insert(number, Handle::new(cursor, next));
        self.check_cursor(number);
        // It lives for ever now, on disk too.
        self.sync();
    }

    /// Each log that is opened looks at the clock for itself.
    fn pass_hours(&mut self, hours: u64) {
        self.hours += hours;
        let elapsed = Duration::from_secs(61) + Duration::from_micros(self.hours * HOUR);
        let shared = self.log().shared();
        shared.clock.give(elapsed, BEGIN + self.hours * HOUR);
        shared.tick_cursors();
    }

    fn state_of(&self, number: usize) -> CursorState {
        let name = format!("cursor-{number}");
        let mut list = self.log().cursor_list().unwrap().into_iter();
        list.find(|info| info.name == name).unwrap().state
    }
}
