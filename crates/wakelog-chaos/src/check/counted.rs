//! The tally, checked: a history as Socket.IO's scripts tell it, and what each lie in it adds.

use super::{Lost, Tally, tally};
use crate::history::Fact;
use crate::target::Said;

/// Eight events in two rooms; `both` hears both rooms, `odd` one. The server is killed before it
/// has answered e3, which `odd` has heard by then, and gives numbers from 100 on afterwards. `both`
/// was recovered after e2, and told that it was not after the kill, when it missed e4. Nobody has
/// heard of e7.
const HONEST: &str = r#"
{"phase":"began"}
{"fact":"appending","id":"e0","topics":["room.0"],"text":"t0"}
{"answered":"e0","offset":0}
{"fact":"heard","client":"both","offset":0,"id":"e0","text":"t0"}
{"fact":"appending","id":"e1","topics":["room.1"],"text":"t1"}
{"answered":"e1","offset":1}
{"fact":"heard","client":"odd","offset":1,"id":"e1","text":"t1"}
{"fact":"heard","client":"both","offset":1,"id":"e1","text":"t1"}
{"fact":"appending","id":"e2","topics":["room.0","room.1"],"not_to":["odd"],"text":"t2"}
{"answered":"e2","offset":2}
{"fact":"heard","client":"both","offset":2,"id":"e2","text":"t2"}
{"fact":"connected","client":"both","recovered":true}
{"fact":"appending","id":"e3","topics":["room.1"],"text":"t3"}
{"fact":"heard","client":"odd","offset":3,"id":"e3","text":"t3"}
{"fact":"fault","what":"SIGKILL"}
{"fact":"appending","id":"e4","topics":["room.0"],"text":"t4"}
{"answered":"e4","offset":100}
{"fact":"connected","client":"both","recovered":false}
{"fact":"connected","client":"odd","recovered":false}
{"answered":"e3","offset":101}
{"fact":"heard","client":"both","offset":101,"id":"e3","text":"t3"}
{"fact":"appending","id":"e5","topics":["room.1"],"text":"t5"}
{"answered":"e5","offset":102}
{"fact":"heard","client":"odd","offset":102,"id":"e5","text":"t5"}
{"fact":"heard","client":"both","offset":102,"id":"e5","text":"t5"}
{"fact":"connected","client":"odd","recovered":true}
{"fact":"appending","id":"e6","topics":["room.1"],"text":"t6"}
{"answered":"e6","offset":103}
{"fact":"heard","client":"odd","offset":103,"id":"e6","text":"t6"}
{"fact":"heard","client":"both","offset":103,"id":"e6","text":"t6"}
{"fact":"appending","id":"e7","topics":["room.1"],"text":"t7"}
"#;

/// What is taken down of a history in which `lie` has changed the lines.
fn history(lie: impl FnOnce(&mut Vec<String>)) -> Vec<Fact> {
    let mut lines: Vec<String> = HONEST.trim().lines().map(str::to_owned).collect();
    lie(&mut lines);
    let client = |client: &str, filters: &[&str]| Fact::Client {
        client: client.to_owned(),
        identity: client.to_owned(),
        filters: filters.iter().map(|&filter| filter.to_owned()).collect(),
        start: 0,
    };
    let mut facts = vec![
        client("both", &["room.0", "room.1"]),
        client("odd", &["room.1"]),
    ];
    for line in &lines {
        match serde_json::from_str(line).unwrap() {
            Said::Fact(fact) => facts.push(fact),
            Said::Answered { answered, offset } => facts.push(Fact::Appended {
                id: answered,
                offset,
            }),
            Said::Phase { .. } => {}
        }
    }
    facts
}

fn count(lie: impl FnOnce(&mut Vec<String>)) -> Tally {
    tally(&history(lie))
}

