#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wakelog_ws::fuzzing::session(data));
