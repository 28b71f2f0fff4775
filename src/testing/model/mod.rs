//! The model test: random operations on a log and on a plain list of events, which must never
//! differ. A failing case is shrunk and printed, and its seed is kept in `proptest-regressions`.

mod crash;
mod cursors;
mod expiry;
mod indexes;
mod ops;
mod oracle;
mod reading;
mod snapshot;
mod world;

use crate::testing::place::Place;
use ops::{Operation, operations};
use proptest::prelude::*;
use world::World;

fn run(place: Place, operations: &[Operation]) {
    let mut world = World::new(place);
    for operation in operations {
        world.run(operation);
    }
    world.run(&Operation::Close);
}

/// 2,000 cases unless `PROPTEST_CASES` says otherwise; on disk a tenth of them.
fn config(part: u32) -> ProptestConfig {
    let given = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    let cases = given.unwrap_or(2_000) / part;
    ProptestConfig {
        cases,
        // A bug that was ordered need not be shrunk.
        max_shrink_iters: if cfg!(sabotage) { 0 } else { 4_000 },
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(1))]

    #[test]
    fn a_log_in_memory_is_what_the_model_says(operations in operations()) {
        run(Place::in_memory(), &operations);
    }
}

proptest! {
    #![proptest_config(config(10))]

    #[test]
    fn a_log_on_disk_is_what_the_model_says(operations in operations()) {
        run(Place::on_disk(), &operations);
    }
}
