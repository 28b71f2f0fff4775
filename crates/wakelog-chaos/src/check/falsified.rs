//! The checker, checked: an honest history passes, and each kind of lie in it is found.

use super::{Lost, check};
use crate::history::{Bounds, Fact};

const BOUNDS: Bounds = Bounds {
    rss: 100,
    files: 10,
    disk: 1000,
};

fn appending(n: u64) -> Fact {
    Fact::Appending {
        id: format!("e{n}"),
        topics: vec![format!("room.{}", n % 2)],
        not_to: if n == 9 {
            vec!["bob".to_owned()]
        } else {
            vec![]
        },
        text: format!("text {n}"),
    }
}

fn appended(n: u64, offset: u64) -> Fact {
    let id = format!("e{n}");
    Fact::Appended { id, offset }
}

fn heard(client: &str, n: u64, offset: u64) -> Fact {
    Fact::Heard {
        client: client.to_owned(),
        offset,
        id: format!("e{n}"),
        text: format!("text {n}"),
    }
}

fn client(name: &str, filter: &str, start: u64) -> Fact {
    Fact::Client {
        client: name.to_owned(),
        identity: name.to_owned(),
        filters: vec![filter.to_owned()],
        start,
    }
}

fn gap(client: &str, from: u64, to: u64, reason: &str) -> Fact {
    let (client, reason) = (client.to_owned(), reason.to_owned());
    Fact::Gap {
        client,
        from,
        to,
        reason,
    }
}

fn resumed(client: &str, offset: u64) -> Fact {
    let client = client.to_owned();
    Fact::Resumed { client, offset }
}

fn stands(client: &str, offset: u64) -> Fact {
    let client = client.to_owned();
    Fact::Stands { client, offset }
}

/// Twelve events of which e5 is not answered and stands nevertheless, under other offsets than
/// their numbers. `all` gets everything, in two processes; `bob` the even ones, not e9; `late`
/// begins when 0..104 is gone already.
fn honest() -> Vec<Fact> {
    let mut facts = vec![client("all", ">", 100), client("bob", "room.0", 100)];
    for n in 0..12 {
        facts.push(appending(n));
        if n != 5 {
            facts.push(appended(n, 100 + n));
        }
    }
    facts.extend((0..8).map(|n| heard("all", n, 100 + n)));
    // The second process goes on from its cursor: two events come again.
    facts.push(resumed("all", 106));
    facts.extend((6..12).map(|n| heard("all", n, 100 + n)));
    facts.extend([0, 2, 4, 6, 8, 10].map(|n| heard("bob", n, 100 + n)));
    facts.push(Fact::First { offset: 104 });
    facts.push(client("late", "room.*", 100));
    facts.push(gap("late", 100, 104, "trimmed"));
    facts.extend((4..12).map(|n| heard("late", n, 100 + n)));
    facts.push(Fact::First { offset: 104 });
    facts.push(Fact::Takes {
        rss: 90,
        files: 9,
        disk: 900,
    });
    facts.extend(["all", "bob", "late"].map(|client| stands(client, 112)));
    facts
}

fn flip(file: &str) -> Fact {
    let (file, byte, bit) = (file.to_owned(), 77, 3);
    Fact::Flip { file, byte, bit }
}

const SEGMENT: &str = "00000000000000000100.log";

fn at(facts: &[Fact], wanted: &Fact) -> usize {
    facts.iter().position(|fact| fact == wanted).unwrap()
}

/// The invariants that a lie breaks.
fn broken(lie: impl FnOnce(&mut Vec<Fact>)) -> Vec<&'static str> {
    let mut facts = honest();
    lie(&mut facts);
    let verdict = check(&facts, BOUNDS);
    let mut broken: Vec<_> = verdict.violations.iter().map(|(which, _)| *which).collect();
    broken.sort_unstable();
    broken.dedup();
    broken
}

#[test]
fn an_honest_history_passes() {
    let verdict = check(&honest(), BOUNDS);
    assert_eq!(verdict.violations, []);
    let counts = verdict.counts;
    assert_eq!(
        (counts.appended, counts.unanswered, counts.heard),
        (11, 1, 28)
    );
}

