//! Exhaustive damage: every bit flipped, every length cut to, every sector lost or misplaced, in
//! every file of a small log. What was appended is known byte for byte, so for each damage it is
//! known what must still come, what must be told as a gap, and where the log must end.

mod damage;
mod expect;
mod planted;
mod several;
mod truth;
mod verify;
mod write;

use damage::Damage;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;
use truth::{Ended, Truth};

/// Runs every damage against the log on all cores; the first few failures are told, each with
/// what makes it again.
fn all(truth: &Truth, damages: &[Damage]) {
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let failures: Vec<String> = std::thread::scope(|scope| {
        let run = |first: usize| {
            let mine = damages.iter().enumerate().skip(first).step_by(threads);
            // Each second open that is checked costs as much as the first; of many damages a
            // sixteenth will do.
            let every = if damages.len() > 50_000 { 16 } else { 1 };
            let failed =
                mine.filter_map(|(n, damage)| one(truth, damage, n / threads % every == 0));
            failed.take(5).collect::<Vec<_>>()
        };
        let started: Vec<_> = (0..threads).map(|n| scope.spawn(move || run(n))).collect();
        started
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    println!(
        "{:?}: {} damages in {:.1?}",
        truth.ended,
        damages.len(),
        began.elapsed()
    );
    assert!(
        failures.is_empty(),
        "{:?}:\n{}",
        truth.ended,
        failures.join("\n")
    );
}

/// What is wrong, if anything is.
fn one(truth: &Truth, damage: &Damage, again: bool) -> Option<String> {
    let checked = catch_unwind(AssertUnwindSafe(|| expect::check(truth, damage, again)));
    let wrong = match checked {
        Ok(Ok(())) => return None,
        Ok(Err(wrong)) => wrong,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            format!("panicked: {}", text.unwrap_or_default())
        }
    };
    Some(format!("{damage:?}: {wrong}"))
}

fn both(damages: impl Fn(&Truth) -> Vec<Damage>) {
    for ended in [Ended::Closed, Ended::Killed] {
        let truth = Truth::new(ended);
        all(&truth, &damages(&truth));
    }
}

#[test]
fn nothing_is_lost_without_damage() {
    both(|_| vec![Damage::None]);
}

#[test]
fn every_bit_flip_is_harmless_or_told() {
    both(Damage::every_bit);
    for ended in [Ended::Closed, Ended::Killed] {
        let truth = Truth::new(ended).without_cursors();
        all(&truth, &Damage::every_bit(&truth));
    }
}

#[test]
fn every_shorter_length_is_harmless_or_told() {
    both(Damage::every_length);
}

#[test]
fn every_lost_or_misplaced_sector_is_harmless_or_told() {
    both(Damage::every_sector);
}

#[test]
fn every_pair_of_sectors_that_changed_places_is_told() {
    both(Damage::every_swap);
}

#[test]
fn every_sector_of_another_moment_or_log_is_harmless_or_told() {
    both(Damage::every_stranger);
}

#[test]
fn every_missing_file_is_harmless_or_told() {
    both(Damage::every_file);
}
