//! Tests of the whole log, on both backings.

mod basics;