#[test]
fn a_dropped_event_is_found_where_it_was() {
    for (n, lost) in [
        (
            4,
            Lost {
                prefix: 1,
                ..Lost::default()
            },
        ),
        (
            7,
            Lost {
                middle: 1,
                ..Lost::default()
            },
        ),
        (
            11,
            Lost {
                suffix: 1,
                ..Lost::default()
            },
        ),
    ] {
        let mut facts = honest();
        let drop = at(&facts, &heard("late", n, 100 + n));
        facts.remove(drop);
        let verdict = check(&facts, BOUNDS);
        assert_eq!(verdict.lost, lost);
        assert_eq!(verdict.violations.len(), 1, "{:?}", verdict.violations);
        assert_eq!(verdict.violations[0].0, "I1");
    }
}

/// Nobody knows whether it was stored, until somebody gets it: then all must.
#[test]
fn an_unanswered_event_that_one_got_and_another_did_not() {
    let lie = |facts: &mut Vec<Fact>| facts.retain(|fact| *fact != heard("late", 5, 105));
    assert_eq!(broken(lie), ["I1"]);
    let all_miss = |facts: &mut Vec<Fact>| {
        facts.retain(|fact| !matches!(fact, Fact::Heard { id, .. } if id == "e5"));
    };
    assert_eq!(broken(all_miss), [""; 0]);
}

#[test]
fn an_event_that_came_twice() {
    let lie = |facts: &mut Vec<Fact>| {
        let place = at(facts, &heard("bob", 4, 104));
        facts.insert(place, heard("bob", 4, 104));
    };
    assert_eq!(broken(lie), ["I2"]);
}

#[test]
fn events_that_came_in_another_order() {
    let lie = |facts: &mut Vec<Fact>| {
        let place = at(facts, &heard("bob", 4, 104));
        facts.swap(place, place + 1);
    };
    assert_eq!(broken(lie), ["I2"]);
}

#[test]
fn an_event_with_other_bytes() {
    let lie = |facts: &mut Vec<Fact>| {
        let place = at(facts, &heard("bob", 4, 104));
        let Fact::Heard { text, .. } = &mut facts[place] else {
            unreachable!()
        };
        text.push('!');
    };
    assert_eq!(broken(lie), ["I8"]);
}

#[test]
fn a_gap_over_what_is_still_there() {
    let lie = |facts: &mut Vec<Fact>| {
        let place = at(facts, &gap("late", 100, 104, "trimmed"));
        facts[place] = gap("late", 100, 106, "trimmed");
        facts.drain(place + 1..place + 3);
    };
    assert_eq!(broken(lie), ["I3"]);
    let other_reason = |facts: &mut Vec<Fact>| {
        let place = at(facts, &gap("late", 100, 104, "trimmed"));
        facts[place] = gap("late", 100, 104, "diverged");
    };
    assert_eq!(broken(other_reason), ["I3"]);
}

/// What was let go comes back with the power, and goes again.
#[test]
fn a_gap_just_before_the_power_went() {
    let gap_of = |to| gap("late", 100, to, "trimmed");
    let cut = |facts: &mut Vec<Fact>, later| {
        let place = at(facts, &gap_of(104));
        facts[place] = gap_of(106);
        facts.drain(place + 1..place + 3);
        facts.insert(place + 1, Fact::PowerCut);
        facts.push(Fact::First { offset: later });
    };
    assert_eq!(broken(|facts| cut(facts, 106)), [""; 0]);
    assert_eq!(broken(|facts| cut(facts, 105)), ["I3"]);
    let without = |facts: &mut Vec<Fact>| {
        cut(facts, 106);
        facts.retain(|fact| *fact != Fact::PowerCut);
    };
    assert_eq!(broken(without), ["I3"]);
}

#[test]
fn a_gap_that_was_not_told() {
    let lie = |facts: &mut Vec<Fact>| facts.retain(|fact| !matches!(fact, Fact::Gap { .. }));
    assert_eq!(broken(lie), ["I1"]);
}

#[test]
fn an_offset_with_two_events() {
    let lie = |facts: &mut Vec<Fact>| {
        let place = at(facts, &heard("late", 11, 111));
        facts.insert(place, appending(13));
        facts.insert(place + 1, appended(13, 111));
    };
    assert_eq!(broken(lie), ["I5", "I7"]);
}

#[test]
fn a_cursor_that_went_back() {
    let lie = |facts: &mut Vec<Fact>| {
        let client = "all".to_owned();
        facts.push(Fact::Cursor {
            client,
            offset: 105,
        });
    };
    assert_eq!(broken(lie), ["I6"]);
}

