//! What a [`Life`](crate::life::Life) was told, and so what must be in its log afterwards.

use crate::content::{Content, is_rare_turn};
use crate::life::{KEPT, Life};
use std::collections::BTreeMap;
use std::path::Path;
use wakelog::{Corruption, Log, Start, VerifyOptions};

/// How a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// What the kernel had is there.
    Killed,
    /// What was durable is there.
    Cut,
}

/// A cursor as its consumer knows it.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The highest place that it may have.
    tried: u64,
    /// The lowest place that it may have.
    acked: u64,
    saved: u64,
    /// It is known to be there, and to be on disk.
    opened: bool,
    on_disk: bool,
}

/// Whether a cursor wants the events of this turn.
fn is_for(cursor: &str, turn: u64) -> bool {
    (cursor == "bob") == is_rare_turn(turn)
}

/// What is known of one log.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// What stands at an offset, as an answer or a look has said: round, thread and turn.
    events: BTreeMap<u64, (u64, u64, u64)>,
    /// One above the highest offset that was seen or answered, and below which all is on disk.
    end: u64,
    durable: u64,
    trimmed: u64,
    places: BTreeMap<String, Place>,
    /// Cursors whose deletion has begun, and those that must not come back.
    leaving: Vec<String>,
    gone: Vec<String>,
    /// A cursor was being made when the power went.
    traces: bool,
    /// The process has come to its end by itself.
    pub(crate) done: bool,
    pub(crate) failure: Option<String>,
    pub(crate) answered: u64,
    pub(crate) acks: u64,
}

