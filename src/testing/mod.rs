//! Tests of the whole log, on both backings.

mod basics;
mod corruption;
mod model;
mod sample;