#[test]
fn a_cursor_beyond_what_was_processed() {
    let lie = |facts: &mut Vec<Fact>| {
        let place = at(facts, &resumed("all", 106));
        facts[place] = resumed("all", 110);
        facts.drain(place + 1..place + 5);
    };
    assert_eq!(broken(lie), ["I1", "I4"]);
}

#[test]
fn an_event_that_nobody_sent() {
    let lie = |facts: &mut Vec<Fact>| {
        let place = at(facts, &stands("all", 112));
        facts.insert(place, heard("all", 77, 112));
    };
    assert_eq!(broken(lie), ["I8"]);
    let too_early = |facts: &mut Vec<Fact>| facts.insert(2, heard("all", 0, 100));
    assert!(broken(too_early).contains(&"I8"));
}

#[test]
fn an_event_that_stands_twice() {
    let lie = |facts: &mut Vec<Fact>| {
        let place = at(facts, &stands("all", 112));
        facts.insert(place, heard("all", 11, 112));
    };
    // Under its second offset it is owed to the others too, who stand below.
    assert_eq!(broken(lie), ["I1", "I8", "I9"]);
}

#[test]
fn an_event_of_somebody_else() {
    let other_room = |facts: &mut Vec<Fact>| {
        let place = at(facts, &heard("bob", 4, 104));
        facts.insert(place, heard("bob", 3, 103));
    };
    assert_eq!(broken(other_room), ["I8"]);
    let not_to_him = |facts: &mut Vec<Fact>| {
        facts[1] = client("bob", ">", 100);
        facts.retain(|fact| !matches!(fact, Fact::Heard { client, .. } if client == "bob"));
        let place = at(facts, &Fact::First { offset: 104 });
        facts.splice(place..place, (0..12).map(|n| heard("bob", n, 100 + n)));
    };
    assert_eq!(broken(not_to_him), ["I8"]);
}

#[test]
fn an_append_that_stands_before_what_was_answered_before_it() {
    let lie = |facts: &mut Vec<Fact>| {
        facts.push(appending(20));
        facts.push(appended(20, 99));
    };
    assert_eq!(broken(lie), ["I7"]);
}

#[test]
fn a_client_that_never_came_to_the_end() {
    let lie = |facts: &mut Vec<Fact>| {
        let place = at(facts, &stands("bob", 112));
        facts[place] = stands("bob", 110);
    };
    assert_eq!(broken(lie), ["I9"]);
}

#[test]
fn more_than_a_server_may_take() {
    for takes in [(101, 0, 0), (0, 11, 0), (0, 0, 1001)] {
        let (rss, files, disk) = takes;
        assert_eq!(
            broken(|facts| facts.push(Fact::Takes { rss, files, disk })),
            ["I10"]
        );
    }
}

#[test]
fn a_reset_of_a_log_that_was_never_another() {
    let reset = || Fact::Reset {
        client: "all".to_owned(),
    };
    assert_eq!(broken(|facts| facts.push(reset())), ["I3"]);
    let with =
        |file: &'static str| move |facts: &mut Vec<Fact>| facts.extend([flip(file), reset()]);
    assert_eq!(broken(with(SEGMENT)), ["I3"]);
    assert_eq!(broken(with("wakelog.epochs")), [""; 0]);
}

/// Event 7 is damaged before `late` has come to it.
fn corrupt(facts: &mut Vec<Fact>, flips: &[Fact], to: u64) {
    let place = at(facts, &heard("late", 7, 107));
    facts[place] = gap("late", 107, to, "corrupt");
    facts.splice(place..place, flips.iter().cloned());
    facts.retain(|fact| {
        !matches!(fact, Fact::Heard { client, offset, .. }
            if client == "late" && (107..to).contains(offset))
    });
}

