//! Tests of the whole log, on both backings.

mod basics;
mod corruption;
mod endings;
mod expiry;
mod following;
mod indexed;
mod interrupted;
mod listeners;
mod mirror;
mod model;
mod place;
mod power;
mod promises;
mod retention;
mod rolls;
mod sample;
mod snapshots;
mod starts;
pub(crate) mod wakers;