impl Told {
    /// Takes in what a process of `round` has told.
    pub(crate) fn hear(&mut self, round: u64, lines: &[String]) {
        (self.done, self.failure) = (false, None);
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| words[at].parse::<u64>().unwrap();
            match words[0] {
                "append" => {
                    let offset = number(3);
                    let event = (round, number(1), number(2));
                    let other = self.events.insert(offset, event);
                    assert!(
                        other.is_none_or(|other| other == event),
                        "{line}: {other:?}"
                    );
                    self.end = self.end.max(offset + 1);
                    self.answered += 1;
                }
                "open" => assert!(number(1) >= self.durable, "{line}: {}", self.durable),
                "durable" => self.durable = self.durable.max(number(1)),
                "trim" => self.trimmed = self.trimmed.max(number(1)),
                "wants" => drop(self.place(words[1])),
                "cursor" => self.hear_open(words[1], number(2)),
                "try" => {
                    let place = self.place(words[1]);
                    place.tried = place.tried.max(number(2));
                }
                "acked" => {
                    self.place(words[1]).acked = number(2);
                    self.acks += 1;
                }
                "saved" => {
                    let place = self.place(words[1]);
                    (place.saved, place.on_disk) = (number(2), true);
                }
                "delete" => self.leaving.push(words[1].to_owned()),
                "deleted" => self.gone.push(words[1].to_owned()),
                "gate" => {}
                "done" => self.done = true,
                "failed" => self.failure = Some(line.clone()),
                other => panic!("an unknown word: {other}"),
            }
        }
    }

    fn place(&mut self, name: &str) -> &mut Place {
        self.places.entry(name.to_owned()).or_default()
    }

    fn hear_open(&mut self, name: &str, acked: u64) {
        let place = self.place(name);
        assert!(
            !place.opened || acked >= place.acked,
            "{name} at {acked}: {place:?}"
        );
        place.opened = true;
        (place.acked, place.tried) = (acked, acked.max(place.tried));
    }

    /// Checks the log in `dir` after a process has ended so, by opening it twice; what is there now
    /// is what the next process finds. Returns how many appends were told durable.
    pub(crate) fn check(&mut self, dir: &Path, life: &Life, end: End) -> u64 {
        let known = self.events.range(..self.durable);
        let durable = known.filter(|(_, event)| event.0 == life.round).count();
        for last in [false, true] {
            let log = life.options().open(dir).unwrap();
            let damaged = self.damage(end, log.recovery().damaged);
            assert_eq!(damaged, [], "told by an open");
            self.check_events(&log, end);
            self.check_cursors(&log, end);
            if last {
                self.go_on(&log, life);
                log.close().unwrap();
            }
            drop(log);
            let found = wakelog::verify(dir, VerifyOptions::new()).unwrap();
            let damaged = self.damage(end, found.damaged.clone());
            assert!(damaged.is_empty() && found.corrupt.is_empty(), "{found:?}");
        }
        u64::try_from(durable).unwrap()
    }

    /// Nothing tells the trace of a cursor that was being made when the power went from damage.
    fn damage(&mut self, end: End, mut told: Vec<Corruption>) -> Vec<Corruption> {
        self.traces |= end == End::Cut && self.places.values().any(|place| !place.on_disk);
        told.retain(|damage| !(self.traces && damage.file == "cursors.defs"));
        told
    }

    fn check_events(&mut self, log: &Log, end: End) {
        let (first, next) = (log.first_offset(), log.next_offset());
        let least = if end == End::Cut {
            self.durable
        } else {
            self.end
        };
        assert!(
            least <= next,
            "{least} must be there, the log ends at {next}"
        );
        let most = self.trimmed.max((self.end.max(next)).saturating_sub(KEPT));
        assert!(
            first <= most,
            "the log begins at {first}, {most} may be gone"
        );
        let mut reader = log.reader().start(Start::Earliest).open().unwrap();
        let mut turns = BTreeMap::new();
        // What was not durable and is lost may have been answered.
        drop(self.events.split_off(&next));
        for offset in first..next {
            let event = reader.next().unwrap().unwrap();
            assert_eq!(event.offset(), offset);
            let content = Content::parse(event.payload());
            let found = (content.round, content.thread, content.turn);
            let known = *self.events.entry(offset).or_insert(found);
            assert_eq!(known, found, "at {offset}");
            assert!(
                content.after <= offset,
                "at {offset}, too early: {content:?}"
            );
            let turn = turns.insert((found.0, found.1), found.2);
            let in_turn = turn.is_none_or(|turn| turn + 1 == found.2);
            assert!(in_turn, "at {offset}: {content:?} after turn {turn:?}");
        }
        assert!(reader.next().unwrap().is_none());
        // An open has put on disk what it has found.
        (self.end, self.durable) = (next, next);
    }

    fn check_cursors(&mut self, log: &Log, end: End) {
        let listed = log.cursor_list().unwrap();
        for cursor in &listed {
            let known = self.places.contains_key(&cursor.name);
            assert!(known && !self.gone.contains(&cursor.name), "{cursor:?}");
        }
        let names: Vec<String> = self.places.keys().cloned().collect();
        for name in names {
            let found = listed.iter().find(|cursor| cursor.name == name);
            let Some(found) = found else {
                let place = self.places[&name];
                let must = place.on_disk || (end == End::Killed && place.opened);
                let leaving = self.leaving.contains(&name);
                assert!(!must || leaving, "{name} is not there: {place:?}");
                self.places.remove(&name);
                continue;
            };
            let (acked, place) = (found.acked.unwrap(), self.places[&name]);
            let least = if end == End::Cut {
                place.saved
            } else {
                place.acked
            };
            assert!(acked >= least, "{name} at {acked}: {place:?}");
            // Nobody has acked from here on, but a cursor moves over what it does not match.
            let missed = self.events.range(place.tried.min(acked)..acked);
            for (offset, (_, _, turn)) in missed {
                assert!(
                    !is_for(&name, *turn),
                    "{name} at {acked}, {offset} missed: {place:?}"
                );
            }
            *self.place(&name) = Place {
                tried: acked,
                acked,
                saved: acked,
                opened: true,
                on_disk: true,
            };
        }
        self.leaving.clear();
    }

    /// The log takes events and cursors as ever.
    fn go_on(&mut self, log: &Log, life: &Life) {
        let name = format!("later-{}", life.round);
        let cursor = log.cursor(&name).start(Start::Earliest).open().unwrap();
        cursor.wait_saved().unwrap();
        let acked = cursor.acked();
        drop(cursor);
        self.places.insert(
            name,
            Place {
                tried: acked,
                acked,
                saved: acked,
                opened: true,
                on_disk: true,
            },
        );
        let content = Content {
            round: life.round,
            thread: 9,
            turn: 0,
            index: 0,
            count: 1,
            after: self.end,
            filler: 0,
        };
        let offset = log.append("many.0", content.payload()).unwrap();
        assert_eq!(offset, self.end);
        log.sync().unwrap();
        self.events.insert(offset, (life.round, 9, 0));
        (self.end, self.durable) = (offset + 1, offset + 1);
    }
}