/// Where a client hears an event.
fn at(lines: &[String], client: &str, id: &str) -> usize {
    let start = format!(r#"{{"fact":"heard","client":"{client}","#);
    let id = format!(r#""id":"{id}""#);
    let found = |line: &String| line.starts_with(&start) && line.contains(&id);
    lines.iter().position(found).unwrap()
}

fn drop_one(client: &'static str, id: &'static str) -> impl FnOnce(&mut Vec<String>) {
    move |lines| drop(lines.remove(at(lines, client, id)))
}

fn honest() -> Tally {
    Tally {
        answered: 7,
        unanswered: 1,
        owed: 11,
        delivered: 10,
        told: 1,
        recovered: 2,
        unrecovered: 2,
        ..Tally::default()
    }
}

/// One less has come, and nobody was told.
fn silently(prefix: u64, middle: u64, suffix: u64) -> Tally {
    Tally {
        delivered: 9,
        silent: Lost {
            prefix,
            middle,
            suffix,
        },
        ..honest()
    }
}

#[test]
fn what_came_and_what_was_told_to_be_missing() {
    assert_eq!(count(|_| {}), honest());
}

#[test]
fn a_loss_while_the_connection_stays_is_silent() {
    assert_eq!(count(drop_one("both", "e0")), silently(1, 0, 0));
    assert_eq!(count(drop_one("both", "e1")), silently(0, 1, 0));
    assert_eq!(count(drop_one("both", "e5")), silently(0, 1, 0));
}

#[test]
fn a_loss_after_a_recovery_is_silent() {
    // `odd` was told that it was recovered between e5 and e6.
    assert_eq!(count(drop_one("odd", "e6")), silently(0, 0, 1));
    let lie = |lines: &mut Vec<String>| {
        drop_one("odd", "e5")(lines);
        for line in lines {
            if line.contains(r#""odd","recovered":false"#) {
                *line = line.replace("false", "true");
            }
        }
    };
    let lost = Tally {
        recovered: 3,
        unrecovered: 1,
        ..silently(0, 1, 0)
    };
    assert_eq!(count(lie), lost);
}

#[test]
fn a_loss_around_a_connection_that_was_not_recovered_is_told() {
    let told = Tally {
        delivered: 9,
        told: 2,
        ..honest()
    };
    assert_eq!(count(drop_one("odd", "e5")), told);
    // From the last that came before, be there a recovery in between, to the first that comes.
    assert_eq!(count(drop_one("both", "e2")), told);
    let nothing_more = |lines: &mut Vec<String>| {
        let place = at(lines, "both", "e6");
        lines[place] = r#"{"fact":"connected","client":"both","recovered":false}"#.to_owned();
    };
    let unrecovered = Tally {
        unrecovered: 3,
        ..told
    };
    assert_eq!(count(nothing_more), unrecovered);
}

#[test]
fn an_event_that_comes_again_is_counted_once() {
    let same = |lines: &mut Vec<String>| {
        let place = at(lines, "both", "e5");
        lines.insert(place + 1, lines[place].clone());
    };
    let duplicated = Tally {
        duplicated: 1,
        ..honest()
    };
    assert_eq!(count(same), duplicated);
    let of_two_servers = |lines: &mut Vec<String>| {
        let line = lines[at(lines, "both", "e3")].replace("both", "odd");
        lines.insert(at(lines, "odd", "e5"), line);
    };
    assert_eq!(count(of_two_servers), duplicated);
}

#[test]
fn an_older_event_after_a_newer_one_is_out_of_order() {
    let lie = |lines: &mut Vec<String>| {
        let (e5, e6) = (at(lines, "both", "e5"), at(lines, "both", "e6"));
        lines.swap(e5, e6);
    };
    let reordered = Tally {
        reordered: 1,
        ..honest()
    };
    assert_eq!(count(lie), reordered);
}

#[test]
fn what_nobody_sent_so_or_to_this_client_is_strange() {
    let strange = Tally {
        strange: 1,
        ..honest()
    };
    let altered = |lines: &mut Vec<String>| {
        let place = at(lines, "both", "e1");
        lines[place] = lines[place].replace("t1", "tl");
    };
    assert_eq!(count(altered), strange);
    let withheld = |lines: &mut Vec<String>| {
        let place = at(lines, "both", "e2");
        lines.insert(place, lines[place].replace("both", "odd"));
    };
    assert_eq!(count(withheld), strange);
    let invented = |lines: &mut Vec<String>| {
        let place = at(lines, "both", "e2");
        lines.insert(place, lines[place].replace("e2", "e9"));
    };
    assert_eq!(count(invented), strange);
}

#[test]
fn what_one_client_heard_is_owed_to_all_without_an_answer_too() {
    let lie = |lines: &mut Vec<String>| {
        let line = lines[at(lines, "odd", "e6")].replace("e6", "e7");
        lines.push(line.replace("103", "104").replace("t6", "t7"));
    };
    let heard = Tally {
        owed: 13,
        delivered: 11,
        ..silently(0, 0, 1)
    };
    assert_eq!(count(lie), heard);
}

#[test]
fn gaps_are_told_and_a_new_process_may_hear_again() {
    let mut facts = history(drop_one("both", "e5"));
    facts.push(Fact::Gap {
        client: "both".to_owned(),
        from: 102,
        to: 103,
        reason: "trimmed".to_owned(),
    });
    let told = Tally {
        delivered: 9,
        told: 2,
        gaps: 1,
        ..honest()
    };
    assert_eq!(tally(&facts), told);
    facts.push(Fact::Resumed {
        client: "both".to_owned(),
        offset: 103,
    });
    facts.push(Fact::Heard {
        client: "both".to_owned(),
        offset: 103,
        id: "e6".to_owned(),
        text: "t6".to_owned(),
    });
    assert_eq!(tally(&facts), told);
}
