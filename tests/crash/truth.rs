//! What must be in the log, as plain as possible: what was heard, and what was read before.

use crate::content::{Content, is_rare};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use wakelog::{Log, Opened, Position, Reader, Start};

/// An answer of the log to an append.
#[derive(Debug)]
struct Answer {
    thread: u64,
    turn: u64,
    first: u64,
    count: u64,
}

/// A cursor as its consumer knows it.
#[derive(Debug, Default)]
struct Consumer {
    /// The highest ack that was tried, and the highest that was answered.
    tried: u64,
    acked: u64,
    seen: bool,
}

/// Everything known about the log.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    /// All events that some parent has read, by offset.
    events: Vec<Content>,
    answers: Vec<Answer>,
    answered: usize,
    consumers: BTreeMap<String, Consumer>,
    /// The end of the log as each round has left it.
    ends: Vec<Position>,
    rolls: usize,
}

impl Truth {
    /// Takes in what a killed process has told.
    pub(crate) fn hear(&mut self, told: &[String]) {
        self.answers.clear();
        for line in told {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| words[at].parse::<u64>().unwrap();
            match words[0] {
                "open" => assert_eq!(number(1), self.end(), "the child opened another log"),
                "append" => self.answers.push(Answer {
                    thread: number(1),
                    turn: number(2),
                    first: number(3),
                    count: number(4),
                }),
                "cursor" => self.hear_open(words[1], words[2], number(3)),
                "try" => self.consumer(words[1]).tried = number(2),
                "acked" => self.consumer(words[1]).acked = number(2),
                other => panic!("an unknown word: {other}"),
            }
        }
        self.answered += self.answers.len();
    }

    fn hear_open(&mut self, name: &str, opened: &str, acked: u64) {
        let consumer = self.consumer(name);
        let expected = if consumer.seen { "Resumed" } else { opened };
        assert_eq!(opened, expected, "cursor {name}");
        assert_eq!(
            acked, consumer.acked,
            "cursor {name} moved while nobody had it"
        );
        consumer.seen = true;
    }

    fn consumer(&mut self, name: &str) -> &mut Consumer {
        self.consumers.entry(name.to_owned()).or_default()
    }

    fn end(&self) -> u64 {
        u64::try_from(self.events.len()).unwrap()
    }

    fn event(&self, offset: u64) -> &Content {
        &self.events[usize::try_from(offset).unwrap()]
    }

    /// Checks the log after the process of `round` was killed.
    pub(crate) fn check(&mut self, log: &Log, round: u64) {
        let begin = self.end();
        assert_eq!(log.recovery().damaged, []);
        assert_eq!(log.first_offset(), 0);
        let start = match self.ends.last() {
            // The end before this round is still the same place: nothing was lost.
            Some(position) => Start::Position(*position),
            None => Start::Earliest,
        };
        let mut reader = log.reader().start(start).open().unwrap();
        self.read_new(&mut reader, round);
        assert_eq!(log.next_offset(), self.end());
        self.check_order(begin);
        for answer in &self.answers {
            self.check_answer(answer);
        }
        self.check_cursors(log);
        self.ends.push(log.position());
        self.rolls = log.segments();
    }

    fn read_new(&mut self, reader: &mut Reader, round: u64) {
        while let Some(event) = reader.next().unwrap() {
            let content = Content::parse(event.payload());
            assert_eq!(event.offset(), self.end(), "{content:?}");
            assert_eq!(content.round, round, "a phantom at {}", event.offset());
            let name = (content.count > 1).then_some("batched");
            assert_eq!(event.name(), name, "{content:?}");
            let topic = crate::content::topic(&content);
            assert!(event.topics().eq([topic]), "{content:?}");
            self.events.push(content);
        }
    }

