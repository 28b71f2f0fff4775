//! The power goes at every operation of short workloads: nothing that was durable is lost, what
//! else is lost is a suffix, and everybody is told exactly. Each loss is one image of a disk: one
//! that holds a part of what was not synced. See `dir::simulate` for which parts there are.
//!
//! A failure prints what makes it again, and keeps the files of the image, which are opened by one
//! thread and so always fail alike. (The workload has threads of its own: with the same numbers
//! they may come in another order, rarely.)
//!
//! `WAKELOG_POWER_IMAGES` says how many images, `WAKELOG_POWER_SEED` which, and
//! `WAKELOG_POWER_WORKLOAD` of which workload; `WAKELOG_POWER_CASE` runs the one case that a
//! failure has printed.

mod check;
mod errors;
mod images;
mod run;
mod script;
mod truth;

use images::{Case, Tally};
use script::{FIXED, Workload};
use std::time::Instant;

/// How many images a plain `cargo test` opens, and the fewest that it must have come to.
const IMAGES: u64 = 150_000;
const FEWEST: u64 = 100_000;
/// Workloads that are made up, beside those that are written down.
const RANDOM: u64 = 8;

fn number(name: &str, otherwise: u64) -> u64 {
    let given = std::env::var(name).ok().map(|text| text.parse());
    given.map_or(otherwise, |number| number.expect("a number"))
}

fn all_workloads(seed: u64, random: u64) -> Vec<Workload> {
    let made_up = (0..random).map(|number| Workload::random(seed.wrapping_add(number)));
    if let Ok(name) = std::env::var("WAKELOG_POWER_WORKLOAD") {
        return vec![Workload::named(&name)];
    }
    FIXED.iter().map(Workload::fixed).chain(made_up).collect()
}

/// Runs every workload up to each of its operations, and opens images of each.
fn run_all(images: u64, seed: u64, random: u64) -> Tally {
    let workloads = all_workloads(seed, random);
    let cases: Vec<Case> = workloads
        .iter()
        .flat_map(|workload| Case::all_of(workload, seed))
        .collect();
    // To five come three on average that are of recoveries cut short.
    let each = (images * 5).div_ceil(u64::try_from(cases.len()).unwrap() * 8);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let part = |first: usize| {
            let mut tally = Tally::default();
            for case in cases.iter().skip(first).step_by(threads) {
                case.run(each, &mut tally);
                if !tally.failures.is_empty() {
                    break;
                }
            }
            tally
        };
        let started: Vec<_> = (0..threads).map(|n| scope.spawn(move || part(n))).collect();
        let parts = started.into_iter().map(|thread| thread.join().unwrap());
        parts.fold(Tally::default(), Tally::add)
    })
}

#[test]
fn the_power_goes_at_every_operation() {
    if let Ok(case) = std::env::var("WAKELOG_POWER_CASE") {
        return images::run_one(&case);
    }
    let began = Instant::now();
    let (images, seed) = (
        number("WAKELOG_POWER_IMAGES", IMAGES),
        number("WAKELOG_POWER_SEED", 1),
    );
    let random = (RANDOM * images).div_ceil(IMAGES);
    let tally = run_all(images, seed, random);
    println!("{tally} in {:.1?}", began.elapsed());
    assert!(tally.failures.is_empty(), "{}", tally.failures.join("\n"));
    let fewest = FEWEST.min(images / 3 * 2);
    assert!(tally.images() >= fewest, "only {tally}");
}