#[test]
fn a_corrupt_event_is_excused_by_a_flipped_bit_alone() {
    let one = [flip(SEGMENT)];
    assert_eq!(broken(|facts| corrupt(facts, &one, 108)), [""; 0]);
    assert_eq!(broken(|facts| corrupt(facts, &[], 108)), ["I3"]);
    let elsewhere = [flip("wakelog.mark")];
    assert_eq!(broken(|facts| corrupt(facts, &elsewhere, 108)), ["I3"]);
    // The bit was set right before anybody could read.
    let why = String::new();
    let undone = [flip(SEGMENT), Fact::Refused { why }];
    assert_eq!(broken(|facts| corrupt(facts, &undone, 108)), ["I3"]);
    let silent = |facts: &mut Vec<Fact>| {
        corrupt(facts, &one, 108);
        facts.retain(|fact| *fact != gap("late", 107, 108, "corrupt"));
    };
    assert_eq!(broken(silent), ["I1"]);
    let diverged = |facts: &mut Vec<Fact>| {
        corrupt(facts, &one, 108);
        let place = at(facts, &gap("late", 107, 108, "corrupt"));
        facts[place] = gap("late", 107, 108, "diverged");
    };
    assert_eq!(broken(diverged), ["I3"]);
}

#[test]
fn more_is_told_as_corrupt_than_can_be() {
    assert_eq!(
        broken(|facts| corrupt(facts, &[flip(SEGMENT)], 109)),
        ["I3"]
    );
    let two = [flip(SEGMENT), flip(SEGMENT)];
    assert_eq!(broken(|facts| corrupt(facts, &two, 109)), [""; 0]);
}

#[test]
fn what_was_corrupt_comes_nevertheless() {
    let lie = |facts: &mut Vec<Fact>, firsts| {
        corrupt(facts, &[flip(SEGMENT)], 108);
        facts.extend(vec![Fact::First { offset: 104 }; firsts]);
        facts.push(resumed("all", 106));
        facts.extend((6..12).map(|n| heard("all", n, 100 + n)));
    };
    assert_eq!(broken(|facts| lie(facts, 100)), ["I3"]);
    // It may have been on its way.
    assert_eq!(broken(|facts| lie(facts, 10)), [""; 0]);
}

/// Its first place is damaged, so nobody knows any more that it was stored.
#[test]
fn a_damaged_event_that_is_stored_once_more() {
    let again = |facts: &mut Vec<Fact>| {
        for client in ["all", "late"] {
            let place = at(facts, &stands(client, 112));
            facts[place] = stands(client, 113);
            facts.insert(place, heard(client, 7, 112));
        }
    };
    let both = |facts: &mut Vec<Fact>| {
        corrupt(facts, &[flip(SEGMENT)], 108);
        again(facts);
    };
    assert_eq!(broken(both), [""; 0]);
    assert_eq!(broken(again), ["I8"]);
}

/// The file of the ids is damaged, so nobody knows of events that had left that they were stored.
#[test]
fn an_event_that_had_left_is_stored_once_more() {
    let again = |facts: &mut Vec<Fact>, n: u64, flipped: Option<&str>| {
        for client in ["all", "late"] {
            let place = at(facts, &stands(client, 112));
            facts[place] = stands(client, 113);
            facts.insert(place, heard(client, n, 112));
        }
        let place = at(facts, &client("late", "room.*", 100));
        facts.splice(place..place, flipped.map(flip));
    };
    let ids = Some("wakelog.ids");
    assert_eq!(broken(|facts| again(facts, 1, ids)), [""; 0]);
    assert_eq!(broken(|facts| again(facts, 1, None)), ["I8"]);
    assert_eq!(broken(|facts| again(facts, 1, Some(SEGMENT))), ["I8"]);
    // That one is there, and is found.
    assert_eq!(broken(|facts| again(facts, 7, ids)), ["I8"]);
}

#[test]
fn a_cursor_that_is_lost() {
    let lost = |facts: &mut Vec<Fact>, file: Option<&str>, tells: bool| {
        let place = at(facts, &resumed("all", 106));
        facts[place] = resumed("all", 110);
        facts.drain(place + 1..place + 5);
        let client = "all".to_owned();
        let told = tells.then_some(Fact::Forgotten { client });
        let more = file.map(flip).into_iter().chain(told);
        facts.splice(place..place, more.collect::<Vec<_>>());
    };
    let defs = Some("cursors.defs");
    assert_eq!(broken(|facts| lost(facts, defs, true)), [""; 0]);
    assert_eq!(broken(|facts| lost(facts, defs, false)), ["I1", "I4"]);
    assert_eq!(broken(|facts| lost(facts, Some(SEGMENT), true)), ["I6"]);
    assert_eq!(broken(|facts| lost(facts, None, true)), ["I6"]);
}
