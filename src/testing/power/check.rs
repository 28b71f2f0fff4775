//! Opens an image and holds it against what the workload was told.

use super::run::{id_of, name_of};
use super::script::CURSORS;
use super::truth::Truth;
use crate::dir::MemoryDir;
use crate::format::RecordRef;
use crate::history::Verdict;
use crate::reader::{Scan, Scanner};
use crate::recovery::{self, Recovered};
use crate::store::Shared;
use crate::{Gap, GapReason, Log, NewEvent, Options, ReadError, Retention, Start};
use std::sync::Arc;

/// Opens it by one thread. All is read, every position asked and every cursor looked at.
pub(super) fn quickly(dir: &MemoryDir, truth: &Truth, options: &Options) -> u64 {
    let recovered = recovery::open(Arc::new(dir.clone()), options, None);
    let recovered = recovered.unwrap_or_else(|error| panic!("it does not open: {error}"));
    let end = recovered.next;
    the_end(truth, end);
    no_damage(truth, &recovered);
    assert_eq!(recovered.durable.offset, end);
    let first = recovered.bases.first().copied().unwrap();
    assert!(
        (truth.first..=truth.first_most.max(truth.first)).contains(&first),
        "the oldest is {first}, {}..={}",
        truth.first,
        truth.first_most
    );
    the_cursors(truth, &recovered, first, end);
    let shared = Shared::new(recovered, options.clone());
    the_events(truth, &shared, first, end);
    the_positions(truth, &shared, end);
    end
}

/// Nothing that was durable is lost, and a batch is there whole.
fn the_end(truth: &Truth, end: u64) {
    assert!(
        (truth.durable..=truth.end()).contains(&end),
        "it ends at {end}, {} was durable and {} appended",
        truth.durable,
        truth.end()
    );
    let last = end.checked_sub(1).map(|last| truth.event(last));
    assert!(
        !last.is_some_and(|last| last.more),
        "half a batch, up to {end}"
    );
}

fn no_damage(truth: &Truth, recovered: &Recovered) {
    // Nothing tells the trace of a cursor that was being made from damage.
    let being_made = truth.cursors.values().any(|place| !place.there);
    let trace = |file: &str| (being_made || truth.left_over) && file == "cursors.defs";
    let mut damaged = recovered.report.damaged.iter();
    assert!(
        damaged.all(|damage| trace(&damage.file)),
        "{:?}",
        recovered.report.damaged
    );
    assert!(
        recovered
            .report
            .torn
            .as_ref()
            .is_none_or(|torn| torn.offset == recovered.next)
    );
}

fn the_events(truth: &Truth, shared: &Shared, first: u64, end: u64) {
    let mut at = first;
    let mut looks = |record: &RecordRef<'_>| {
        let event = truth.event(at);
        assert_eq!(record.payload(), event.payload(), "event {at}");
        assert!(record.topics().eq([event.topic()]), "event {at}");
        assert_eq!(record.id(), event.id.map(id_of).as_deref(), "event {at}");
        at += 1;
        false
    };
    match Scanner::new(first).advance(shared, end, &mut looks) {
        Ok(Scan::Done) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(at, end, "events are missing");
}

fn the_positions(truth: &Truth, shared: &Shared, end: u64) {
    let now = shared.epoch().counter;
    assert!(
        truth.epochs.iter().all(|(epoch, _)| epoch.counter < now),
        "an epoch comes again"
    );
    for position in &truth.positions {
        let from = truth.bound(position, end);
        let to = position.offset;
        let gap = Gap {
            from,
            to,
            reason: GapReason::Diverged,
        };
        let due = if to <= from {
            Verdict::Valid
        } else {
            Verdict::Diverged(gap)
        };
        assert_eq!(shared.judge(position), due, "{position}");
    }
}

/// Each stands at an ack that was given since it was last saved, or at the end with the gap kept.
fn the_cursors(truth: &Truth, recovered: &Recovered, first: u64, end: u64) {
    let cursors = recovered.cursors.as_ref().unwrap();
    for number in 0..CURSORS {
        let found = cursors.find(&name_of(number));
        let found = found.unwrap_or_else(|corrupt| panic!("{corrupt}"));
        let (place, slot) = match (truth.cursors.get(&number), found) {
            (None, None) => continue,
            (None, Some(_)) => panic!("cursor {number} was deleted, or never made"),
            (Some(place), None) => {
                assert!(!place.there, "cursor {number} is gone");
                continue;
            }
            (Some(place), Some(slot)) => (place, slot),
        };
        let (low, high) = (place.low.min(end), place.high.min(end));
        let (acked, kept) = (slot.acked(), slot.kept());
        assert!(
            (low..=high).contains(&acked),
            "cursor {number} at {acked}: {place:?}"
        );
        let most = place.high.max(place.kept);
        assert!(kept.is_none_or(|kept| kept <= most), "{kept:?}: {place:?}");
        let lowered = place.low > end;
        assert!(
            !lowered || kept >= Some(place.low),
            "it does not know of its gap: {place:?}"
        );
        let filters = slot.definition().map(|definition| definition.filters);
        assert_eq!(filters.unwrap_or_default(), [">"], "cursor {number}");
        assert!(
            !truth.acked_only || first <= acked,
            "{first} left without {number}, at {acked}"
        );
    }
}

/// Opens it as a user does: filters are followed, ids are known, it goes on.
pub(super) fn fully(dir: &MemoryDir, truth: &Truth, options: &Options) {
    // Nothing leaves meanwhile.
    let options = options.clone().retention(Retention::new());
    let log = options.open_in(Arc::new(dir.clone())).unwrap();
    let (first, end) = (log.first_offset(), log.next_offset());
    the_end(truth, end);
    for filter in ["t.a", "t.*", ">"] {
        the_filter(truth, &log, filter, first, end);
    }
    for number in truth.cursors.keys() {
        let mut cursor = log.cursor(name_of(*number)).topics([">"]).open().unwrap();
        if let Err(ReadError::Gap(gap)) = cursor.next() {
            cursor.ack_gap(&gap).unwrap();
        }
    }
    the_ids(truth, &log, end);
    let next = log.next_offset();
    assert_eq!(log.append("u", b"more").unwrap(), next);
    log.close().unwrap();
}

fn the_filter(truth: &Truth, log: &Log, filter: &str, first: u64, end: u64) {
    let wants = |offset: &u64| match filter {
        "t.a" => truth.event(*offset).topic() == "t.a",
        "t.*" => truth.event(*offset).topic() != "u",
        _ => true,
    };
    let reader = log.reader().topics([filter]).start(Start::Earliest);
    let mut reader = reader.open().unwrap();
    let due: Vec<u64> = (first..end).filter(wants).collect();
    assert_eq!(reader.lag().unwrap(), u64::try_from(due.len()).unwrap());
    for offset in due {
        let event = reader.next().unwrap().expect("one more");
        assert_eq!(event.offset(), offset);
        assert_eq!(event.payload(), truth.event(offset).payload());
    }
    assert!(reader.next().unwrap().is_none());
}

fn the_ids(truth: &Truth, log: &Log, end: u64) {
    for id in 0..10 {
        let known = truth.id(id).filter(|offset| *offset < end);
        let text = id_of(id);
        let next = log.next_offset();
        let appended = log
            .append_once(NewEvent::new("t.a", b"again").id(&text))
            .unwrap();
        assert_eq!(appended.offset, known.unwrap_or(next), "id {id}");
        assert_eq!(appended.duplicate, known.is_some(), "id {id}");
    }
}