    /// Each thread's appends are there in its order without a hole, batches whole, and an append
    /// that began after another had returned stands behind it.
    fn check_order(&self, begin: u64) {
        let mut turns = HashMap::new();
        let mut offset = begin;
        while offset < self.end() {
            let first = *self.event(offset);
            let turn = turns.entry(first.thread).or_insert(0);
            assert_eq!(first.turn, *turn, "at {offset}: {first:?}");
            *turn += 1;
            for index in 0..first.count {
                assert!(offset + index < self.end(), "half a batch: {first:?}");
                let event = self.event(offset + index);
                assert_eq!((event.thread, event.turn), (first.thread, first.turn));
                assert_eq!(event.index, index, "at {offset}: {event:?}");
                assert!(event.after <= offset, "at {offset}, too early: {event:?}");
            }
            offset += first.count;
        }
        // Besides those that were answered, each thread had one append under way.
        for (thread, turns) in turns {
            let answers = self.answers.iter().filter(|answer| answer.thread == thread);
            let answered = u64::try_from(answers.count()).unwrap();
            assert!(
                (answered..=answered + 1).contains(&turns),
                "thread {thread}"
            );
        }
    }

    fn check_answer(&self, answer: &Answer) {
        let Answer {
            thread,
            turn,
            first,
            count,
        } = *answer;
        assert!(first + count <= self.end(), "lost: {answer:?}");
        for index in 0..count {
            let event = self.event(first + index);
            let expected = (thread, turn, index, count);
            let found = (event.thread, event.turn, event.index, event.count);
            assert_eq!(found, expected, "{answer:?}");
        }
    }

    /// A killed process has lost no ack that was answered, and no cursor stands above an event of
    /// its filter that nobody has acked.
    fn check_cursors(&mut self, log: &Log) {
        for (name, rare) in [("alice", false), ("bob", true)] {
            let consumer = self.consumers.entry(name.to_owned()).or_default();
            let cursor = log.cursor(name).start(Start::Earliest);
            let filter = if rare { "rare" } else { "many.*" };
            let cursor = cursor.topics([filter]).open().unwrap();
            let opened = cursor.opened();
            assert!(
                !consumer.seen || opened == Opened::Resumed,
                "{name}: {opened:?}"
            );
            let acked = cursor.acked();
            assert!(acked >= consumer.acked, "{name} at {acked}: {consumer:?}");
            let below = &self.events[..usize::try_from(acked).unwrap()];
            let last = below.iter().rposition(|event| is_rare(event) == rare);
            let highest = last.map_or(0, |at| u64::try_from(at).unwrap() + 1);
            assert!(highest <= consumer.tried, "{name} at {acked}: {consumer:?}");
            *consumer = Consumer {
                tried: acked.max(consumer.tried),
                acked,
                seen: true,
            };
        }
    }

    /// Everything that was ever read is still the same, and every place that was ever told.
    pub(crate) fn check_all(&self, log: &Log) {
        let mut reader = log.reader().open().unwrap();
        for (offset, expected) in (0..).zip(&self.events) {
            let event = reader.next().unwrap().unwrap();
            assert_eq!(event.offset(), offset);
            assert_eq!(Content::parse(event.payload()), *expected);
        }
        assert!(reader.next().unwrap().is_none());
        for position in &self.ends {
            let start = Start::Position(*position);
            let mut reader = log.reader().start(start).open().unwrap();
            let next = reader.next().unwrap().map(|event| event.offset());
            let expected = Some(position.offset).filter(|offset| *offset < self.end());
            assert_eq!(next, expected);
        }
    }

    /// Whether the run has tested anything: a slow machine appends little, but never nothing.
    pub(crate) fn is_worth_something(&self, kills: u64) -> bool {
        let acked = |name: &str| {
            self.consumers
                .get(name)
                .is_some_and(|cursor| cursor.acked > 0)
        };
        let answered = u64::try_from(self.answered).unwrap();
        answered > kills && self.rolls > 2 && acked("alice") && acked("bob")
    }
}

impl fmt::Display for Truth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kills, events) = (self.ends.len(), self.events.len());
        let Truth {
            answered, rolls, ..
        } = self;
        write!(
            f,
            "{kills} kills, {events} events, {answered} appends answered, {rolls} segments"
        )?;
        for (name, consumer) in &self.consumers {
            write!(f, ", {name} at {}", consumer.acked)?;
        }
        Ok(())
    }
}
